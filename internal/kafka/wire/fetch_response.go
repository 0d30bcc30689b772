package wire

import "github.com/ottla/ottla/internal/kafka/model"

// FetchResponse is the response to Fetch, versions 4 to 18, without the records themselves: FetchEncoder encodes it into a header with
// cuts, between which the caller writes them. It is filled with AddTopic and AddPartition, whose results start from the protocol's
// defaults, and reused after Reset.
type FetchResponse struct {
	ThrottleMs int32
	ErrorCode  model.ErrorCode // version 7 and up
	SessionID  int32           // version 7 and up
	Topics     []FetchTopicResponse
	// Endpoints tells where the leaders of CurrentLeader are (version 16 and up); sent when not empty.
	Endpoints []NodeEndpoint
}

// FetchTopicResponse answers one topic: by Name up to version 12, by ID from version 13.
type FetchTopicResponse struct {
	Name       string
	ID         model.TopicID
	Partitions []FetchPartitionResponse
}

// FetchPartitionResponse answers one partition.
type FetchPartitionResponse struct {
	Index            int32
	ErrorCode        model.ErrorCode
	HighWatermark    int64 // -1 with an error
	LastStableOffset int64 // -1 when unknown
	LogStartOffset   int64 // -1 when unknown; version 5 and up
	// Aborted has the aborted transactions of a read-committed fetch, ordered by first offset, and is not nil there, even when empty.
	// For a read-uncommitted one it is nil, which is sent as null.
	Aborted              []AbortedTransaction
	PreferredReadReplica int32 // -1 when there is none; version 11 and up
	RecordsLen           int   // how many bytes of records the caller writes at this partition's cut

	DivergingEpoch EpochEndOffset // sent when known; version 12 and up, as the next two
	CurrentLeader  CurrentLeader
	SnapshotID     EpochEndOffset
}

// AbortedTransaction is a transaction whose records the client must skip.
type AbortedTransaction struct{ ProducerID, FirstOffset int64 }

// EpochEndOffset is an epoch and the offset where it ends. {-1, -1} is unknown and not sent.
type EpochEndOffset struct {
	Epoch     int32
	EndOffset int64
}

// UnknownEpoch is the EpochEndOffset that is not sent.
var UnknownEpoch = EpochEndOffset{-1, -1}

// NoneAborted is the Aborted of a read-committed fetch over a range without aborted transactions.
var NoneAborted = []AbortedTransaction{}

// Reset forgets everything but the grown slices.
func (f *FetchResponse) Reset() {
	for i := range f.Topics {
		clear(f.Topics[i].Partitions) // they refer to aborted transactions
	}
	*f = FetchResponse{Topics: f.Topics[:0], Endpoints: f.Endpoints[:0]}
}

// AddTopic appends a topic and returns it, valid until the next AddTopic.
func (f *FetchResponse) AddTopic(name string, id model.TopicID) *FetchTopicResponse {
	if len(f.Topics) < cap(f.Topics) {
		f.Topics = f.Topics[:len(f.Topics)+1]
	} else {
		f.Topics = append(f.Topics, FetchTopicResponse{})
	}
	t := &f.Topics[len(f.Topics)-1]
	*t = FetchTopicResponse{Name: name, ID: id, Partitions: t.Partitions[:0]}
	return t
}

// AddPartition appends a partition with the protocol's defaults and returns it, valid until the next AddPartition.
func (t *FetchTopicResponse) AddPartition(index int32) *FetchPartitionResponse {
	t.Partitions = append(t.Partitions, FetchPartitionResponse{
		Index: index, HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, PreferredReadReplica: -1,
		DivergingEpoch: UnknownEpoch, CurrentLeader: UnknownLeader, SnapshotID: UnknownEpoch,
	})
	return &t.Partitions[len(t.Partitions)-1]
}

// AddError appends a partition that is answered with an error before its log was looked at, as Kafka answers it: no offsets, no records,
// no aborted transactions.
func (t *FetchTopicResponse) AddError(index int32, code model.ErrorCode) *FetchPartitionResponse {
	p := t.AddPartition(index)
	p.ErrorCode = code
	p.Aborted = NoneAborted
	return p
}

