package vfs

import (
	"bytes"
	"path/filepath"
	"testing"
	"unsafe"
)

// TestDirectWritesAreReadByEverybody writes whole pages past the page cache, and reads them through it.
func TestDirectWritesAreReadByEverybody(t *testing.T) {
	opener, ok := OS().(DirectOpener)
	if !ok {
		t.Skip("this system has no direct writes")
	}
	name := filepath.Join(t.TempDir(), "file")
	f, err := OS().Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 64<<10), 0); err != nil {
		t.Fatal(err)
	}
	g, err := opener.OpenDirect(name)
	if err != nil {
		t.Skipf("this file system has no direct writes: %v", err)
	}
	defer g.Close()
	const page = 4096
	b := make([]byte, 3*page)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	pages := b[skip : skip+2*page]
	for i := range pages {
		pages[i] = byte(i%251) + 1
	}
	if _, err := g.WriteAt(pages, 5*page); err != nil {
		t.Skipf("this file system refuses direct writes: %v", err)
	}
	if err := g.Sync(); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 2*page)
	if _, err := f.ReadAt(got, 5*page); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, pages) {
		t.Error("what was written directly is not what is read")
	}
	if size, err := f.Size(); err != nil || size != 64<<10 {
		t.Errorf("size %d %v", size, err)
	}
}
