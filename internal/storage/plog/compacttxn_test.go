package plog

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// writer puts batches of every sort into a log that is compacted.
type writer struct {
	*logAndDir
	t         *testing.T
	sequences map[int64]int32
	now       time.Time
}

func newWriter(t *testing.T, x *logAndDir) *writer {
	return &writer{logAndDir: x, t: t, sequences: map[int64]int32{}, now: testNow}
}

// put appends records of a producer, -1 for none, and returns the offset of the first.
func (w *writer) put(producer int64, txn bool, records ...keyed) int64 {
	w.t.Helper()
	o := batch.Options{Transactional: txn}
	if producer >= 0 {
		o.HasProducer, o.ProducerID, o.BaseSequence = true, producer, w.sequences[producer]
		w.sequences[producer] += int32(len(records))
	}
	var b batch.Builder
	b.Reset(o)
	for _, r := range records {
		value := []byte(r.value)
		if r.tombstone {
			value = nil
		}
		b.Append(r.timestamp, []byte(r.key), value)
	}
	a, err := w.tryAppend(bytes.Clone(b.Build()), 1, Client)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.BaseOffset
}

func (w *writer) end(producer int64, commit bool) int64 {
	w.t.Helper()
	a, err := w.tryAppend(markerBatch(producer, commit, 5), 1, Internal)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.BaseOffset
}

func markerBatch(producer int64, commit bool, ms int64) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{HasProducer: true, ProducerID: producer, BaseSequence: batch.NoSequence, Transactional: true, Control: true})
	key := binary.BigEndian.AppendUint16(make([]byte, 2), map[bool]uint16{false: 0, true: 1}[commit])
	b.Append(ms, key, make([]byte, 6))
	return bytes.Clone(b.Build())
}

// pad fills segments, so that what was put before lies in sealed ones.
func (w *writer) pad() {
	w.t.Helper()
	for range 12 {
		w.put(-1, false, keyed{timestamp: 5, key: "pad", value: fmt.Sprintf("%0500d", 1)})
	}
}

