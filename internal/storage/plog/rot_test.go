package plog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// flip changes one bit of a file.
func flip(t testing.TB, fsys vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	var p [1]byte
	if _, err := f.ReadAt(p[:], at); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 0x10
	if _, err := f.WriteAt(p[:], at); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

func logFile(base int64) string {
	return filepath.Join(testDir, testName, fileName(base, logSuffix))
}

// filled makes a directory with a log of n batches, all of them below the recovery point, and goes away without a clean stop.
func filled(t testing.TB, n int) (*vfs.Mem, []batch.Batch) {
	t.Helper()
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	want := fill(t, x, n, 1)
	closeDir(t, x)
	if err := mem.Rename(filepath.Join(testDir, ".kafka_cleanshutdown"), filepath.Join(testDir, "ottla.running")); err != nil {
		t.Fatal(err)
	}
	return mem, want
}

// rotAndRecover damages a batch in the middle of what was synced, takes the manifest away so that recovery has to look, and checks that nothing is cut, and that the log goes on.
func rotAndRecover(t *testing.T, bug dir.Mutants) error {
	mem, want := filled(t, 100)
	if err := mem.Remove(filepath.Join(testDir, "ottla.manifest")); err != nil {
		t.Fatal(err)
	}
	entries, err := mem.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	var last string
	var size int64
	for _, e := range entries {
		if _, ok := offsetOf(e.Name, logSuffix); ok {
			last, size = e.Name, e.Size
		}
	}
	flip(t, mem, filepath.Join(testDir, testName, last), size/2)
	x, err := tryOpenOn(mem, dir.Options{Mutants: bug}, testConfig())
	if err != nil {
		return err
	}
	defer x.d.Abandon()
	if now, err := mem.Stat(filepath.Join(testDir, testName, last)); err != nil || now.Size != size {
		return fmt.Errorf("%w: the damaged segment has %d bytes, it had %d (%v)", errCut, now.Size, size, err)
	}
	if x.EndOffset() != want[len(want)-1].NextOffset() {
		return fmt.Errorf("%w: the log ends at %d", errCut, x.EndOffset())
	}
	if x.Err() != nil {
		return fmt.Errorf("the log is sound again behind the damage, and says %w", x.Err())
	}
	rot := x.Rot()
	if len(rot) != 1 {
		return fmt.Errorf("%d damaged places", len(rot))
	}
	got, err := x.all(0, rot[0].From, 700)
	if err != nil {
		return fmt.Errorf("what is sound cannot be read: %w", err)
	}
	for i, b := range got {
		if !bytes.Equal(b, want[i]) {
			return fmt.Errorf("batch %d differs", i)
		}
	}
	if got[len(got)-1].NextOffset() != rot[0].From {
		return fmt.Errorf("read up to %d, damage begins at %d", got[len(got)-1].NextOffset(), rot[0].From)
	}
	if _, err := x.Read(rot[0].From, x.EndOffset(), 1000, true); !errors.Is(err, model.CorruptMessage) {
		return fmt.Errorf("read of the damaged range: %v", err)
	}
	if _, err := x.tryAppend(makeBatch(1, "x", 1, 1, batch.Options{}), 9, Client); err != nil {
		return fmt.Errorf("append to a log with damage in its middle: %w", err)
	}
	if _, err := x.all(rot[0].To, x.EndOffset(), 700); err != nil {
		return fmt.Errorf("what is sound behind it cannot be read: %w", err)
	}
	return x.d.Close(1)
}

// Every single bit of a closed log's segment is flipped in turn: the checksum must stop what is served, or the bit must not matter.
func TestFlippedBitsAreNotServed(t *testing.T) {
	mem, want := filled(t, 12)
	size := 0
	for _, b := range want {
		size += len(b)
	}
	if info, err := mem.Stat(logFile(0)); err != nil || info.Size > int64(size) {
		t.Fatal(info, err)
	} else {
		size = int(info.Size)
	}
	stopped := 0
	for at := 0; at < size; at += 7 {
		image := mem.Crash(vfs.KeepUnsynced)
		flip(t, image, logFile(0), int64(at))
		x := openOn(t, image, dir.Options{}, testConfig())
		for _, b := range want {
			s, err := x.Read(b.BaseOffset(), b.NextOffset(), 1<<20, true)
			if err == nil {
				var out bytes.Buffer
				_, err = s.WriteTo(&out)
				s.Close()
				if err == nil && out.Len() > 0 && !equalButUncovered(out.Bytes(), b) {
					t.Fatalf("byte %d flipped: offset %d was served wrong", at, b.BaseOffset())
				}
			}
			if err != nil {
				if !errors.Is(err, model.CorruptMessage) {
					t.Fatalf("byte %d flipped: %v", at, err)
				}
				stopped++
			}
		}
		if err := x.d.Abandon(); err != nil {
			t.Fatal(err)
		}
	}
	if stopped == 0 {
		t.Fatal("no flipped bit was noticed")
	}
}

// equalButUncovered compares batches except for the leader epoch, which the CRC does not cover.
func equalButUncovered(got, want []byte) bool {
	if len(got) != len(want) {
		return false
	}
	return bytes.Equal(got[:12], want[:12]) && bytes.Equal(got[16:], want[16:])
}

// lastSegment is the newest segment file of the test's log.
func lastSegment(t *testing.T, fsys vfs.FS) (last vfs.DirEntry) {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if _, ok := offsetOf(e.Name, logSuffix); ok {
			last = e
		}
	}
	return last
}

