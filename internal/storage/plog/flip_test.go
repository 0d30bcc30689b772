package plog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestFlippedBitsOfEveryKindOfFile flips a bit of a file and starts on what that leaves: the damage is noticed, or it does not matter; never is a record lost or served that
// is not what was appended. OTTLA_LONG flips 10,000 bits of each kind.
func TestFlippedBitsOfEveryKindOfFile(t *testing.T) {
	flips := 150
	if os.Getenv("OTTLA_LONG") != "" {
		flips = 10_000
	}
	mem, want := keptByAKill(t)
	in := func(name string) string { return filepath.Join(testDir, testName, name) }
	for kind, name := range map[string]string{
		"segment":        in(fileName(0, logSuffix)),
		"index":          in(fileName(0, indexSuffix)),
		"time index":     in(fileName(0, timeIndexSuffix)),
		"snapshot":       in(newestOf(t, mem, snapshotSuffix)),
		"leader epochs":  in(epochFile),
		"identity":       in(identityFile),
		"manifest":       filepath.Join(testDir, "ottla.manifest"),
		"journal":        filepath.Join(testDir, "ottla.journal"),
		"recovery point": filepath.Join(testDir, "recovery-point-offset-checkpoint"),
		"high watermark": filepath.Join(testDir, "replication-offset-checkpoint"),
		"log start":      filepath.Join(testDir, "log-start-offset-checkpoint"),
		"cleaned":        filepath.Join(testDir, "cleaner-offset-checkpoint"),
		"meta":           filepath.Join(testDir, "meta.properties"),
		"format":         filepath.Join(testDir, "ottla.format"),
		"scrub":          filepath.Join(testDir, dir.ScrubFile),
		"inventory":      filepath.Join(testDir, dir.InventoryFile),

		"recovery point, no manifest": filepath.Join(testDir, "recovery-point-offset-checkpoint"),
		"log start, no manifest":      filepath.Join(testDir, "log-start-offset-checkpoint"),
		"leader epochs, no manifest":  in(epochFile),
		"identity, no manifest":       in(identityFile),
		"snapshot, no manifest":       in(newestOf(t, mem, snapshotSuffix)),
		"index, no manifest":          in(fileName(0, indexSuffix)),
		"time index, no manifest":     in(fileName(0, timeIndexSuffix)),
		"segment, no manifest":        in(fileName(0, logSuffix)),
	} {
		t.Run(kind, func(t *testing.T) {
			mem := mem
			if strings.HasSuffix(kind, "no manifest") {
				mem = mem.Crash(vfs.KeepUnsynced)
				if err := mem.Remove(filepath.Join(testDir, "ottla.manifest")); err != nil {
					t.Fatal(err)
				}
			}
			if kind == "inventory" { // a clean stop has one
				mem = mem.Crash(vfs.KeepUnsynced)
				x := openOn(t, mem, dir.Options{}, testConfig())
				if err := x.d.Close(1); err != nil {
					t.Fatal(err)
				}
			}
			if kind == "cleaned" { // it makes gaps of offsets possible, and then less of a segment can be told
				mem = mem.Crash(vfs.KeepUnsynced)
				if err := writeFile(mem, name, "0\n1\n"+string(dir.SealLine([]byte(testName[:5]+" 0 6"), 0))+"\n"); err != nil {
					t.Fatal(err)
				}
			}
			info, err := mem.Stat(name)
			if err != nil {
				t.Fatal(err)
			}
			r := rand.New(rand.NewPCG(uint64(len(kind)), 1))
			noticed := 0
			for range flips {
				bit := r.Int64N(info.Size * 8)
				if kind == "journal" { // most of it is zeros that nothing looks at
					bit = r.Int64N(min(info.Size, 24<<10) * 8)
				}
				image := mem.Crash(vfs.KeepUnsynced)
				flipBit(t, image, name, bit)
				found, err := flipped(image, want)
				if err != nil {
					t.Fatalf("byte %d, bit %d: %v", bit/8, bit%8, err)
				}
				if found {
					noticed++
				}
			}
			t.Logf("%d of %d flips were noticed, the others did not matter", noticed, flips)
		})
	}
}

// keptByAKill is a directory of a process that was killed: with a checkpoint, a journal, several segments and all their hints.
func keptByAKill(t *testing.T) (*vfs.Mem, []batch.Batch) {
	t.Helper()
	mem := vfs.NewMem()
	x := openOn(t, mem, withJournal(dir.Options{CheckpointBytes: 3000}), testConfig())
	var want []batch.Batch
	for i := 0; i < 40 || x.d.Stats().JournalSyncs.Load() == 0; i++ { // its file is there before it is used
		b := makeBatch(2, fmt.Sprint(i), 100+i%40*7, int64(i*10), batch.Options{HasProducer: true, ProducerID: 7, BaseSequence: int32(2 * i)})
		x.append(t, b, int32(i/10))
		want = append(want, b)
		x.sync(t)
		if i == 10 { // it is made in the background
			x.wait(t, "journal", func() bool {
				_, err := mem.Stat(filepath.Join(testDir, dir.JournalFile))
				return err == nil
			})
		}
	}
	if err := x.SetStartOffset(want[2].BaseOffset()); err != nil {
		t.Fatal(err)
	}
	x.wait(t, "start on disk", func() bool { return x.DurableStartOffset() == want[2].BaseOffset() })
	want = want[2:]
	if err := x.d.WriteScrub(dir.Scrub{BeganMs: 1, CompletedMs: 2, Log: testName, Segment: 5}); err != nil {
		t.Fatal(err)
	}
	if x.SegmentCount() < 3 || x.d.Stats().JournalSyncs.Load() == 0 {
		t.Fatal("too few segments, or no journal: not a test")
	}
	if err := x.d.Abandon(); err != nil {
		t.Fatal(err)
	}
	return mem.Crash(vfs.KeepUnsynced), want
}

