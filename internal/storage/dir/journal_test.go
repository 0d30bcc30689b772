package dir

import (
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// journaledRounds makes a directory whose journal has some rounds that are synced nowhere else, and what a power cut leaves of it.
func journaledRounds(t *testing.T, rounds int) (*vfs.Mem, *reel) {
	t.Helper()
	mem := vfs.NewMem()
	d := openDir(t, mem, Options{JournalBytes: 1 << 20, JournalAfter: 1, CheckpointBytes: 1 << 30})
	x := newReel(t, d, "topic-0")
	for d.newJournal.Load() == nil && d.Stats().JournalSyncs.Load() == 0 {
		x.put(10)
		x.mustSettle(t)
	}
	for range rounds {
		x.put(300)
		x.mustSettle(t)
	}
	if got := d.Stats().JournalSyncs.Load(); got < int64(rounds) {
		t.Fatalf("%d of %d rounds went to the journal", got, rounds)
	}
	image := mem.Crash(vfs.LoseUnsynced)
	if data, err := readAll(image, x.file()); err != nil || int64(len(data)) >= x.synced() {
		t.Fatalf("the segment has %d of %d bytes without the journal: not a test (%v)", len(data), x.synced(), err)
	}
	return image, x
}

// A round that is too much for the journal leaves it alone from its first byte, where its logs tell what is coming; where they do not, the journal gets what fits.
func TestLargeRoundIsNotBegunInTheJournal(t *testing.T) {
	for name, silent := range map[string]bool{"the logs tell": false, "the logs do not tell": true} {
		t.Run(name, func(t *testing.T) {
			d := openDir(t, vfs.NewMem(), Options{JournalBytes: 8 << 20, JournalAfter: 1, CheckpointBytes: 1 << 30})
			var all []*reel
			for i := range 6 {
				x := newReel(t, d, fmt.Sprintf("topic-%d", i))
				x.silent = silent
				all = append(all, x)
			}
			for x := all[0]; d.Stats().JournalSyncs.Load() == 0; {
				x.put(10)
				x.mustSettle(t)
			}
			// One round of all of them, which wait while one of them has a round for itself.
			together := func(each int64) (rounds, frames int64) {
				entered, gate := make(chan struct{}), make(chan struct{})
				once := sync.OnceFunc(func() { close(entered); <-gate })
				all[0].onStage = func(*Round) error { once(); return nil }
				all[0].put(10)
				<-entered
				for _, x := range all {
					x.put(each)
				}
				rounds, frames = d.Stats().Rounds.Load(), d.Stats().JournalBytes.Load()
				close(gate)
				for _, x := range all {
					x.mustSettle(t)
				}
				return d.Stats().Rounds.Load() - rounds, d.Stats().JournalBytes.Load() - frames
			}
			together(10) // their files are there
			const small, large = journalPerFile / 2, journalPerFile + spillBytes/4
			if rounds, frames := together(small); rounds != 2 || frames < 6*small {
				t.Errorf("the journal got %d bytes of %d in %d rounds", frames, 6*small, rounds)
			}
			if rounds, frames := together(large); rounds != 2 || (frames > spillBytes) != silent {
				t.Errorf("the journal got %d bytes of %d in %d rounds", frames, 6*large, rounds)
			}
		})
	}
}

// change rewrites bytes of a file of an image.
func change(t testing.TB, fsys vfs.FS, name string, f func(p []byte) []byte) {
	t.Helper()
	p, err := readAll(fsys, name)
	if err != nil {
		t.Fatal(err)
	}
	p = f(p)
	file, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := file.Truncate(int64(len(p))); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(p, 0); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

var journalName = filepath.Join(testPath, journalFile)

func TestJournalIsAppliedAndThenForgotten(t *testing.T) {
	image, x := journaledRounds(t, 6)
	want := promises(x)
	if err := kept(image.Crash(vfs.KeepUnsynced), Options{}, want); err != nil {
		t.Fatal(err)
	}
	// Once applied it is synced: a second power cut, during or after the first start, takes nothing.
	d := openDir(t, image, Options{})
	again := image.Crash(vfs.LoseUnsynced)
	if data, err := readAll(again, x.file()); err != nil || int64(len(data)) < want[0].synced {
		t.Fatalf("after the journal was applied the disk has %d of %d bytes (%v)", len(data), want[0].synced, err)
	}
	if err := d.Abandon(); err != nil {
		t.Fatal(err)
	}
	// What is cut now does not come back.
	change(t, again, x.file(), func(p []byte) []byte { return p[:100] })
	openDir(t, again, Options{})
	if data, err := readAll(again, x.file()); err != nil || len(data) != 100 {
		t.Errorf("a journal that was applied before brought the log back to %d bytes (%v)", len(data), err)
	}
}

// journaling makes a directory whose rounds go to its journal.
func journaling(t *testing.T, fsys vfs.FS, bytes int64) (*Dir, *reel) {
	t.Helper()
	d := openDir(t, fsys, Options{JournalBytes: bytes, JournalAfter: 1, CheckpointBytes: 1 << 30})
	x := newReel(t, d, "topic-0")
	for d.Stats().JournalSyncs.Load() == 0 {
		x.put(10)
		x.mustSettle(t)
	}
	return d, x
}

// A frame that found no space may be there all the same, but for what nobody reads: what it says of a log is forgotten before the log is cut.
func TestFrameThatFoundNoSpaceIsForgotten(t *testing.T) {
	for name, refused := range map[string]int{"the frame": 1, "the frame, and the mark that is to forget it": 2} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem, nil)
			d, x := journaling(t, faulty, 1<<20)
			x.need(NeedJournal) // what it has of the log so far
			x.mustSettle(t)
			var rules vfs.Rules
			for range refused {
				rules = append(rules, &vfs.Rule{Op: vfs.OpWrite, Path: journalFile + "*", Nth: 1, Fault: vfs.Fault{Err: syscall.ENOSPC, Short: 1 << 20}})
			}
			faulty.SetInjector(rules)
			before := x.synced()
			x.put(300)
			x.mustSettle(t)
			x.need(NeedJournal)
			x.mustSettle(t)
			for n, rule := range rules {
				if rule.Bitten() == 0 {
					t.Fatalf("fault %d did not bite: not a test", n)
				}
			}
			if err := d.Err(); err != nil {
				t.Fatal(err)
			}
			change(t, mem, x.file(), func(p []byte) []byte { return p[:before] })
			image := mem.Crash(vfs.KeepUnsynced)
			openDir(t, image, Options{})
			if data, err := readAll(image, x.file()); err != nil || int64(len(data)) != before {
				t.Errorf("the journal brought the log back from %d to %d bytes (%v)", before, len(data), err)
			}
		})
	}
}

