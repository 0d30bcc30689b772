package wire

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// ProduceMin and ProduceMax are the versions that ProduceRequest and ProduceResponse speak.
const (
	ProduceMin int16 = 3
	ProduceMax int16 = 13

	produceFlexible int16 = 9  // flexible encoding
	produceLeaders  int16 = 10 // the current leader and node endpoints, tagged (KIP-951)
	produceTopicIDs int16 = 13 // topic ids instead of names
)

// ProduceRequest is a decoded Produce request, versions 3 to 13. All byte slices alias the body that was decoded.
//
// It is reused: Decode overwrites it and keeps its slices, so that decoding allocates nothing once they have grown.
type ProduceRequest struct {
	Version         int16
	TransactionalID []byte // nil when null
	Acks            int16
	TimeoutMs       int32
	Topics          []ProduceTopic

	partitions []ProducePartition // what the topics share
}

// ProduceTopic is one topic of a Produce request: Name up to version 12, ID from version 13.
type ProduceTopic struct {
	Name       []byte
	ID         model.TopicID
	Partitions []ProducePartition

	count int
}

// ProducePartition is one partition of a Produce request.
type ProducePartition struct {
	Index   int32
	Records []byte // what should be one record batch; nil when null
}

// keptElements bounds what a reused request keeps between uses.
const keptElements = 4096

// Reset forgets the last request, so that nothing keeps its body alive.
func (q *ProduceRequest) Reset() {
	topics, partitions := q.Topics, q.partitions
	clear(topics)
	clear(partitions)
	if cap(topics) > keptElements {
		topics = nil
	}
	if cap(partitions) > keptElements {
		partitions = nil
	}
	*q = ProduceRequest{Topics: topics[:0], partitions: partitions[:0]}
}

// Decode reads body as a Produce request of that version. It refuses what Check refuses and needs no Check before it. After an error, a
// *MalformedError or *UnsupportedError, the request must not be used. It looks at no record.
func (q *ProduceRequest) Decode(version int16, body []byte) error {
	q.Reset()
	if version < ProduceMin || version > ProduceMax {
		return &UnsupportedError{KeyProduce, version}
	}
	q.Version = version
	flexible := version >= produceFlexible
	r := reader{buf: body}
	q.TransactionalID = r.string(flexible)
	q.Acks = r.int16()
	q.TimeoutMs = r.int32()
	topics := r.count(flexible, smallest(&fieldsProduceRequestTopics, version))
	q.Topics = slices.Grow(q.Topics, topics)
	for range topics {
		if !q.topic(&r, flexible) {
			break
		}
	}
	if flexible && !r.failed {
		r.skipTags()
	}
	if r.failed {
		return bodyError(KeyProduce, version, &r)
	}
	// The shared slice has its final place only now.
	rest := q.partitions
	for i := range q.Topics {
		t := &q.Topics[i]
		t.Partitions, rest = rest[:t.count:t.count], rest[t.count:]
	}
	return nil
}

// CheckProduce is Check for ProduceRequest: its cost is what Decode may allocate until the slices of the request have grown. The body is
// not copied and not part of it.
func CheckProduce(version int16, body []byte) (cost int, err error) {
	if version < ProduceMin || version > ProduceMax {
		return 0, &UnsupportedError{KeyProduce, version}
	}
	return checkOwn(KeyProduce, version, body)
}

// checkOwn is Check for a decoder of our own. Its elements are not larger than kmsg's, but they may move while the slices grow.
func checkOwn(key, version int16, body []byte) (cost int, err error) {
	walked, _, err := requests[key].check(apis[key].Name, version, body)
	return bounded(3 * walked), err
}

func (q *ProduceRequest) topic(r *reader, flexible bool) bool {
	var t ProduceTopic
	if q.Version >= produceTopicIDs {
		copy(t.ID[:], r.take(len(t.ID)))
	} else if t.Name = r.string(flexible); t.Name == nil {
		r.fail()
	}
	t.count = r.count(flexible, smallest(&fieldsProduceRequestTopicsPartitions, q.Version))
	q.partitions = slices.Grow(q.partitions, t.count)
	for range t.count {
		p := ProducePartition{Index: r.int32(), Records: r.bytes(flexible)}
		if flexible && !r.failed {
			r.skipTags()
		}
		if r.failed {
			return false
		}
		q.partitions = append(q.partitions, p)
	}
	if flexible && !r.failed {
		r.skipTags()
	}
	if r.failed {
		return false
	}
	q.Topics = append(q.Topics, t)
	return true
}

// smallest is the size of the smallest encoding of the struct in a version.
func smallest(s *schema, version int16) int { return int(s.smallest[version]) }

// bodyError is the refusal of a body by one of the decoders of our own: Check finds the field and the reason.
func bodyError(key, version int16, r *reader) error {
	if _, err := Check(key, version, r.buf); err != nil {
		return err
	}
	return &MalformedError{Message: Name(key), Version: version, Offset: r.off, Reason: reasonShort}
}