// A file that is shorter than what was synced is damage, not a torn end.
func TestMissingBytesBelowTheRecoveryPoint(t *testing.T) {
	for _, withManifest := range []bool{true, false} {
		mem, want := filled(t, 100)
		if !withManifest {
			if err := mem.Remove(filepath.Join(testDir, "ottla.manifest")); err != nil {
				t.Fatal(err)
			}
		}
		last := lastSegment(t, mem)
		f, err := mem.Open(filepath.Join(testDir, testName, last.Name))
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(f.Truncate(last.Size-1), f.Sync(), f.Close()); err != nil {
			t.Fatal(err)
		}
		x := openOn(t, mem, dir.Options{}, testConfig())
		if !errors.Is(x.Err(), model.KafkaStorageError) || len(x.Rot()) != 1 {
			t.Fatalf("manifest %v: err %v, rot %v", withManifest, x.Err(), x.Rot())
		}
		if got, err := x.all(0, x.Rot()[0].From, 1000); err != nil || len(got) != len(want)-1 {
			t.Errorf("manifest %v: %d batches of %d are readable, %v", withManifest, len(got), len(want), err)
		}
		if err := x.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A torn end is cut and kept aside.
func TestTornEndIsKeptAside(t *testing.T) {
	mem, want := filled(t, 20)
	last := lastSegment(t, mem)
	garbage := bytes.Repeat([]byte("garbage "), 100)
	f, err := mem.Open(filepath.Join(testDir, testName, last.Name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(garbage, last.Size); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	x := openOn(t, mem, dir.Options{}, testConfig())
	got, err := x.all(0, x.EndOffset(), 1000)
	if err != nil || sameBatches(want, got) != nil {
		t.Fatal(err, sameBatches(want, got))
	}
	entries, err := mem.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name == last.Name && e.Size != last.Size {
			t.Errorf("the segment has %d bytes, want %d", e.Size, last.Size)
		}
		if filepath.Ext(e.Name) == cutSuffix {
			data, err := vfs.ReadSmall(mem, filepath.Join(testDir, testName, e.Name))
			if err != nil || !bytes.Equal(data, garbage) {
				t.Errorf("kept aside: %d bytes, %v", len(data), err)
			}
			return
		}
	}
	t.Error("nothing was kept aside")
}

// A disk that cannot be read is told apart from damage and from whoever takes the bytes.
func TestDiskErrorsAreToldApart(t *testing.T) {
	mem, want := filled(t, 20)
	rule := &vfs.Rule{Op: vfs.OpRead, Path: "*.log", Nth: 1, Onwards: true, Fault: vfs.Fault{Err: io.ErrNoProgress}}
	faulty := vfs.NewFaulty(mem, nil)
	x := openOn(t, faulty, dir.Options{}, testConfig())
	s, err := x.Read(0, want[0].NextOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	faulty.SetInjector(vfs.Rules{rule})
	var disk *DiskError
	if _, err := s.WriteTo(io.Discard); !errors.As(err, &disk) {
		t.Errorf("WriteTo from a broken disk: %v", err)
	}
	if _, err := x.Read(0, want[3].NextOffset(), 1<<20, true); !errors.As(err, &disk) {
		t.Errorf("Read from a broken disk: %v", err)
	}
	faulty.SetInjector(nil)
	gone := errors.New("the client went away")
	if _, err := s.WriteTo(writerFunc(func([]byte) (int, error) { return 0, gone })); !errors.Is(err, gone) || errors.As(err, &disk) {
		t.Errorf("WriteTo to a broken client: %v", err)
	}
	if len(x.Rot()) != 0 {
		t.Errorf("damage: %v", x.Rot())
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }
