package dir

import (
	"errors"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// The turn's file and the identity of a fresh directory share a sync: whichever of them a power cut leaves, the directory is fresh or whole, and after Open both are there.
func TestAFreshDirectoryMayLosePower(t *testing.T) {
	cut := errors.New("power cut")
	for nth := 1; ; nth++ {
		rule := &vfs.Rule{Nth: nth, Onwards: true, Fault: vfs.Fault{Err: cut}}
		first := vfs.NewMem()
		if d, err := tryOpenDir(vfs.NewFaulty(first, vfs.Rules{rule}), Options{StallAfter: -1}); err == nil {
			if err := d.Abandon(); err != nil && !errors.Is(err, cut) {
				t.Fatal(err)
			}
			if after := lookAt(t, first.Crash(vfs.LoseUnsynced)); after != (turn{running: true}) {
				t.Fatalf("after Open there is %+v", after)
			}
			return
		}
		for seed := range uint64(20) {
			after := first.Crash(seed)
			d := openDir(t, after, Options{StallAfter: -1})
			id := d.ID()
			if clean, _ := d.CleanStart(); clean {
				t.Fatalf("call %d: a clean start", nth)
			}
			if err := d.Abandon(); err != nil {
				t.Fatal(err)
			}
			again := after.Crash(vfs.LoseUnsynced)
			if got := lookAt(t, again); got != (turn{running: true}) {
				t.Fatalf("call %d, seed %d: after the next Open there is %+v", nth, seed, got)
			}
			if d := openDir(t, again, Options{StallAfter: -1}); d.ID() != id {
				t.Fatalf("call %d, seed %d: the directory's id became another", nth, seed)
			}
		}
	}
}

func lookAt(t *testing.T, fsys vfs.FS) turn {
	t.Helper()
	found, err := (&Dir{fs: fsys, path: testPath}).lookAtTurn()
	if err != nil {
		t.Fatal(err)
	}
	return found
}
