package dir

import (
	"errors"
	"io/fs"
	"log/slog"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/transcript"
)

// smallDisk is a file system of 80 MiB: full below 4 MiB, with a reserve of up to 2 MiB.
func smallDisk() *vfs.Mem {
	mem := vfs.NewMem()
	mem.SetCapacity(80 << 20)
	return mem
}

func reserveOf(t *testing.T, fsys vfs.FS) int64 {
	t.Helper()
	info, err := fsys.Stat(filepath.Join(testPath, reserveFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return info.Size
}

// fillUp takes all but so many bytes of a file system, as somebody else would.
func fillUp(t *testing.T, fsys vfs.FS, but int64) {
	t.Helper()
	f, err := fsys.Create("/others")
	if errors.Is(err, fs.ErrExist) {
		f, err = fsys.Open("/others")
	}
	if err != nil {
		t.Fatal(err)
	}
	free, _, err := fsys.FreeSpace("/")
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, 4096)
	for ; free > but; free -= 4096 {
		if _, err := f.WriteAt(zeros, size); err != nil {
			t.Fatal(err)
		}
		size += 4096
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A disk that fills to the last byte has a reserve for what must go on: what the node needs for itself is written, clients' bytes wait. When there is space again everything is
// written, and there is a reserve again.
func TestReserve(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := smallDisk()
		var said transcript.Transcript
		d := openDir(t, mem, Options{JournalBytes: -1, ReserveBytes: 1 << 20, Logger: slog.New(slog.NewTextHandler(&said, nil))})
		client, own := newReel(t, d, "topic-0"), newReel(t, d, "__consumer_offsets-0")
		own.Essential = true
		for _, x := range []*reel{client, own} {
			x.put(10)
			x.mustSettle(t)
		}
		if reserveOf(t, mem) != 0 {
			t.Error("the reserve is made at the start")
		}
		<-time.After(2 * time.Second)
		synctest.Wait()
		if got := reserveOf(t, mem); got != 1<<20 || d.ReserveBytes() != got {
			t.Fatalf("the reserve has %d bytes, the directory says %d", got, d.ReserveBytes())
		}
		fillUp(t, mem, 0)
		client.put(100 << 10)
		poll(t, "the last byte", d.Critical)
		<-time.After(time.Minute)
		if reserveOf(t, mem) == 0 || client.synced() != 10 {
			t.Error("the reserve is given up for clients")
		}
		own.put(500 << 10)
		own.mustSettleWithin(t, time.Minute)
		if !d.Full(time.Now()) || d.ReserveBytes() != 0 || reserveOf(t, mem) != 0 {
			t.Errorf("full: %v, reserve %d", d.Full(time.Now()), d.ReserveBytes())
		}
		<-time.After(time.Minute)
		if client.synced() != 10 || d.Err() != nil || len(said.Lines("reserve is given up")) != 1 {
			t.Fatalf("%d bytes of the client are synced, %v, said:\n%s", client.synced(), d.Err(), &said)
		}
		if err := mem.Remove("/others"); err != nil {
			t.Fatal(err)
		}
		client.mustSettleWithin(t, time.Minute)
		<-time.After(time.Minute)
		if d.Full(time.Now()) || d.Critical() || reserveOf(t, mem) != 1<<20 || len(said.Lines("what waited in memory is written")) != 1 {
			t.Errorf("afterwards: full %v, reserve %d, said:\n%s", d.Full(time.Now()), reserveOf(t, mem), &said)
		}
		if err := d.Close(1); err != nil {
			t.Fatal(err)
		}
	})
}

// A disk that fills between the order for a reserve and its making has none, and the directory knows that; it gets one when there is space again.
func TestReserveThatComesTooLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := smallDisk()
		d := openDir(t, mem, Options{JournalBytes: -1, ReserveBytes: 1 << 20})
		x := newReel(t, d, "topic-0")
		x.put(10)
		x.mustSettle(t)
		fillUp(t, mem, 0)
		x.put(100 << 10)
		poll(t, "a full directory", func() bool { return d.Full(time.Now()) })
		<-time.After(5 * time.Second)
		synctest.Wait()
		if d.ReserveBytes() != 0 || reserveOf(t, mem) != 0 {
			t.Fatalf("the directory says that it has %d bytes in reserve, there are %d", d.ReserveBytes(), reserveOf(t, mem))
		}
		if err := mem.Remove("/others"); err != nil {
			t.Fatal(err)
		}
		x.mustSettleWithin(t, time.Minute)
		<-time.After(time.Minute)
		if got := reserveOf(t, mem); got != 1<<20 || d.ReserveBytes() != got {
			t.Errorf("the reserve has %d bytes, the directory says %d", got, d.ReserveBytes())
		}
		if err := d.Close(1); err != nil {
			t.Fatal(err)
		}
	})
}

