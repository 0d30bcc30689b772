package plog

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// What random seeds of the model found, each as the few steps that it takes: which thing must be on disk before which.

// scene is a story in a world of one topic. After the first error it only passes by.
type scene struct {
	w    *world
	m    *twin
	last int // the power is cut before this call of the last act
	err  error
}

// scenes plays a story with the power cut before every call of its last act in turn, and with several outcomes of each cut.
func scenes(t *testing.T, compacted bool, play func(s *scene)) {
	t.Helper()
	defer oneThread()()
	for _, o := range []dir.Options{
		{CheckpointBytes: 1 << 20, JournalBytes: -1},
		{CheckpointBytes: 1, JournalBytes: -1},
		withJournal(dir.Options{CheckpointBytes: 1 << 20}),
		withJournal(dir.Options{CheckpointBytes: 1}),
	} {
		for n, more := 1, true; more && !t.Failed(); n++ {
			for seed := range uint64(8) {
				synctest.Test(t, func(*testing.T) {
					s := newScene(seed, o, compacted)
					defer s.w.end()
					s.last = n
					play(s)
					if s.err != nil {
						t.Errorf("checkpoints every %d bytes, journal of %d, power cut of seed %d before call %d: %v; before:\n%s", o.CheckpointBytes, o.JournalBytes, seed, n, s.err, &s.w.story)
					}
					more = s.w.powered
				})
			}
		}
	}
}

// crashDice throw the same for everything but a crash.
type crashDice struct {
	plainDice
	seed uint64
}

func (d crashDice) between(low, high int, what string) int {
	if what == "seed" {
		return int(d.seed)
	}
	return d.plainDice.between(low, high, what)
}

func newScene(seed uint64, o dir.Options, compacted bool) *scene {
	w := newWorld(crashDice{plainDice{rand.New(rand.NewPCG(41, 42))}, seed}, o)
	w.addTopic("topic-0", compacted)
	s := &scene{w: w, m: w.twins[0]}
	s.m.config = testConfig()
	s.m.config.SegmentBytes = 1 << 20
	s.m.config.CleanupDelete, s.m.config.CleanupCompact = !compacted, compacted
	s.do(w.begin)
	return s
}

func (s *scene) do(f func() error) {
	if s.err == nil {
		s.err = f()
	}
}

// add appends batches of one record.
func (s *scene) add(n int) {
	for range n {
		s.do(func() error {
			return s.w.offer(s.m, s.w.batch(s.m, 1, 1000, batch.Options{}), s.m.leaderEpoch(), Internal)
		})
	}
}

// roll makes what is appended next begin a segment.
func (s *scene) roll() {
	s.do(func() error {
		c := *s.m.config
		c.SegmentBytes = 1
		s.m.log.SetConfig(&c)
		defer s.m.log.SetConfig(s.m.config)
		return s.w.offer(s.m, s.w.batch(s.m, 1, 1000, batch.Options{}), s.m.leaderEpoch(), Internal)
	})
}

// put appends one record; no value is a tombstone.
func (s *scene) put(key, value string) {
	e := &entry{recs: []record{{timestamp: s.w.clock, key: key, value: value, tombstone: value == ""}}}
	s.w.builder.Reset(batch.Options{})
	if value == "" {
		s.w.builder.Append(s.w.clock, []byte(key), nil)
	} else {
		s.w.builder.Append(s.w.clock, []byte(key), []byte(value))
	}
	e.orig = slices.Clone(s.w.builder.Build())
	s.do(func() error { return s.w.offer(s.m, e, s.m.leaderEpoch(), Internal) })
}

func (s *scene) settle() { s.do(func() error { return s.w.settle(s.m) }) }

// cut takes batches of one record off the end.
func (s *scene) cut(n int) {
	s.do(func() error {
		left := len(s.m.entries) - n
		to := s.m.end - int64(n)
		s.w.mu.Lock()
		s.m.change(content{s.m.entries[:left:left], s.m.first, s.m.start, to})
		s.w.mu.Unlock()
		s.m.cuts++
		err := s.m.log.TruncateTo(to)
		s.m.hasCut()
		s.m.cutEpochs(to)
		return err
	})
}

func (s *scene) anew(to int64) {
	s.do(func() error {
		s.w.mu.Lock()
		s.m.acked = min(s.m.acked, to)
		s.m.change(content{nil, to, to, to})
		s.w.mu.Unlock()
		s.m.cuts++
		s.m.epochs, s.m.writers, s.m.cleanTo = nil, map[int64]*sender{}, 0
		return s.m.log.TruncateFullyAndStartAt(to)
	})
}

// clean cleans the log, and holds on to what was there, so that the cleaned segments wait for their places.
func (s *scene) clean() {
	s.do(func() error {
		slice, err := s.m.log.Read(0, 1, 1, true)
		s.w.held = append(s.w.held, held{s.m, slice, nil, -1})
		return err
	})
	s.do(func() error { return s.w.clean(s.m) })
	s.do(s.w.scrubEnd)
}

