package api

import (
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
)

// deletion is one partition's part in a DeleteRecords request.
type deletion struct {
	topic, part int // its place in the answer
	target      *partition.Partition
	offset      int64
	err         error
}

// deleteRecords serves API 21, versions 0 to 2: records below an offset go; -1 means all that there are. An offset that is appended and not yet committed is
// waited for. The new starts are on disk before the answer, all of them with as few syncs as the directory's committer needs.
func (b *Broker) deleteRecords(r *server.Request, req *kmsg.DeleteRecordsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DeleteRecordsResponse)
	conn, refused, deadline := r.Conn, refusalsOf(r), b.Clock().Add(time.Duration(req.TimeoutMillis)*time.Millisecond)
	deletions := b.deletions(req, resp, r.ClientID == adminClient)
	return later(resp, func(stop <-chan struct{}) {
		each := func(f func(d *deletion, timeout <-chan time.Time) error) {
			for i := range deletions {
				if d := &deletions[i]; d.err == nil {
					d.err = f(d, conn.Timer(deadline.Sub(b.Clock())).C)
				}
			}
		}
		each(func(d *deletion, timeout <-chan time.Time) error {
			return d.target.AwaitCommitted(d.offset, timeout, stop)
		})
		each(func(d *deletion, _ <-chan time.Time) error { return d.target.DeleteBefore(d.offset) })
		each(func(d *deletion, timeout <-chan time.Time) error {
			return d.target.AwaitDeleted(d.offset, timeout, stop)
		})
		for _, d := range deletions {
			part := &resp.Topics[d.topic].Partitions[d.part]
			if d.err == nil {
				part.LowWatermark = d.target.Log().StartOffset()
				continue
			}
			code, _ := model.CodeOf(d.err)
			part.ErrorCode, part.LowWatermark = int16(code), -1
			refused.complain(part.ErrorCode, nil, about(resp.Topics[d.topic].Topic, model.TopicID{}), slog.Int("partition", int(part.Partition)),
				slog.Int64("offset", d.offset))
		}
	})
}

// deletions finds the partitions, lays out the answer, and judges what can be judged at once.
func (b *Broker) deletions(req *kmsg.DeleteRecordsRequest, resp *kmsg.DeleteRecordsResponse, admin bool) []deletion {
	var deletions []deletion
	places := map[string]int{}             // of the topics in the answer
	last := map[model.TopicPartition]int{} // of those that name one partition the last counts, as in Kafka
	for _, t := range req.Topics {
		topic := b.Partitions.Topic(t.Topic)
		for _, asked := range t.Partitions {
			at, ok := places[t.Topic]
			if !ok {
				at = len(resp.Topics)
				places[t.Topic] = at
				out := kmsg.NewDeleteRecordsResponseTopic()
				out.Topic = t.Topic
				resp.Topics = append(resp.Topics, out)
			}
			d := deletion{topic: at, target: topic.Partition(asked.Partition), offset: asked.Offset}
			d.err = d.admit(model.IsInternal(t.Topic) && !admin)
			id := model.TopicPartition{Topic: t.Topic, Partition: asked.Partition}
			if before, twice := last[id]; twice {
				d.part = deletions[before].part
				deletions[before] = d
				continue
			}
			out := &resp.Topics[at]
			d.part = len(out.Partitions)
			part := kmsg.NewDeleteRecordsResponseTopicPartition()
			part.Partition = asked.Partition
			out.Partitions = append(out.Partitions, part)
			last[id] = len(deletions)
			deletions = append(deletions, d)
		}
	}
	return deletions
}

// admit resolves the offset and refuses what will never do.
func (d *deletion) admit(closed bool) error {
	switch {
	case closed:
		return model.InvalidTopicException
	case d.target == nil:
		return model.UnknownTopicOrPartition
	case d.target.Settings().CompactOnly:
		return model.PolicyViolation
	}
	if code := d.target.CheckEpoch(-1); code != model.None {
		return code
	}
	if d.offset == -1 {
		d.offset = d.target.Settling()
	}
	if d.offset < 0 || d.offset > d.target.Log().EndOffset() {
		return model.OffsetOutOfRange
	}
	return nil
}