// Cut is a place in an encoded fetch response where records belong.
type Cut struct {
	At  int // how many bytes of the header go before the records
	Len int // how many bytes of records
}

// FetchEncoder holds an encoded fetch response. The frame is Head with, at each of Cuts in order, the records of the partition: the cuts
// follow the order of the response's partitions whose RecordsLen is above 0.
type FetchEncoder struct {
	Head []byte
	Cuts []Cut
	// Records is the sum of all cuts' lengths.
	Records int
}

// Reset empties the encoder but keeps its slices.
func (e *FetchEncoder) Reset() { *e = FetchEncoder{Head: e.Head[:0], Cuts: e.Cuts[:0]} }

// Len is the length of what will be written: header and records.
func (e *FetchEncoder) Len() int { return len(e.Head) + e.Records }

// Append appends the body of a response in that version, which must be one of FetchMin to FetchMax. What Head holds already, such as the
// frame's size and the response header, stays before it.
func (e *FetchEncoder) Append(f *FetchResponse, version int16) {
	flexible := version >= fetchFlexible
	e.Head = appendInt32(e.Head, f.ThrottleMs)
	if version >= fetchSessions {
		e.Head = appendInt16(e.Head, int16(f.ErrorCode))
		e.Head = appendInt32(e.Head, f.SessionID)
	}
	e.Head = appendCount(e.Head, len(f.Topics), flexible)
	for i := range f.Topics {
		t := &f.Topics[i]
		if version >= fetchTopicIDs {
			e.Head = appendID(e.Head, t.ID)
		} else {
			e.Head = appendString(e.Head, t.Name, flexible)
		}
		e.Head = appendCount(e.Head, len(t.Partitions), flexible)
		for j := range t.Partitions {
			e.partition(&t.Partitions[j], version)
		}
		if flexible {
			e.Head = append(e.Head, 0)
		}
	}
	if flexible {
		e.Head = appendEndpoints(e.Head, f.Endpoints, version >= fetchEndpoints)
	}
}

func (e *FetchEncoder) partition(p *FetchPartitionResponse, version int16) {
	flexible := version >= fetchFlexible
	dst := appendInt32(e.Head, p.Index)
	dst = appendInt16(dst, int16(p.ErrorCode))
	dst = appendInt64(dst, p.HighWatermark)
	dst = appendInt64(dst, p.LastStableOffset)
	if version >= fetchLogStart {
		dst = appendInt64(dst, p.LogStartOffset)
	}
	if p.Aborted == nil {
		dst = appendNull(dst, flexible)
	} else {
		dst = appendCount(dst, len(p.Aborted), flexible)
	}
	for i := range p.Aborted {
		dst = appendInt64(dst, p.Aborted[i].ProducerID)
		dst = appendInt64(dst, p.Aborted[i].FirstOffset)
		if flexible {
			dst = append(dst, 0)
		}
	}
	if version >= fetchRacks {
		dst = appendInt32(dst, p.PreferredReadReplica)
	}
	// Kafka sends empty records, never null ones.
	dst = appendCount(dst, p.RecordsLen, flexible)
	if p.RecordsLen > 0 {
		e.Cuts = append(e.Cuts, Cut{At: len(dst), Len: p.RecordsLen})
		e.Records += p.RecordsLen
	}
	if flexible {
		dst = p.appendTags(dst)
	}
	e.Head = dst
}

func (p *FetchPartitionResponse) appendTags(dst []byte) []byte {
	at := len(dst)
	dst = append(dst, 0)
	if p.DivergingEpoch != UnknownEpoch {
		dst[at]++
		dst = append(dst, 0, 13)
		dst = appendInt32(dst, p.DivergingEpoch.Epoch)
		dst = appendInt64(dst, p.DivergingEpoch.EndOffset)
		dst = append(dst, 0)
	}
	if p.CurrentLeader != UnknownLeader {
		dst[at]++
		dst = appendLeaderTag(dst, 1, p.CurrentLeader)
	}
	if p.SnapshotID != UnknownEpoch {
		dst[at]++
		dst = append(dst, 2, 13)
		dst = appendInt64(dst, p.SnapshotID.EndOffset)
		dst = appendInt32(dst, p.SnapshotID.Epoch)
		dst = append(dst, 0)
	}
	return dst
}