// once has the first call of a kind, behind one of another kind, at a file whose name ends so meet a fault; without an error it kills the process.
func (s *scene) once(behind, op vfs.Op, suffix string, fault error) {
	w, bitten, passed := s.w, false, behind == ""
	proc := w.proc
	w.watching = func(c vfs.Call) vfs.Fault {
		if passed = passed || c.Op == behind; !passed || bitten || c.Op != op || !strings.HasSuffix(c.Path, suffix) && !strings.HasSuffix(c.To, suffix) {
			return vfs.Fault{}
		}
		bitten = true
		w.story.add("bitten: %s %s", c.Op, c.Path)
		if fault == nil {
			proc.kill()
		}
		return vfs.Fault{Err: fault}
	}
	w.watch()
}

// killed waits until the process is, and starts another.
func (s *scene) killed() {
	s.do(func() error {
		synctest.Wait()
		if !s.w.proc.dead() {
			return fmt.Errorf("nobody killed the process")
		}
		s.w.watching = nil
		return s.w.crash(false)
	})
}

// calm lets everything come to rest.
func (s *scene) calm() { s.do(func() error { synctest.Wait(); return nil }) }

// act plays the last act; the power is cut before one of its calls, or when it is over.
func (s *scene) act(f func()) {
	s.do(func() error {
		s.w.watching = nil
		s.w.arm(s.last, vfs.Fault{}, true)
		f()
		synctest.Wait()
		s.w.powered = s.w.proc.dead()
		if s.w.powered { // what the process was told when it died is no error
			s.err = nil
		}
		return s.err
	})
	s.do(func() error { return s.w.crash(true) })
	s.do(func() error { return s.w.verify(s.m) })
}

// TestNothingIsBuiltOnWhatAKilledProcessDidNotSync: a kill leaves in the page cache what a power cut would still take.
func TestNothingIsBuiltOnWhatAKilledProcessDidNotSync(t *testing.T) {
	t.Run("a cut", func(t *testing.T) {
		scenes(t, false, func(s *scene) {
			for range 12 { // until there is a journal, and a checkpoint of most of it
				s.add(1)
				s.settle()
			}
			s.once(vfs.OpTruncate, vfs.OpSync, ".log", nil)
			s.cut(9)
			s.killed()
			s.act(func() { s.add(1); s.calm(); s.add(1) })
		})
	})
	t.Run("a log", func(t *testing.T) {
		scenes(t, false, func(s *scene) {
			s.once("", vfs.OpSync, identityFile, nil)
			s.add(1)
			s.killed()
			s.act(func() { s.anew(1); s.calm(); s.add(1) })
		})
	})
	t.Run("a log that begins anew", func(t *testing.T) {
		scenes(t, false, func(s *scene) {
			s.once("", vfs.OpSync, identityFile, nil)
			s.anew(13)
			s.killed()
			s.act(func() { s.add(1) })
		})
	})
}

// TestACutIsNotForgotten: want of space before its turn leaves it to a later round.
func TestACutIsNotForgotten(t *testing.T) {
	scenes(t, true, func(s *scene) {
		s.put("k", "old")
		s.put("k", "new")
		s.roll()
		for range 3 {
			s.put("x", "old")
		}
		s.settle()
		s.clean()
		s.once("", vfs.OpRename, swapSuffix, syscall.ENOSPC)
		s.cut(3)
		s.calm()
		s.put("x", "new")
		s.settle()
		s.act(func() { s.add(1) })
	})
}

// TestCutsThatOneRoundBringsToTheDisk: the log grows again between them, beyond what the first one left, and of that the file has nothing yet; what it has there is of the past.
func TestCutsThatOneRoundBringsToTheDisk(t *testing.T) {
	scenes(t, false, func(s *scene) {
		s.m.config.Durability, s.m.config.FlushMessages = Cache, 1<<40
		s.add(6)
		s.settle()
		s.cut(5)
		s.add(6)
		s.cut(2)
		s.calm()
		s.act(func() { s.add(1) })
	})
}

// TestWhatAFailedRoundWroteIsNotInTheJournal: the bytes were written, then a hint found no space. The next round's frame has nothing of them.
func TestWhatAFailedRoundWroteIsNotInTheJournal(t *testing.T) {
	scenes(t, false, func(s *scene) {
		for range 6 { // until there is a journal
			s.add(1)
			s.settle()
		}
		s.once("", vfs.OpCreate, epochFile+".tmp", syscall.ENOSPC)
		s.do(func() error { return s.w.elect(s.m) })
		s.do(func() error { return s.w.elect(s.m) })
		s.add(1)
		s.settle()
		s.act(func() { s.add(1) })
	})
}

