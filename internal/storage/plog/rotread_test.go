package plog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// spot is where a batch of a log lies.
type spot struct {
	base, at int64
	b        batch.Batch
}

func spots(t *testing.T, fsys vfs.FS, want []batch.Batch) []spot {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	var out []spot
	for _, e := range entries {
		base, ok := offsetOf(e.Name, logSuffix)
		if !ok {
			continue
		}
		at := int64(0)
		for _, b := range want {
			if b.BaseOffset() >= base && at < e.Size {
				out = append(out, spot{base, at, b})
				at += int64(len(b))
				want = want[1:]
			}
		}
	}
	return out
}

// scribble writes over a file of the log.
func scribble(t *testing.T, fsys vfs.FS, base, at int64, p []byte) {
	t.Helper()
	f, err := fsys.Open(logFile(base))
	if err == nil {
		_, err = f.WriteAt(p, at)
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func truncate(t *testing.T, fsys vfs.FS, base, size int64) {
	t.Helper()
	f, err := fsys.Open(logFile(base))
	if err == nil {
		err = errors.Join(f.Truncate(size), f.Sync(), f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// What has rotted is refused, and only that: what is before and behind it in the same segment is served, appends go on, and after a restart all is the same.
func TestReadsBeforeAndBehindRot(t *testing.T) {
	clean, want := filled(t, 100)
	all := spots(t, clean, want)
	if len(all) != len(want) {
		t.Fatalf("%d batches found, %d written", len(all), len(want))
	}
	mid := 0 // a batch in the middle of a segment, with three more behind it there
	for mid < 20 || all[mid-1].base != all[mid].base || all[mid+3].base != all[mid].base {
		mid++
	}
	first, lastOf := mid, mid
	for all[first].base == all[mid].base {
		first--
	}
	for all[lastOf+1].base == all[mid].base {
		lastOf++
	}
	first++
	end := len(all) - 1
	zeros := func(n int) []byte { return make([]byte, n) }
	x := all[mid]
	for name, c := range map[string]struct {
		harm   func(fsys vfs.FS)
		lo, hi int // the batches that are lost
	}{
		"a record":         {func(f vfs.FS) { flip(t, f, logFile(x.base), x.at+80) }, mid, mid},
		"a length":         {func(f vfs.FS) { scribble(t, f, x.base, x.at+8, []byte{0x7f}) }, mid, mid},
		"a small length":   {func(f vfs.FS) { scribble(t, f, x.base, x.at+11, []byte{x.b[11] ^ 1}) }, mid, mid},
		"an offset":        {func(f vfs.FS) { flip(t, f, logFile(x.base), x.at+7) }, mid, mid},
		"the format":       {func(f vfs.FS) { flip(t, f, logFile(x.base), x.at+16) }, mid, mid},
		"three batches":    {func(f vfs.FS) { scribble(t, f, x.base, x.at+20, zeros(int(all[mid+2].at-x.at))) }, mid, mid + 2},
		"the first batch":  {func(f vfs.FS) { scribble(t, f, x.base, 0, zeros(30)) }, first, first},
		"the last batch":   {func(f vfs.FS) { scribble(t, f, x.base, all[lastOf].at, zeros(30)) }, lastOf, lastOf},
		"a whole segment":  {func(f vfs.FS) { scribble(t, f, x.base, 0, zeros(int(all[lastOf].at)+len(all[lastOf].b))) }, first, lastOf},
		"a short segment":  {func(f vfs.FS) { truncate(t, f, x.base, all[lastOf].at+3) }, lastOf, lastOf},
		"the newest batch": {func(f vfs.FS) { flip(t, f, logFile(all[end].base), all[end].at+70) }, end, end},
	} {
		for _, withManifest := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, manifest %v", name, withManifest), func(t *testing.T) {
				image := clean.Crash(vfs.KeepUnsynced)
				c.harm(image)
				if !withManifest {
					if err := image.Remove(filepath.Join(testDir, "ottla.manifest")); err != nil {
						t.Fatal(err)
					}
				}
				for range 2 {
					checkAroundRot(t, image, want, c.lo, c.hi)
				}
			})
		}
	}
}

func checkAroundRot(t *testing.T, image *vfs.Mem, want []batch.Batch, lo, hi int) {
	t.Helper()
	x := openOn(t, image, dir.Options{}, testConfig())
	defer func() {
		if err := x.d.Abandon(); err != nil {
			t.Error(err)
		}
	}()
	if x.Err() != nil {
		t.Fatal(x.Err())
	}
	for i, b := range want {
		out, err := readOne(x, b)
		lost := lo <= i && i <= hi
		switch {
		case lost && !errors.Is(err, model.CorruptMessage):
			t.Fatalf("batch %d has rotted: %d bytes, %v", i, len(out), err)
		case !lost && (err != nil || !bytes.HasPrefix(out, b)):
			t.Fatalf("batch %d is sound: %d bytes, %v; rot: %v", i, len(out), err, x.Rot())
		}
	}
	rot := x.Rot()
	if len(rot) != 1 || rot[0].From != want[lo].BaseOffset() || rot[0].To != want[hi].NextOffset() {
		t.Fatalf("batches %d to %d have rotted, offsets %d to %d; marked: %v", lo, hi, want[lo].BaseOffset(), want[hi].LastOffset(), rot)
	}
	// A reader of everything gets all of it but the range.
	if _, err := x.all(0, rot[0].From, 700); err != nil {
		t.Fatal(err)
	}
	if _, err := x.all(rot[0].To, x.EndOffset(), 700); err != nil {
		t.Fatal(err)
	}
	for offset := rot[0].From; offset < rot[0].To; offset++ {
		if _, err := x.Read(offset, x.EndOffset(), 100, true); !errors.Is(err, model.CorruptMessage) {
			t.Fatalf("offset %d: %v", offset, err)
		}
	}
	b := makeBatch(1, "more", 10, 1, batch.Options{})
	x.append(t, b, 9)
	x.sync(t)
	if out, err := readOne(x, b); err != nil || !bytes.Equal(out, b) {
		t.Fatalf("what was appended: %d bytes, %v", len(out), err)
	}
}

// readOne reads the one batch, as a fetch of its first offset would.
func readOne(x *logAndDir, b batch.Batch) ([]byte, error) {
	s, err := x.Read(b.BaseOffset(), b.NextOffset(), 1<<20, true)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var out bytes.Buffer
	_, err = s.WriteTo(&out)
	return out.Bytes(), err
}

// A record can hold the image of a batch. When the length of the batch around it rots, the image must not be taken for the place where the log goes on.
func TestImageOfABatchIsNoBatch(t *testing.T) {
	mem := vfs.NewMem()
	c := testConfig()
	c.SegmentBytes = 1 << 20
	x := openOn(t, mem, dir.Options{}, c)
	fill(t, x, 3, 1)
	start := x.EndOffset()
	var image []byte
	for i := range 4 { // they even follow one another
		b := makeBatch(1, "forged", 10, 5, batch.Options{})
		binary.BigEndian.PutUint64(b, uint64(start+1+int64(i)))
		image = append(image, b...)
	}
	var builder batch.Builder
	builder.Reset(batch.Options{})
	for range 10 {
		builder.Append(5, nil, image)
	}
	around := bytes.Clone(builder.Build())
	x.append(t, around, 1)
	after := fill(t, x, 3, 1)
	closeDir(t, x)
	f, err := mem.OpenRead(logFile(0))
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	position := size - int64(len(around))
	for _, b := range after {
		position -= int64(len(b))
	}
	scribble(t, mem, 0, position+9, []byte{0x55})
	x = openOn(t, mem, dir.Options{}, c)
	for offset := start; offset < start+10; offset++ {
		if s, err := x.Read(offset, x.EndOffset(), 1, true); !errors.Is(err, model.CorruptMessage) {
			if err == nil {
				_, err = s.AppendTo(nil)
				s.Close()
			}
			if !errors.Is(err, model.CorruptMessage) {
				t.Fatalf("offset %d was served: %v", offset, err)
			}
		}
	}
	for _, b := range after {
		if out, err := readOne(x, b); err != nil || !bytes.Equal(out, b) {
			t.Fatalf("offset %d behind it: %v", b.BaseOffset(), err)
		}
	}
}

// A segment in the middle that is gone is a damaged range as any other.
func TestMissingSegmentIsARange(t *testing.T) {
	mem, want := filled(t, 100)
	all := spots(t, mem, want)
	base := all[50].base
	if err := mem.Remove(logFile(base)); err != nil {
		t.Fatal(err)
	}
	x := openOn(t, mem, dir.Options{}, testConfig())
	for _, s := range all {
		out, err := readOne(x, s.b)
		if lost := s.base == base; lost != errors.Is(err, model.CorruptMessage) || !lost && !bytes.HasPrefix(out, s.b) {
			t.Fatalf("offset %d of segment %d: %d bytes, %v", s.b.BaseOffset(), s.base, len(out), err)
		}
	}
	x.append(t, makeBatch(1, "more", 10, 1, batch.Options{}), 9)
	x.sync(t)
}

// A survey that is not asked for by a reader finds the same, and one that finds nothing takes a mark back.
func TestSurveySegment(t *testing.T) {
	mem, want := filled(t, 100)
	all := spots(t, mem, want)
	sick := all[50]
	flip(t, mem, logFile(sick.base), sick.at+70)
	x := openOn(t, mem, dir.Options{}, testConfig())
	survey := func() (segments int, batches int64) {
		for after := int64(-1); ; segments++ {
			base, found, ok, err := x.SurveySegment(after, mem.OpenRead)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return segments, batches
			}
			after, batches = base, batches+found.Batches
		}
	}
	segments, batches := survey()
	sealed := 0
	for _, s := range all {
		if s.base != all[len(all)-1].base {
			sealed++
		}
	}
	if segments != x.SegmentCount()-1 || batches != int64(sealed-1) {
		t.Fatalf("%d segments of %d, %d batches of %d", segments, x.SegmentCount(), batches, sealed)
	}
	if rot := x.Rot(); len(rot) != 1 || rot[0].From != sick.b.BaseOffset() || rot[0].To != sick.b.NextOffset() {
		t.Fatalf("marked: %v", rot)
	}
	flip(t, mem, logFile(sick.base), sick.at+70)
	survey()
	if rot := x.Rot(); len(rot) != 0 {
		t.Fatalf("still marked: %v", rot)
	}
	if out, err := readOne(x, sick.b); err != nil || !bytes.Equal(out, sick.b) {
		t.Fatal(err)
	}
}

// A cleaning that meets rot fails and changes nothing; only what has rotted is marked.
func TestCleaningMeetsRot(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, compactConfig())
	if _, err := overwriteKeys(x, rand.New(rand.NewPCG(1, 1)), 60, 10, nil); err != nil {
		t.Fatal(err)
	}
	x.sync(t)
	want, err := x.all(0, x.EndOffset(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	closeDir(t, x)
	all := spots(t, mem, want)
	sick := all[5]
	if sick.at == 0 || all[6].base != sick.base {
		t.Fatal("not in the middle of a segment")
	}
	flip(t, mem, logFile(sick.base), sick.at+70)
	x = openOn(t, mem, dir.Options{}, compactConfig())
	if _, err := x.cleanNow(testNow); !errors.Is(err, model.CorruptMessage) {
		t.Fatalf("cleaning over rot: %v", err)
	}
	if rot := x.Rot(); len(rot) != 1 || rot[0].From != sick.b.BaseOffset() || rot[0].To != sick.b.NextOffset() {
		t.Fatalf("marked: %v", rot)
	}
	for _, s := range all {
		out, err := readOne(x, s.b)
		if lost := s.at == sick.at && s.base == sick.base; lost != errors.Is(err, model.CorruptMessage) || !lost && !bytes.HasPrefix(out, s.b) {
			t.Fatalf("offset %d: %v", s.b.BaseOffset(), err)
		}
	}
}
