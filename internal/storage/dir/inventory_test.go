package dir

import (
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// stopped is a directory with logs that was closed cleanly.
func stopped(t *testing.T, names ...string) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	d := openDir(t, mem, Options{})
	for _, name := range names {
		x := newReel(t, d, name)
		x.put(100)
		x.mustSettle(t)
	}
	if err := d.Close(3); err != nil {
		t.Fatal(err)
	}
	return mem
}

// listings are the logs' directories that were listed.
func listings(f *vfs.Faulty) (out []string) {
	for _, c := range f.Log() {
		if c.Op == vfs.OpReadDir && c.Path != testPath {
			out = append(out, filepath.Base(c.Path))
		}
	}
	slices.Sort(out)
	return out
}

// foundAsListed compares what a start found with the directories.
func foundAsListed(t *testing.T, mem *vfs.Mem, d *Dir, names ...string) {
	t.Helper()
	for _, name := range names {
		found := d.Adopt(name)
		want, err := mem.ReadDir(filepath.Join(testPath, name))
		if err != nil {
			t.Fatal(err)
		}
		if found == nil || !slices.Equal(found.Files, want) {
			t.Errorf("%s: found %+v, there is %+v", name, found, want)
		}
		d.Return(name, found)
	}
}

// TestStartListsNothing: after a clean stop a start knows every log's files without listing one, and the stop after that lists only those that were used.
func TestStartListsNothing(t *testing.T) {
	names := []string{"topic-0", "topic-1", "topic-2"}
	mem := stopped(t, names...)
	for range 3 {
		faulty := vfs.NewFaulty(mem, nil)
		d := openDir(t, faulty, Options{})
		if l := listings(faulty); len(l) > 0 {
			t.Errorf("a start after a clean stop listed %v", l)
		}
		foundAsListed(t, mem, d, names...)
		x := newReel(t, d, "topic-1")
		x.put(50)
		x.mustSettle(t)
		faulty.ResetLog()
		if err := d.Close(3); err != nil {
			t.Fatal(err)
		}
		if l := listings(faulty); !slices.Equal(l, []string{"topic-1"}) {
			t.Errorf("the stop listed %v, and only topic-1 was used", l)
		}
	}
}

// TestInventoryThatDoesNotHold: what is changed between a clean stop and the next start is seen, by the log or for all of them.
func TestInventoryThatDoesNotHold(t *testing.T) {
	in := func(name string) string { return filepath.Join(testPath, name) }
	segment := in("topic-1/00000000000000000000.log")
	old := stopped(t, "topic-0", "topic-1", "topic-2")
	oldInventory, err := vfs.ReadSmall(old, in(inventoryFile))
	if err != nil {
		t.Fatal(err)
	}
	change := func(fsys vfs.FS, name string, do func(vfs.File) error) error {
		f, err := fsys.Open(name)
		if err != nil {
			return err
		}
		return errors.Join(do(f), f.Close())
	}
	for what, c := range map[string]struct {
		do     func(vfs.FS) error
		listed string
	}{
		"nothing":               {func(vfs.FS) error { return nil }, ""},
		"a file is gone":        {func(f vfs.FS) error { return f.Remove(in("topic-1/identity")) }, "topic-1"},
		"a file came":           {func(f vfs.FS) error { return writeTemporary(f, in("topic-1/00000000000000000000.index"), nil) }, "topic-1"},
		"a log was renamed":     {func(f vfs.FS) error { return f.Rename(in("topic-2"), in("topic-3")) }, "topic-3"},
		"the segment is cut":    {func(f vfs.FS) error { return change(f, segment, func(x vfs.File) error { return x.Truncate(10) }) }, "topic-1"},
		"the segment has grown": {func(f vfs.FS) error { return change(f, segment, func(x vfs.File) error { return x.Truncate(1000) }) }, "topic-1"},
		"the segment is another": {func(f vfs.FS) error {
			return change(f, segment, func(x vfs.File) error { _, err := x.WriteAt([]byte("x"), 0); return err })
		}, "topic-1"},
		"damage": {func(f vfs.FS) error {
			return change(f, in(inventoryFile), func(x vfs.File) error { _, err := x.WriteAt([]byte{0xff}, 60); return err })
		}, "topic-0 topic-1 topic-2"},
		"an older inventory": {func(f vfs.FS) error {
			return errors.Join(f.Remove(in(inventoryFile)), writeTemporary(f, in(inventoryFile), oldInventory))
		}, "topic-0 topic-1 topic-2"},
		"no inventory": {func(f vfs.FS) error { return f.Remove(in(inventoryFile)) }, "topic-0 topic-1 topic-2"},
		"no marker":    {func(f vfs.FS) error { return f.Rename(in(cleanFile), in(turnFile)) }, "topic-0 topic-1 topic-2"},
		"Kafka's recovery points": {func(f vfs.FS) error {
			return replace(f, testPath, file{recoveryFile, []byte("0\n1\ntopic 1 100\n")})
		}, "topic-0 topic-1 topic-2"},
	} {
		t.Run(what, func(t *testing.T) {
			mem := old.Crash(vfs.KeepUnsynced)
			d := openDir(t, mem, Options{})
			x := newReel(t, d, "topic-1")
			x.put(77)
			x.mustSettle(t)
			if err := d.Close(3); err != nil {
				t.Fatal(err)
			}
			if err := c.do(mem); err != nil {
				t.Fatal(err)
			}
			faulty := vfs.NewFaulty(mem, nil)
			d = openDir(t, faulty, Options{})
			if l := strings.Join(listings(faulty), " "); l != c.listed {
				t.Errorf("listed %q, want %q", l, c.listed)
			}
			foundAsListed(t, mem, d, d.Names()...)
		})
	}
}

// TestStopWithoutRoomForTheInventory: it is a hint, and no reason for a stop not to be clean.
func TestStopWithoutRoomForTheInventory(t *testing.T) {
	mem := vfs.NewMem()
	faulty := vfs.NewFaulty(mem, nil)
	d := openDir(t, faulty, Options{})
	x := newReel(t, d, "topic-0")
	x.put(100)
	x.mustSettle(t)
	rule := &vfs.Rule{Op: vfs.OpCreate, Path: inventoryFile + temporarySuffix, Fault: vfs.Fault{Err: syscall.ENOSPC}}
	faulty.SetInjector(vfs.Rules{rule})
	if err := d.Close(3); err != nil {
		t.Fatalf("the stop: %v", err)
	}
	if rule.Bitten() == 0 {
		t.Fatal("the disk was not full: not a test")
	}
	d = openDir(t, mem, Options{})
	if clean, epoch := d.CleanStart(); !clean || epoch != 3 {
		t.Errorf("clean %v, epoch %d", clean, epoch)
	}
	foundAsListed(t, mem, d, "topic-0")
}
