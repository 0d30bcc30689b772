package group

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ottla/ottla/internal/machine"
)

// The record types of __consumer_offsets that the classic protocol uses, as they stand in the first two bytes of a key.
const (
	legacyOffsetKey = 0
	offsetKey       = 1
	metadataKey     = 2
)

// The versions of values that are written, and the newest that are read.
const (
	offsetValueVersion        = 4
	expiringOffsetVersion     = 1 // the only one with a place for an expiry time
	newestOffsetVersion       = 4
	metadataValueVersion      = 3
	newestMetadataVersion     = 4
	firstFlexibleValueVersion = 4
)

// maxString is the longest string, in bytes, that a record can hold.
const maxString = 1<<15 - 1

var errUnknownType = errors.New("unknown record type")

// recordKey is a decoded key. The strings alias the record.
type recordKey struct {
	kind      int16
	group     []byte
	topic     []byte
	partition int32
}

func decodeKey(key []byte) (recordKey, error) {
	r := reader{rest: key}
	k := recordKey{kind: r.int16()}
	if r.err != nil {
		return k, fmt.Errorf("key: %w", r.err)
	}
	switch k.kind {
	case legacyOffsetKey, offsetKey:
		k.group, k.topic, k.partition = r.str(false), r.str(false), r.int32()
	case metadataKey:
		k.group = r.str(false)
	default:
		return k, fmt.Errorf("%w %d", errUnknownType, k.kind)
	}
	if r.err != nil {
		return k, fmt.Errorf("key of type %d: %w", k.kind, r.err)
	}
	return k, nil
}

// decodeOffset reads a value of versions 0 to 4. The metadata aliases the record and stands beside the offset.
func decodeOffset(value []byte) (o offset, metadata []byte, err error) {
	r := reader{rest: value}
	version := r.int16()
	if r.err == nil && (version < 0 || version > newestOffsetVersion) {
		return o, nil, fmt.Errorf("offset commit value of unknown version %d", version)
	}
	flexible := version >= firstFlexibleValueVersion
	o.leaderEpoch, o.expireMs = -1, -1
	o.offset = r.int64()
	if version >= 3 {
		o.leaderEpoch = r.int32()
	}
	metadata = r.str(flexible)
	o.commitMs = r.int64()
	if version == 1 {
		o.expireMs = r.int64()
	}
	if flexible {
		r.tags(func(tag uint64, field reader) error {
			if tag == 0 {
				copy(o.topicID[:], field.take(len(o.topicID)))
			}
			return field.err
		})
	}
	if r.err != nil {
		return o, nil, fmt.Errorf("offset commit value of version %d: %w", version, r.err)
	}
	return o, metadata, nil
}

// storedMemberMin is the size of the smallest member in any version, which bounds how many can follow.
const storedMemberMin = 15

// decodeMetadata reads a value of versions 0 to 4; the result shares no memory with it.
func decodeMetadata(value []byte) (*metadata, error) {
	r := reader{rest: value}
	version := r.int16()
	if r.err == nil && (version < 0 || version > newestMetadataVersion) {
		return nil, fmt.Errorf("group metadata value of unknown version %d", version)
	}
	flexible := version >= firstFlexibleValueVersion
	md := &metadata{sinceMs: -1}
	md.protocolType = string(r.str(flexible))
	md.generation = r.int32()
	md.protocol = r.nullable(flexible)
	md.leader = r.nullable(flexible)
	if version >= 2 {
		md.sinceMs = r.int64()
	}
	n := r.count(flexible, storedMemberMin)
	md.members = make([]storedMember, 0, n)
	for range n {
		md.members = append(md.members, decodeMember(&r, version, flexible))
		if r.err != nil {
			break
		}
	}
	if flexible {
		r.tags(nil)
	}
	if r.err != nil {
		return nil, fmt.Errorf("group metadata value of version %d: %w", version, r.err)
	}
	return md, md.check()
}

func decodeMember(r *reader, version int16, flexible bool) storedMember {
	var s storedMember
	s.id = string(r.str(flexible))
	if version >= 3 {
		s.instance = r.nullable(flexible)
	}
	s.clientID = string(r.str(flexible))
	s.clientHost = string(r.str(flexible))
	s.rebalanceMs = -1
	if version >= 1 {
		s.rebalanceMs = r.int32()
	}
	s.sessionMs = r.int32()
	if s.rebalanceMs == -1 {
		s.rebalanceMs = s.sessionMs
	}
	s.subscription = clone(r.bytes(flexible))
	s.assignment = clone(r.bytes(flexible))
	if flexible {
		r.tags(nil)
	}
	return s
}