// TestManifestOfAReplacedSegment: its recovery point is the end of the log, and so of the last segment; when a cleaned one takes the name of that, the position means nothing.
func TestManifestOfAReplacedSegment(t *testing.T) {
	t.Run("at its end", func(t *testing.T) {
		scenes(t, true, func(s *scene) {
			s.put("a", "")
			s.put("b", "")
			s.settle()
			s.do(s.w.stop) // and so a manifest
			s.roll()
			s.settle()
			s.act(func() { s.clean(); s.do(s.w.letGo) }) // the tombstones get the time from which on they may go, and take more room
		})
	})
	t.Run("closed and opened since", func(t *testing.T) {
		scenes(t, true, func(s *scene) {
			s.put("a", "1")
			s.settle()
			s.do(s.w.stop)
			s.put("a", "22")
			s.put("b", strings.Repeat("3", 100))
			s.roll()
			s.settle()
			s.do(func() error { return s.w.closeLog(s.m) })
			s.act(func() { s.clean(); s.do(s.w.letGo) })
		})
	})
}

// TestTheManifestKnowsProducers: of a log that is read from its files, too.
func TestTheManifestKnowsProducers(t *testing.T) {
	send := func(s *scene, id int64) {
		o := batch.Options{HasProducer: true, ProducerID: id}
		s.do(func() error { return s.w.offer(s.m, s.w.batch(s.m, 1, 10, o), s.m.leaderEpoch(), Internal) })
	}
	scenes(t, false, func(s *scene) {
		send(s, 1)
		s.settle()
		s.once("", vfs.OpCreate, snapshotSuffix+".tmp", syscall.ENOSPC)
		s.roll() // the snapshot of what came before
		s.settle()
		s.do(func() error { // a deleted record still stands for its producer
			to := s.m.end - 1
			s.w.mu.Lock()
			s.m.change(content{s.m.entries, s.m.first, to, s.m.end})
			s.w.mu.Unlock()
			return s.m.log.SetStartOffset(to)
		})
		s.settle()
		s.do(s.w.stop)
		s.act(func() { send(s, 2) })
	})
}

// TestLeaderEpochsOfAFile: the file of leader epochs may know one that got no record and was forgotten at a restart. It must not make the batches behind it look strange.
func TestLeaderEpochsOfAFile(t *testing.T) {
	scenes(t, true, func(s *scene) {
		s.add(3)
		s.settle()
		s.do(func() error { // leader, and nothing written
			s.m.log.AssignLeaderEpoch(9)
			s.m.assignEpoch(9, s.m.end)
			return nil
		})
		s.do(s.w.stop)
		s.add(1)
		s.roll()
		s.roll()
		s.settle()
		s.do(func() error { return s.w.mem.Remove(testDir + "/ottla.manifest") })
		s.act(func() { s.add(1) })
	})
}

// TestADeletedTopicIsThereWholeOrNotAtAll: its files go when its name is on disk, not before.
func TestADeletedTopicIsThereWholeOrNotAtAll(t *testing.T) {
	scenes(t, false, func(s *scene) {
		s.add(3)
		s.settle()
		s.once("", vfs.OpSyncDir, testDir, syscall.EIO)
		s.do(func() error { return s.w.deleteTopic(s.m) })
		s.calm()
		s.do(func() error { return s.w.crash(true) })
	})
}

// TestMemoryOfDeletedSegments: the log begins anew at an offset below that of segments that were deleted, of which the memory still has something.
func TestMemoryOfDeletedSegments(t *testing.T) {
	scenes(t, false, func(s *scene) {
		s.add(1)
		s.roll()
		s.roll()
		s.settle()
		s.do(func() error {
			c := *s.m.config
			c.RetentionBytes = 0
			return s.w.maintain(s.m, &c)
		})
		s.settle()
		s.anew(0)
		s.add(1)
		s.do(func() error { return s.w.verify(s.m) })
		s.act(func() { s.add(1) })
	})
}

// TestReadersOfASegmentHalfInPlace: no space for the name of what it replaces, and its file is closed, as few may be open. It is read under the name that it has.
func TestReadersOfASegmentHalfInPlace(t *testing.T) {
	scenes(t, true, func(s *scene) {
		s.put("a", "old")
		s.put("a", "new")
		s.roll()
		s.settle()
		s.clean()
		s.once("", vfs.OpRename, logSuffix+deletedSuffix, syscall.ENOSPC)
		s.do(s.w.letGo)
		s.calm()
		s.do(func() error {
			s.w.d.Handles().SetLimit(0)
			if place := (*s.m.log.segments.Load())[0].where.Load(); place != placeSwap {
				return fmt.Errorf("the segment is at place %d", place)
			}
			return s.w.verify(s.m)
		})
		s.act(s.settle)
	})
}

// TestStartThatOnlyTheManifestHas: the process dies before the start offset has its own file, too, where an older one still stands. A log that begins anew below must not begin at that.
func TestStartThatOnlyTheManifestHas(t *testing.T) {
	scenes(t, false, func(s *scene) {
		s.add(6)
		s.settle()
		s.do(func() error {
			s.w.mu.Lock()
			s.m.change(content{s.m.entries, s.m.first, 4, s.m.end})
			s.w.mu.Unlock()
			return s.m.log.SetStartOffset(4)
		})
		s.settle()
		s.once(vfs.OpRename, vfs.OpCreate, "log-start-offset-checkpoint.tmp", nil)
		s.anew(10)
		s.killed()
		s.add(1)
		s.settle()
		s.act(func() { s.anew(2); s.add(1) })
	})
}