// Whichever write of the journal finds no space, before or after its bytes, and wherever its halves end: what was acknowledged is there after a crash, and the next start reads the journal.
func TestNoSpaceInTheJournal(t *testing.T) {
	for i, short := range []int{0, 100, 1 << 20, 1 << 20, 1 << 20} {
		for n := 1; ; n++ {
			mem := vfs.NewMem()
			faulty := vfs.NewFaulty(mem, nil)
			d, x := journaling(t, faulty, 68<<10)
			rule := &vfs.Rule{Op: vfs.OpWrite, Path: journalFile + "*", Nth: n, Fault: vfs.Fault{Err: syscall.ENOSPC, Short: short}}
			faulty.SetInjector(vfs.Rules{rule})
			for round := range 30 {
				x.put(int64(200 + (i+round)%3*5000))
				x.mustSettle(t)
				if rule.Bitten() == 0 || round%4 != 0 {
					continue
				}
				for _, image := range []*vfs.Mem{mem.Crash(vfs.LoseUnsynced), mem.Crash(vfs.KeepUnsynced)} {
					if err := kept(image, Options{}, promises(x)); err != nil {
						t.Fatalf("write %d, %d bytes of it done, %d rounds: %v", n, short, round+1, err)
					}
				}
			}
			if err := d.Err(); err != nil {
				t.Fatalf("write %d: %v", n, err)
			}
			if rule.Bitten() == 0 {
				if n < 10 {
					t.Fatalf("%d writes: not a test", n-1)
				}
				break
			}
		}
	}
}