// check refuses what no coordinator writes and what would break a group's indexes.
func (md *metadata) check() error {
	ids, instances := make(map[string]bool, len(md.members)), map[string]bool{}
	for i := range md.members {
		s := &md.members[i]
		if ids[s.id] || s.instance != nil && instances[*s.instance] {
			return fmt.Errorf("group metadata value names member %q twice", s.id)
		}
		ids[s.id] = true
		if s.instance != nil {
			instances[*s.instance] = true
		}
	}
	return nil
}

func offsetRecord(group, topic string, partition int32, o *offset, nowMs int64) machine.Record {
	v := make([]byte, 0, 2+8+4+5+len(o.metadata)+8+8+20)
	if o.expireMs >= 0 {
		v = binary.BigEndian.AppendUint16(v, expiringOffsetVersion)
		v = binary.BigEndian.AppendUint64(v, uint64(o.offset))
		v = appendString(v, o.metadata)
		v = binary.BigEndian.AppendUint64(v, uint64(o.commitMs))
		v = binary.BigEndian.AppendUint64(v, uint64(o.expireMs))
	} else {
		v = binary.BigEndian.AppendUint16(v, offsetValueVersion)
		v = binary.BigEndian.AppendUint64(v, uint64(o.offset))
		v = binary.BigEndian.AppendUint32(v, uint32(o.leaderEpoch))
		v = binary.AppendUvarint(v, uint64(len(o.metadata))+1)
		v = append(v, o.metadata...)
		v = binary.BigEndian.AppendUint64(v, uint64(o.commitMs))
		if o.topicID.IsZero() {
			v = append(v, 0)
		} else {
			v = append(v, 1, 0, byte(len(o.topicID))) // one tag: number 0, its size
			v = append(v, o.topicID[:]...)
		}
	}
	return machine.Record{Key: offsetRecordKey(group, topic, partition), Value: v, Timestamp: nowMs}
}

func offsetTombstone(group, topic string, partition int32, nowMs int64) machine.Record {
	return machine.Record{Key: offsetRecordKey(group, topic, partition), Timestamp: nowMs}
}

func offsetRecordKey(group, topic string, partition int32) []byte {
	k := make([]byte, 0, 2+2+len(group)+2+len(topic)+4)
	k = binary.BigEndian.AppendUint16(k, offsetKey)
	k = appendString(k, group)
	k = appendString(k, topic)
	return binary.BigEndian.AppendUint32(k, uint32(partition))
}

func metadataRecord(group string, md *metadata, nowMs int64) machine.Record {
	v := binary.BigEndian.AppendUint16(nil, metadataValueVersion)
	v = appendString(v, md.protocolType)
	v = binary.BigEndian.AppendUint32(v, uint32(md.generation))
	v = appendNullable(v, md.protocol)
	v = appendNullable(v, md.leader)
	v = binary.BigEndian.AppendUint64(v, uint64(md.sinceMs))
	v = binary.BigEndian.AppendUint32(v, uint32(len(md.members)))
	for i := range md.members {
		s := &md.members[i]
		v = appendString(v, s.id)
		v = appendNullable(v, s.instance)
		v = appendString(v, s.clientID)
		v = appendString(v, s.clientHost)
		v = binary.BigEndian.AppendUint32(v, uint32(s.rebalanceMs))
		v = binary.BigEndian.AppendUint32(v, uint32(s.sessionMs))
		v = appendBytes(v, s.subscription)
		v = appendBytes(v, s.assignment)
	}
	return machine.Record{Key: metadataRecordKey(group), Value: v, Timestamp: nowMs}
}

func metadataTombstone(group string, nowMs int64) machine.Record {
	return machine.Record{Key: metadataRecordKey(group), Timestamp: nowMs}
}

func metadataRecordKey(group string) []byte {
	k := make([]byte, 0, 2+2+len(group))
	k = binary.BigEndian.AppendUint16(k, metadataKey)
	return appendString(k, group)
}

func appendString(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

func appendNullable(b []byte, s *string) []byte {
	if s == nil {
		return append(b, 0xff, 0xff)
	}
	return appendString(b, *s)
}

func appendBytes(b, p []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(p))), p...)
}

// recordSize is what a driver counts for a record when it bounds a batch.
func recordSize(r machine.Record) int { return len(r.Key) + len(r.Value) + 32 }

func clone(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return append([]byte(nil), p...)
}
