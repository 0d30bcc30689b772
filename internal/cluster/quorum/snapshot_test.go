package quorum

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// of gives values as the records of a snapshot.
func of(values ...string) iter.Seq[machine.Record] {
	return func(yield func(machine.Record) bool) {
		for _, v := range values {
			if !yield(machine.Record{Value: []byte(v)}) {
				return
			}
		}
	}
}

func snapshot(t *testing.T, q *Quorum, offset int64, values ...string) *Checkpoint {
	t.Helper()
	c, err := q.Snapshot(t.Context(), offset, of(values...))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// reopened closes a quorum that t.Cleanup does not know, and opens it again.
func reopened(t *testing.T, q *Quorum, log *memLog, fsys vfs.FS) *Quorum {
	t.Helper()
	if q != nil {
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	log.closed = false
	q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
	if err != nil {
		t.Fatal(err)
	}
	lead(t, q)
	return q
}

func files(t *testing.T, fsys vfs.FS) (names []string) {
	t.Helper()
	entries, err := fsys.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.Contains(e.Name, checkpointSuffix) {
			names = append(names, e.Name)
		}
	}
	return names
}

func TestSnapshotAndTail(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	q := reopened(t, nil, log, fsys)
	for _, v := range []string{"a", "b", "c"} {
		appendOne(t, q, v)
	}
	committed(t, q, 6)
	if g := q.Growth(); g.Bytes != log.Size() || time.Since(g.Since) > time.Minute {
		t.Errorf("growth %+v, the log has %d bytes", g, log.Size())
	}
	c := snapshot(t, q, 5, "a+b")
	if c.End != (machine.Position{Epoch: 1, Offset: 5}) || c.index != 3 || len(c.Voters) != 1 {
		t.Errorf("the snapshot is %+v", c)
	}
	if got := files(t, fsys); !slices.Equal(got, []string{"00000000000000000005-0000000001.checkpoint"}) {
		t.Errorf("files %q", got)
	}
	if _, err := q.Snapshot(t.Context(), 5, of()); !errors.Is(err, ErrNothingNew) {
		t.Errorf("the same again: %v", err)
	}
	appendOne(t, q, "d")
	committed(t, q, 7)
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"a+b", "c", "d"}) {
		t.Errorf("loaded %q", got)
	}
	if got := loaded(t, q, 6); !slices.Equal(got, []string{"d"}) {
		t.Errorf("loaded %q from offset 6 on", got)
	}
	// The log is still whole; the snapshot and its end make the same.
	q = reopened(t, q, log, fsys)
	if q.table.before != 3 || q.table.start != 5 || log.StartOffset() != 0 {
		t.Errorf("the table begins behind entry %d at offset %d, the log at %d", q.table.before, q.table.start, log.StartOffset())
	}
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"a+b", "c", "d"}) {
		t.Errorf("loaded %q", got)
	}
	if _, err := q.Retain(0, -1); err != nil {
		t.Fatal(err)
	}
	if log.StartOffset() != 5 || q.End().Epoch != 2 {
		t.Errorf("the log begins at %d, the leader's epoch is %d", log.StartOffset(), q.End().Epoch)
	}
	q = reopened(t, q, log, fsys)
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"a+b", "c", "d"}) {
		t.Errorf("loaded %q after the cut", got)
	}
	at := q.End()
	if at != (machine.Position{Epoch: 3, Offset: 9}) { // two LeaderChange batches since
		t.Errorf("leads at %v", at)
	}
	appendOne(t, q, "e")
	committed(t, q, 10)
	if c = snapshot(t, q, 10, "a+b+c+d+e"); c.index != 8 {
		t.Errorf("the entry before offset 10 has the index %d", c.index)
	}
	if _, err := q.Retain(0, -1); err != nil {
		t.Fatal(err)
	}
	if got := files(t, fsys); !slices.Equal(got, []string{"00000000000000000010-0000000003.checkpoint"}) {
		t.Errorf("files %q", got)
	}
	appendOne(t, q, "f") // the LeaderChange of the epoch is cut off, and it goes on
	committed(t, q, 11)
	if g := q.Growth(); g.Bytes != int64(len(log.batches[0])) || g.Since.IsZero() {
		t.Errorf("growth %+v", g)
	}
	q = reopened(t, q, log, fsys)
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"a+b+c+d+e", "f"}) || len(q.voters.list) != 1 {
		t.Errorf("loaded %q", got)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotAtTheEnd: nothing is in the log behind the snapshot.
func TestSnapshotAtTheEnd(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	q := reopened(t, nil, log, fsys)
	appendOne(t, q, "a")
	committed(t, q, 4)
	snapshot(t, q, 4, "A")
	if g := q.Growth(); g.Bytes != 0 {
		t.Errorf("growth %+v", g)
	}
	if _, err := q.Retain(0, -1); err != nil {
		t.Fatal(err)
	}
	if len(log.batches) != 0 {
		t.Errorf("%d batches are left", len(log.batches))
	}
	q = reopened(t, q, log, fsys)
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"A"}) {
		t.Errorf("loaded %q", got)
	}
	if at := q.End(); at != (machine.Position{Epoch: 2, Offset: 5}) {
		t.Errorf("leads at %v", at)
	}
	if d := q.Describe(); len(d.Voters) != 1 || d.Voters[0].Endpoints[0].Port != 29093 {
		t.Errorf("described as %+v", d)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotIsRefused(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	q := single(t, log, fsys)
	lead(t, q)
	at, err := q.Append([]machine.Record{{Value: []byte("a")}, {Value: []byte("b")}})
	if err != nil {
		t.Fatal(err)
	}
	committed(t, q, at.Offset+2)
	for offset, want := range map[int64]error{0: ErrNothingNew, at.Offset + 1: ErrNotAligned, at.Offset + 3: ErrNotAligned} {
		if _, err := q.Snapshot(t.Context(), offset, of()); !errors.Is(err, want) {
			t.Errorf("a snapshot up to offset %d: %v, want %v", offset, err, want)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	before := q.Growth()
	if _, err := q.Snapshot(ctx, at.Offset+2, of("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped half-way: %v", err)
	}
	if got := files(t, fsys); len(got) != 0 {
		t.Errorf("files %q are left", got)
	}
	appendOne(t, q, "c") // the loop shows the growth after its next turn
	committed(t, q, at.Offset+3)
	if g := q.Growth(); g.Bytes <= before.Bytes || !g.Since.Equal(before.Since) {
		t.Errorf("growth %+v after a failure, %+v before", g, before)
	}
}

// TestSnapshotFails: whatever call fails, nothing is left behind, nothing is believed, and the next attempt works.
func TestSnapshotFails(t *testing.T) {
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpSyncDir} {
		t.Run(fmt.Sprint(op), func(t *testing.T) {
			mem := vfs.NewMem()
			rule := &vfs.Rule{Op: op, Nth: 1, Fault: vfs.Fault{Err: errors.New("injected")}}
			armed := vfs.Rules{}
			fsys := vfs.NewFaulty(mem, &armed)
			log := &memLog{}
			q := single(t, log, fsys)
			lead(t, q)
			appendOne(t, q, "a")
			committed(t, q, 4)
			armed = append(armed, rule)
			if _, err := q.Snapshot(t.Context(), 4, of("A")); err == nil || rule.Bitten() != 1 {
				t.Fatalf("the fault bit %d times and the error is %v", rule.Bitten(), err)
			}
			if got := files(t, mem); len(got) != 0 {
				t.Errorf("files %q are left", got)
			}
			if q.Base() != nil || q.Err() != nil {
				t.Errorf("base %+v, error %v", q.Base(), q.Err())
			}
			snapshot(t, q, 4, "A")
			if got := loaded(t, q, 0); !slices.Equal(got, []string{"A"}) {
				t.Errorf("loaded %q", got)
			}
		})
	}
}

// many writes three snapshots with a record behind each, by a clock that goes on an hour with each record.
func many(t *testing.T) (*memLog, *vfs.Mem) {
	t.Helper()
	log, fsys := &memLog{}, vfs.NewMem()
	now := time.UnixMilli(1_000_000_000_000)
	q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}, Clock: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	lead(t, q)
	for n := range 3 {
		at, err := q.Append([]machine.Record{{Value: fmt.Appendf(nil, "v%d", n), Timestamp: now.Add(time.Duration(n) * time.Hour).UnixMilli()}})
		if err != nil {
			t.Fatal(err)
		}
		committed(t, q, at.Offset+1)
		snapshot(t, q, at.Offset+1, fmt.Sprintf("s%d", n))
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
	return log, fsys
}

func TestRetain(t *testing.T) {
	first := time.UnixMilli(1_000_000_000_000)
	// The log has 475 bytes, most of them in its first batch; each of the three snapshots has 323.
	for name, x := range map[string]struct {
		bytes int64
		age   time.Duration
		now   time.Time
		start int64
		count int
		older time.Time
	}{
		"no limits":                {-1, -1, first.Add(1000 * time.Hour), 0, 3, time.Time{}},
		"all are young":            {-1, 10 * time.Hour, first.Add(5 * time.Hour), 0, 3, first.Add(10 * time.Hour)},
		"the log's begin is old":   {-1, 10 * time.Hour, first.Add(9*time.Hour + 61*time.Minute), 5, 2, first.Add(11 * time.Hour)},
		"all are old":              {-1, time.Minute, first.Add(100 * time.Hour), 6, 1, time.Time{}},
		"far too many bytes":       {0, -1, first, 6, 1, time.Time{}},
		"there is room":            {1 << 20, -1, first, 0, 3, time.Time{}},
		"room for all but one":     {1250, -1, first, 4, 3, time.Time{}},
		"room for two":             {1100, -1, first, 5, 2, time.Time{}},
		"there is room, but old":   {1 << 20, time.Minute, first.Add(100 * time.Hour), 6, 1, time.Time{}},
		"no time, and all of them": {-1, 0, first.Add(-time.Hour), 0, 3, first},
	} {
		t.Run(name, func(t *testing.T) {
			log, fsys := many(t)
			log.closed = false
			now := first
			q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}, Clock: func() time.Time { return now }})
			if err != nil {
				t.Fatal(err)
			}
			defer q.Close() //nolint:errcheck // asked for nothing any more
			lead(t, q)
			now = x.now
			older, err := q.Retain(x.bytes, x.age)
			if err != nil {
				t.Fatal(err)
			}
			if got := files(t, fsys); len(got) != x.count || log.StartOffset() != x.start || !older.Equal(x.older) {
				t.Errorf("%d snapshots, the log begins at %d, the oldest goes at %v; want %d, %d, %v (log and snapshots have %d bytes)", len(got), log.StartOffset(), older, x.count, x.start, x.older, log.Size())
			}
			if got := loaded(t, q, 0); !slices.Equal(got, []string{"s2"}) {
				t.Errorf("loaded %q", got)
			}
		})
	}
}

// damage changes a byte in the middle of a file.
func damage(t *testing.T, fsys vfs.FS, name string, at int64) {
	t.Helper()
	f, err := fsys.Open(filepath.Join(path, name))
	if err != nil {
		t.Fatal(err)
	}
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += size
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], at); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	b[0] ^= 0x40
	if _, err := f.WriteAt(b[:], at); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedSnapshots(t *testing.T) {
	open := func(log *memLog, fsys vfs.FS) (*Quorum, error) {
		log.closed = false
		return Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
	}
	try := func(t *testing.T, log *memLog, fsys vfs.FS, want ...string) {
		t.Helper()
		q, err := open(log, fsys)
		if err != nil {
			t.Fatal(err)
		}
		lead(t, q)
		if got := loaded(t, q, 0); !slices.Equal(got, want) {
			t.Errorf("loaded %q, want %q", got, want)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Run("an older one serves", func(t *testing.T) {
		log, fsys := many(t)
		names := files(t, fsys)
		for n, at := range map[int]int64{2: 100, 1: -1} {
			damage(t, fsys, names[n], at)
		}
		try(t, log, fsys, "s0", "v1", "v2")
		// A new one replaces them, and the damaged ones go.
		q, err := open(log, fsys)
		if err != nil {
			t.Fatal(err)
		}
		lead(t, q)
		snapshot(t, q, q.End().Offset, "new")
		if _, err := q.Retain(0, -1); err != nil {
			t.Fatal(err)
		}
		if got := files(t, fsys); len(got) != 1 || log.StartOffset() != q.Base().End.Offset {
			t.Errorf("files %q, the log begins at %d", got, log.StartOffset())
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		try(t, log, fsys, "new")
	})
	t.Run("the whole log serves", func(t *testing.T) {
		log, fsys := many(t)
		for _, name := range files(t, fsys) {
			damage(t, fsys, name, 200)
		}
		try(t, log, fsys, "v0", "v1", "v2")
	})
	t.Run("nothing serves", func(t *testing.T) {
		log, fsys := many(t)
		q, err := open(log, fsys)
		if err != nil {
			t.Fatal(err)
		}
		lead(t, q)
		if _, err := q.Retain(0, -1); err != nil {
			t.Fatal(err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		name := files(t, fsys)[0]
		damage(t, fsys, name, 100)
		if _, err := open(log, fsys); err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "restore") {
			t.Errorf("a damaged snapshot that is needed: %v", err)
		}
	})
	t.Run("the start does not go to a damaged one", func(t *testing.T) {
		log, fsys := many(t)
		q, err := open(log, fsys)
		if err != nil {
			t.Fatal(err)
		}
		lead(t, q)
		damage(t, fsys, files(t, fsys)[2], 100)
		if _, err := q.Retain(0, -1); err == nil || !strings.Contains(err.Error(), "damaged") {
			t.Errorf("retain: %v", err)
		}
		if log.StartOffset() != 5 || len(files(t, fsys)) != 2 {
			t.Errorf("the log begins at %d, files %q", log.StartOffset(), files(t, fsys))
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		try(t, log, fsys, "s1", "v2")
	})
	t.Run("cut short", func(t *testing.T) {
		log, fsys := many(t)
		f, err := fsys.Open(filepath.Join(path, files(t, fsys)[2]))
		if err != nil {
			t.Fatal(err)
		}
		size, err := f.Size()
		if err == nil {
			err = f.Truncate(size - batch.HeaderSize - 13) // the footer is gone, and nothing else
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		try(t, log, fsys, "s1", "v2")
	})
}

// TestForeignSnapshot: a snapshot that does not fit the log is not believed.
func TestForeignSnapshot(t *testing.T) {
	for name, end := range map[string]machine.Position{
		"within a batch":                   {Epoch: 1, Offset: 2},
		"of another epoch":                 {Epoch: 0, Offset: 5},
		"of a later epoch within the log":  {Epoch: 7, Offset: 5},
		"of an earlier epoch, far further": {Epoch: 0, Offset: 500},
	} {
		t.Run(name, func(t *testing.T) {
			log, fsys := many(t)
			for _, f := range files(t, fsys) {
				if err := fsys.Remove(filepath.Join(path, f)); err != nil {
					t.Fatal(err)
				}
			}
			put(t, fsys, end, 3, []Voter{self}, "foreign")
			log.closed = false
			q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
			if err == nil || !strings.Contains(err.Error(), "do not belong together") || !strings.Contains(err.Error(), checkpointName(end)) {
				t.Errorf("opened with %v: %v, %v", end, q, err)
			}
			if len(log.batches) != 4 {
				t.Errorf("%d batches are left of the log", len(log.batches))
			}
		})
	}
}

// put writes a snapshot as another node would have.
func put(t *testing.T, fsys vfs.FS, end machine.Position, index uint64, voters []Voter, values ...string) {
	t.Helper()
	w, err := createCheckpoint(fsys, path, end, 1)
	if err == nil {
		err = w.header(1, index, voters)
	}
	for r := range of(values...) {
		err = errors.Join(err, w.record(r))
	}
	if err == nil {
		err = errors.Join(w.footer(), w.seal())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestSnapshotAheadOfTheLog: a crash came between a leader's snapshot and the log that follows it. As Kafka, the log begins anew behind it.
func TestSnapshotAheadOfTheLog(t *testing.T) {
	log, fsys := many(t)
	put(t, fsys, machine.Position{Epoch: 4, Offset: 100}, 70, []Voter{self}, "ahead")
	q := reopened(t, nil, log, fsys)
	if got := loaded(t, q, 0); !slices.Equal(got, []string{"ahead"}) || log.StartOffset() != 100 {
		t.Errorf("loaded %q, the log begins at %d", got, log.StartOffset())
	}
	if at := q.End(); at != (machine.Position{Epoch: 5, Offset: 101}) || q.table.last() != 71 {
		t.Errorf("leads at %v, the last entry is %d", at, q.table.last())
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLeftovers: what a crash left half-written goes at the next start, and is never taken for a snapshot.
func TestLeftovers(t *testing.T) {
	log, fsys := many(t)
	for _, name := range []string{"00000000000000000099-0000000001.checkpoint.part", "00000000000000000001-0000000001-123.checkpoint.part", "00000000000000000001-0000000001.checkpoint.deleted"} {
		if err := replaceFile(fsys, filepath.Join(path, name), []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	q := reopened(t, nil, log, fsys)
	if got := files(t, fsys); len(got) != 3 {
		t.Errorf("files %q", got)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestLargeSnapshot has several batches, and a record larger than what is read at once.
func TestLargeSnapshot(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	q := reopened(t, nil, log, fsys)
	appendOne(t, q, "a")
	committed(t, q, 4)
	var values []string
	for n := range 2000 {
		values = append(values, strings.Repeat(string(rune('a'+n%26)), 1000+n))
	}
	values = append(values, strings.Repeat("x", 3<<20), "end")
	c := snapshot(t, q, 4, values...)
	entries, err := fsys.Stat(filepath.Join(path, checkpointName(c.End)))
	if err != nil || entries.Size != c.Bytes {
		t.Errorf("the file has %d bytes, the snapshot %d: %v", entries.Size, c.Bytes, err)
	}
	batches := 0
	if err := c.eachBatch(func(batch.Batch) error { batches++; return nil }); err != nil || batches < 9 {
		t.Errorf("%d batches, %v", batches, err)
	}
	q = reopened(t, q, log, fsys)
	if got := loaded(t, q, 0); !slices.Equal(got, values) {
		t.Errorf("%d records were loaded, want %d", len(got), len(values))
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestNoVotersNoVoters: a log of Kafka's that names no voters gets snapshots that name none.
func TestNoVotersNoVoters(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	var b batch.Builder
	b.Reset(batch.Options{PartitionLeaderEpoch: 1})
	b.Append(1, nil, []byte("a"))
	log.batches, log.synced = []batch.Batch{append(batch.Batch(nil), b.Build()...)}, 1
	q := reopened(t, nil, log, fsys)
	committed(t, q, 2)
	if c := snapshot(t, q, 2, "A"); c.Voters != nil {
		t.Errorf("voters %v", c.Voters)
	}
	q = reopened(t, q, log, fsys)
	if q.Base().Voters != nil || q.named != nil {
		t.Errorf("voters %v", q.Base().Voters)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotHeader(t *testing.T) {
	for _, index := range []uint64{0, 1, 1 << 60} {
		ts, got, err := parseSnapshotHeader(snapshotHeader(123, index))
		if err != nil || ts != 123 || got != index {
			t.Errorf("index %d was read as %d, %d, %v", index, got, ts, err)
		}
	}
	good := snapshotHeader(123, 5)
	for n := range good {
		if _, _, err := parseSnapshotHeader(good[:n]); err == nil {
			t.Errorf("%d bytes of %d were read", n, len(good))
		}
	}
	if _, _, err := parseSnapshotHeader([]byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}); err == nil {
		t.Error("a version of the future was read")
	}
}