// A frame with a good checksum that is not of the chain is of an earlier life of the file: other salt, or a sequence number that does not follow.
func TestStaleFramesAreNotApplied(t *testing.T) {
	for name, forge := range map[string]func(salt, next uint64) (uint64, uint64){
		"of another journal":    func(salt, next uint64) (uint64, uint64) { return salt + 1, next },
		"of an earlier round":   func(salt, next uint64) (uint64, uint64) { return salt, next - 2 },
		"of a round not begun":  func(salt, next uint64) (uint64, uint64) { return salt, next + 1 },
		"that would be applied": func(salt, next uint64) (uint64, uint64) { return salt, next },
	} {
		t.Run(name, func(t *testing.T) {
			image, x := journaledRounds(t, 5)
			size := x.synced()
			data, err := readAll(image, journalName)
			if err != nil {
				t.Fatal(err)
			}
			h, ok := parseJournalHeader(data, int64(len(data)))
			if !ok {
				t.Fatal("no header")
			}
			at, last := int64(journalPage), framed{}
			for {
				f, err := parseFrameHeader(data[at:], h.salt, h.half)
				if err != nil {
					break
				}
				last = f
				at += f.padded()
			}
			salt, sequence := forge(h.salt, last.sequence+1)
			var f frame
			f.reset()
			f.append(x.name, 0, size, []byte("a stale batch"))
			p := f.seal(salt, sequence, last.oldest, 1)
			change(t, image, journalName, func(data []byte) []byte { copy(data[at:], p); return data })
			openDir(t, image, Options{})
			got, err := readAll(image, x.file())
			if err != nil {
				t.Fatal(err)
			}
			applied := int64(len(got)) > size
			if applied != (name == "that would be applied") {
				t.Errorf("the log has %d bytes, %d were synced", len(got), size)
			}
		})
	}
}

