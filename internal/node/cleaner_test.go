package node

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

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
