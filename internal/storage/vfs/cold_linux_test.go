package vfs

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestColdReads: a cold reader sees every byte at every position, and leaves nothing in the page cache.
func TestColdReads(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	want := make([]byte, 3*coldBuffer+12345)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(want)
	if err := os.WriteFile(name, want, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := OS().Open(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.(*osFile).raw.Control(func(fd uintptr) {
		if err := unix.Fadvise(int(fd), 0, 0, unix.FADV_DONTNEED); err != nil {
			t.Log(err)
		}
	}), f.Close()); err != nil {
		t.Fatal(err)
	}
	before := resident(t, name)
	c, err := OpenCold(OS(), name)
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(want))
	for at := 0; at < len(got); {
		n := min(len(got)-at, 1+at%70_001)
		if k, err := c.ReadAt(got[at:at+n], int64(at)); err != nil || k != n {
			t.Fatalf("%d bytes at %d: %d, %v", n, at, k, err)
		}
		at += n
	}
	if !bytes.Equal(got, want) {
		t.Fatal("other bytes than were written")
	}
	var p [10]byte
	if n, err := c.ReadAt(p[:], int64(len(want)-3)); n != 3 || !errors.Is(err, io.EOF) {
		t.Fatalf("at the end: %d, %v", n, err)
	}
	after, direct := resident(t, name), c.(*coldFile).direct
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	t.Logf("direct: %v; %d pages in memory before, %d after", direct, before, after)
	if before > 0 {
		t.Skip("this file system keeps its files in memory")
	}
	if after > 64 {
		t.Errorf("%d pages of the file are in the page cache", after)
	}
}

// resident counts the pages of a file that are in memory.
func resident(t *testing.T, name string) int {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, int(info.Size()), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(m); err != nil {
			t.Error(err)
		}
	}()
	pages := make([]byte, (len(m)+coldAlign-1)/coldAlign)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, uintptr(unsafe.Pointer(&m[0])), uintptr(len(m)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Fatal(errno)
	}
	n := 0
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}