// The newest frame may be torn, since it was not synced; a needed one before it may not, and says so.
func TestDamagedFrames(t *testing.T) {
	image, x := journaledRounds(t, 5)
	data, err := readAll(image, journalName)
	if err != nil {
		t.Fatal(err)
	}
	h, _ := parseJournalHeader(data, int64(len(data)))
	var frames []int64
	for at := int64(journalPage); ; {
		f, err := parseFrameHeader(data[at:], h.salt, h.half)
		if err != nil {
			break
		}
		frames = append(frames, at)
		at += f.padded()
	}
	for i, at := range frames {
		for _, where := range []int64{0, 5, 9, 15, 25, 33, 38, 60} {
			damaged := image.Crash(vfs.KeepUnsynced)
			change(t, damaged, journalName, func(p []byte) []byte { p[at+where] ^= 4; return p })
			d, err := tryOpenDir(damaged, Options{})
			if err != nil {
				continue // it says so
			}
			got, err := readAll(damaged, x.file())
			if err != nil {
				t.Fatal(err)
			}
			if i+1 < len(frames) && int64(len(got)) < x.synced() {
				t.Errorf("frame %d of %d damaged at %d: %d of %d bytes are left, and nobody said so", i, len(frames), where, len(got), x.synced())
			}
			if err := d.Abandon(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for at := range int64(32) {
		damaged := image.Crash(vfs.KeepUnsynced)
		change(t, damaged, journalName, func(p []byte) []byte { p[at] ^= 1; return p })
		if d, err := tryOpenDir(damaged, Options{}); err == nil {
			t.Errorf("byte %d of the first page is damaged, and the directory opens", at)
			_ = d.Abandon()
		}
	}
}

// While the files of a full half cannot be synced, the other half takes rounds, and then rounds sync their files themselves: nothing waits, nothing is written over.
func TestJournalDoesNotWaitForTheBackground(t *testing.T) {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	d := openDir(t, faulty, smallJournal(Options{CheckpointBytes: 1 << 30}))
	hung, other := newReel(t, d, "topic-0"), newReel(t, d, "topic-1")
	hung.put(10)
	hung.mustSettle(t)
	for d.newJournal.Load() == nil && d.Stats().JournalSyncs.Load() == 0 {
		other.put(10)
		other.mustSettle(t)
	}
	gate := vfs.NewGate()
	faulty.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "topic-0/*.log", Fault: vfs.Fault{Gate: gate}}})
	hung.put(10) // the half that has this cannot be retired
	hung.mustSettle(t)
	for d.Stats().JournalFull.Load() < 2 {
		other.put(100)
		other.mustSettle(t)
	}
	want := promises(hung, other)
	if err := kept(mem.Crash(vfs.LoseUnsynced), Options{}, want); err != nil {
		t.Error(err)
	}
	gate.Open()
	before := d.Stats().JournalSyncs.Load()
	for d.Stats().JournalSyncs.Load() < before+3 { // the journal is used again
		other.put(100)
		other.mustSettle(t)
	}
	if err := kept(mem.Crash(vfs.LoseUnsynced), Options{}, promises(hung, other)); err != nil {
		t.Error(err)
	}
}

// Logs that are gone need nothing, and what is no log is refused.
func TestJournalOfLogsThatAreGone(t *testing.T) {
	image, x := journaledRounds(t, 3)
	if err := image.RemoveAll(x.path()); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, image, Options{})
	if names := d.Names(); len(names) != 0 {
		t.Errorf("the journal made %v", names)
	}
}

func TestJournalIsGoneAfterACleanStop(t *testing.T) {
	mem := vfs.NewMem()
	d := openDir(t, mem, smallJournal(Options{}))
	x := newReel(t, d, "topic-0")
	for d.Stats().JournalSyncs.Load() < 5 {
		x.put(100)
		x.mustSettle(t)
	}
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
	if data, err := readAll(mem, journalName); data != nil || err != nil {
		t.Errorf("a journal of %d bytes is left, %v", len(data), err)
	}
	if err := kept(mem.Crash(vfs.LoseUnsynced), Options{}, promises(x)); err != nil {
		t.Error(err)
	}
}

// What a frame is given comes back, and frames of every length fit their pages.
func TestFramesRoundTrip(t *testing.T) {
	for n := range 40 {
		var f frame
		f.reset()
		for i := range n {
			f.append(fmt.Sprintf("topic-%d", i), int64(i), int64(i*7), make([]byte, i*331))
		}
		p := f.seal(9, 5, 3, 2)
		h, err := parseFrameHeader(p, 9, int64(len(p)))
		if err != nil || len(p)%journalPage != 0 || h.padded() != int64(len(p)) || h.sequence != 5 || h.oldest != 3 || h.after != 2 || !frameHolds(p[:h.length]) {
			t.Fatalf("%d writes: %+v %v", n, h, err)
		}
		i := 0
		err = parseFrame(p[:h.length], h.count, func(j journaled) error {
			if j.log != fmt.Sprintf("topic-%d", i) || j.base != int64(i) || j.at != int64(i*7) || len(j.data) != i*331 {
				return fmt.Errorf("write %d is %s %d %d %d", i, j.log, j.base, j.at, len(j.data))
			}
			i++
			return nil
		})
		if err != nil || i != n {
			t.Fatalf("%d of %d writes: %v", i, n, err)
		}
	}
}
