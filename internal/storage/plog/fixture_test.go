package plog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	testName = "topic-0"
	testDir  = "/data"
)

var (
	testID   = model.TopicID{1, 2, 3}
	testMeta = dir.Meta{ClusterID: "cluster", NodeID: 1}
)

// logAndDir is an open log in an open directory.
type logAndDir struct {
	*Log
	d     *dir.Dir
	moved chan struct{}
}

func openOn(t testing.TB, fsys vfs.FS, o dir.Options, c *Config) *logAndDir {
	t.Helper()
	x, err := tryOpenOn(fsys, o, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = x.d.Abandon() })
	return x
}

func tryOpenOn(fsys vfs.FS, o dir.Options, c *Config) (*logAndDir, error) {
	if o.Meta == (dir.Meta{}) {
		o.Meta = testMeta
	}
	path := testDir
	if _, ok := fsys.(*osAt); ok {
		path = fsys.(*osAt).path
	}
	d, err := dir.Open(fsys, path, o)
	if err != nil {
		return nil, err
	}
	x := &logAndDir{d: d, moved: make(chan struct{}, 1)}
	if err := x.open(c); err != nil {
		return nil, errors.Join(err, d.Abandon())
	}
	return x, nil
}

// osAt is the real file system with the directory that a test uses.
type osAt struct {
	vfs.FS
	path string
}

func (x *logAndDir) open(c *Config) error {
	l, err := Open(x.d, testName, testID, c)
	if err != nil {
		return err
	}
	x.Log = l
	l.OnProgress(func() {
		select {
		case x.moved <- struct{}{}:
		default:
		}
	})
	return nil
}

// wait waits until a condition that moves with the log holds.
func (x *logAndDir) wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	if err := x.tryWait(what, ok); err != nil {
		t.Fatal(err)
	}
}

func (x *logAndDir) tryWait(what string, ok func() bool) error {
	deadline := time.NewTimer(time.Minute) // of a machine that has much else to do
	defer deadline.Stop()
	poll := time.NewTicker(5 * time.Millisecond) // the callback may have been set after the fact
	defer poll.Stop()
	for !ok() {
		if err := x.Err(); err != nil {
			return fmt.Errorf("waiting for %s: %w", what, err)
		}
		select {
		case <-x.moved:
		case <-poll.C:
		case <-deadline.C:
			return fmt.Errorf("no %s: end %d, written %d, synced %d, start %d, on disk %d, cut pending %v", what, x.EndOffset(), x.WrittenOffset(), x.SyncedOffset(), x.StartOffset(), x.DurableStartOffset(), x.CutPending())
		}
	}
	return nil
}

func (x *logAndDir) sync(t testing.TB) {
	t.Helper()
	x.wait(t, "sync of everything", func() bool { return x.SyncedOffset() == x.EndOffset() })
}

// testConfig has small segments and a dense index.
func testConfig() *Config {
	c := DefaultConfig()
	c.SegmentBytes, c.IndexIntervalBytes, c.SegmentIndexBytes = 4096, 256, 4096
	c.RetentionMs, c.FileDeleteDelayMs = -1, 0
	return c
}

// makeBatch makes a batch of n records whose values say what they are.
func makeBatch(n int, tag string, size int, timestamp int64, o batch.Options) batch.Batch {
	var b batch.Builder
	b.Reset(o)
	for i := range n {
		value := fmt.Appendf(nil, "%s/%d:", tag, i)
		value = append(value, bytes.Repeat([]byte{byte('a' + i%26)}, size)...)
		b.Append(timestamp+int64(i), nil, value)
	}
	return bytes.Clone(b.Build())
}

func producerBatch(n int, id int64, epoch int16, sequence int32) batch.Batch {
	return makeBatch(n, fmt.Sprintf("p%d-%d-%d", id, epoch, sequence), 10, 1000, batch.Options{HasProducer: true, ProducerID: id, ProducerEpoch: epoch, BaseSequence: sequence})
}

func (x *logAndDir) append(t testing.TB, b batch.Batch, epoch int32) Appended {
	t.Helper()
	a, err := x.tryAppend(b, epoch, Client)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// tryAppend appends as a caller must: waiting for memory when there is none.
func (x *logAndDir) tryAppend(b batch.Batch, epoch int32, origin Origin) (Appended, error) {
	for {
		a, err := x.Append(b, epoch, testNow, origin)
		if !errors.Is(err, ErrBudget) {
			return a, err
		}
		if err := x.WaitRoom(context.Background(), Internal); err != nil {
			return a, err
		}
	}
}

var testNow = time.UnixMilli(1_700_000_000_000)

// all reads every batch between two offsets through Read.
func (x *logAndDir) all(from, to int64, maxBytes int) ([]batch.Batch, error) {
	var out []batch.Batch
	for from < to {
		s, err := x.Read(from, to, maxBytes, true)
		if err != nil {
			return out, err
		}
		if s.Len() == 0 {
			s.Close()
			return out, fmt.Errorf("nothing to be read at offset %d, before %d", from, to)
		}
		for b, err := range s.Batches() {
			if err != nil {
				s.Close()
				return out, err
			}
			out = append(out, bytes.Clone(b))
			from = b.NextOffset()
		}
		s.Close()
	}
	return out, nil
}

func closeDir(t testing.TB, x *logAndDir) {
	t.Helper()
	if err := x.d.Close(7); err != nil {
		t.Fatal(err)
	}
}

// sameBatches compares what was appended with what was read.
func sameBatches(want, got []batch.Batch) error {
	for i := range min(len(want), len(got)) {
		if !bytes.Equal(want[i], got[i]) {
			return fmt.Errorf("batch %d differs: appended offsets %d-%d of epoch %d, read %d-%d of epoch %d", i, want[i].BaseOffset(), want[i].LastOffset(), want[i].PartitionLeaderEpoch(), got[i].BaseOffset(), got[i].LastOffset(), got[i].PartitionLeaderEpoch())
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d batches appended, %d read", len(want), len(got))
	}
	return nil
}
