package logfile

import (
	"bytes"
	"errors"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// place is where a batch of the test's log is; each has two records.
type place struct {
	base, at int64 // segment, position
	offset   int64
	size     int64
}

func places(t *testing.T, fsys vfs.FS) []place {
	t.Helper()
	entries, err := entriesOf(t, fsys, filepath.Join(testDir, testLog), DumpOptions{To: AllOffsets})
	if err != nil {
		t.Fatal(err)
	}
	var out []place
	base := int64(0)
	for _, e := range entries {
		switch e := e.(type) {
		case FileEntry:
			base, _, _ = plog.ParseFileName(filepath.Base(e.Path))
		case BatchEntry:
			out = append(out, place{base, e.Position, e.BaseOffset, int64(e.Bytes)})
		}
	}
	return out
}

// offsets reads the offsets of all records that are left.
func offsets(t *testing.T, fsys vfs.FS) []int64 {
	t.Helper()
	var out []int64
	o := CatOptions{To: AllOffsets, FromMs: math.MinInt64, ToMs: math.MaxInt64}
	if err := Cat(fsys, filepath.Join(testDir, testLog), o, func(e Entry) error {
		out = append(out, e.(RecordEntry).Offset)
		return nil
	}); err != nil && !strings.Contains(err.Error(), "no segments") {
		t.Fatal(err)
	}
	return out
}

func scribble(at int64, p ...byte) func(vfs.File) error {
	return func(f vfs.File) error {
		_, err := f.WriteAt(p, at)
		return err
	}
}

// TestRepair damages a log in many ways and gives the damage up in both: what is lost is what was announced, everything else is there, the directory is sound, its bytes are
// kept, and a second repair changes nothing.
func TestRepair(t *testing.T) {
	whole := made(t, 60, true)
	all := places(t, whole)
	if len(all) != 60 {
		t.Fatalf("%d batches", len(all))
	}
	mid := 25
	for all[mid-1].base != all[mid].base || all[mid+3].base != all[mid].base {
		mid++
	}
	x, last := all[mid], all[59]
	first, end := mid, mid // of mid's segment
	for all[first-1].base == x.base {
		first--
	}
	for all[end+1].base == x.base {
		end++
	}
	for name, c := range map[string]struct {
		clean    bool
		harm     func(m *vfs.Mem)
		from, to int // the batches that --skip-rot gives up
		kept     int // .cut files
	}{
		"a record":                     {true, func(m *vfs.Mem) { change(t, m, segmentFile(x.base), flip(x.at+80)) }, mid, mid + 1, 1},
		"a length":                     {true, func(m *vfs.Mem) { change(t, m, segmentFile(x.base), scribble(x.at+8, 0x7f)) }, mid, mid + 1, 1},
		"a record, not closed":         {false, func(m *vfs.Mem) { change(t, m, segmentFile(x.base), flip(x.at+80)) }, mid, mid + 1, 1},
		"three batches":                {true, func(m *vfs.Mem) { change(t, m, segmentFile(x.base), scribble(x.at, make([]byte, 3*x.size)...)) }, mid, mid + 3, 1},
		"the newest batch":             {true, func(m *vfs.Mem) { change(t, m, segmentFile(last.base), flip(last.at+80)) }, 59, 60, 1},
		"the newest batch, its header": {true, func(m *vfs.Mem) { change(t, m, segmentFile(last.base), scribble(last.at+5, 1, 2, 3, 4, 5, 6, 7)) }, 59, 60, 1},
		"the newest batch is not there": {true, func(m *vfs.Mem) {
			change(t, m, segmentFile(last.base), func(f vfs.File) error { return f.Truncate(last.at) })
		}, 59, 60, 0},
		"half the newest batch": {true, func(m *vfs.Mem) {
			change(t, m, segmentFile(last.base), func(f vfs.File) error { return f.Truncate(last.at + 90) })
		}, 59, 60, 1},
		"a short segment": {true, func(m *vfs.Mem) {
			change(t, m, segmentFile(x.base), func(f vfs.File) error { return f.Truncate(all[end].at) })
		}, end, end + 1, 0},
		"a segment in the middle": {true, func(m *vfs.Mem) { remove(t, m, segmentFile(x.base)) }, first, end + 1, 0},
		"the first segment":       {true, func(m *vfs.Mem) { remove(t, m, segmentFile(0)) }, 0, slices.IndexFunc(all, func(p place) bool { return p.base > 0 }), 0},
		"the recovery points":     {true, func(m *vfs.Mem) { change(t, m, filepath.Join(testDir, dir.RecoveryFile), flip(12)) }, 0, 0, 0},
	} {
		for _, way := range []Way{SkipRot, CutRot} {
			t.Run(name+", "+string(way), func(t *testing.T) {
				mem := whole
				if !c.clean {
					mem = mem.Crash(vfs.KeepUnsynced)
					if err := mem.Rename(filepath.Join(testDir, dir.CleanFile), filepath.Join(testDir, "ottla.running")); err != nil {
						t.Fatal(err)
					}
				}
				mem = mem.Crash(vfs.KeepUnsynced)
				c.harm(mem)
				before := sum(t, mem, testDir)
				plan, err := Repair(mem, testDir, RepairOptions{Way: way, Logger: quiet})
				if err != nil || plan.Applied || sum(t, mem, testDir) != before {
					t.Fatalf("a look: %+v, %v, changed: %v", plan, err, sum(t, mem, testDir) != before)
				}
				if c.to > c.from && c.clean {
					if _, err := Repair(mem.Crash(vfs.KeepUnsynced), testDir, RepairOptions{Apply: true, Logger: quiet}); !errors.Is(err, ErrUndecided) {
						t.Fatalf("without a way: %v", err)
					}
				}
				done, err := Repair(mem, testDir, RepairOptions{Way: way, Apply: true, Logger: quiet})
				if err != nil || !done.Applied {
					t.Fatalf("%+v, %v", done, err)
				}
				from, to := c.from, c.to
				if way == CutRot && to > from {
					to = 60
				}
				checkRepaired(t, mem, all, from, to)
				lost := int64(0)
				for _, r := range done.Ranges {
					lost += r.Lost
				}
				if lost != int64(to-from)*2 {
					t.Errorf("%d offsets said to be lost, %d batches are: %+v", lost, to-from, done.Ranges)
				}
				if n := len(cutFiles(t, mem)); n < c.kept {
					t.Errorf("%d files with what was damaged, want %d", n, c.kept)
				}
				before = sum(t, mem, testDir)
				again, err := Repair(mem, testDir, RepairOptions{Way: way, Apply: true, Logger: quiet})
				if err != nil || again.Applied || len(again.Ranges) > 0 || sum(t, mem, testDir) != before {
					t.Fatalf("again: %+v, %v, changed: %v", again, err, sum(t, mem, testDir) != before)
				}
			})
		}
	}
}

func cutFiles(t *testing.T, fsys vfs.FS) (names []string) {
	t.Helper()
	entries, err := fsys.ReadDir(filepath.Join(testDir, testLog))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, plog.CutSuffix) {
			names = append(names, e.Name)
		}
		if strings.HasSuffix(e.Name, temporarySuffix) {
			t.Errorf("%s is left", e.Name)
		}
	}
	return names
}

