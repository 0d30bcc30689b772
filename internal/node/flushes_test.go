package node

import (
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestFlushMs: what a topic with the page cache's word has written is synced within flush.ms, long before log.retention.check.interval.ms, and then the timer is not busy.
func TestFlushMs(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	createTopic(t, c, "slow", 1, "ottla.durability", "cache", "flush.ms", "3600000")
	createTopic(t, c, "soon", 1, "ottla.durability", "cache", "flush.ms", "50")
	createTopic(t, c, "never", 1, "ottla.durability", "cache")
	for range 3 {
		for _, topic := range []string{"slow", "soon", "never"} {
			mustProduce(t, c, topic, "v")
		}
		soon := n.partitions.Topic("soon").Partition(0).Log()
		eventually(t, "flush.ms is kept", func() bool { return soon.SyncedOffset() == soon.EndOffset() })
	}
	for _, topic := range []string{"slow", "never"} {
		if synced := n.partitions.Topic(topic).Partition(0).Log().SyncedOffset(); synced != 0 {
			t.Errorf("%s is synced up to %d", topic, synced)
		}
	}
	eventually(t, "only the slow topic is waited for", func() bool { return n.flushes.next.Load() > time.Now().Add(time.Minute).UnixMilli() })
	alterTopic(t, c, "slow", "flush.ms", "1")
	slow := n.partitions.Topic("slow").Partition(0).Log()
	eventually(t, "a change of flush.ms acts on what waits", func() bool { return slow.SyncedOffset() == slow.EndOffset() })
}

// TestFlushMessagesIsWaitedFor: as in Kafka, an append that makes flush.messages unsynced is acknowledged after the sync, with acks=1 too.
func TestFlushMessagesIsWaitedFor(t *testing.T) {
	fs, n, c := openFaulty(t)
	createTopic(t, c, "t", 1, "ottla.durability", "cache", "flush.messages", "3")
	mustProduce(t, c, "t", "0")
	rule := &vfs.Rule{Op: vfs.OpSync, Path: "t-0/*.log", Fault: vfs.Fault{Err: syscall.EIO}}
	fs.SetInjector(vfs.Rules{rule})
	mustProduce(t, c, "t", "1")
	if rule.Bitten() != 0 {
		t.Fatal("two of three records were synced")
	}
	resp := request[*kmsg.ProduceResponse](t, c, 12, produceRequest("t", model.TopicID{}, 0, 1, batchOf(batch.Options{}, "2")))
	code(t, "the third, whose sync fails", resp.Topics[0].Partitions[0].ErrorCode, model.KafkaStorageError)
	if err := n.Close(t.Context()); err == nil {
		t.Error("closed without a word about the failed sync")
	}
}
