package dir

import (
	"fmt"
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
