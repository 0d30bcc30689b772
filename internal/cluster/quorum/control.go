package quorum

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// The types of control records that the metadata log has.
const (
	leaderChangeType   = 2
	snapshotHeaderType = 3
	snapshotFooterType = 4
	kraftVersionType   = 5
	kraftVotersType    = 6
)

// kraftVersion is the protocol with voters that are known by (node id, directory id), KIP-853.
const kraftVersion = 1

func controlKey(kind int16) []byte {
	return binary.BigEndian.AppendUint16([]byte{0, 0}, uint16(kind))
}

// controlTypeOf reads the type from a control record's key; -1 when it has none.
func controlTypeOf(key []byte) int {
	if len(key) < 4 {
		return -1
	}
	return int(binary.BigEndian.Uint16(key[2:]))
}

// kraftVersionValue is the value of a KRaftVersion record.
func kraftVersionValue() []byte { return []byte{0, 0, 0, kraftVersion, 0} }

// leaderChange makes the batch that begins an epoch. With membership it also names the voters.
func leaderChange(epoch int32, baseOffset, nowMs int64, leader int32, all, granting []Voter, membership bool) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{Control: true, BaseOffset: baseOffset, PartitionLeaderEpoch: epoch})
	value := []byte{0, 0} // version 0, which Kafka 4.4 writes
	value = binary.BigEndian.AppendUint32(value, uint32(leader))
	for _, list := range [][]Voter{all, granting} {
		value = binary.AppendUvarint(value, uint64(len(list))+1)
		for _, v := range list {
			value = append(binary.BigEndian.AppendUint32(value, uint32(v.ID)), 0)
		}
	}
	b.Append(nowMs, controlKey(leaderChangeType), append(value, 0))
	if membership {
		b.Append(nowMs, controlKey(kraftVersionType), kraftVersionValue())
		b.Append(nowMs, controlKey(kraftVotersType), appendVoters(nil, all))
	}
	return bytes.Clone(b.Build())
}

func appendVoters(b []byte, list []Voter) []byte {
	b = append(b, 0, 0) // version
	b = binary.AppendUvarint(b, uint64(len(list))+1)
	for _, v := range list {
		b = binary.BigEndian.AppendUint32(b, uint32(v.ID))
		b = append(b, v.DirectoryID[:]...)
		b = binary.AppendUvarint(b, uint64(len(v.Endpoints))+1)
		for _, e := range v.Endpoints {
			b = appendString(b, e.Listener)
			b = appendString(b, e.Host)
			b = append(binary.BigEndian.AppendUint16(b, e.Port), 0)
		}
		b = append(b, 0, 0, 0, kraftVersion, 0) // it supports versions 0 to 1
		b = append(b, 0)
	}
	return append(b, 0)
}

func appendString(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))+1), s...)
}

// votersIn returns the voters that a control batch names; ok is false when it names none.
func votersIn(b batch.Batch) (list []Voter, ok bool, err error) {
	var r batch.Reader
	if err := r.Reset(b, maxBatchBytes); err != nil {
		return nil, false, err
	}
	for r.Next() {
		rec := r.Record()
		if controlTypeOf(rec.Key) != kraftVotersType {
			continue
		}
		if list, err = parseVoters(rec.Value); err != nil {
			return nil, false, fmt.Errorf("KRaftVoters record at offset %d: %w", rec.Offset, err)
		}
		ok = true
	}
	return list, ok, r.Err()
}

var errShort = errors.New("it ends early or contradicts itself")

// cursor walks a control record's value; after the end everything is zero and bad is set.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) take(n int) []byte {
	if n < 0 || n > len(c.b) {
		c.b, c.bad = nil, true
		return make([]byte, min(max(n, 0), 16))
	}
	out := c.b[:n]
	c.b = c.b[n:]
	return out
}

// length reads a compact length, of elements of at least size bytes.
func (c *cursor) length(size int) int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v == 0 || v-1 > uint64(len(c.b)/size) {
		c.b, c.bad = nil, true
		return 0
	}
	c.b = c.b[n:]
	return int(v - 1)
}

func (c *cursor) uint16() uint16 { return binary.BigEndian.Uint16(c.take(2)) }
func (c *cursor) uint32() uint32 { return binary.BigEndian.Uint32(c.take(4)) }
func (c *cursor) string() string { return string(c.take(c.length(1))) }

// tags skips a section of tagged fields.
func (c *cursor) tags() { c.tagged(func(uint64, []byte) {}) }

// tagged walks a section of tagged fields.
func (c *cursor) tagged(f func(tag uint64, field []byte)) {
	count, n := binary.Uvarint(c.b)
	if n <= 0 {
		c.b, c.bad = nil, true
		return
	}
	c.b = c.b[n:]
	for ; count > 0 && !c.bad; count-- {
		tag, n := binary.Uvarint(c.b)
		c.take(max(n, 0))
		size, n := binary.Uvarint(c.b)
		if n <= 0 || size > uint64(len(c.b)-n) {
			c.b, c.bad = nil, true
			return
		}
		c.take(n)
		f(tag, c.take(int(size)))
	}
}

func parseVoters(value []byte) ([]Voter, error) {
	c := &cursor{b: value}
	if version := c.uint16(); version != 0 {
		return nil, fmt.Errorf("its version %d is newer than this build", version)
	}
	list := make([]Voter, c.length(27))
	for i := range list {
		v := &list[i]
		v.ID = int32(c.uint32())
		v.DirectoryID = model.TopicID(c.take(16))
		v.Endpoints = make([]Endpoint, c.length(5))
		for j := range v.Endpoints {
			v.Endpoints[j] = Endpoint{Listener: c.string(), Host: c.string(), Port: c.uint16()}
			c.tags()
		}
		c.take(4) // the versions that the voter supports
		c.tags()
		c.tags()
	}
	c.tags()
	if c.bad || len(c.b) != 0 {
		return nil, errShort
	}
	return list, nil
}
