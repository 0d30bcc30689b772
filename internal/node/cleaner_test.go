package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// cleaned waits until the partition of a topic has been compacted up to an offset, and returns how many bytes it has.
func cleaned(t *testing.T, n *Node, topic string, to int64) int64 {
	t.Helper()
	p := n.partitions.Topic(topic).Partition(0)
	eventually(t, "compaction of "+topic, func() bool { return p.Log().CleanedOffset() >= to })
	return p.Log().Size()
}

func TestCleanerCompactsTopics(t *testing.T) {
	path := t.TempDir()
	overrides := []string{"log.cleaner.backoff.ms=20", "offsets.topic.num.partitions=1"}
	n := open(t, path, overrides...)
	c := dial(t, n)
	createTopic(t, c, "changes", 1, "cleanup.policy", "compact", "internal.segment.bytes", "16384", "min.cleanable.dirty.ratio", "0.01")
	k := client(t, n)
	const keys, rounds = 50, 40
	for round := range rounds {
		for key := range keys {
			k.Produce(context.Background(), &kgo.Record{Topic: "changes", Key: fmt.Append(nil, key), Value: fmt.Appendf(nil, "%d of %d %s", round, key, strings.Repeat("x", 50))}, nil)
		}
		if err := k.Flush(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	size := cleaned(t, n, "changes", keys*rounds/2)
	if size > keys*rounds*60/2 {
		t.Errorf("the compacted topic has %d bytes", size)
	}

	warmCoordinator(t, c, "group")
	alterTopic(t, c, model.ConsumerOffsetsTopic, "internal.segment.bytes", "4096")
	m := join(t, c, "group")
	for offset := range int64(400) {
		code(t, "commit", commit(t, c, m, "changes", offset, ""), model.None)
	}
	cleaned(t, n, model.ConsumerOffsetsTopic, 200)
	k.Close()
	stop(t, n)

	n = open(t, path, overrides...)
	t.Cleanup(func() { stop(t, n) })
	reader := client(t, n, kgo.ConsumeTopics("changes"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	end := n.partitions.Topic("changes").Partition(0).Log().EndOffset()
	have := map[string]string{}
	for at := int64(-1); at < end-1; {
		fetches := reader.PollFetches(t.Context())
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { have[string(r.Key)], at = string(r.Value), r.Offset })
	}
	for key := range keys {
		if want := fmt.Sprintf("%d of %d ", rounds-1, key); !strings.HasPrefix(have[fmt.Sprint(key)], want) {
			t.Errorf("key %d: %q, want %q", key, have[fmt.Sprint(key)], want)
		}
	}
	if got := committed(t, dial(t, n), "group", "changes"); got.Offset != 399 {
		t.Errorf("the group committed %d", got.Offset)
	}
}

// gauges reads a metric, the sum of its series.
func gauges(t *testing.T, n *Node, name string) float64 {
	t.Helper()
	families, err := n.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
		return sum
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

// overwrite writes few keys again and again until so many bytes were said, and calls look after every MiB.
func overwrite(t *testing.T, n *Node, topic string, size int, look func()) {
	t.Helper()
	k := client(t, n, kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(32<<10))
	value := []byte(strings.Repeat("v", 1000))
	for said, i := 0, 0; said < size; {
		for range 1024 {
			k.Produce(t.Context(), &kgo.Record{Topic: topic, Key: fmt.Append(nil, i%500), Value: value}, func(_ *kgo.Record, err error) {
				if err != nil {
					t.Error(err)
				}
			})
			said, i = said+len(value), i+1
		}
		if err := k.Flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		if look != nil {
			look()
		}
	}
}

// TestCleanerKeepsUp overwrites few keys without a pause: dirty bytes, and with them the log, stay bounded however much is written. OTTLA_KEEP_UP is how many MiB.
func TestCleanerKeepsUp(t *testing.T) {
	mib, err := strconv.Atoi(cmp.Or(os.Getenv("OTTLA_KEEP_UP"), "64"))
	if err != nil {
		t.Fatalf("OTTLA_KEEP_UP: %v", err)
	}
	n := opened(t, "log.cleaner.backoff.ms=20")
	createTopic(t, dial(t, n), "busy", 1, "cleanup.policy", "compact", "internal.segment.bytes", "1048576")
	p := n.partitions.Topic("busy").Partition(0)
	var dirty, largest int64
	overwrite(t, n, "busy", mib<<20, func() {
		dirty = max(dirty, int64(gauges(t, n, "ottla_log_cleaner_dirty_bytes")))
		largest = max(largest, p.Log().Size())
	})
	t.Logf("of %d MiB written at most %.1f MiB were dirty, the log had at most %.1f MiB; %v cleanings read %.1f MiB and wrote %.1f", mib, float64(dirty)/(1<<20), float64(largest)/(1<<20),
		gauges(t, n, "ottla_log_cleaner_runs_total"), gauges(t, n, "ottla_log_cleaner_read_bytes_total")/(1<<20), gauges(t, n, "ottla_log_cleaner_written_bytes_total")/(1<<20))
	// A fast cleaner may be done before each look, so dirty may be 0.
	if limit := int64(24 << 20); gauges(t, n, "ottla_log_cleaner_runs_total") < 3 || dirty > limit || largest > limit+(4<<20) {
		t.Errorf("%d bytes were dirty at most, the log had %d: that is no bound", dirty, largest)
	}
	eventually(t, "dirty bytes below the ratio once nobody writes", func() bool {
		c := p.Cleanable()
		return c.Ratio() <= 0.5 && gauges(t, n, "ottla_log_cleaner_max_dirty_ratio") <= 0.5
	})
}

// TestUncleanableLog: a log with rot is reported and counted, the others are cleaned, and its retention goes on.
func TestUncleanableLog(t *testing.T) {
	path := t.TempDir()
	overrides := []string{"log.cleaner.backoff.ms=20"}
	n := open(t, path, overrides...)
	createTopic(t, dial(t, n), "rotten", 1, "cleanup.policy", "compact,delete", "internal.segment.bytes", "65536", "min.cleanable.dirty.ratio", "1")
	overwrite(t, n, "rotten", 1<<20, nil)
	stop(t, n)
	segments, err := filepath.Glob(filepath.Join(path, "rotten-0", "*.log"))
	if err != nil || len(segments) < 4 {
		t.Fatalf("%d segments, %v", len(segments), err)
	}
	data, err := os.ReadFile(segments[1])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2+300] ^= 1
	if err := os.WriteFile(segments[1], data, 0o600); err != nil {
		t.Fatal(err)
	}

	n = open(t, path, overrides...)
	t.Cleanup(func() { stop(t, n) })
	c := dial(t, n)
	createTopic(t, c, "sound", 1, "cleanup.policy", "compact", "internal.segment.bytes", "65536", "min.cleanable.dirty.ratio", "0.01")
	alterTopic(t, c, "rotten", "min.cleanable.dirty.ratio", "0.01")
	eventually(t, "the log with rot is counted", func() bool { return gauges(t, n, "ottla_log_cleaner_uncleanable_partitions") == 1 })
	if dirty := gauges(t, n, "ottla_log_cleaner_uncleanable_bytes"); dirty < 500_000 {
		t.Errorf("%v dirty bytes are uncleanable", dirty)
	}
	overwrite(t, n, "sound", 1<<20, nil)
	cleaned(t, n, "sound", 500)
	if p := n.partitions.Topic("rotten").Partition(0); p.Log().CleanedOffset() != 0 || p.Err() != nil {
		t.Errorf("the log with rot is clean up to %d, %v", p.Log().CleanedOffset(), p.Err())
	}
	alterTopic(t, c, "rotten", "retention.bytes", "0")
	eventually(t, "retention of the log with rot", func() bool { return listOffset(t, c, 11, "rotten", -2).Offset > 500 })
	del := kmsg.NewPtrDeleteTopicsRequest()
	del.Version, del.TimeoutMillis, del.TopicNames = 3, 10_000, []string{"rotten"}
	code(t, "delete", request[*kmsg.DeleteTopicsResponse](t, c, 3, del).Topics[0].ErrorCode, model.None)
	eventually(t, "a deleted log counts no more", func() bool { return gauges(t, n, "ottla_log_cleaner_uncleanable_partitions") == 0 })
}

// TestCompactedLogsHaveTheirRetentionFromTheCleaner: not at the pace of log.retention.check.interval.ms, as in Kafka.
func TestCompactedLogsHaveTheirRetentionFromTheCleaner(t *testing.T) {
	n := opened(t, "log.cleaner.backoff.ms=20") // retention is looked at after 30 seconds
	c := dial(t, n)
	createTopic(t, c, "both", 1, "cleanup.policy", "compact,delete", "retention.ms", "1000", "min.cleanable.dirty.ratio", "1")
	k := client(t, n)
	old := &kgo.Record{Topic: "both", Key: []byte("k"), Value: []byte("v"), Timestamp: time.Now().Add(-time.Hour)}
	if err := k.ProduceSync(t.Context(), old).FirstErr(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "retention", func() bool { return listOffset(t, c, 11, "both", -2).Offset == 1 })
}

// TestCleanersShareTheirPace: log.cleaner.io.max.bytes.per.second is for all of them together, and may change meanwhile.
func TestCleanersShareTheirPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p pace
		began := time.Now()
		done := make(chan error)
		for range 4 {
			go func() {
				var err error
				for range 25 {
					if e := p.wait(t.Context(), 1000, 10_000); e != nil {
						err = e
					}
				}
				done <- err
			}()
		}
		for range 4 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if took := time.Since(began); took < 9900*time.Millisecond || took > 10*time.Second {
			t.Errorf("100,000 bytes at 10,000 a second took %v", took)
		}
		began = time.Now()
		for range 1000 {
			if err := p.wait(t.Context(), 1<<30, 1.7976931348623157e308); err != nil {
				t.Fatal(err)
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("without a limit it took %v", took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := errors.Join(p.wait(ctx, 1, 1), p.wait(ctx, 1, 1)); err == nil {
			t.Error("it waits on although the node stops")
		}
	})
}
