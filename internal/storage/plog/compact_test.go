package plog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// compactConfig is testConfig for a compacted log.
func compactConfig() *Config {
	c := testConfig()
	c.CleanupDelete, c.CleanupCompact, c.DeleteRetentionMs = false, true, 1000
	return c
}

// keyed is one record as a reader of a compacted log sees it.
type keyed struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
}

func keyBatch(records []keyed, codec batch.Codec) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{Codec: codec})
	for _, r := range records {
		value := []byte(r.value)
		if r.tombstone {
			value = nil
		}
		b.Append(r.timestamp, []byte(r.key), value, batch.Header{Key: []byte("h"), Value: []byte(r.key)})
	}
	return append(batch.Batch(nil), b.Build()...)
}

// records reads everything.
func (x *logAndDir) records() ([]keyed, error) {
	var out []keyed
	var reader batch.Reader
	for from := x.StartOffset(); from < x.EndOffset(); {
		s, err := x.Read(from, x.EndOffset(), 1<<20, true)
		if err != nil {
			return nil, err
		}
		if s.Len() == 0 {
			s.Close()
			break
		}
		for b, err := range s.Batches() {
			if err == nil {
				err = reader.Reset(b, 1<<20)
			}
			if err != nil {
				s.Close()
				return nil, err
			}
			for reader.Next() {
				r := reader.Record()
				if r.Offset >= x.StartOffset() && !b.IsControl() && string(r.Key) != lieKey {
					out = append(out, keyed{r.Offset, r.Timestamp, string(r.Key), string(r.Value), r.Value == nil})
				}
			}
			from = b.NextOffset()
		}
		s.Close()
	}
	return out, nil
}

func latest(records []keyed) map[string]keyed {
	out := map[string]keyed{}
	for _, r := range records {
		out[r.key] = r
	}
	return out
}

func cleanOptions(now time.Time, upTo int64) CleanOptions {
	return CleanOptions{Now: now, UpTo: upTo, HighWatermark: upTo, Keys: NewKeyMap(1<<20, 0.9), BufferBytes: 4096, MaxBatchBytes: 1 << 20, Serial: func(f func() error) error { return f() }}
}

func (x *logAndDir) cleanNow(now time.Time) (CleanStats, error) {
	if err := x.tryWait("earlier replacements", func() bool { return x.swapped() && x.SyncedOffset() == x.EndOffset() }); err != nil {
		return CleanStats{}, err
	}
	stats, err := x.Clean(context.Background(), cleanOptions(now, x.SyncedOffset()))
	if err != nil {
		return stats, err
	}
	return stats, x.tryWait("replacement", x.swapped)
}

func (x *logAndDir) swapped() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return len(x.mu.swaps) == 0 && x.mu.cleanedTo == 0
}

// lieKey is the key of records that are aborted: they come and go, and count for nothing.
const lieKey = "lie"

// lies appends a transaction that is aborted.
func (x *logAndDir) lies(r *rand.Rand) error {
	id := r.Int64N(3)
	var sequence int32
	for _, p := range x.Producers() {
		if p.ProducerID == id {
			sequence = p.LastSequence + 1
		}
	}
	var b batch.Builder
	b.Reset(batch.Options{HasProducer: true, ProducerID: id, BaseSequence: sequence, Transactional: true})
	b.Append(5, []byte(lieKey), make([]byte, r.IntN(300)))
	if _, err := x.tryAppend(bytes.Clone(b.Build()), 1, Client); err != nil {
		return err
	}
	_, err := x.tryAppend(markerBatch(id, false, 5), 1, Internal)
	return err
}

// toldAborted says what is wrong with the transaction indexes of what was cleaned: they have the aborted transactions of which batches are left, and no
// transaction whose marker is not there.
func (x *logAndDir) toldAborted() error {
	list := *x.segments.Load()
	seen := map[int64]bool{}
	all, err := x.all(x.StartOffset(), x.EndOffset(), 1<<20)
	if err != nil {
		return err
	}
	for i, s := range list {
		entries, err := x.readTxns(s)
		if err != nil {
			return err
		}
		var want, possible []int64
		for _, b := range all {
			switch {
			case !b.IsTransactional(), b.BaseOffset() < s.base, b.BaseOffset() >= list.endOf(i, x.EndOffset()):
			case !b.IsControl():
				seen[b.ProducerID()] = true
			default:
				possible = append(possible, b.BaseOffset())
				if seen[b.ProducerID()] && b.BaseOffset() < x.CleanedOffset() {
					want = append(want, b.BaseOffset())
				}
				delete(seen, b.ProducerID())
			}
		}
		var have []int64
		for _, a := range entries {
			have = append(have, a.marker)
		}
		missing := slices.DeleteFunc(want, func(m int64) bool { return slices.Contains(have, m) })
		strange := slices.DeleteFunc(slices.Clone(have), func(m int64) bool { return slices.Contains(possible, m) })
		if len(missing) > 0 || len(strange) > 0 {
			return fmt.Errorf("the transaction index of segment %d has the markers %v; %v are missing, %v are not in the log, which is clean up to %d", s.base, have, missing, strange, x.CleanedOffset())
		}
	}
	return nil
}

