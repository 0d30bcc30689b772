package plog

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// mutant is a deliberate bug.
type mutant struct {
	name string
	kill string // how it is found, for the page
	make func(w *world)
}

func inDirectory(bug dir.Mutants, journal bool) func(*world) {
	return func(w *world) {
		w.options.Mutants = bug
		if journal {
			w.options = withJournal(w.options)
		}
	}
}

func onDisk(l lies) func(*world) { return func(w *world) { w.lies = l } }

// mutants are the deliberate bugs of reference that concern a log; each must be found by the crash images of random worlds. Those that need a state of their own have tests of their own.
var mutants = []mutant{
	{"acknowledge before the sync", "acknowledged offsets are missing", inDirectory(dir.AckBeforeSync, false)},
	{"no sync of segments", "the same, although everybody waited", onDisk(lies{noSync: "*.log"})},
	{"no sync of directories", "segments and logs are missing", onDisk(lies{noSyncDir: true})},
	{"no sync of directories in rounds", "the same", inDirectory(dir.SkipDirSync, false)},
	{"rename without sync of the file", "a checkpoint is empty", onDisk(lies{noSync: "*.tmp"})},
	{"try again after a failed sync", "what the first attempt lost is acknowledged by the second", func(w *world) {
		onDisk(lies{retriesSync: true})(w)
		w.only("append", "sync", "idle", "a call fails soon")
	}},
	{"acknowledge a start offset that is not on disk", "deleted records return", inDirectory(dir.ForgetStart, false)},
	{"write over a cut that is not synced", "batches of two histories in one file", inDirectory(dir.SkipCutSync, false)},
	{"acknowledge before the journal is synced", "acknowledged offsets are missing", inDirectory(dir.SkipJournalSync, true)},
	{"do not apply the journal", "the same", inDirectory(dir.SkipReplay, true)},
	{"cut what the journal would bring back", "an old frame is applied over newer bytes", func(w *world) {
		inDirectory(dir.KeepJournal, true)(w)
		w.only("append", "truncate", "sync", "idle")
	}},
	{"the checkpoint before the data", "the log is damaged below its recovery point", func(w *world) { w.tamper = aheadOfSync }},
	{"lose the state of producers at a start", "a batch sent again is appended again", func(w *world) { w.reopens = forgetProducers }},
	{"answer a batch sent again with another offset", "the offset differs from the first answer", func(w *world) { w.reopens = shiftProducers }},
	{"serve the log of a deleted topic to its successor", "a topic begins with records of another", onDisk(lies{noDelete: true})},
	{"give memory back while it is read", "what a reader holds changes", func(w *world) {
		w.memory, w.tamper = 32<<10, unpinEarly
		w.only("append", "hold what was read", "let go of what was read", "idle")
	}},
}

// aheadOfSync has the next checkpoint say that everything written is synced.
func aheadOfSync(w *world) {
	for _, m := range w.twins {
		if m.log == nil || m.log.CutPending() {
			continue
		}
		m.log.mu.Lock()
		m.log.mu.syncedMark = m.log.mu.writtenMark
		m.log.mu.Unlock()
	}
}

func forgetProducers(m *twin) {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	clear(m.log.mu.producers)
}

func shiftProducers(m *twin) {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	for _, p := range m.log.mu.producers {
		for i := range p.batches[:p.count] {
			p.batches[i].lastOffset++
		}
	}
}

// unpinEarly lets go of the memory that readers hold.
func unpinEarly(w *world) {
	for _, h := range w.held {
		for _, c := range h.slice.chunks {
			c.log.mu.Lock()
			c.pins = 0
			written := !c.gone && c.written == c.filled && !c.busy && !c.writing
			c.log.mu.Unlock()
			if written {
				c.Evictable(c)
			}
		}
	}
}

// A harness that does not find a bug which was put there for it is no harness.
func TestHarnessFindsDeliberateBugs(t *testing.T) {
	defer oneThread()()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			images := 0
			for seed := range uint64(150) {
				var err error
				synctest.Test(t, func(t *testing.T) {
					var n int
					n, err = imagesOf(seed, 40, m.make)
					images += n
				})
				if err != nil {
					why, _, _ := strings.Cut(err.Error(), "\n")
					t.Logf("found in world %d, after %d images: %s", seed, images, why)
					return
				}
			}
			t.Errorf("the bug was not found in %d images", images)
		})
	}
}

// Rot below the recovery point must be found and kept; a recovery that cuts there loses what was acknowledged.
func TestRotIsNeverCut(t *testing.T) {
	for _, bug := range []dir.Mutants{0, dir.CutRot} {
		err := rotAndRecover(t, bug)
		if bug == 0 && err != nil {
			t.Error(err)
		}
		if bug == dir.CutRot && err == nil {
			t.Error("recovery cuts at rot, and the harness did not notice")
		}
	}
}

// A killed process leaves what it wrote in the page cache, where its successor finds it. Counted as synced before it is, it is lost by a power cut.
func TestKillThenPowerCut(t *testing.T) {
	for _, bug := range []dir.Mutants{0, dir.SkipRecoverySync} {
		mem := vfs.NewMem()
		first := openOn(t, mem, dir.Options{Mutants: dir.AckBeforeSync}, testConfig()) // writes, and never gets to the sync
		want := fill(t, first, 30, 1)
		if err := first.d.Abandon(); err != nil {
			t.Fatal(err)
		}
		second := openOn(t, mem, dir.Options{Mutants: bug}, testConfig())
		if second.EndOffset() != first.EndOffset() {
			t.Fatalf("the page cache lost something: the log ends at %d", second.EndOffset())
		}
		if bug == 0 && second.SyncedOffset() > 0 {
			t.Log("the committer was faster than the test")
		}
		second.sync(t)
		third := openOn(t, mem.Crash(vfs.LoseUnsynced), dir.Options{}, testConfig())
		got, err := third.all(0, third.EndOffset(), 1<<20)
		if err == nil {
			err = sameBatches(want, got)
		}
		if (err == nil) != (bug == 0) {
			t.Errorf("with bug %d: %v", bug, err)
		}
	}
}

var errCut = errors.New("acknowledged records were cut")
