package vfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// implementations are what every test of the suite runs on, each below a directory of its own.
func implementations(t *testing.T, test func(t *testing.T, fsys vfs.FS, dir string)) {
	t.Helper()
	onMem := func(t *testing.T, fsys vfs.FS) {
		dir := filepath.Join(string(filepath.Separator), "data", "dir")
		must(t, fsys.MkdirAll(dir))
		test(t, fsys, dir)
	}
	t.Run("os", func(t *testing.T) { test(t, vfs.OS(), t.TempDir()) })
	t.Run("mem", func(t *testing.T) { onMem(t, vfs.NewMem()) })
	t.Run("crashed", func(t *testing.T) {
		m := vfs.NewMem()
		must(t, m.MkdirAll("/data/dir"))
		onMem(t, m.Crash(vfs.KeepUnsynced))
	})
	t.Run("faulty", func(t *testing.T) {
		onMem(t, vfs.NewFaulty(vfs.NewMem(), vfs.Rules{{Op: vfs.OpWrite, Path: "never", Fault: vfs.Fault{Err: io.ErrNoProgress}}}))
	})
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: got error %v, want %v", what, err, want)
	}
}

func create(t *testing.T, fsys vfs.FS, name string, content string) vfs.File {
	t.Helper()
	f, err := fsys.Create(name)
	must(t, err)
	if content != "" {
		_, err = f.WriteAt([]byte(content), 0)
		must(t, err)
	}
	return f
}

func createClosed(t *testing.T, fsys vfs.FS, name, content string) {
	t.Helper()
	must(t, create(t, fsys, name, content).Close())
}

func content(t *testing.T, fsys vfs.FS, name string) string {
	t.Helper()
	f, err := fsys.OpenRead(name)
	must(t, err)
	size, err := f.Size()
	must(t, err)
	p := make([]byte, size)
	_, err = f.ReadAt(p, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	must(t, f.Close())
	return string(p)
}

func TestFileReadsWhatWasWritten(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "")
		if f.Name() != name {
			t.Errorf("Name is %q, want %q", f.Name(), name)
		}
		if n, err := f.WriteAt([]byte("behind a hole"), 10_000); n != 13 || err != nil {
			t.Fatalf("WriteAt: %d, %v", n, err)
		}
		_, err := f.WriteAt([]byte("front"), 0)
		must(t, err)
		_, err = f.WriteAt(nil, 50_000)
		must(t, err)
		if size, err := f.Size(); size != 10_013 || err != nil {
			t.Errorf("Size: %d, %v; want 10013", size, err)
		}
		p := bytes.Repeat([]byte("x"), 10)
		if n, err := f.ReadAt(p, 0); n != 10 || err != nil || string(p) != "front\x00\x00\x00\x00\x00" {
			t.Errorf("ReadAt the front: %d, %v, %q", n, err, p)
		}
		if n, err := f.ReadAt(p, 10_008); n != 5 || err != io.EOF || string(p[:n]) != " hole" {
			t.Errorf("ReadAt the end: %d, %v, %q", n, err, p[:n])
		}
		if n, err := f.ReadAt(p, 20_000); n != 0 || err != io.EOF {
			t.Errorf("ReadAt behind the end: %d, %v", n, err)
		}
		if n, err := f.ReadAt(nil, 20_000); n != 0 || err != nil {
			t.Errorf("ReadAt of nothing: %d, %v", n, err)
		}
		if _, err := f.ReadAt(p, -1); err == nil {
			t.Error("a negative offset was read")
		}
		if _, err := f.WriteAt(p, -1); err == nil {
			t.Error("a negative offset was written")
		}
		must(t, f.Sync())
		must(t, f.Close())
	})
}

func TestFileTruncate(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "0123456789")
		must(t, f.Truncate(4))
		must(t, f.Truncate(8))
		must(t, f.Sync())
		if got := content(t, fsys, name); got != "0123\x00\x00\x00\x00" {
			t.Errorf("after a cut and an extension: %q", got)
		}
		_, err := f.WriteAt([]byte("ab"), 9000)
		must(t, err)
		must(t, f.Truncate(4096))
		must(t, f.Truncate(9002))
		must(t, f.Sync())
		if got := content(t, fsys, name); got != "0123"+string(make([]byte, 8998)) {
			t.Error("what was cut came back")
		}
		if err := f.Truncate(-1); err == nil {
			t.Error("a negative size was taken")
		}
		must(t, f.Close())
	})
}

