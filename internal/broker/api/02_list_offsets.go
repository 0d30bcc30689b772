package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Timestamps of ListOffsets that name a place instead of a time, and the version from which each is known.
const (
	latestOffset          = -1
	earliestOffset        = -2
	maxTimestampOffset    = -3 // version 7, KIP-734
	earliestLocalOffset   = -4 // version 8, KIP-405
	latestTieredOffset    = -5 // version 9, KIP-1005
	earliestPendingUpload = -6 // version 11, KIP-1023
)

// listOffsets serves API 2, versions 1 to 11: offsets by time or by name. The search of a log may read its files, so it is done by the writer.
func (b *Broker) listOffsets(r *server.Request, req *kmsg.ListOffsetsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
	return later(resp, func(<-chan struct{}) {
		for _, t := range req.Topics {
			topic := b.Partitions.Topic(t.Topic)
			out := kmsg.NewListOffsetsResponseTopic()
			out.Topic = t.Topic
			for _, p := range t.Partitions {
				part := kmsg.NewListOffsetsResponseTopicPartition()
				part.Partition, part.Offset, part.Timestamp, part.LeaderEpoch = p.Partition, -1, -1, -1
				if err := b.listOffset(&part, topic.Partition(p.Partition), req.Version, p); err != nil {
					code, _ := model.CodeOf(err)
					part.ErrorCode, part.Offset, part.Timestamp, part.LeaderEpoch = int16(code), -1, -1, -1
				}
				out.Partitions = append(out.Partitions, part)
			}
			resp.Topics = append(resp.Topics, out)
		}
	})
}

func (b *Broker) listOffset(out *kmsg.ListOffsetsResponseTopicPartition, p *partition.Partition, version int16, asked kmsg.ListOffsetsRequestTopicPartition) error {
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
	case at == earliestOffset, at == earliestLocalOffset && version >= 8:
		out.Offset = log.StartOffset()
		out.LeaderEpoch = log.EpochAt(out.Offset)
	case at == maxTimestampOffset && version >= 7:
		return found(out)(log.MaxTimestamp(p.HighWatermark()))
	case at == latestTieredOffset && version >= 9, at == earliestPendingUpload && version >= 11:
		// Nothing is tiered: no such offset.
	case at < 0:
		return model.UnsupportedVersion
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
