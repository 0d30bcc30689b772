package wire

import (
	"encoding/binary"
	"math"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// FetchMin and FetchMax are the versions that FetchRequest and FetchResponse speak.
const (
	FetchMin int16 = 4
	FetchMax int16 = 18

	fetchLogStart     int16 = 5
	fetchSessions     int16 = 7
	fetchLeaderEpochs int16 = 9
	fetchRacks        int16 = 11
	fetchFlexible     int16 = 12 // also the last fetched epoch, and the tags cluster id, diverging epoch, current leader, snapshot id
	fetchTopicIDs     int16 = 13
	fetchReplicaState int16 = 15 // replica id and epoch move to a tag
	fetchEndpoints    int16 = 16 // node endpoints in the response
	fetchDirectories  int16 = 17 // replica directory ids
	fetchHighWaters   int16 = 18 // the follower's high watermark
)

// FetchRequest is a decoded Fetch request, versions 4 to 18. All byte slices alias the body that was decoded.
//
// It is reused: Decode overwrites it and keeps its slices, so that decoding allocates nothing once they have grown.
type FetchRequest struct {
	Version        int16
	ClusterID      []byte // nil when null or absent
	ReplicaID      int32  // -1 for a consumer
	ReplicaEpoch   int64  // the follower's broker epoch, -1 when unknown
	MaxWaitMs      int32
	MinBytes       int32
	MaxBytes       int32
	IsolationLevel int8  // 0 read uncommitted, 1 read committed
	SessionID      int32 // 0 when there is none
	SessionEpoch   int32 // -1 when there is none
	Topics         []FetchTopic
	Forgotten      []ForgottenTopic
	Rack           []byte // empty when unknown

	partitions []FetchPartition // what the topics share
	indexes    []int32          // what the forgotten topics share
}

// FetchTopic is one topic of a Fetch request: Name up to version 12, ID from version 13.
type FetchTopic struct {
	Name       []byte
	ID         model.TopicID
	Partitions []FetchPartition

	count int
}

// FetchPartition is one partition of a Fetch request.
type FetchPartition struct {
	Index              int32
	CurrentLeaderEpoch int32 // -1 when unknown
	FetchOffset        int64
	LastFetchedEpoch   int32 // -1 when unknown
	LogStartOffset     int64 // of a follower, else -1
	MaxBytes           int32
	ReplicaDirectoryID model.TopicID // of a follower, else zero
	HighWatermark      int64         // what a follower knows, else the largest int64
}

// ForgottenTopic names partitions to be dropped from the session.
type ForgottenTopic struct {
	Name       []byte
	ID         model.TopicID
	Partitions []int32

	count int
}

// Reset forgets the last request, so that nothing keeps its body alive.
func (q *FetchRequest) Reset() {
	topics, forgotten, partitions, indexes := q.Topics, q.Forgotten, q.partitions, q.indexes
	clear(topics)
	clear(forgotten)
	if cap(topics) > keptElements {
		topics = nil
	}
	if cap(forgotten) > keptElements {
		forgotten = nil
	}
	if cap(partitions) > keptElements {
		partitions = nil
	}
	if cap(indexes) > keptElements {
		indexes = nil
	}
	*q = FetchRequest{Topics: topics[:0], Forgotten: forgotten[:0], partitions: partitions[:0], indexes: indexes[:0]}
}

// Decode reads body as a Fetch request of that version. It refuses what Check refuses and needs no Check before it. After an error, a
// *MalformedError or *UnsupportedError, the request must not be used. A tag that the version does not have is skipped.
func (q *FetchRequest) Decode(version int16, body []byte) error {
	q.Reset()
	if version < FetchMin || version > FetchMax {
		return &UnsupportedError{KeyFetch, version}
	}
	q.Version = version
	q.ReplicaID, q.ReplicaEpoch, q.SessionEpoch, q.Rack = -1, -1, -1, emptyBytes
	flexible := version >= fetchFlexible
	r := reader{buf: body}
	if version < fetchReplicaState {
		q.ReplicaID = r.int32()
	}
	q.MaxWaitMs = r.int32()
	q.MinBytes = r.int32()
	q.MaxBytes = r.int32()
	q.IsolationLevel = r.int8()
	if version >= fetchSessions {
		q.SessionID = r.int32()
		q.SessionEpoch = r.int32()
	}
	topics := r.count(flexible, smallest(&fieldsFetchRequestTopics, version))
	q.Topics = slices.Grow(q.Topics, topics)
	for n := topics; n > 0 && !r.failed; n-- {
		q.topic(&r, flexible)
	}
	if version >= fetchSessions {
		q.forgotten(&r, flexible)
	}
	if version >= fetchRacks && !r.failed {
		if q.Rack = r.string(flexible); q.Rack == nil {
			r.fail()
		}
	}
	if flexible && !r.failed {
		q.tags(&r)
	}
	if r.failed {
		return bodyError(KeyFetch, version, &r)
	}
	q.share()
	return nil
}

// CheckFetch is Check for FetchRequest: its cost is what Decode may allocate until the slices of the request have grown.
func CheckFetch(version int16, body []byte) (cost int, err error) {
	if version < FetchMin || version > FetchMax {
		return 0, &UnsupportedError{KeyFetch, version}
	}
	return checkOwn(KeyFetch, version, body)
}

// share gives the topics their parts of the slices that they share, which have their final place only now.
func (q *FetchRequest) share() {
	rest := q.partitions
	for i := range q.Topics {
		t := &q.Topics[i]
		t.Partitions, rest = rest[:t.count:t.count], rest[t.count:]
	}
	indexes := q.indexes
	for i := range q.Forgotten {
		t := &q.Forgotten[i]
		t.Partitions, indexes = indexes[:t.count:t.count], indexes[t.count:]
	}
}

// topicKey reads the name or the id of a topic.
func (q *FetchRequest) topicKey(r *reader, flexible bool) (name []byte, id model.TopicID) {
	if q.Version >= fetchTopicIDs {
		copy(id[:], r.take(len(id)))
	} else if name = r.string(flexible); name == nil {
		r.fail()
	}
	return name, id
}

func (q *FetchRequest) topic(r *reader, flexible bool) {
	var t FetchTopic
	t.Name, t.ID = q.topicKey(r, flexible)
	t.count = r.count(flexible, smallest(&fieldsFetchRequestTopicsPartitions, q.Version))
	q.partitions = slices.Grow(q.partitions, t.count)
	for n := t.count; n > 0 && !r.failed; n-- {
		q.partition(r, flexible)
	}
	if flexible && !r.failed {
		r.skipTags()
	}
	if !r.failed {
		q.Topics = append(q.Topics, t)
	}
}

func (q *FetchRequest) partition(r *reader, flexible bool) {
	p := FetchPartition{CurrentLeaderEpoch: -1, LastFetchedEpoch: -1, LogStartOffset: -1, HighWatermark: math.MaxInt64}
	p.Index = r.int32()
	if q.Version >= fetchLeaderEpochs {
		p.CurrentLeaderEpoch = r.int32()
	}
	p.FetchOffset = r.int64()
	if flexible {
		p.LastFetchedEpoch = r.int32()
	}
	if q.Version >= fetchLogStart {
		p.LogStartOffset = r.int64()
	}
	p.MaxBytes = r.int32()
	if flexible && !r.failed {
		p.tags(r, q.Version)
	}
	if !r.failed {
		q.partitions = append(q.partitions, p)
	}
}

func (p *FetchPartition) tags(r *reader, version int16) {
	for n := r.tagCount(); n > 0 && !r.failed; n-- {
		tag, content := r.tag()
		switch {
		case r.failed:
		case tag == 0 && version >= fetchDirectories:
			if len(content) != len(p.ReplicaDirectoryID) {
				r.fail()
				return
			}
			copy(p.ReplicaDirectoryID[:], content)
		case tag == 1 && version >= fetchHighWaters:
			if len(content) != 8 {
				r.fail()
				return
			}
			p.HighWatermark = int64(binary.BigEndian.Uint64(content))
		}
	}
}

func (q *FetchRequest) forgotten(r *reader, flexible bool) {
	topics := r.count(flexible, smallest(&fieldsFetchRequestForgottenTopics, q.Version))
	q.Forgotten = slices.Grow(q.Forgotten, topics)
	for n := topics; n > 0 && !r.failed; n-- {
		var t ForgottenTopic
		t.Name, t.ID = q.topicKey(r, flexible)
		t.count = r.count(flexible, 4)
		q.indexes = slices.Grow(q.indexes, t.count)
		for range t.count {
			q.indexes = append(q.indexes, r.int32())
		}
		if flexible && !r.failed {
			r.skipTags()
		}
		if !r.failed {
			q.Forgotten = append(q.Forgotten, t)
		}
	}
}

// tags reads the request's own tags.
func (q *FetchRequest) tags(r *reader) {
	for n := r.tagCount(); n > 0 && !r.failed; n-- {
		tag, content := r.tag()
		if r.failed {
			return
		}
		inner := reader{buf: content}
		switch {
		case tag == 0:
			q.ClusterID = inner.string(true)
		case tag == 1 && q.Version >= fetchReplicaState:
			q.ReplicaID = inner.int32()
			q.ReplicaEpoch = inner.int64()
			inner.skipTags()
		default:
			continue
		}
		if inner.failed || inner.remaining() > 0 {
			r.fail()
		}
	}
}