func TestClosedAndReadOnlyFilesRefuse(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "x")
		must(t, f.Close())
		_, err := f.ReadAt(make([]byte, 1), 0)
		wantError(t, "ReadAt", err, fs.ErrClosed)
		_, err = f.WriteAt(make([]byte, 1), 0)
		wantError(t, "WriteAt", err, fs.ErrClosed)
		_, err = f.Size()
		wantError(t, "Size", err, fs.ErrClosed)
		wantError(t, "Sync", f.Sync(), fs.ErrClosed)
		wantError(t, "Truncate", f.Truncate(0), fs.ErrClosed)
		wantError(t, "Close", f.Close(), fs.ErrClosed)

		r, err := fsys.OpenRead(name)
		must(t, err)
		if _, err := r.WriteAt([]byte("y"), 0); err == nil {
			t.Error("WriteAt worked on a file that was opened for reading")
		}
		if err := r.Truncate(0); err == nil {
			t.Error("Truncate worked on a file that was opened for reading")
		}
		must(t, r.Close())
		if got := content(t, fsys, name); got != "x" {
			t.Errorf("content is %q", got)
		}
	})
}

func TestNamesExistOrNot(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		file, sub := filepath.Join(dir, "file"), filepath.Join(dir, "sub")
		createClosed(t, fsys, file, "abc")
		must(t, fsys.MkdirAll(filepath.Join(sub, "deep", "deeper")))
		must(t, fsys.MkdirAll(sub))
		missing := filepath.Join(dir, "missing")

		_, err := fsys.Create(file)
		wantError(t, "Create of a file", err, fs.ErrExist)
		_, err = fsys.Create(sub)
		wantError(t, "Create of a directory", err, fs.ErrExist)
		_, err = fsys.Create(filepath.Join(missing, "f"))
		wantError(t, "Create without directory", err, fs.ErrNotExist)
		for what, open := range map[string]func(string) (vfs.File, error){"Open": fsys.Open, "OpenRead": fsys.OpenRead} {
			_, err = open(missing)
			wantError(t, what, err, fs.ErrNotExist)
			if _, err = open(sub); err == nil {
				t.Errorf("%s worked on a directory", what)
			}
			if _, err = open(filepath.Join(file, "f")); err == nil {
				t.Errorf("%s worked below a file", what)
			}
		}
		_, err = fsys.Stat(missing)
		wantError(t, "Stat", err, fs.ErrNotExist)
		_, err = fsys.ReadDir(missing)
		wantError(t, "ReadDir", err, fs.ErrNotExist)
		if _, err = fsys.ReadDir(file); err == nil {
			t.Error("ReadDir worked on a file")
		}
		wantError(t, "Remove", fsys.Remove(missing), fs.ErrNotExist)
		must(t, fsys.RemoveAll(missing))
		wantError(t, "SyncDir", fsys.SyncDir(missing), fs.ErrNotExist)
		if err := fsys.MkdirAll(filepath.Join(file, "d")); err == nil {
			t.Error("MkdirAll worked below a file")
		}
		if err := fsys.Remove(sub); err == nil {
			t.Error("Remove worked on a directory that is not empty")
		}
		must(t, fsys.SyncDir(dir))

		if i, err := fsys.Stat(file); err != nil || i.Size != 3 || i.IsDir || i.ModTime.IsZero() {
			t.Errorf("Stat of a file: %+v, %v", i, err)
		}
		if i, err := fsys.Stat(sub); err != nil || i.Size != 0 || !i.IsDir {
			t.Errorf("Stat of a directory: %+v, %v", i, err)
		}
	})
}

func TestReadDirIsSorted(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		for _, name := range []string{"c", "a", "b"} {
			createClosed(t, fsys, filepath.Join(dir, name), name+name)
		}
		must(t, fsys.MkdirAll(filepath.Join(dir, "aa")))
		got, err := fsys.ReadDir(dir)
		must(t, err)
		want := []vfs.DirEntry{{Name: "a", Size: 2}, {Name: "aa", IsDir: true}, {Name: "b", Size: 2}, {Name: "c", Size: 2}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		must(t, fsys.Remove(filepath.Join(dir, "b")))
		must(t, fsys.Remove(filepath.Join(dir, "aa")))
		must(t, fsys.RemoveAll(filepath.Join(dir, "c")))
		if got, err = fsys.ReadDir(dir); err != nil || len(got) != 1 {
			t.Errorf("after removals: %v, %v", got, err)
		}
	})
}

