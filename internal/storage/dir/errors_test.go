package dir

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestEveryCallFailsWithEveryError: whatever call fails with whatever error, once or from then on, the directory either goes offline and everybody hears of it, or waits until
// the error is gone and goes on; and a power cut at the end finds everything that was promised. What kind of error leads to which is Kafka's and ours to say, not chance's.
func TestEveryCallFailsWithEveryError(t *testing.T) {
	ops := []vfs.Op{vfs.OpCreate, vfs.OpOpen, vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpMkdirAll, vfs.OpRemove, vfs.OpClose}
	errnos := []syscall.Errno{syscall.EIO, syscall.EROFS, syscall.ENOSPC, syscall.EDQUOT, syscall.EMFILE, syscall.ENFILE, syscall.ESTALE, syscall.EACCES}
	if testing.Short() {
		errnos = errnos[:4]
	}
	for _, op := range ops {
		t.Run(string(op), func(t *testing.T) {
			bitten := 0
			for _, errno := range errnos {
				for _, onwards := range []bool{false, true} {
					for _, journal := range []bool{false, true} {
						for n := 1; n < 200; n += 1 + n/4 {
							if !failWith(t, op, errno, n, onwards, journal) {
								break
							}
							bitten++
						}
					}
				}
			}
			if bitten == 0 && op != vfs.OpOpen && op != vfs.OpRemove { // which happen only beside other errors
				t.Fatal("no fault bit: not a test")
			}
			t.Logf("%d faults", bitten)
		})
	}
}

// failWith runs a directory with one kind of fault and tells whether it bit.
func failWith(t *testing.T, op vfs.Op, errno syscall.Errno, n int, onwards, journal bool) bool {
	t.Helper()
	what := fmt.Sprintf("%s %d (onwards %v, journal %v): %v", op, n, onwards, journal, errno)
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	o := Options{CheckpointBytes: 3000, JournalBytes: -1, StallAfter: -1}
	if journal {
		o = smallJournal(o)
	}
	d := openDir(t, faulty, o)
	rule := &vfs.Rule{Op: op, Nth: n, Onwards: onwards, Fault: vfs.Fault{Err: errno}}
	faulty.SetInjector(vfs.Rules{rule})
	reels := []*reel{newReel(t, d, "topic-0"), newReel(t, d, "topic-1")}
	for range 8 {
		for _, x := range reels {
			x.put(700)
		}
		for _, x := range reels {
			poll(t, "end of the round with "+what, func() bool { return x.over() || d.Full(time.Now()) })
		}
	}
	bit := rule.Bitten() > 0
	faulty.SetInjector(nil)
	for _, x := range reels {
		x.put(1)
		poll(t, "end of the last round after "+what, x.over)
		if x.failed() != (d.Err() != nil) {
			t.Fatalf("%s: the log has failed: %v, the directory says %v", what, x.failed(), d.Err())
		}
	}
	short := errno == syscall.ENOSPC || errno == syscall.EDQUOT || errno == syscall.EMFILE || errno == syscall.ENFILE
	synced := op == vfs.OpSync || op == vfs.OpSyncDir
	closed := op == vfs.OpClose // may tell what a write could not, so nothing is known after it
	switch offline := d.Err() != nil; {
	case !bit && offline:
		t.Fatalf("%s did not bite, and the directory is offline: %v", what, d.Err())
	case bit && !offline && synced:
		t.Fatalf("%s: a failed sync is forgiven", what)
	case offline && short && !synced && !closed:
		t.Fatalf("%s: want of something takes the directory offline: %v", what, d.Err())
	case bit && !offline && !short && (op == vfs.OpWrite || op == vfs.OpCreate || op == vfs.OpRename || op == vfs.OpMkdirAll):
		t.Fatalf("%s: a failed write is forgiven", what)
	}
	want := promises(reels...)
	image := mem.Crash(vfs.LoseUnsynced)
	if err := d.Abandon(); err != nil {
		t.Fatal(err)
	}
	if err := kept(image, Options{}, want); err != nil {
		t.Fatalf("%s: after a power cut: %v", what, err)
	}
	return bit
}

// over tells whether everything is safe, or never will be.
func (x *reel) over() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.err != nil || x.mu.synced == x.mu.appended
}

func (x *reel) failed() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.mu.err != nil
}
