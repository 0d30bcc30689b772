package wire

import "github.com/ottla/ottla/internal/kafka/model"

// ProduceResponse is the response to Produce, versions 3 to 13. It is filled with AddTopic and AddPartition, whose results start from the
// protocol's defaults, and reused after Reset; neither filling nor encoding allocates once the slices have grown.
type ProduceResponse struct {
	Topics     []ProduceTopicResponse
	ThrottleMs int32
	// Endpoints tells where the leaders of CurrentLeader are (version 10 and up); sent when not empty.
	Endpoints []NodeEndpoint
}

// ProduceTopicResponse answers one topic: by Name up to version 12, by ID from version 13.
type ProduceTopicResponse struct {
	Name       string
	ID         model.TopicID
	Partitions []ProducePartitionResponse
}

// ProducePartitionResponse answers one partition.
type ProducePartitionResponse struct {
	Index           int32
	ErrorCode       model.ErrorCode
	BaseOffset      int64 // -1 with an error
	LogAppendTimeMs int64 // -1 where the topic keeps the producers' times
	LogStartOffset  int64 // -1 when unknown; version 5 and up
	RecordErrors    []RecordError
	ErrorMessage    string        // "" is sent as null; version 8 and up
	CurrentLeader   CurrentLeader // sent when known; version 10 and up
}

// RecordError names a record that spoiled its batch; version 8 and up.
type RecordError struct {
	BatchIndex int32
	Message    string // "" is sent as null
}

// CurrentLeader is a leader that the client should turn to. {-1, -1} is unknown and not sent.
type CurrentLeader struct{ ID, Epoch int32 }

// UnknownLeader is the CurrentLeader that is not sent.
var UnknownLeader = CurrentLeader{-1, -1}

// NodeEndpoint is where a broker listens.
type NodeEndpoint struct {
	NodeID int32
	Host   string
	Port   int32
	Rack   string // "" is sent as null
}

// Reset forgets everything but the grown slices.
func (p *ProduceResponse) Reset() {
	*p = ProduceResponse{Topics: p.Topics[:0], Endpoints: p.Endpoints[:0]}
}

// AddTopic appends a topic and returns it, valid until the next AddTopic.
func (p *ProduceResponse) AddTopic(name string, id model.TopicID) *ProduceTopicResponse {
	if len(p.Topics) < cap(p.Topics) {
		p.Topics = p.Topics[:len(p.Topics)+1]
	} else {
		p.Topics = append(p.Topics, ProduceTopicResponse{})
	}
	t := &p.Topics[len(p.Topics)-1]
	*t = ProduceTopicResponse{Name: name, ID: id, Partitions: t.Partitions[:0]}
	return t
}

// AddPartition appends a partition with the protocol's defaults and returns it, valid until the next AddPartition.
func (t *ProduceTopicResponse) AddPartition(index int32) *ProducePartitionResponse {
	t.Partitions = append(t.Partitions, ProducePartitionResponse{
		Index: index, BaseOffset: -1, LogAppendTimeMs: -1, LogStartOffset: -1, CurrentLeader: UnknownLeader,
	})
	return &t.Partitions[len(t.Partitions)-1]
}

// Append appends the body of the response in that version, which must be one of ProduceMin to ProduceMax.
func (p *ProduceResponse) Append(dst []byte, version int16) []byte {
	flexible := version >= produceFlexible
	dst = appendCount(dst, len(p.Topics), flexible)
	for i := range p.Topics {
		t := &p.Topics[i]
		if version >= produceTopicIDs {
			dst = appendID(dst, t.ID)
		} else {
			dst = appendString(dst, t.Name, flexible)
		}
		dst = appendCount(dst, len(t.Partitions), flexible)
		for j := range t.Partitions {
			dst = t.Partitions[j].append(dst, version)
		}
		if flexible {
			dst = append(dst, 0)
		}
	}
	dst = appendInt32(dst, p.ThrottleMs)
	if flexible {
		dst = appendEndpoints(dst, p.Endpoints, version >= produceLeaders)
	}
	return dst
}

func (r *ProducePartitionResponse) append(dst []byte, version int16) []byte {
	flexible := version >= produceFlexible
	dst = appendInt32(dst, r.Index)
	dst = appendInt16(dst, int16(r.ErrorCode))
	dst = appendInt64(dst, r.BaseOffset)
	dst = appendInt64(dst, r.LogAppendTimeMs)
	if version >= 5 {
		dst = appendInt64(dst, r.LogStartOffset)
	}
	if version >= 8 {
		dst = appendCount(dst, len(r.RecordErrors), flexible)
		for i := range r.RecordErrors {
			e := &r.RecordErrors[i]
			dst = appendInt32(dst, e.BatchIndex)
			dst = appendNullableString(dst, e.Message, e.Message == "", flexible)
			if flexible {
				dst = append(dst, 0)
			}
		}
		dst = appendNullableString(dst, r.ErrorMessage, r.ErrorMessage == "", flexible)
	}
	if !flexible {
		return dst
	}
	if version < produceLeaders || r.CurrentLeader == UnknownLeader {
		return append(dst, 0)
	}
	return appendLeaderTag(append(dst, 1), 0, r.CurrentLeader)
}

// appendLeaderTag appends a tagged CurrentLeader: nine bytes of content.
func appendLeaderTag(dst []byte, tag byte, l CurrentLeader) []byte {
	dst = append(dst, tag, 9)
	dst = appendInt32(dst, l.ID)
	dst = appendInt32(dst, l.Epoch)
	return append(dst, 0)
}

// appendEndpoints appends a response's last tag section: the node endpoints as tag 0 when there are any and the version has them.
func appendEndpoints(dst []byte, endpoints []NodeEndpoint, known bool) []byte {
	if !known || len(endpoints) == 0 {
		return append(dst, 0)
	}
	size := uvarintLen(uint32(len(endpoints)) + 1)
	for i := range endpoints {
		e := &endpoints[i]
		size += 4 + stringLen(e.Host) + 4 + 1
		if e.Rack == "" {
			size++
		} else {
			size += stringLen(e.Rack)
		}
	}
	dst = append(dst, 1, 0)
	dst = appendUvarint(dst, uint32(size))
	dst = appendCount(dst, len(endpoints), true)
	for i := range endpoints {
		e := &endpoints[i]
		dst = appendInt32(dst, e.NodeID)
		dst = appendString(dst, e.Host, true)
		dst = appendInt32(dst, e.Port)
		dst = appendNullableString(dst, e.Rack, e.Rack == "", true)
		dst = append(dst, 0)
	}
	return dst
}
