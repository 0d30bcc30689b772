package node

import (
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// TestWhenFetchIsAnswered is about when a fetch is answered, which its answer does not show: what Apache Kafka answers at once and what it waits with.
func TestWhenFetchIsAnswered(t *testing.T) {
	n := opened(t, "auto.create.topics.enable=false")
	c := dial(t, n)
	createTopic(t, c, "idle", 2)
	createTopic(t, c, "full", 1, "segment.bytes", "1048576")
	for range 3 {
		mustProduce(t, c, "full", strings.Repeat("v", 500_000)) // three do not fit a segment
	}
	const whole = 1 << 20
	type want struct {
		topic     string
		partition int32
		offset    int64
	}
	const wait = 300 * time.Millisecond
	for _, x := range []struct {
		what     string
		min, max int32
		wait     bool
		asked    []want
	}{
		{"nothing there", 1, whole, true, []want{{"idle", 0, 0}}},
		{"an unknown topic beside one that is idle", 1, whole, true, []want{{"none", 0, 0}, {"idle", 0, 0}}},
		{"an unknown partition beside one that is idle", 1, whole, true, []want{{"idle", 9, 0}, {"idle", 0, 0}}},
		{"only an unknown topic", 1, whole, false, []want{{"none", 0, 0}}},
		{"an offset out of range beside one that is idle", 1, whole, false, []want{{"full", 0, 99}, {"idle", 0, 0}}},
		{"an unknown topic beside records", 1, whole, false, []want{{"none", 0, 0}, {"full", 0, 0}}},
		{"no minimum", 0, whole, false, []want{{"idle", 0, 0}}},
		{"a minimum above the maximum", 1 << 30, 600_000, false, []want{{"full", 0, 0}}},
		{"a minimum that only a further segment has", 900_000, whole, false, []want{{"full", 0, 1}}},
		{"a minimum above what there is", 1 << 19, whole, true, []want{{"full", 0, 2}}},
		{"a partition that is named twice", 1, whole, true, []want{{"idle", 0, 0}, {"idle", 0, 0}}},
	} {
		req := fetchRequest("", model.TopicID{}, 0, 0)
		req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.Topics = int32(wait/time.Millisecond), x.min, x.max, nil
		for _, w := range x.asked {
			req.Topics = append(req.Topics, fetchRequest(w.topic, model.TopicID{}, w.partition, w.offset).Topics...)
		}
		began := time.Now()
		request[*kmsg.FetchResponse](t, c, newestFetch, req)
		if waited := time.Since(began) >= wait; waited != x.wait {
			t.Errorf("%s: waited %v, want %v", x.what, waited, x.wait)
		}
	}
}

// TestFetchOfWhatIsDeletedMeanwhile: a fetch that waits on a topic hears at once that it is gone, and not that somebody else leads it.
func TestFetchOfWhatIsDeletedMeanwhile(t *testing.T) {
	n := opened(t)
	c, admin := dial(t, n), dial(t, n)
	for _, version := range []int16{newestFetch, 18} {
		id := createTopic(t, admin, "gone", 1)
		req := fetchRequest("gone", id, 0, 0)
		req.MaxWaitMillis, req.Version = 20_000, version
		sent, err := c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		watched := n.partitions.Topic("gone").Partition(0)
		eventually(t, "the fetch waits", func() bool { return watched.Watched() == 1 })
		began := time.Now()
		remove := kmsg.NewPtrDeleteTopicsRequest()
		remove.TopicNames, remove.TimeoutMillis = []string{"gone"}, 10_000
		request[*kmsg.DeleteTopicsResponse](t, admin, 5, remove)
		resp, err := c.Receive(req, sent)
		if err != nil {
			t.Fatal(err)
		}
		want := model.UnknownTopicOrPartition
		if version >= 13 {
			want = model.UnknownTopicID
		}
		code(t, "fetch of a topic that is deleted while it waits", fetched1(t, resp.(*kmsg.FetchResponse)).ErrorCode, want)
		if waited := time.Since(began); waited > 10*time.Second {
			t.Errorf("it was answered after %v", waited)
		}
	}
}

// TestFetchWatchesOnce: a request that names a partition ten thousand times leaves one waker on it, or what wakes readers would take minutes under the partition's
// lock.
func TestFetchWatchesOnce(t *testing.T) {
	n := opened(t)
	c, producer := dial(t, n), dial(t, n)
	createTopic(t, producer, "t", 1)
	req := fetchRequest("t", model.TopicID{}, 0, 0)
	req.MaxWaitMillis, req.Version = 20_000, newestFetch
	for range 10_000 {
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, req.Topics[0].Partitions[0])
	}
	sent, err := c.Send(req)
	if err != nil {
		t.Fatal(err)
	}
	watched := n.partitions.Topic("t").Partition(0)
	eventually(t, "the fetch waits", func() bool { return watched.Watched() > 0 })
	if got := watched.Watched(); got != 1 {
		t.Errorf("%d wakers for one fetch", got)
	}
	code(t, "produce", produce(t, producer, "t", -1, batchOf(batch.Options{}, "v")).ErrorCode, model.None)
	if _, err := c.Receive(req, sent); err != nil {
		t.Fatal(err)
	}
}