// A node starts on a disk without a free byte: its reserve is for that too.
func TestStartOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := smallDisk()
		d := openDir(t, mem, Options{JournalBytes: -1, ReserveBytes: 1 << 20})
		x := newReel(t, d, "topic-0")
		x.put(10)
		x.mustSettle(t)
		<-time.After(2 * time.Second)
		if err := d.Close(1); err != nil {
			t.Fatal(err)
		}
		if reserveOf(t, mem) == 0 {
			t.Fatal("no reserve: not a test")
		}
		fillUp(t, mem, 0)
		d = openDir(t, mem, Options{JournalBytes: -1, ReserveBytes: 1 << 20})
		own := newReel(t, d, "__consumer_offsets-0")
		own.Essential = true
		own.put(10 << 10)
		own.mustSettle(t)
		if !d.Full(time.Now()) || reserveOf(t, mem) != 0 {
			t.Errorf("full %v, reserve %d", d.Full(time.Now()), reserveOf(t, mem))
		}
	})
}

// A small disk gives a small reserve, and one without room none; none is made where none is wanted.
func TestReserveIsModest(t *testing.T) {
	for name, test := range map[string]struct {
		asked, free, want int64
	}{
		"as asked":    {1 << 20, 80 << 20, 1 << 20},
		"a fortieth":  {64 << 20, 80 << 20, 2 << 20},
		"none wanted": {0, 80 << 20, 0},
		"no room":     {64 << 20, 7 << 20, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				mem := smallDisk()
				fillUp(t, mem, test.free)
				d := openDir(t, mem, Options{ReserveBytes: test.asked})
				<-time.After(time.Minute)
				if got := reserveOf(t, mem); got != test.want || d.ReserveBytes() != got {
					t.Errorf("the reserve has %d bytes, the directory says %d, want %d", got, d.ReserveBytes(), test.want)
				}
			})
		})
	}
}

// On a full disk nothing that may go is kept for later.
func TestFullDiskHurriesRemovals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := smallDisk()
		d := openDir(t, mem, Options{JournalBytes: -1})
		remove := func(name string) func() bool {
			path := filepath.Join(testPath, name)
			if err := mem.MkdirAll(path); err != nil {
				t.Fatal(err)
			}
			d.RemoveLater(path, time.Hour)
			return func() bool { _, err := mem.Stat(path); return errors.Is(err, fs.ErrNotExist) }
		}
		before := remove("a-0.1-delete")
		<-time.After(time.Minute)
		if before() {
			t.Fatal("it went at once: not a test")
		}
		fillUp(t, mem, 1<<20)
		<-time.After(time.Minute) // somebody else filled it, and nobody writes
		if !d.Full(time.Now()) {
			t.Fatal("the full disk is not noticed")
		}
		after := remove("b-0.1-delete")
		synctest.Wait()
		<-time.After(time.Second)
		if !before() || !after() {
			t.Errorf("removed: what waited when the disk filled %v, what came later %v", before(), after())
		}
	})
}
