package logfile

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	testDir = "/data"
	testLog = "orders-0"
)

var quiet = slog.New(slog.DiscardHandler)

// made makes a directory with one log of n batches of two records, several segments, closed cleanly or abandoned.
func made(t *testing.T, n int, clean bool) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	d, err := dir.Open(mem, testDir, dir.Options{Meta: dir.Meta{ClusterID: "cluster", NodeID: 1}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := plog.DefaultConfig()
	c.SegmentBytes, c.IndexIntervalBytes = 4096, 256
	l, err := plog.Open(d, testLog, model.TopicID{1, 2, 3}, c)
	if err != nil {
		t.Fatal(err)
	}
	moved := make(chan struct{}, 1)
	l.OnProgress(func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	for i := range n {
		var b batch.Builder
		b.Reset(batch.Options{HasProducer: true, ProducerID: 7, BaseSequence: int32(2 * i)})
		for j := range 2 {
			b.Append(1_700_000_000_000+int64(2*i+j), fmt.Appendf(nil, "k%d", i), bytes.Repeat([]byte{'v'}, 40), batch.Header{Key: []byte("h"), Value: []byte{0xff}})
		}
		if _, err := l.Append(bytes.Clone(b.Build()), 3, time.UnixMilli(1_700_000_000_000), plog.Client); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for l.SyncedOffset() < l.EndOffset() {
		select {
		case <-moved:
		case <-ctx.Done():
			t.Fatal("nothing is synced")
		}
	}
	if clean {
		err = d.Close(5)
	} else {
		err = d.Abandon()
	}
	if err != nil {
		t.Fatal(err)
	}
	return mem
}

func entriesOf(t *testing.T, fsys vfs.FS, path string, o DumpOptions) ([]Entry, error) {
	t.Helper()
	var out []Entry
	err := Dump(fsys, path, o, func(e Entry) error {
		out = append(out, e)
		if e.Text() == "" {
			t.Errorf("%#v has no text", e)
		}
		return nil
	})
	return out, err
}

func change(t *testing.T, fsys vfs.FS, name string, f func(vfs.File) error) {
	t.Helper()
	file, err := fsys.Open(name)
	if err == nil {
		err = errors.Join(f(file), file.Sync(), file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func flip(at int64) func(vfs.File) error {
	return func(f vfs.File) error {
		var p [1]byte
		if _, err := f.ReadAt(p[:], at); err != nil {
			return err
		}
		p[0] ^= 4
		_, err := f.WriteAt(p[:], at)
		return err
	}
}

func segmentFile(base int64) string {
	return filepath.Join(testDir, testLog, plog.FileName(base, plog.LogSuffix))
}

func all() DumpOptions { return DumpOptions{Records: true, To: AllOffsets} }

// Every file of a directory can be shown, and shows what was written.
func TestDump(t *testing.T) {
	mem := made(t, 60, true)
	for _, path := range []string{testDir, filepath.Join(testDir, testLog)} {
		if _, err := entriesOf(t, mem, path, all()); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	entries, err := entriesOf(t, mem, filepath.Join(testDir, testLog), all())
	if err != nil {
		t.Fatal(err)
	}
	records, kinds := int64(0), map[string]int{}
	for _, e := range entries {
		kinds[fmt.Sprintf("%T", e)]++
		if r, ok := e.(RecordEntry); ok {
			if r.Offset != records || string(r.Key.Data()) != fmt.Sprintf("k%d", records/2) || len(r.Headers) != 1 || r.Headers[0].Value.Text() != "base64:/w==" {
				t.Fatalf("record %d is %s", records, r.Text())
			}
			records++
		}
	}
	if records != 120 || kinds["logfile.BatchEntry"] != 60 || kinds["logfile.IndexLine"] == 0 || kinds["logfile.TimeLine"] == 0 || kinds["logfile.ProducerLine"] == 0 || kinds["logfile.EpochLine"] != 1 {
		t.Fatalf("%d records, %v", records, kinds)
	}
	some, err := entriesOf(t, mem, segmentFile(0), DumpOptions{Records: true, From: 3, To: 6})
	if err != nil || len(some) != 1+2+3 { // the file, two batches, records 3 to 5
		t.Fatalf("%d entries, %v", len(some), err)
	}
}

// Damage is shown in its place, and what is sound behind it too.
func TestDumpGoesBehindDamage(t *testing.T) {
	mem := made(t, 60, true)
	before, err := entriesOf(t, mem, segmentFile(0), all())
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []int64{100, 8} { // in a record, in the length
		image := mem.Crash(vfs.KeepUnsynced)
		change(t, image, segmentFile(0), flip(at))
		after, err := entriesOf(t, image, segmentFile(0), all())
		if !errors.Is(err, ErrDamaged) || len(after) != len(before)-2 { // a batch and two records less, a stop more
			t.Fatalf("byte %d: %d entries of %d, %v", at, len(after), len(before), err)
		}
		stop, ok := after[1].(StopEntry)
		if !ok || stop.Position != 0 || stop.Offset != 0 || stop.Torn || stop.ResumeAt == nil {
			t.Fatalf("byte %d: %s", at, after[1].Text())
		}
	}
}

func TestCat(t *testing.T) {
	mem := made(t, 60, true)
	var got []string
	o := CatOptions{From: 50, To: AllOffsets, FromMs: 1_700_000_000_053, ToMs: math.MaxInt64, Limit: 2}
	if err := Cat(mem, filepath.Join(testDir, testLog), o, func(e Entry) error {
		got = append(got, fmt.Sprint(e.(RecordEntry).Offset))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"53", "54"}; !slices.Equal(got, want) {
		t.Fatalf("got %v, want %v", got, want)
	}
}

func TestVerify(t *testing.T) {
	for name, x := range map[string]struct {
		clean   bool
		running bool
		harm    func(*testing.T, *vfs.Mem)
		want    string // severity and what the problem has
	}{
		"sound":                       {clean: true},
		"abandoned":                   {},
		"rot":                         {clean: true, harm: func(t *testing.T, m *vfs.Mem) { change(t, m, segmentFile(0), flip(200)) }, want: "damage CRC"},
		"rot beside a node":           {clean: true, running: true, harm: func(t *testing.T, m *vfs.Mem) { change(t, m, segmentFile(0), flip(200)) }, want: "damage CRC"},
		"what a node is just writing": {running: true, harm: func(t *testing.T, m *vfs.Mem) { tear(t, m) }},
		"torn end":                    {harm: func(t *testing.T, m *vfs.Mem) { tear(t, m) }, want: "torn less than a batch's header"},
		"a segment is missing":        {clean: true, harm: func(t *testing.T, m *vfs.Mem) { remove(t, m, segmentFile(0)) }, want: "damage first segment"},
		"an index points elsewhere": {clean: true, harm: func(t *testing.T, m *vfs.Mem) {
			change(t, m, strings.Replace(segmentFile(0), ".log", ".index", 1), flip(7))
		}, want: "hint none is"},
		"a snapshot has rotted": {clean: true, harm: func(t *testing.T, m *vfs.Mem) { change(t, m, snapshotFile(t, m), flip(12)) }, want: "hint checksum"},
		"the topic's id is unreadable": {clean: true, harm: func(t *testing.T, m *vfs.Mem) {
			change(t, m, filepath.Join(testDir, testLog, plog.IdentityFile), flip(2))
		}, want: "damage damaged"},
		"a checkpoint is unreadable": {clean: true, harm: func(t *testing.T, m *vfs.Mem) { change(t, m, filepath.Join(testDir, dir.RecoveryFile), flip(0)) }, want: "hint version"},
	} {
		t.Run(name, func(t *testing.T) {
			mem := made(t, 60, x.clean)
			if x.harm != nil {
				x.harm(t, mem)
			}
			before := sum(t, mem, testDir)
			r, err := Verify(mem, testDir, x.running)
			if err != nil {
				t.Fatal(err)
			}
			if sum(t, mem, testDir) != before {
				t.Fatal("something was changed")
			}
			if x.want == "" {
				if len(r.Findings) != 0 || r.Batches != 60 || r.Logs != 1 {
					t.Fatalf("%+v", r)
				}
				return
			}
			severity, text, _ := strings.Cut(x.want, " ")
			if !slices.ContainsFunc(r.Findings, func(f Finding) bool { return string(f.Severity) == severity && strings.Contains(f.Problem, text) }) {
				t.Fatalf("%+v", r.Findings)
			}
			if r.Damaged() != (severity == "damage") {
				t.Fatalf("damaged: %v, %+v", r.Damaged(), r.Findings)
			}
		})
	}
}

func TestVerifyNamesWhatIsNotThere(t *testing.T) {
	mem := made(t, 3, true)
	for _, running := range []bool{false, true} {
		if r, err := Verify(mem, testDir, running, testLog, "absent-0"); err == nil || !strings.Contains(err.Error(), "no log absent-0") {
			t.Errorf("running %v: %+v, %v", running, r, err)
		}
	}
	if r, err := Verify(mem, testDir, false, testLog); err != nil || r.Logs != 1 || r.Batches != 3 {
		t.Errorf("%+v, %v", r, err)
	}
}

func remove(t *testing.T, m *vfs.Mem, name string) {
	t.Helper()
	if err := m.Remove(name); err != nil {
		t.Fatal(err)
	}
}

// newest finds the last file of the log with a suffix.
func newest(t *testing.T, m *vfs.Mem, suffix string) string {
	t.Helper()
	entries, err := m.ReadDir(filepath.Join(testDir, testLog))
	if err != nil {
		t.Fatal(err)
	}
	last := ""
	for _, e := range entries {
		if strings.HasSuffix(e.Name, suffix) {
			last = filepath.Join(testDir, testLog, e.Name)
		}
	}
	if last == "" {
		t.Fatalf("no %s", suffix)
	}
	return last
}

func snapshotFile(t *testing.T, m *vfs.Mem) string { return newest(t, m, plog.SnapshotSuffix) }

// tear writes the beginning of a batch behind the last one.
func tear(t *testing.T, m *vfs.Mem) {
	t.Helper()
	change(t, m, newest(t, m, plog.LogSuffix), func(f vfs.File) error {
		size, err := f.Size()
		if err != nil {
			return err
		}
		_, err = f.WriteAt([]byte{0, 0, 0, 0, 0, 0, 0, 120, 0, 0, 0, 99}, size)
		return err
	})
}

// sum is a checksum of all names and bytes below a directory.
func sum(t *testing.T, fsys vfs.FS, path string) string {
	t.Helper()
	h := sha256.New()
	entries, err := fsys.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		name := filepath.Join(path, e.Name)
		fmt.Fprintln(h, name, e.Size)
		if e.IsDir {
			fmt.Fprintln(h, sum(t, fsys, name))
			continue
		}
		data, err := vfs.ReadSmall(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		h.Write(data)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// A directory that needs nothing is left as it is, to the byte; one after a crash is brought to where it needs nothing.
func TestRecover(t *testing.T) {
	mem := made(t, 60, true)
	before := sum(t, mem, testDir)
	r, err := Recover(mem, testDir, quiet)
	if err != nil || r.Needed || sum(t, mem, testDir) != before {
		t.Fatalf("%+v, %v, changed: %v", r, err, sum(t, mem, testDir) != before)
	}
	mem = made(t, 60, false)
	tear(t, mem)
	if r, err = Recover(mem, testDir, quiet); err != nil || !r.Needed || r.Logs != 1 || len(r.Damaged) != 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	report, err := Verify(mem, testDir, false)
	if err != nil || len(report.Findings) != 0 || report.Batches != 60 {
		t.Fatalf("%+v, %v", report, err)
	}
	newest(t, mem, plog.CutSuffix)
	before = sum(t, mem, testDir)
	if r, err = Recover(mem, testDir, quiet); err != nil || r.Needed || sum(t, mem, testDir) != before {
		t.Fatalf("again: %+v, %v", r, err)
	}
}
