package model

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
)

// TopicID is Kafka's 16-byte Uuid: of topics, directories, members and incarnations. The zero value means "none".
type TopicID [16]byte

// MetadataTopicID is the reserved id of the metadata log.
var MetadataTopicID = TopicID{15: 1}

// String returns the 22 characters of unpadded base64url that Kafka prints.
func (id TopicID) String() string { return base64.RawURLEncoding.EncodeToString(id[:]) }

// MarshalText makes String's form the id's in JSON too.
func (id TopicID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// IsZero tells whether the id is Kafka's ZERO_UUID.
func (id TopicID) IsZero() bool { return id == TopicID{} }

// ParseTopicID reads what String prints.
func ParseTopicID(s string) (TopicID, error) {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != 16 {
		return TopicID{}, fmt.Errorf("%q is no Kafka uuid: want 22 characters of base64url", s)
	}
	return TopicID(b), nil
}

// TopicPartition names one partition of a topic.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns topic-partition, which is also the name of the partition's directory.
func (tp TopicPartition) String() string { return tp.Topic + "-" + strconv.Itoa(int(tp.Partition)) }

// Names of the topics that the cluster keeps for itself.
const (
	MetadataTopic         = "__cluster_metadata"
	ConsumerOffsetsTopic  = "__consumer_offsets"
	TransactionStateTopic = "__transaction_state"
	ShareGroupStateTopic  = "__share_group_state"
)

// MaxTopicNameLength is the longest topic name in bytes, so that the partition's directory and its suffixes fit a file name.
const MaxTopicNameLength = 249

// IsInternal tells whether clients may not produce to the topic.
func IsInternal(topic string) bool {
	return topic == ConsumerOffsetsTopic || topic == TransactionStateTopic || topic == ShareGroupStateTopic
}

// ValidateTopicName checks a name against Kafka's rule and returns an *Error with InvalidTopicException that says what is wrong.
func ValidateTopicName(name string) error {
	invalid := func(format string, args ...any) error {
		return &Error{InvalidTopicException, fmt.Sprintf(format, args...)}
	}
	switch {
	case name == "":
		return invalid("Topic name is invalid: it must not be empty")
	case name == "." || name == "..":
		return invalid("Topic name is invalid: it must not be %q", name)
	case len(name) > MaxTopicNameLength:
		return invalid("Topic name is invalid: its length %d is over the limit of %d characters", len(name), MaxTopicNameLength)
	}
	for i := 0; i < len(name); i++ {
		c := name[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return invalid("Topic name is invalid: %q contains a character other than ASCII letters, digits, '.', '_' and '-'", name)
		}
	}
	return nil
}

// HasCollision tells whether two different names would share a metric name, because '.' and '_' are the same there.
func HasCollision(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	fold := func(c byte) byte {
		if c == '.' {
			return '_'
		}
		return c
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

// PartitionFor returns the partition of a coordinator topic with count partitions that keeps the key: the absolute value of Java's
// String.hashCode modulo count.
func PartitionFor(key string, count int32) int32 {
	var h int32
	for _, r := range key {
		if r >= 0x10000 { // Java hashes UTF-16 code units
			r -= 0x10000
			h = 31*h + (0xD800 + r>>10)
			r = 0xDC00 + r&0x3FF
		}
		h = 31*h + r
	}
	switch {
	case h == math.MinInt32: // has no absolute value; Kafka takes zero
		h = 0
	case h < 0:
		h = -h
	}
	return h % count
}
