package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// span is where consuming a partition begins without a committed offset, and where the partition itself begins and ends.
type span struct{ begin, start, end int64 }

// spans asks for the partitions' ends and finds where consuming them begins.
func (f *consumeFlags) spans(ctx context.Context, admin *kadm.Client, partitions map[string][]int32) (map[partitionKey]span, error) {
	topics := inNameOrder(partitions)
	list := admin.ListEndOffsets
	if f.readCommitted {
		list = admin.ListCommittedOffsets
	}
	ends, err := list(ctx, topics...)
	if err != nil {
		return nil, err
	}
	starts, err := admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	timed := kadm.ListedOffsets{}
	if f.position.anchor == atTime {
		if timed, err = admin.ListOffsetsAfterMilli(ctx, f.position.millis, topics...); err != nil {
			return nil, err
		}
	}
	out := map[partitionKey]span{}
	for topic, list := range partitions {
		for _, p := range list {
			start, _ := starts.Lookup(topic, p)
			end, _ := ends.Lookup(topic, p)
			at, _ := timed.Lookup(topic, p)
			if err := errors.Join(start.Err, end.Err, at.Err); err != nil {
				return nil, answerError(fmt.Sprintf("partition %s-%d", topic, p), err, "")
			}
			out[partitionKey{topic, p}] = span{f.position.begin(start.Offset, end.Offset, at.Offset), start.Offset, end.Offset}
		}
	}
	return out, nil
}

// mostOutside is of how many partitions it is told that they do not have an offset.
const mostOutside = 8

// tellOutside says which partitions do not have the offset that reading is to begin at, and where it begins there instead.
func (s *shell) tellOutside(spans map[partitionKey]span, offset int64) {
	var outside []partitionKey
	for key, at := range spans {
		if at.begin != offset {
			outside = append(outside, key)
		}
	}
	slices.SortFunc(outside, func(a, b partitionKey) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
	})
	for _, key := range outside[:min(len(outside), mostOutside)] {
		at := spans[key]
		has := fmt.Sprintf("has the offsets %d to %d", at.start, at.end-1)
		if at.start == at.end {
			has = fmt.Sprintf("is empty at offset %d", at.end)
		}
		s.notef("%s-%d %s, not %d: reading begins at %d.", key.topic, key.partition, has, offset, at.begin)
	}
	if more := len(outside) - mostOutside; more > 0 {
		s.notef("So it is with %s more.", count(more, "partition"))
	}
}

// uncommitted are the partitions without a committed offset: for those the client passes its start offset on as it is.
func uncommitted(offsets map[string]map[int32]kgo.Offset, start position) map[string][]int32 {
	reset := start.kgoOffset().WithEpoch(-1)
	missing := map[string][]int32{}
	for topic, partitions := range offsets {
		for p, offset := range partitions {
			if offset.WithEpoch(-1) == reset {
				missing[topic] = append(missing[topic], p)
			}
		}
	}
	return missing
}

// beginGroup sees the offsets from which the client is about to fetch. Where the group has none it finds where to begin and commits that, as Kafka's console consumer
// does: what comes while no member runs is then read by the next one, also when this one has printed nothing.
func (run *consumption) beginGroup(ctx context.Context, offsets map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	missing := uncommitted(offsets, run.flags.position)
	if len(missing) > 0 {
		client := run.member.Load()
		spans, err := run.flags.spans(ctx, kadm.NewClient(client), missing)
		if err != nil {
			return nil, err
		}
		begin, skipped := map[string]map[int32]kgo.EpochOffset{}, int64(0)
		for key, at := range spans {
			if begin[key.topic] == nil {
				begin[key.topic] = map[int32]kgo.EpochOffset{}
			}
			begin[key.topic][key.partition] = kgo.EpochOffset{Epoch: -1, Offset: at.begin}
			offsets[key.topic][key.partition] = kgo.NewOffset().At(at.begin).WithEpoch(-1)
			skipped += at.begin - at.start
		}
		if err := commitNow(ctx, client, begin); err != nil {
			run.shell.notef("ottla: where %s begins could not be committed: %v", groupNamed(run.flags.group), err)
		}
		if skipped > 0 && run.flags.position == (position{anchor: atEnd}) {
			run.shell.notef("%s had no committed offsets and begins at the end, behind %s; `ottla group reset-offsets` moves it, and a new group may begin with --from beginning.",
				groupNamed(run.flags.group), count(skipped, "record"))
		}
	}
	if run.ends != nil {
		run.ends.place(offsets)
	}
	return offsets, nil
}

// commitNow commits offsets and waits for it.
func commitNow(ctx context.Context, client *kgo.Client, offsets map[string]map[int32]kgo.EpochOffset) (failed error) {
	client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if failed = err; err != nil {
			return
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				failed = errors.Join(failed, kerr.ErrorForCode(p.ErrorCode))
			}
		}
	})
	return failed
}