// checkRepaired checks that nothing is damaged, and that all batches but those from one to another are there.
func checkRepaired(t *testing.T, mem *vfs.Mem, all []place, from, to int) {
	t.Helper()
	report, err := Verify(mem, testDir, false)
	if err == nil {
		report.Findings = slices.DeleteFunc(report.Findings, func(f Finding) bool { return f.Severity == SeverityHint })
	}
	if err != nil || len(report.Findings) > 0 {
		t.Fatalf("after the repair: %+v, %v", report, err)
	}
	var want []int64
	for i, p := range all {
		if i < from || i >= to {
			want = append(want, p.offset, p.offset+1)
		}
	}
	if got := offsets(t, mem); !slices.Equal(got, want) {
		t.Fatalf("offsets %v, want %v", got, want)
	}
	d, err := dir.Open(mem, testDir, dir.Options{Meta: dir.Meta{NodeID: 1}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(1); err != nil {
			t.Error(err)
		}
	}()
	l, err := plog.Open(d, testLog, model.TopicID{1, 2, 3}, plog.DefaultConfig())
	if err != nil || l.Err() != nil || len(l.Rot()) > 0 {
		t.Fatal(err, l.Err(), l.Rot())
	}
	end := all[59].offset + 2
	if to == 60 && from < 60 && l.EndOffset() != end {
		end = all[from].offset // cut
	}
	if l.EndOffset() != end {
		t.Fatalf("the log ends at %d, want %d", l.EndOffset(), end)
	}
}

// The damaged bytes are kept as they were.
func TestRepairKeepsTheBytes(t *testing.T) {
	mem := made(t, 60, true)
	x := places(t, mem)[3]
	change(t, mem, segmentFile(0), flip(x.at+80))
	before, err := vfs.ReadSmall(mem, segmentFile(0))
	if err != nil {
		t.Fatal(err)
	}
	done, err := Repair(mem, testDir, RepairOptions{Way: SkipRot, Apply: true, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	kept, err := vfs.ReadSmall(mem, done.Ranges[0].Kept)
	if err != nil || !bytes.Equal(kept, before[x.at:x.at+x.size]) {
		t.Fatalf("kept %d bytes of %d, %v", len(kept), x.size, err)
	}
	if base, at, ok := plog.ParseCutName(filepath.Base(done.Ranges[0].Kept)); !ok || base != 0 || at != x.at {
		t.Fatalf("in %s", done.Ranges[0].Kept)
	}
}

// A repair that a power cut ends at any moment can be repeated, and comes to the same.
func TestRepairAcrossPowerCuts(t *testing.T) {
	whole := made(t, 60, true)
	all := places(t, whole)
	for _, way := range []Way{SkipRot, CutRot} {
		mem := whole.Crash(vfs.KeepUnsynced)
		change(t, mem, segmentFile(all[20].base), flip(all[20].at+80))
		to := 21
		if way == CutRot {
			to = 60
		}
		var images []*vfs.Mem
		faulty := vfs.NewFaulty(mem, vfs.Hooks{OnAfter: func(c vfs.LoggedCall) {
			switch c.Op {
			case vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpSyncDir, vfs.OpRename, vfs.OpRemove, vfs.OpTruncate:
				for _, seed := range []uint64{vfs.LoseUnsynced, vfs.KeepUnsynced, uint64(len(images)) + 2} {
					images = append(images, mem.Crash(seed))
				}
			}
		}})
		if _, err := Repair(faulty, testDir, RepairOptions{Way: way, Apply: true, Logger: quiet}); err != nil {
			t.Fatal(err)
		}
		faulty.SetInjector(nil)
		for i, image := range images {
			if _, err := Repair(image, testDir, RepairOptions{Way: way, Apply: true, Logger: quiet}); err != nil {
				t.Fatalf("%s, image %d of %d: %v", way, i, len(images), err)
			}
			checkRepaired(t, image, all, 20, to)
		}
		t.Logf("%s: %d images", way, len(images))
		if len(images) < 60 {
			t.Error("too few: not a test")
		}
	}
}

// A directory that a node has open is left alone.
func TestRepairOfAnOpenDirectory(t *testing.T) {
	mem := made(t, 5, true)
	d, err := dir.Open(mem, testDir, dir.Options{Meta: dir.Meta{NodeID: 1}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Abandon(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := Repair(mem, testDir, RepairOptions{Logger: quiet}); !errors.Is(err, vfs.ErrLocked) {
		t.Fatal(err)
	}
}
