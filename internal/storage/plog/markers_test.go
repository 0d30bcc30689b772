package plog

import (
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// txnBatch is one record of a transaction.
func txnBatch(producer int64, sequence int32) batch.Batch {
	return makeBatch(1, "txn", 10, 1000, batch.Options{HasProducer: true, ProducerID: producer, BaseSequence: sequence, Transactional: true})
}

// txnFirst tells where a producer's transaction began, NoOffset when none is open.
func (x *logAndDir) txnFirst(t *testing.T, id int64) int64 {
	t.Helper()
	for _, p := range x.Producers() {
		if p.ProducerID == id {
			return p.CurrentTxnStartOffset
		}
	}
	t.Fatalf("producer %d is not known", id)
	return 0
}

// TestCutOfAMarkerOpensItsTransaction: with its marker a transaction loses its end, also when the log was opened since, with the manifest or without.
func TestCutOfAMarkerOpensItsTransaction(t *testing.T) {
	for _, how := range []string{"at once", "after a restart", "after a restart without the manifest"} {
		t.Run(how, func(t *testing.T) {
			mem := vfs.NewMem()
			x := openOn(t, mem, dir.Options{}, testConfig())
			for i := range int32(3) { // transactions of offsets 0 and 1, 3 and 4, 6 and 7, their markers at 2, 5 and 8
				x.append(t, txnBatch(7, 2*i), 0)
				x.append(t, txnBatch(7, 2*i+1), 0)
				if _, err := x.tryAppend(markerBatch(7, i == 1, 1000), 0, Internal); err != nil {
					t.Fatal(err)
				}
			}
			x.append(t, makeBatch(1, "other", 10, 1000, batch.Options{}), 0)
			x.sync(t)
			if how != "at once" {
				closeDir(t, x)
				if how == "after a restart without the manifest" {
					if err := mem.Remove(testDir + "/ottla.manifest"); err != nil {
						t.Fatal(err)
					}
				}
				x = openOn(t, mem, dir.Options{}, testConfig())
			}
			for _, cut := range []struct{ to, open int64 }{{9, NoOffset}, {8, 6}, {7, 6}, {6, NoOffset}, {5, 3}, {1, 0}} {
				if err := x.TruncateTo(cut.to); err != nil {
					t.Fatal(err)
				}
				if got := x.txnFirst(t, 7); got != cut.open {
					t.Errorf("cut to offset %d: the transaction began at %d, want %d", cut.to, got, cut.open)
				}
			}
		})
	}
}

// TestStateBeforeAMarker: the manifest is written while a marker is in memory only. Whoever recovers to its recovery point must find the transaction open.
func TestStateBeforeAMarker(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	x.append(t, txnBatch(7, 0), 0)
	x.append(t, makeBatch(1, "other", 10, 1000, batch.Options{}), 0)
	x.sync(t)
	x.mu.Lock()
	at := x.mu.syncedMark
	x.mu.Unlock()
	if _, err := x.tryAppend(markerBatch(7, true, 1000), 0, Internal); err != nil {
		t.Fatal(err)
	}
	x.append(t, txnBatch(7, 1), 0)
	x.sync(t)
	x.mu.Lock()
	x.mu.syncedMark = at // as it was before the round
	data := x.encodeStateLocked()
	x.mu.Unlock()
	st, err := parseState(data)
	if err != nil {
		t.Fatal(err)
	}
	if p := st.producers[7]; p == nil {
		t.Fatal("the producer is left out: nobody would look for it")
	}
	if st.producers.cutEnd(at.offset) {
		t.Errorf("what is before the marker is taken from the state: %+v", st.producers[7])
	}
}

// TestTransactionThatEndedInWhatWasDeleted: the manifest is older than the start offset, and knows a transaction as open of which nothing is left, not even its marker.
func TestTransactionThatEndedInWhatWasDeleted(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	x.append(t, txnBatch(7, 0), 0)
	closeDir(t, x)
	x = openOn(t, mem, dir.Options{}, testConfig())
	if got := x.txnFirst(t, 7); got != 0 {
		t.Fatalf("the transaction began at %d, want 0", got)
	}
	if _, err := x.tryAppend(markerBatch(7, true, 1000), 0, Internal); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		x.append(t, makeBatch(1, "other", 1500, 1000, batch.Options{}), 0)
	}
	x.sync(t)
	list := *x.segments.Load()
	start := list.active().base
	if err := x.SetStartOffset(start); err != nil {
		t.Fatal(err)
	}
	x.wait(t, "start offset on disk", func() bool { return x.DurableStartOffset() == start })
	if err := x.d.Abandon(); err != nil {
		t.Fatal(err)
	}
	x = openOn(t, mem, dir.Options{}, testConfig())
	if x.StartOffset() != start || len(list) < 2 {
		t.Fatalf("it starts at %d of %d segments, want %d", x.StartOffset(), len(list), start)
	}
	for _, p := range x.Producers() {
		if p.CurrentTxnStartOffset != NoOffset {
			t.Errorf("%+v", p)
		}
	}
}

// TestSnapshotOfWhatWasDeletedIsNotBelieved: a snapshot that is older than everything left tells of transactions whose end was deleted with the rest.
func TestSnapshotOfWhatWasDeletedIsNotBelieved(t *testing.T) {
	mem := vfs.NewMem()
	x := openOn(t, mem, dir.Options{}, testConfig())
	x.append(t, txnBatch(7, 0), 0)
	if _, err := x.tryAppend(markerBatch(7, true, 1000), 0, Internal); err != nil {
		t.Fatal(err)
	}
	for range 6 {
		x.append(t, makeBatch(1, "other", 1500, 1000, batch.Options{}), 0)
	}
	x.sync(t)
	open := encodeSnapshot(producers{7: {epoch: 0, txnFirst: 0, count: 1}})
	start := (*x.segments.Load()).active().base
	if err := x.SetStartOffset(start); err != nil {
		t.Fatal(err)
	}
	if x.Maintain(time.Now(), start); start == 0 || (*x.segments.Load())[0].base != start {
		t.Fatal("nothing was removed: not a test")
	}
	overwrite(t, mem, x.fileName(start, snapshotSuffix), nil)
	for _, offset := range []int64{1, start - 1} {
		overwrite(t, mem, x.fileName(offset, snapshotSuffix), open)
	}
	ps, err := x.rebuildProducers(x.EndOffset())
	if err != nil || ps[7] != nil {
		t.Errorf("%+v, %v", ps[7], err)
	}
}