// overwriteKeys appends records of few keys, tombstones among them, and returns all of them with their offsets.
func overwriteKeys(x *logAndDir, r *rand.Rand, batches, keys int, said []keyed) ([]keyed, error) {
	for range batches {
		var some []keyed
		end := x.EndOffset()
		for i := range 1 + r.IntN(5) {
			k := keyed{offset: end + int64(i), timestamp: 1000 + r.Int64N(5000), key: fmt.Sprint("k", r.IntN(keys)), value: fmt.Sprintf("v%d%0100d", end, i)}
			if r.IntN(6) == 0 {
				k.value, k.tombstone = "", true
			}
			some = append(some, k)
		}
		if _, err := x.tryAppend(keyBatch(some, batch.Codec(r.IntN(5))), 1, Client); err != nil {
			return said, err
		}
		said = append(said, some...)
		if r.IntN(12) == 0 {
			if err := x.lies(r); err != nil {
				return said, err
			}
		}
	}
	return said, nil
}

// compacted says what is wrong with what is left of everything that was said: it must be some of it in its order, with the newest of every key, but for tombstones.
func compacted(said, left []keyed) error {
	i := 0
	for _, r := range left {
		for i < len(said) && said[i].offset < r.offset {
			i++
		}
		if i == len(said) || said[i] != r {
			return fmt.Errorf("offset %d was never said: %+v", r.offset, r)
		}
	}
	want, have := latest(said), latest(left)
	for key, r := range want {
		if got, ok := have[key]; got != r && (ok || !r.tombstone) {
			return fmt.Errorf("key %s: the newest is %+v, left is %+v", key, r, got)
		}
	}
	return nil
}

func TestCompaction(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, compactConfig())
	r := rand.New(rand.NewPCG(1, 2))
	var said []keyed
	now := testNow
	for round := range 12 {
		var err error
		if said, err = overwriteKeys(x, r, 60, 20, said); err != nil {
			t.Fatal(err)
		}
		before := x.Size()
		stats, err := x.cleanNow(now)
		if err != nil {
			t.Fatal(err)
		}
		if stats.Segments == 0 || x.Size() >= before {
			t.Fatalf("round %d: nothing was cleaned: %+v, %d bytes before, %d after", round, stats, before, x.Size())
		}
		left, err := x.records()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(compacted(said, left), x.toldAborted()); err != nil {
			t.Fatal(err)
		}
		if err := x.wellFormed(); err != nil {
			t.Fatal(err)
		}
		cleaned, seen := x.CleanedOffset(), map[string]bool{}
		for _, k := range left {
			if k.offset < cleaned {
				if seen[k.key] {
					t.Fatalf("key %s stands twice below %d", k.key, cleaned)
				}
				seen[k.key] = true
			}
		}
		now = now.Add(700 * time.Millisecond)
		switch round % 3 {
		case 1:
			closeDir(t, x)
			x = openOn(t, mem, dir.Options{}, compactConfig())
		case 2:
			x.sync(t)
			if err := x.d.Abandon(); err != nil {
				t.Fatal(err)
			}
			mem = mem.Crash(vfs.LoseUnsynced)
			x = openOn(t, mem, dir.Options{}, compactConfig())
		}
	}
}