func writeFile(fsys vfs.FS, name, text string) error {
	f, err := fsys.Create(name)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(text), 0)
	return errors.Join(err, f.Sync(), f.Close())
}

func newestOf(t *testing.T, fsys vfs.FS, suffix string) string {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(testDir, testName))
	if err != nil {
		t.Fatal(err)
	}
	newest := ""
	for _, e := range entries {
		if _, ok := offsetOf(e.Name, suffix); ok {
			newest = e.Name
		}
	}
	if newest == "" {
		t.Fatalf("no %s", suffix)
	}
	return newest
}

func flipBit(t *testing.T, fsys vfs.FS, name string, bit int64) {
	t.Helper()
	f, err := fsys.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	var p [1]byte
	if _, err := f.ReadAt(p[:], bit/8); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 1 << (bit % 8)
	if _, err := f.WriteAt(p[:], bit/8); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		t.Fatal(err)
	}
}

// flipped starts on a damaged directory and reads every batch by its offset. An error means that the damage did harm and nobody said so.
func flipped(image *vfs.Mem, want []batch.Batch) (noticed bool, err error) {
	x, err := tryOpenOn(image, dir.Options{}, testConfig())
	if err != nil {
		return true, nil
	}
	defer func() { err = errors.Join(err, x.d.Abandon()) }()
	noticed = x.Err() != nil
	for _, b := range want {
		s, err := x.Read(b.BaseOffset(), b.NextOffset(), 1<<20, true)
		if err == nil {
			var out bytes.Buffer
			_, err = s.WriteTo(&out)
			s.Close()
			if err == nil && !equalButUncovered(out.Bytes(), b) {
				return noticed, fmt.Errorf("offset %d was served wrong", b.BaseOffset())
			}
		}
		if err != nil {
			if !errors.Is(err, model.CorruptMessage) {
				return noticed, fmt.Errorf("offset %d: %w", b.BaseOffset(), err)
			}
			noticed = true
		}
	}
	if noticed {
		return true, nil
	}
	if x.StartOffset() != want[0].BaseOffset() || x.EndOffset() != want[len(want)-1].NextOffset() {
		return false, fmt.Errorf("the log has offsets %d to %d", x.StartOffset(), x.EndOffset())
	}
	for _, b := range want {
		if e := x.EpochAt(b.BaseOffset()); e != b.PartitionLeaderEpoch() {
			return false, fmt.Errorf("offset %d has epoch %d, the log says %d", b.BaseOffset(), b.PartitionLeaderEpoch(), e)
		}
		s, ok, err := x.OffsetForTimestamp(b.MaxTimestamp(), x.EndOffset())
		if err != nil || !ok || s.Offset != b.LastOffset() {
			return false, fmt.Errorf("time %d: %+v %v %v, want offset %d", b.MaxTimestamp(), s, ok, err, b.LastOffset())
		}
	}
	return false, nil
}

// TestFlippedBitInASegmentsLastBatch: without a manifest the last batch of a sealed segment tells where that ends. When it tells another offset it is damaged, and nothing else is: the log goes on
// behind it.
func TestFlippedBitInASegmentsLastBatch(t *testing.T) {
	mem, want := keptByAKill(t)
	for _, name := range []string{dir.ManifestFile, dir.JournalFile} { // the journal may have the batch
		if err := mem.Remove(filepath.Join(testDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	name := filepath.Join(testDir, testName, fileName(0, logSuffix))
	data, err := vfs.ReadSmall(mem, name)
	if err != nil {
		t.Fatal(err)
	}
	var last batch.Batch
	for rest := data; len(rest) > 0; {
		if last, rest, err = batch.Next(rest); err != nil {
			t.Fatal(err)
		}
	}
	const lastOffsetDelta = 23
	flipBit(t, mem, name, int64(len(data)-len(last)+lastOffsetDelta+2)*8)
	x := openOn(t, mem, dir.Options{}, testConfig())
	if x.Err() != nil || x.EndOffset() != want[len(want)-1].NextOffset() {
		t.Fatalf("the log ends at %d: %v", x.EndOffset(), x.Err())
	}
	for _, b := range want {
		s, err := x.Read(b.BaseOffset(), b.NextOffset(), 1<<20, true)
		if damaged := b.BaseOffset() == last.BaseOffset(); damaged != errors.Is(err, model.CorruptMessage) || !damaged && err != nil {
			t.Errorf("offset %d: %v", b.BaseOffset(), err)
		}
		if err == nil {
			s.Close()
		}
	}
}
