package plog

import (
	"errors"
	"math"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

func TestIdempotentProducers(t *testing.T) {
	type step struct {
		records   int
		epoch     int16
		sequence  int32
		want      error
		duplicate int64 // base offset of the original, -1 when none
	}
	for name, steps := range map[string][]step{
		"duplicates of the last five": {
			{2, 0, 0, nil, -1}, {2, 0, 2, nil, -1}, {2, 0, 4, nil, -1}, {2, 0, 6, nil, -1}, {2, 0, 8, nil, -1},
			{2, 0, 0, nil, 0}, {2, 0, 4, nil, 4}, {2, 0, 8, nil, 8},
			{2, 0, 10, nil, -1},
			{2, 0, 0, model.OutOfOrderSequenceNumber, -1}, // forgotten
			{2, 0, 2, nil, 2},
		},
		"a batch that overlaps a remembered one is no duplicate": {
			{2, 0, 0, nil, -1}, {1, 0, 0, model.OutOfOrderSequenceNumber, -1}, {1, 0, 1, model.OutOfOrderSequenceNumber, -1}, {3, 0, 0, model.OutOfOrderSequenceNumber, -1},
		},
		"a gap":                               {{1, 0, 0, nil, -1}, {1, 0, 2, model.OutOfOrderSequenceNumber, -1}, {1, 0, 1, nil, -1}},
		"an unknown producer begins anywhere": {{3, 4, 77, nil, -1}, {1, 4, 80, nil, -1}},
		"a new epoch begins at zero":          {{1, 0, 0, nil, -1}, {1, 1, 1, model.OutOfOrderSequenceNumber, -1}, {1, 1, 0, nil, -1}, {1, 1, 1, nil, -1}},
		"an old epoch is fenced":              {{1, 3, 0, nil, -1}, {1, 2, 1, model.InvalidProducerEpoch, -1}, {1, 3, 1, nil, -1}},
		"the same sequences in a new epoch":   {{1, 0, 0, nil, -1}, {1, 1, 0, nil, -1}, {1, 1, 0, nil, 1}},
		"sequences wrap to zero":              {{1, 0, math.MaxInt32, nil, -1}, {2, 0, 0, nil, -1}, {1, 0, math.MaxInt32, nil, 0}},
		"sequences wrap within a batch":       {{4, 0, math.MaxInt32 - 1, nil, -1}, {1, 0, 2, nil, -1}, {4, 0, math.MaxInt32 - 1, nil, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
			for i, s := range steps {
				end := x.EndOffset()
				a, err := x.tryAppend(producerBatch(s.records, 7, s.epoch, s.sequence), 1, Client)
				if !errors.Is(err, s.want) || s.want == nil && err != nil {
					t.Fatalf("step %d: %v, want %v", i, err, s.want)
				}
				if err != nil || s.duplicate >= 0 {
					if x.EndOffset() != end {
						t.Fatalf("step %d changed the log", i)
					}
				}
				if err == nil && s.duplicate >= 0 && (!a.Duplicate || a.BaseOffset != s.duplicate || a.End != s.duplicate+int64(s.records) || a.Timestamp != 1000+int64(s.records)-1) {
					t.Fatalf("step %d: %+v, want a duplicate of offset %d", i, a, s.duplicate)
				}
				if err == nil && s.duplicate < 0 && (a.Duplicate || a.BaseOffset != end) {
					t.Fatalf("step %d: %+v, want it at %d", i, a, end)
				}
			}
		})
	}
}

// remembered checks that the last five batches of producer 7, two records each from sequence 0 on, are known as duplicates.
func remembered(t *testing.T, x *logAndDir, batches int32) {
	t.Helper()
	for i := max(0, batches-5); i < batches; i++ {
		a, err := x.tryAppend(producerBatch(2, 7, 1, 2*i), 9, Client)
		if err != nil || !a.Duplicate || a.BaseOffset != int64(2*i) {
			t.Fatalf("batch %d of %d: %+v %v", i, batches, a, err)
		}
	}
	if _, err := x.tryAppend(producerBatch(2, 7, 1, 2*batches+2), 9, Client); !errors.Is(err, model.OutOfOrderSequenceNumber) {
		t.Fatalf("a gap was not noticed: %v", err)
	}
}

func TestProducersSurviveStopsAndCrashes(t *testing.T) {
	const batches = 30
	for _, how := range []string{"clean", "killed", "power cut", "no manifest"} {
		t.Run(how, func(t *testing.T) {
			mem := vfs.NewMem()
			x := openOn(t, mem, dir.Options{CheckpointBytes: 1500}, testConfig())
			for i := range int32(batches) {
				x.append(t, producerBatch(2, 7, 1, 2*i), 1)
				if i%4 == 3 {
					x.sync(t)
				}
			}
			x.sync(t)
			switch how {
			case "clean":
				closeDir(t, x)
			case "killed":
				if err := x.d.Abandon(); err != nil {
					t.Fatal(err)
				}
			case "power cut":
				mem = mem.Crash(vfs.LoseUnsynced)
			case "no manifest":
				closeDir(t, x)
				if err := mem.Remove(testDir + "/ottla.manifest"); err != nil {
					t.Fatal(err)
				}
			}
			x = openOn(t, mem, dir.Options{}, testConfig())
			if how == "no manifest" { // Kafka's snapshot has one batch of each producer
				a, err := x.tryAppend(producerBatch(2, 7, 1, 2*batches-2), 9, Client)
				if err != nil || !a.Duplicate {
					t.Fatalf("%+v %v", a, err)
				}
				return
			}
			remembered(t, x, batches)
		})
	}
}

// TestProducersOfWhatWasDeleted: a node is killed after it deleted all that a producer had sent since the last manifest, or since there is one. The snapshot in front of what is left knows the producer, at
// once and not only after the next cut.
func TestProducersOfWhatWasDeleted(t *testing.T) {
	for _, manifest := range []bool{false, true} {
		mem := vfs.NewMem()
		x := openOn(t, mem, dir.Options{}, testConfig())
		if manifest {
			x.append(t, producerBatch(2, 7, 1, 0), 1)
			closeDir(t, x)
			x = openOn(t, mem, dir.Options{}, testConfig())
		}
		last := x.append(t, producerBatch(2, 7, 1, 2), 1)
		for range 6 {
			x.append(t, makeBatch(1, "other", 1500, 1000, batch.Options{}), 1)
		}
		x.sync(t)
		start := (*x.segments.Load()).active().base
		if err := x.SetStartOffset(start); err != nil {
			t.Fatal(err)
		}
		x.wait(t, "start offset on disk", func() bool { return x.DurableStartOffset() == start })
		if err := x.d.Abandon(); err != nil {
			t.Fatal(err)
		}
		if _, err := mem.Stat(testDir + "/ottla.manifest"); manifest != (err == nil) {
			t.Fatalf("not a test: manifest %v", err)
		}
		x = openOn(t, mem, dir.Options{}, testConfig())
		if x.StartOffset() != start || start == 0 {
			t.Fatalf("it starts at %d, want %d", x.StartOffset(), start)
		}
		a, err := x.tryAppend(producerBatch(2, 7, 1, 2), 9, Client)
		if err != nil || !a.Duplicate || a.BaseOffset != last.BaseOffset {
			t.Errorf("with a manifest %v: a batch that was sent before: %+v %v", manifest, a, err)
		}
	}
}

func TestProducersAfterACut(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	for i := range int32(40) {
		x.append(t, producerBatch(2, 7, 1, 2*i), 1)
	}
	x.append(t, producerBatch(1, 8, 0, 0), 1)
	x.sync(t)
	for _, batches := range []int32{39, 37, 20, 3} { // within memory, then from snapshot and log
		if err := x.TruncateTo(int64(2 * batches)); err != nil {
			t.Fatal(err)
		}
		remembered(t, x, batches)
		x.wait(t, "sync of the cut", func() bool { return x.SyncedOffset() == x.EndOffset() })
	}
	for _, p := range x.Producers() {
		if p.ProducerID == 8 {
			t.Error("a producer that was cut off is still known")
		}
	}
}

func TestProducersExpire(t *testing.T) {
	c := testConfig()
	c.ProducerExpirationMs = 100
	x := openOn(t, vfs.NewMem(), dir.Options{}, c)
	x.append(t, makeBatch(1, "old", 1, testNow.UnixMilli()-1000, batch.Options{HasProducer: true, ProducerID: 1}), 1)
	x.append(t, makeBatch(1, "new", 1, testNow.UnixMilli(), batch.Options{HasProducer: true, ProducerID: 2}), 1)
	x.append(t, makeBatch(1, "open", 1, 0, batch.Options{HasProducer: true, ProducerID: 3, Transactional: true}), 1)
	x.Maintain(testNow, 0)
	var ids []int64
	for _, p := range x.Producers() {
		ids = append(ids, p.ProducerID)
	}
	if len(ids) != 2 || ids[0] != 2 || ids[1] != 3 {
		t.Errorf("producers %v are left, want 2 and 3", ids)
	}
}

func TestInternalAppendsOnlyCheckTheEpoch(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	x.append(t, producerBatch(1, 7, 2, 0), 1)
	if _, err := x.tryAppend(producerBatch(1, 7, 2, 50), 1, Internal); err != nil {
		t.Errorf("an internal batch with a gap: %v", err)
	}
	if _, err := x.tryAppend(producerBatch(1, 7, 1, 0), 1, Internal); !errors.Is(err, model.InvalidProducerEpoch) {
		t.Errorf("an internal batch of an old epoch: %v", err)
	}
}

// Kafka's transaction markers end the open transaction and carry the coordinator's epoch.
func TestTransactionState(t *testing.T) {
	x := openOn(t, vfs.NewMem(), dir.Options{}, testConfig())
	x.append(t, makeBatch(2, "txn", 1, 5, batch.Options{HasProducer: true, ProducerID: 7, ProducerEpoch: 1, Transactional: true}), 1)
	if p := x.Producers()[0]; p.CurrentTxnStartOffset != 0 || p.CoordinatorEpoch != NoEpoch {
		t.Errorf("in the transaction: %+v", p)
	}
	if _, err := x.tryAppend(producerBatch(1, 7, 1, 2), 1, Client); !errors.Is(err, model.InvalidTxnState) {
		t.Errorf("a batch outside of the open transaction: %v", err)
	}
	var b batch.Builder
	b.Reset(batch.Options{HasProducer: true, ProducerID: 7, ProducerEpoch: 1, BaseSequence: -1, Transactional: true, Control: true})
	b.Append(9, []byte{0, 0, 0, 1}, []byte{0, 0, 0, 0, 0, 42})
	if _, err := x.tryAppend(b.Build(), 1, Internal); err != nil {
		t.Fatal(err)
	}
	if p := x.Producers()[0]; p.CurrentTxnStartOffset != NoOffset || p.CoordinatorEpoch != 42 || p.LastSequence != 1 || p.LastTimestamp != 9 {
		t.Errorf("after the marker: %+v", p)
	}
}