func (w *writer) clean() CleanStats {
	w.t.Helper()
	stats, err := w.cleanNow(w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return stats
}

// at returns the batch that holds an offset.
func (w *writer) at(offset int64) (batch.Batch, bool) {
	w.t.Helper()
	got, err := w.all(w.StartOffset(), w.EndOffset(), 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, b := range got {
		if b.BaseOffset() <= offset && offset <= b.LastOffset() {
			return b, true
		}
	}
	return nil, false
}

func (w *writer) value(key string) string {
	w.t.Helper()
	left, err := w.records()
	if err != nil {
		w.t.Fatal(err)
	}
	return latest(left)[key].value
}

// aborted reads all transaction indexes.
func (w *writer) aborted() []abortedTxn {
	w.t.Helper()
	var out []abortedTxn
	for _, s := range *w.segments.Load() {
		more, err := w.readTxns(s)
		if err != nil {
			w.t.Fatal(err)
		}
		out = append(out, more...)
	}
	return out
}

// An aborted transaction hides nothing and leaves nothing; its marker and its entry in the transaction index go when nothing of it is left, and then only after delete.retention.ms.
func TestCleaningTransactions(t *testing.T) {
	mem := vfs.NewMem()
	w := newWriter(t, openOn(t, mem, dir.Options{}, compactConfig()))
	w.put(-1, false, keyed{timestamp: 5, key: "k", value: "true"})
	lie := w.put(7, true, keyed{timestamp: 5, key: "k", value: "lie"}, keyed{timestamp: 5, key: "other", value: "lie"})
	abort := w.end(7, false)
	told := w.put(8, true, keyed{timestamp: 5, key: "j", value: "told"})
	commit := w.end(8, true)
	w.pad()
	w.clean()

	if got := []string{w.value("k"), w.value("other"), w.value("j")}; !slices.Equal(got, []string{"true", "", "told"}) {
		t.Fatalf("k, other, j: %q", got)
	}
	b, ok := w.at(lie)
	if !ok || b.RecordCount() != 0 || !b.IsTransactional() || b.LastOffset() != lie+1 || b.LastSequence() != 1 {
		t.Fatalf("the producer's last batch must stay, without records: %v %v", ok, b)
	}
	want := []abortedTxn{{7, lie, abort, abort + 1}}
	if got := w.aborted(); !slices.Equal(got, want) {
		t.Fatalf("transaction index: %v, want %v", got, want)
	}
	for _, at := range []int64{abort, commit} {
		if b, ok := w.at(at); !ok || b.RecordCount() != 1 || b.HasDeleteHorizon() {
			t.Fatalf("marker at %d: %v, horizon %v", at, ok, b.HasDeleteHorizon())
		}
	}

	// The producer goes on: its emptied batch is no longer needed, and the marker is when the index is read for the last time.
	w.put(-1, false, keyed{timestamp: 5, key: "k2", value: "old"})
	w.put(7, true, keyed{timestamp: 5, key: "k2", value: "x"})
	w.end(7, true)
	w.put(8, false, keyed{timestamp: 5, key: "j", value: "retold"})
	w.pad()
	closeDir(t, w.logAndDir)
	w.logAndDir = openOn(t, mem, dir.Options{}, compactConfig())
	w.clean()
	if _, ok := w.at(lie); ok {
		t.Error("an emptied batch that is not its producer's last stayed")
	}
	if _, ok := w.at(told); ok {
		t.Error("an overwritten record of a transaction stayed")
	}
	if got := w.aborted(); !slices.Equal(got, want) {
		t.Fatalf("transaction index: %v, want %v", got, want)
	}

	left, err := w.records()
	if err != nil {
		t.Fatal(err)
	}
	if left = slices.DeleteFunc(left, func(r keyed) bool { return r.key != "k2" }); len(left) != 1 || left[0].value != "x" {
		t.Errorf("of k2, which a producer overwrote after a transaction of it was aborted, %+v are left", left)
	}
	w.put(-1, false, keyed{timestamp: 5, key: "k3", value: "x"})
	w.pad()
	w.clean() // now nothing of the two transactions is there
	if got := w.aborted(); len(got) != 0 {
		t.Errorf("transaction index: %v", got)
	}
	horizon := w.now.UnixMilli() + w.Config().DeleteRetentionMs
	for _, at := range []int64{abort, commit} {
		if b, ok := w.at(at); !ok || b.DeleteHorizon() != horizon {
			t.Fatalf("marker at %d: %v, horizon %d, want %d", at, ok, b.DeleteHorizon(), horizon)
		}
	}
	for i, there := range []bool{true, false} {
		w.now = testNow.Add(time.Duration(999+i) * time.Millisecond)
		w.pad()
		w.clean()
		for _, at := range []int64{abort, commit} {
			if _, ok := w.at(at); ok != there {
				t.Errorf("marker at %d, %d ms later: %v, want %v", at, 999+i, ok, there)
			}
		}
	}
	if err := w.wellFormed(); err != nil {
		t.Error(err)
	}
}

// Below the last stable offset every transaction has ended, but the marker that says how may lie beyond it, behind another that has not.
func TestAbortedTransactionWithItsMarkerBeyondWhatIsCleaned(t *testing.T) {
	w := newWriter(t, openOn(t, vfs.NewMem(), dir.Options{}, compactConfig()))
	w.put(-1, false, keyed{timestamp: 5, key: "k", value: "true"})
	w.put(7, true, keyed{timestamp: 5, key: "k", value: "lie"})
	w.pad()
	open := w.put(8, true, keyed{timestamp: 5, key: "open", value: "x"})
	w.pad()
	w.end(7, false)
	w.sync(t)
	before := w.Cleanable(w.now, w.SyncedOffset()) // whatever the caller takes for stable
	if before.FirstUncleanable > open || before.FirstUncleanable == 0 {
		t.Fatalf("%+v: want whole segments below the last stable offset %d", before, open)
	}
	if _, err := w.Clean(context.Background(), cleanOptions(w.now, w.SyncedOffset())); err != nil {
		t.Fatal(err)
	}
	w.wait(t, "replacement", w.swapped)
	if got := w.value("k"); got != "true" {
		t.Errorf("k is %q after its overwriting was aborted", got)
	}
	w.end(8, true)
	w.pad()
	w.clean()
	if got := []string{w.value("k"), w.value("open")}; !slices.Equal(got, []string{"true", "x"}) {
		t.Errorf("k, open: %q", got)
	}
}

// What Kafka's transaction indexes say is kept to the letter, and merged when their segments are.
func TestCleaningMergesTransactionIndexes(t *testing.T) {
	mem := vfs.NewMem()
	w := newWriter(t, openOn(t, mem, dir.Options{}, compactConfig()))
	var want []abortedTxn
	for id := range int64(3) {
		first := w.put(id, true, keyed{timestamp: 5, key: fmt.Sprint("k", id), value: "lie"})
		w.put(9, false, keyed{timestamp: 5, key: fmt.Sprint("p", id), value: fmt.Sprintf("%01000d", 1)})
		w.pad()
		want = append(want, abortedTxn{id, first, w.end(id, false), first}) // a last stable offset that we would not have found
	}
	w.pad()
	closeDir(t, w.logAndDir)
	d := testDir + "/" + testName + "/"
	for _, a := range want {
		i := w.logAndDir.segments.Load().find(a.marker)
		f, err := mem.Create(d + fileName((*w.segments.Load())[i].base, txnIndexSuffix))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt(appendTxn(nil, a), 0); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	w.logAndDir = openOn(t, mem, dir.Options{}, compactConfig())
	before := w.SegmentCount()
	w.clean()
	w.pad()
	w.clean() // what was cleaned is small now, and put together
	if w.SegmentCount() >= before {
		t.Fatalf("%d segments of %d: not a test", w.SegmentCount(), before)
	}
	if got := w.aborted(); !slices.Equal(got, want) {
		t.Errorf("transaction indexes: %v, want %v", got, want)
	}
	entries, err := mem.ReadDir(d)
	if err != nil {
		t.Fatal(err)
	}
	indexes := 0
	for _, e := range entries {
		if _, suffix, ok := ParseFileName(e.Name); ok && suffix == txnIndexSuffix {
			indexes++
		}
	}
	if indexes == 0 || indexes >= len(want) {
		t.Errorf("%d transaction indexes: %v", indexes, entries)
	}
}

// A producer that still may send again is remembered by its last batch, which stays, emptied, until there is a newer one; so does the last batch of what is cleaned.
func TestCleaningKeepsProducers(t *testing.T) {
	mem := vfs.NewMem()
	w := newWriter(t, openOn(t, mem, dir.Options{}, compactConfig()))
	old := w.put(5, false, keyed{timestamp: 5, key: "k", value: "1"})
	last := w.put(5, false, keyed{timestamp: 5, key: "k", value: "2"}, keyed{timestamp: 5, key: "k", value: "3"})
	w.put(-1, false, keyed{timestamp: 5, key: "k", value: "4"})
	w.pad()
	w.clean()
	if _, ok := w.at(old); ok {
		t.Error("an older batch of the producer stayed")
	}
	if b, ok := w.at(last); !ok || b.RecordCount() != 0 || b.BaseSequence() != 1 || b.LastSequence() != 2 || b.MaxTimestamp() != 5 {
		t.Fatalf("the last batch of the producer: %v %v", ok, b)
	}
	w.sync(t)
	if err := w.d.Abandon(); err != nil {
		t.Fatal(err)
	}
	if err := mem.Remove(testDir + "/" + dir.ManifestFile); err != nil { // the files alone must tell
		t.Fatal(err)
	}
	w.logAndDir = openOn(t, mem, dir.Options{}, compactConfig())
	ps := w.Producers()
	if len(ps) != 1 || ps[0].ProducerID != 5 || ps[0].LastSequence != 2 {
		t.Fatalf("after a restart without the manifest: %+v", ps)
	}
	next := w.put(5, false, keyed{timestamp: 5, key: "k", value: "5"})
	w.pad()
	w.clean()
	if _, ok := w.at(last); ok {
		t.Error("the emptied batch stayed after a newer one came")
	}
	if _, ok := w.at(next); !ok {
		t.Error("the newest batch went")
	}
}

// The batch that ends at the high watermark stays, emptied, so that a reader gets there; the next cleaning may drop it.
func TestCleaningKeepsTheHighWatermark(t *testing.T) {
	w := newWriter(t, openOn(t, vfs.NewMem(), dir.Options{}, compactConfig()))
	w.put(-1, false, keyed{timestamp: 5, key: "k", value: "1"})
	end := w.put(3, true, keyed{timestamp: 5, key: "lie", value: fmt.Sprintf("%03900d", 1)})
	w.put(3, true, keyed{timestamp: 5, key: "lie", value: fmt.Sprintf("%0500d", 1)}) // in a segment of its own, and its producer's last
	w.end(3, false)
	w.sync(t)
	if c := w.Cleanable(w.now, w.SyncedOffset()); c.FirstUncleanable != end+1 {
		t.Fatalf("%+v, want the first uncleanable offset to be %d", c, end+1)
	}
	o := cleanOptions(w.now, w.SyncedOffset())
	o.HighWatermark = end + 1
	if _, err := w.Clean(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	w.wait(t, "replacement", w.swapped)
	if b, ok := w.at(end); !ok || b.RecordCount() != 0 {
		t.Errorf("the batch that ends at the high watermark: %v %v", ok, b)
	}
	w.pad()
	w.clean()
	if _, ok := w.at(end); ok {
		t.Error("it stayed when the high watermark had moved on")
	}
}
