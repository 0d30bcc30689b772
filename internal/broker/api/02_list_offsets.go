package api

import (
	"log/slog"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Timestamps of ListOffsets that name a place instead of a time; listedFrom has their versions.
const (
	latestOffset          = -1
	earliestOffset        = -2
	maxTimestampOffset    = -3 // KIP-734
	earliestLocalOffset   = -4 // KIP-405
	latestTieredOffset    = -5 // KIP-1005
	earliestPendingUpload = -6 // KIP-1023
)

// settleAtMost bounds how long an answer waits for the sync of a log's end. Where the disk takes longer it tells what is committed.
const settleAtMost = time.Second

// listOffsets serves API 2, versions 1 to 11: offsets by time or by name. The search of a log may read its files, so it is done by the writer.
//
// Records that are appended and not synced are in no answer, but they are waited for: who was told that they are there (acks=1) asks here how far to read (ADR 6).
func (b *Broker) listOffsets(r *server.Request, req *kmsg.ListOffsetsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	conn, refused, deadline, ends := r.Conn, refusalsOf(r), b.Clock().Add(settleAtMost), b.settling(req)
	return later(resp, func(stop <-chan struct{}) {
		for _, e := range ends {
			// An error is of the wait; what is wrong with the partition its own answer says.
			_ = e.target.AwaitCommitted(e.offset, conn.Timer(deadline.Sub(b.Clock())).C, stop)
		}
		times := map[model.TopicPartition]int{}
		for _, t := range req.Topics {
			for _, p := range t.Partitions {
				times[model.TopicPartition{Topic: t.Topic, Partition: p.Partition}]++
			}
		}
		places := map[string]int{} // of the topics in the answer
		for _, t := range req.Topics {
			if len(t.Partitions) == 0 {
				continue
			}
			at, ok := places[t.Topic]
			if !ok {
				at = len(resp.Topics)
				places[t.Topic] = at
				out := kmsg.NewListOffsetsResponseTopic()
				out.Topic = t.Topic
				resp.Topics = append(resp.Topics, out)
			}
			b.listTopic(&resp.Topics[at], req.Version, t, times)
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				refused.complain(p.ErrorCode, nil, about(t.Topic, model.TopicID{}), slog.Int("partition", int(p.Partition)))
			}
		}
	})
}

// settlingEnd is a log's end that is on its way to the disk.
type settlingEnd struct {
	target *partition.Partition
	offset int64
}

// settling returns the ends for which the answer waits.
func (b *Broker) settling(req *kmsg.ListOffsetsRequest) []settlingEnd {
	var out []settlingEnd
	for _, t := range req.Topics {
		topic := b.Partitions.Topic(t.Topic)
		for _, p := range t.Partitions {
			target := topic.Partition(p.Partition)
			if target == nil || p.Timestamp == earliestOffset || p.Timestamp == earliestLocalOffset {
				continue
			}
			if end := target.Settling(); end > target.HighWatermark() {
				out = append(out, settlingEnd{target, end})
			}
		}
	}
	return out
}

// listTopic answers for the partitions of one topic. A partition that was named more than once is answered once, with an error.
func (b *Broker) listTopic(out *kmsg.ListOffsetsResponseTopic, version int16, t kmsg.ListOffsetsRequestTopic, times map[model.TopicPartition]int) {
	topic := b.Partitions.Topic(t.Topic)
	for _, p := range t.Partitions {
		part := kmsg.NewListOffsetsResponseTopicPartition()
		part.Partition, part.Offset, part.Timestamp, part.LeaderEpoch = p.Partition, -1, -1, -1
		id := model.TopicPartition{Topic: t.Topic, Partition: p.Partition}
		var err error
		switch n := times[id]; {
		case n == 0:
			continue
		case n > 1:
			times[id], err = 0, model.InvalidRequest
		default:
			err = b.listOffset(&part, topic.Partition(p.Partition), version, p)
		}
		if err != nil {
			code, _ := model.CodeOf(err)
			part.ErrorCode, part.Offset, part.Timestamp, part.LeaderEpoch = int16(code), -1, -1, -1
		}
		out.Partitions = append(out.Partitions, part)
	}
}

// listedFrom is the version from which a negative timestamp names a place.
func listedFrom(timestamp int64) int16 {
	switch timestamp {
	case latestOffset, earliestOffset:
		return 0
	case maxTimestampOffset:
		return 7
	case earliestLocalOffset:
		return 8
	case latestTieredOffset:
		return 9
	case earliestPendingUpload:
		return 11
	}
	return math.MaxInt16
}

func (b *Broker) listOffset(out *kmsg.ListOffsetsResponseTopicPartition, p *partition.Partition, version int16, asked kmsg.ListOffsetsRequestTopicPartition) error {
	if at := asked.Timestamp; at < 0 && version < listedFrom(at) {
		return model.UnsupportedVersion
	}
	if p == nil {
		return model.UnknownTopicOrPartition
	}
	if code := p.CheckEpoch(asked.CurrentLeaderEpoch); code != model.None {
		return code
	}
	log := p.Log()
	switch at := asked.Timestamp; {
	case at == latestOffset: // the last stable offset is the high watermark while there are no transactions
		out.Offset, out.LeaderEpoch = p.HighWatermark(), p.LeaderEpoch()
	case at == earliestOffset, at == earliestLocalOffset:
		out.Offset = log.StartOffset()
		if out.LeaderEpoch = log.EpochAt(out.Offset); out.LeaderEpoch < 0 { // no record yet: the next one will be of this epoch
			out.LeaderEpoch = p.LeaderEpoch()
		}
	case at == maxTimestampOffset:
		return found(out)(log.MaxTimestamp(p.HighWatermark()))
	case at < 0: // nothing is tiered: no such offset
	default:
		return found(out)(log.OffsetForTimestamp(at, p.HighWatermark()))
	}
	return nil
}

// found puts the result of a search into the answer; not finding anything is no error.
func found(out *kmsg.ListOffsetsResponseTopicPartition) func(at plog.Stamp, ok bool, err error) error {
	return func(at plog.Stamp, ok bool, err error) error {
		if err == nil && ok {
			out.Offset, out.Timestamp, out.LeaderEpoch = at.Offset, at.Timestamp, at.LeaderEpoch
		}
		return err
	}
}