func TestTombstonesGoAfterTheirHorizon(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, compactConfig())
	put := func(some ...keyed) {
		t.Helper()
		if _, err := x.tryAppend(keyBatch(some, batch.None), 1, Client); err != nil {
			t.Fatal(err)
		}
	}
	fillUp := func() {
		t.Helper()
		for range 12 {
			put(keyed{timestamp: 5, key: "filler", value: fmt.Sprintf("%0500d", 1)})
		}
	}
	has := func(key string) bool {
		t.Helper()
		left, err := x.records()
		if err != nil {
			t.Fatal(err)
		}
		_, ok := latest(left)[key]
		return ok
	}
	put(keyed{timestamp: 5, key: "gone", value: "x"})
	put(keyed{timestamp: 5, key: "gone", tombstone: true})
	for i, want := range []bool{true, true, false} {
		fillUp()
		if _, err := x.cleanNow(testNow.Add(time.Duration(i*i) * 400 * time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		if has("gone") != want {
			t.Fatalf("cleaning %d: the tombstone is there: %v, want %v", i, !want, want)
		}
	}
}

// Whoever reads while segments are replaced finishes with what it began.
func TestReadersKeepReplacedSegments(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{Handles: dir.NewHandles(1)}, compactConfig())
	if _, err := overwriteKeys(x, rand.New(rand.NewPCG(3, 3)), 100, 5, nil); err != nil {
		t.Fatal(err)
	}
	x.sync(t)
	slice, err := x.Read(0, x.EndOffset(), 1<<20, true)
	if err != nil {
		t.Fatal(err)
	}
	want, err := slice.AppendTo(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := x.Clean(context.Background(), cleanOptions(testNow, x.SyncedOffset())); err != nil {
		t.Fatal(err)
	}
	if _, err := x.all(x.StartOffset(), x.EndOffset(), 1<<20); err != nil { // readers of the new ones meanwhile
		t.Fatal(err)
	}
	if x.swapped() {
		t.Fatal("files were replaced under a reader")
	}
	got, err := slice.AppendTo(nil)
	if err != nil || string(got) != string(want) {
		t.Fatalf("the reader got something else: %v", err)
	}
	slice.Close()
	x.wait(t, "replacement", x.swapped)
}

// cleanCutter cuts the power before every change of the disk while a log is cleaned.
type cleanCutter struct {
	mem     *vfs.Mem
	options dir.Options
	mu      sync.Mutex
	said    []keyed // acknowledged, all of it
	on      bool
	n       uint64
	images  int
	failure error
}

// Before implements vfs.Injector.
func (c *cleanCutter) Before(call vfs.Call) vfs.Fault {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !changes[call.Op] || !c.on || c.failure != nil {
		return vfs.Fault{}
	}
	c.n++
	for _, seed := range []uint64{vfs.LoseUnsynced, vfs.KeepUnsynced, 2 + 2*c.n, 3 + 2*c.n} {
		c.images++
		if err := c.survives(c.mem.Crash(seed)); err != nil {
			c.failure = fmt.Errorf("power cut %d, seed %d, before %s %s: %w", c.n, seed, call.Op, call.Path, err)
			return vfs.Fault{}
		}
	}
	return vfs.Fault{}
}

// After implements vfs.Injector.
func (c *cleanCutter) After(vfs.LoggedCall) {}

// survives opens an image, which must have all that was acknowledged, compacted or not, and cleans it once more.
func (c *cleanCutter) survives(image *vfs.Mem) error {
	o := c.options
	o.Mutants = 0
	y, err := tryOpenOn(image, o, compactConfig())
	if err != nil {
		return err
	}
	defer func() { _ = y.d.Abandon() }()
	if err := y.Err(); err != nil {
		return err
	}
	for range 2 {
		left, err := y.records()
		if err != nil {
			return err
		}
		kept := 0
		for kept < len(left) && left[kept].offset <= c.said[len(c.said)-1].offset {
			kept++
		}
		if err := compacted(c.said, left[:kept]); err != nil {
			return err
		}
		if kept < len(left) {
			return fmt.Errorf("offset %d was never said", left[kept].offset)
		}
		if err := y.wellFormed(); err != nil {
			return err
		}
		if err := y.toldAborted(); err != nil {
			return err
		}
		if _, err := y.cleanNow(testNow.Add(time.Hour)); err != nil {
			return err
		}
	}
	return nil
}

func crashWhileCleaning(o dir.Options, seed uint64) (int, error) {
	c := &cleanCutter{mem: vfs.NewMem(), options: o}
	x, err := tryOpenOn(vfs.NewFaulty(c.mem, c), o, compactConfig())
	if err != nil {
		return 0, err
	}
	defer func() { _ = x.d.Abandon() }()
	r := rand.New(rand.NewPCG(seed, 1))
	var said []keyed
	for round := range 4 {
		if said, err = overwriteKeys(x, r, 25, 60, said); err != nil {
			return 0, err
		}
		if err := x.tryWait("sync", func() bool { return x.SyncedOffset() == x.EndOffset() }); err != nil {
			return 0, err
		}
		c.mu.Lock()
		c.said, c.on = said, true
		c.mu.Unlock()
		_, err := x.cleanNow(testNow.Add(time.Duration(round) * 2 * time.Second))
		c.mu.Lock()
		c.on = false
		err = errors.Join(c.failure, err)
		c.mu.Unlock()
		if err != nil {
			return c.images, err
		}
	}
	return c.images, nil
}

func TestCrashWhileCleaning(t *testing.T) {
	withAndWithoutJournal(t, func(t *testing.T, journal func(dir.Options) dir.Options) {
		for seed := range uint64(2) {
			n, err := crashWhileCleaning(journal(dir.Options{CheckpointBytes: 3000}), seed)
			if err != nil {
				t.Fatal(err)
			}
			if n < 50 {
				t.Fatalf("only %d power cuts: not a test", n)
			}
			t.Logf("%d power cuts", n)
		}
	})
}

func TestCrashTestFindsUnsyncedReplacement(t *testing.T) {
	for seed := range uint64(20) {
		if _, err := crashWhileCleaning(dir.Options{CheckpointBytes: 3000, JournalBytes: -1, Mutants: dir.SkipSwapSync}, seed); err != nil {
			t.Logf("found: %v", err)
			return
		}
	}
	t.Error("the bug was not found")
}