func TestRename(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		at := func(names ...string) string { return filepath.Join(append([]string{dir}, names...)...) }
		createClosed(t, fsys, at("a"), "A")
		createClosed(t, fsys, at("b"), "B")
		must(t, fsys.Rename(at("a"), at("b")))
		if got := content(t, fsys, at("b")); got != "A" {
			t.Errorf("after replacing: %q", got)
		}
		_, err := fsys.Stat(at("a"))
		wantError(t, "the old name", err, fs.ErrNotExist)
		must(t, fsys.Rename(at("b"), at("b")))
		wantError(t, "a missing name", fsys.Rename(at("a"), at("c")), fs.ErrNotExist)

		must(t, fsys.MkdirAll(at("d", "e")))
		createClosed(t, fsys, at("d", "e", "f"), "F")
		must(t, fsys.MkdirAll(at("g")))
		must(t, fsys.Rename(at("d", "e"), at("g", "h")))
		if got := content(t, fsys, at("g", "h", "f")); got != "F" {
			t.Errorf("a file of a moved directory: %q", got)
		}
		must(t, fsys.Rename(at("b"), at("g", "b")))
		for what, names := range map[string][2]string{
			"a file onto a directory":      {at("g", "b"), at("d")},
			"a directory onto a file":      {at("d"), at("g", "b")},
			"a directory onto a directory": {at("g", "h"), at("d")},
			"a directory into itself":      {at("g"), at("g", "x")},
		} {
			if err := fsys.Rename(names[0], names[1]); err == nil {
				t.Errorf("%s was renamed", what)
			}
		}
		must(t, fsys.RemoveAll(at("g")))
		_, err = fsys.Stat(at("g", "b"))
		wantError(t, "after RemoveAll", err, fs.ErrNotExist)
	})
}

func TestRemovedFilesStayUsableWhileOpen(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, "f")
		f := create(t, fsys, name, "old")
		must(t, fsys.Remove(name))
		createClosed(t, fsys, name, "new")
		_, err := f.WriteAt([]byte("er"), 3)
		must(t, err)
		p := make([]byte, 5)
		if _, err := f.ReadAt(p, 0); err != nil || string(p) != "older" {
			t.Errorf("through the open file: %q, %v", p, err)
		}
		must(t, f.Sync())
		must(t, f.Close())
		if got := content(t, fsys, name); got != "new" {
			t.Errorf("by name: %q", got)
		}
	})
}

func TestLockExcludes(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		name := filepath.Join(dir, ".lock")
		lock, err := fsys.Lock(name)
		must(t, err)
		_, err = fsys.Lock(filepath.Join(dir, "x", "..", ".lock"))
		wantError(t, "a second lock", err, vfs.ErrLocked)
		must(t, lock.Close())
		must(t, lock.Close())
		again, err := fsys.Lock(name)
		must(t, err)
		must(t, again.Close())
		if _, err := fsys.Stat(name); err != nil {
			t.Errorf("the lock file is gone: %v", err)
		}
		if _, err := fsys.Lock(filepath.Join(dir, "missing", ".lock")); err == nil || errors.Is(err, vfs.ErrLocked) {
			t.Errorf("a lock without directory: %v", err)
		}
	})
}

func TestFreeSpace(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		free, total, err := fsys.FreeSpace(dir)
		if err != nil || free <= 0 || free > total {
			t.Errorf("FreeSpace: %d of %d, %v", free, total, err)
		}
		if _, _, err := fsys.FreeSpace(filepath.Join(dir, "missing")); err == nil {
			t.Error("a missing directory has free space")
		}
	})
}

// Writers of their own ranges and readers do not disturb each other.
func TestConcurrentUse(t *testing.T) {
	implementations(t, func(t *testing.T, fsys vfs.FS, dir string) {
		const writers, rounds, size = 4, 50, 700
		f := create(t, fsys, filepath.Join(dir, "f"), "")
		var group sync.WaitGroup
		for w := range writers {
			group.Go(func() {
				mine := bytes.Repeat([]byte{byte('a' + w)}, size)
				got := make([]byte, size)
				for r := range rounds {
					off := int64((r*writers + w) * size)
					if _, err := f.WriteAt(mine, off); err != nil {
						t.Error(err)
						return
					}
					if _, err := f.ReadAt(got, off); err != nil || !bytes.Equal(got, mine) {
						t.Errorf("writer %d read something else, %v", w, err)
						return
					}
					if r%10 == 0 {
						if err := f.Sync(); err != nil {
							t.Error(err)
						}
					}
				}
			})
		}
		group.Wait()
		if n, err := f.Size(); n != writers*rounds*size || err != nil {
			t.Errorf("Size: %d, %v", n, err)
		}
		must(t, f.Close())
	})
}
