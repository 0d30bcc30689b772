package vfs_test

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Mem does what the operating system does, call by call.
func TestMemBehavesLikeTheSystem(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows refuses to rename and remove open files")
	}
	base := t.TempDir()
	rapid.Check(t, func(t *rapid.T) {
		root, err := os.MkdirTemp(base, "run")
		if err != nil {
			t.Fatal(err)
		}
		pair := [2]vfs.FS{vfs.OS(), vfs.NewMem()}
		roots := [2]string{root, "/"}
		var open [2]map[string]vfs.File
		for i := range open {
			open[i] = make(map[string]vfs.File)
		}
		name := rapid.SampledFrom([]string{"a", "b", "d", "d/a", "d/e", "d/e/f", "a/x"})
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			op, n, to := rapid.IntRange(0, 11).Draw(t, "op"), name.Draw(t, "name"), name.Draw(t, "to")
			off, size := rapid.Int64Range(0, 9000).Draw(t, "off"), rapid.IntRange(1, 5000).Draw(t, "size")
			var said [2]string
			for i, fsys := range pair {
				said[i] = step(fsys, open[i], roots[i], op, n, to, off, size)
			}
			if said[0] != said[1] {
				t.Fatalf("op %d on %s, %s: the system says %s, Mem says %s", op, n, to, said[0], said[1])
			}
			if a, b := tree(pair[0], roots[0]), tree(pair[1], roots[1]); a != b {
				t.Fatalf("op %d on %s, %s: the system has\n%s\nMem has\n%s", op, n, to, a, b)
			}
		}
		for _, f := range open[0] {
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// step does one operation and tells how it went, without what systems word differently.
func step(fsys vfs.FS, open map[string]vfs.File, root string, op int, name, to string, off int64, size int) string {
	at := filepath.Join(root, name)
	var err error
	told := ""
	switch op {
	case 0, 1:
		var f vfs.File
		if op == 0 {
			f, err = fsys.Create(at)
		} else {
			f, err = fsys.Open(at)
		}
		if err == nil {
			if old := open[name]; old != nil {
				err = old.Close()
			}
			open[name] = f
		}
	case 2:
		err = fsys.MkdirAll(at)
	case 3:
		err = fsys.Remove(at)
	case 4:
		err = fsys.RemoveAll(at)
		if strings.HasPrefix(name, "a/") { // below a file: no error on some systems, one on others
			err = nil
		}
	case 5:
		err = fsys.Rename(at, filepath.Join(root, to))
	case 6, 7:
		var i vfs.Info
		i, err = fsys.Stat(at)
		told = fmt.Sprint(i.Size, i.IsDir)
	default:
		f := open[name]
		if f == nil {
			return "not open"
		}
		switch op {
		case 8, 9:
			_, err = f.WriteAt(fill('a'+byte(size%26), size), off)
		case 10:
			err = f.Truncate(off)
		case 11:
			p := make([]byte, size)
			n, readErr := f.ReadAt(p, off)
			told = fmt.Sprint(n, readErr, string(p[:n]))
		}
	}
	return fmt.Sprint(told, err == nil)
}

// tree lists everything with its content.
func tree(fsys vfs.FS, dir string) string {
	entries, err := fsys.ReadDir(dir)
	if err != nil {
		return err.Error()
	}
	var s strings.Builder
	for _, e := range entries {
		name := filepath.Join(dir, e.Name)
		if e.IsDir {
			fmt.Fprintf(&s, "%s (%s)\n", e.Name, tree(fsys, name))
			continue
		}
		fmt.Fprintf(&s, "%s %d: ", e.Name, e.Size)
		f, err := fsys.OpenRead(name)
		if err != nil {
			return err.Error()
		}
		p := make([]byte, e.Size)
		n, err := f.ReadAt(p, 0)
		fmt.Fprintln(&s, n, err, string(p), f.Close())
	}
	return s.String()
}
