package dir

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestHandlesGiveWay: a cap that falls closes what nobody uses, oldest first, at once; what is in use is closed when it is released or by whoever opens the next.
func TestHandlesGiveWay(t *testing.T) {
	fsys, h := vfs.NewMem(), NewHandles(8)
	files := make([]Handle, 8)
	name := func(i int) string { return fmt.Sprintf("/%d.log", i) }
	for i := range files {
		if _, err := h.Acquire(fsys, &files[i], name(i), true); err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first stays in use
			if err := h.Release(&files[i]); err != nil {
				t.Fatal(err)
			}
		}
	}
	h.SetLimit(3)
	for i := range files {
		if open, want := files[i].file != nil, i == 0 || i >= 6; open != want {
			t.Errorf("file %d is open: %v, of 3 that may be it should be %v", i, open, want)
		}
	}
	h.SetLimit(100)
	if s := h.Stats(); s.Open != 3 || s.Limit != 100 || s.Closes != 5 {
		t.Errorf("%+v", s)
	}
	h.SetLimit(0)
	if s := h.Stats(); s.Open != 1 {
		t.Errorf("%d files are open, one is in use", s.Open)
	}
	if err := h.Release(&files[0]); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Acquire(fsys, &files[1], name(1), false); err != nil {
		t.Fatal(err)
	}
	if files[0].file != nil {
		t.Error("a file stayed open above the cap that nobody used")
	}
}

// fading is a file of which a write-back has failed: its first sync is told so, the others are not, as by the kernel.
type fading struct {
	vfs.File
	begun, release chan struct{}
	syncs          int
}

var errFaded = errors.New("lost")

func (f *fading) Sync() error {
	f.syncs++
	if f.syncs > 1 {
		return nil
	}
	close(f.begun)
	<-f.release
	return errFaded
}

// TestFailedSyncIsToldToAllOfTheFile: who syncs a file while somebody else's sync of it fails, or afterwards, must not take it for synced.
func TestFailedSyncIsToldToAllOfTheFile(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{JournalBytes: -1})
	f, h := &fading{begun: make(chan struct{}), release: make(chan struct{})}, &Handle{}
	sync := func() <-chan error {
		told := make(chan error, 1)
		go func() { told <- d.syncer.files([]syncFile{{handle: h, file: f}}) }()
		return told
	}
	first := sync()
	<-f.begun
	beside := sync()
	for range 100 { // time for the second to come first
		runtime.Gosched()
	}
	close(f.release)
	for i, told := range []<-chan error{first, beside, sync()} {
		if err := <-told; !errors.Is(err, errFaded) {
			t.Errorf("sync %d: %v, want %v", i, err, errFaded)
		}
	}
}
