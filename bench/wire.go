package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The versions that the pre-built requests are made in: those of today's clients, and the last that name a topic by name for Produce.
const (
	produceVersion = 12
	fetchVersion   = 17
)

// Places in a frame that starts with its size: size, key, version, then the correlation id.
const correlationAt = 8

// Places in a record batch.
const (
	batchLengthAt      = 8
	batchLastDeltaAt   = 23
	batchFirstStampAt  = 27
	batchHeaderBytes   = 61
	batchOverheadBytes = 12
	offsetSentinel     = 0x5ead5ead5ead5ea0
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// noise fills p with bytes that do not compress, the same for the same seed.
func noise(p []byte, seed uint64) {
	x := seed*0x9e3779b97f4a7c15 + 0x1234567
	for i := range p {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		p[i] = byte(x >> 24)
	}
}

// text fills p with something like JSON, which compresses as such things do.
func text(p []byte, seed uint64) {
	var numbers [8]byte
	for n := 0; len(p) > 0; n++ {
		noise(numbers[:], seed<<20+uint64(n))
		line := fmt.Sprintf(`{"order":%d,"customer":"c-%05d","amount":%d,"currency":"EUR","note":"%x"},`, seed*1000+uint64(n), binary.BigEndian.Uint16(numbers[:]), binary.BigEndian.Uint16(numbers[2:]), numbers[4:])
		p = p[copy(p, line):]
	}
}

// buildBatch makes one uncompressed batch of records with values of valueBytes: as many as fit into batchBytes, at least one. It is written here by hand, so that
// generator and broker share no mistake.
func buildBatch(batchBytes, valueBytes int, stampMs int64) (batch []byte, records int) {
	return buildBatchOf(noise, batchBytes, valueBytes, stampMs)
}

func buildBatchOf(content func(p []byte, seed uint64), batchBytes, valueBytes int, stampMs int64) (batch []byte, records int) {
	value := make([]byte, valueBytes)
	b := make([]byte, batchHeaderBytes, max(batchBytes, batchHeaderBytes+valueBytes+32))
	for {
		content(value, uint64(records+1))
		var body []byte
		body = append(body, 0)                               // attributes
		body = binary.AppendVarint(body, 0)                  // timestamp delta
		body = binary.AppendVarint(body, int64(records))     // offset delta
		body = binary.AppendVarint(body, -1)                 // no key
		body = binary.AppendVarint(body, int64(valueBytes))  // value
		body = append(append(body, value...), 0)             // no headers
		record := binary.AppendVarint(nil, int64(len(body))) // length
		if n := len(b) + len(record) + len(body); records > 0 && n > batchBytes {
			break
		}
		b = append(append(b, record...), body...)
		records++
	}
	sealBatch(b, records, stampMs)
	return b, records
}

// The numbers of codecs in a batch's attributes.
const (
	codecLZ4  = 3
	codecZstd = 4
)

// compressBatch makes a compressed batch of a plain one.
func compressBatch(plain []byte, codec string) ([]byte, error) {
	b := append([]byte{}, plain[:batchHeaderBytes]...)
	switch codec {
	case "lz4":
		var out bytes.Buffer
		w := lz4.NewWriter(&out)
		if _, err := w.Write(plain[batchHeaderBytes:]); err != nil {
			return nil, err
		}
		if err := w.Close(); err != nil {
			return nil, err
		}
		b[22] = codecLZ4
		b = append(b, out.Bytes()...)
	case "zstd":
		w, err := zstd.NewWriter(nil)
		if err != nil {
			return nil, err
		}
		b[22] = codecZstd
		b = w.EncodeAll(plain[batchHeaderBytes:], b)
		if err := w.Close(); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("unknown codec %q", codec)
	}
	binary.BigEndian.PutUint32(b[batchLengthAt:], uint32(len(b)-batchOverheadBytes))
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
	return b, nil
}

// batch is what a job's requests carry.
func (j *job) batch() ([]byte, error) {
	if j.Codec == "" {
		b, _ := buildBatch(j.BatchBytes, j.ValueBytes, time.Now().UnixMilli())
		return b, nil
	}
	b, _ := buildBatchOf(text, j.BatchBytes, j.ValueBytes, time.Now().UnixMilli())
	return compressBatch(b, j.Codec)
}

// sealBatch fills in the header of a batch whose records stand behind it.
func sealBatch(b []byte, records int, stampMs int64) {
	big := binary.BigEndian
	big.PutUint32(b[batchLengthAt:], uint32(len(b)-batchOverheadBytes))
	big.PutUint32(b[12:], ^uint32(0)) // leader epoch: the broker's to set
	b[16] = 2                         // magic
	big.PutUint32(b[batchLastDeltaAt:], uint32(records-1))
	big.PutUint64(b[batchFirstStampAt:], uint64(stampMs))
	big.PutUint64(b[35:], uint64(stampMs))
	big.PutUint64(b[43:], ^uint64(0)) // no producer
	big.PutUint16(b[51:], ^uint16(0))
	big.PutUint32(b[53:], ^uint32(0))
	big.PutUint32(b[57:], uint32(records))
	big.PutUint32(b[17:], crc32.Checksum(b[21:], castagnoli))
}

func formatter() *kmsg.RequestFormatter {
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("ottla-bench"))
}

// produceFrame is a whole Produce request for one partition; its correlation id is set before each use.
func produceFrame(topic string, partition int32, acks int16, batch []byte) []byte {
	r := kmsg.NewPtrProduceRequest()
	r.SetVersion(produceVersion)
	r.Acks, r.TimeoutMillis = acks, 30_000
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: partition, Records: batch}}}}
	return formatter().AppendRequest(nil, r, 0)
}

// fetchFrame is a whole Fetch request without a session, and the places of its fetch offsets, one per partition.
func fetchFrame(id [16]byte, partitions []int32, minBytes, maxBytes, partitionBytes int32) (frame []byte, offsetsAt []int) {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(fetchVersion)
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes, r.SessionEpoch = 500, minBytes, maxBytes, -1
	t := kmsg.NewFetchRequestTopic()
	t.TopicID = id
	for _, p := range partitions {
		in := kmsg.NewFetchRequestTopicPartition()
		in.Partition, in.PartitionMaxBytes, in.FetchOffset = p, partitionBytes, offsetSentinel+int64(p)
		t.Partitions = append(t.Partitions, in)
	}
	r.Topics = append(r.Topics, t)
	frame = formatter().AppendRequest(nil, r, 0)
	for _, p := range partitions {
		offsetsAt = append(offsetsAt, indexUint64(frame, uint64(offsetSentinel+int64(p))))
	}
	return frame, offsetsAt
}

func indexUint64(b []byte, want uint64) int {
	for i := 0; i+8 <= len(b); i++ {
		if binary.BigEndian.Uint64(b[i:]) == want {
			return i
		}
	}
	panic("BUG: bench: a fetch request without its own offset")
}

var errShort = errors.New("the response ends early")

// cursor reads a response; after an error it gives zeros.
type cursor struct {
	b   []byte
	err error
}

func (c *cursor) take(n int) []byte {
	if c.err != nil || n < 0 || n > len(c.b) {
		c.err = errShort
		return nil
	}
	p := c.b[:n]
	c.b = c.b[n:]
	return p
}

func (c *cursor) int16() int16 {
	if p := c.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (c *cursor) int32() int32 {
	if p := c.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (c *cursor) int64() int64 {
	if p := c.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (c *cursor) uvarint() int {
	v, n := binary.Uvarint(c.b)
	if n <= 0 || v > 1<<31 {
		c.err = errShort
		return 0
	}
	c.b = c.b[n:]
	return int(v)
}

// length is a compact length: -1 for null.
func (c *cursor) length() int { return c.uvarint() - 1 }

func (c *cursor) tags() {
	for n := c.uvarint(); n > 0 && c.err == nil; n-- {
		c.uvarint()
		c.take(c.uvarint())
	}
}

// producedAt reads a Produce response for one partition, without its size, and returns the batch's base offset.
func producedAt(response []byte) (correlation int32, offset int64, err error) {
	c := cursor{b: response}
	correlation = c.int32()
	c.tags()
	if n := c.length(); n != 1 {
		return correlation, 0, fmt.Errorf("a Produce response about %d topics, not 1", n)
	}
	c.take(c.length())
	if n := c.length(); n != 1 {
		return correlation, 0, fmt.Errorf("a Produce response about %d partitions, not 1", n)
	}
	partition, code := c.int32(), c.int16()
	offset = c.int64()
	if c.err != nil {
		return correlation, 0, fmt.Errorf("read a Produce response: %w", c.err)
	}
	if code != 0 {
		return correlation, 0, fmt.Errorf("partition %d refused a batch with error code %d", partition, code)
	}
	return correlation, offset, nil
}

// fetchedRecords reads a Fetch response, without its size, and calls f with the records of each partition.
func fetchedRecords(response []byte, f func(partition int32, highWatermark int64, records []byte) error) (correlation int32, err error) {
	c := cursor{b: response}
	correlation = c.int32()
	c.tags()
	c.int32() // throttle time
	if code := c.int16(); code != 0 {
		return correlation, fmt.Errorf("a Fetch was refused with error code %d", code)
	}
	c.int32() // session
	for topics := c.length(); topics > 0 && c.err == nil; topics-- {
		c.take(16)
		for partitions := c.length(); partitions > 0 && c.err == nil; partitions-- {
			partition, code := c.int32(), c.int16()
			highWatermark := c.int64()
			c.int64() // last stable offset
			c.int64() // log start offset
			if code != 0 && c.err == nil {
				return correlation, fmt.Errorf("partition %d refused a fetch with error code %d", partition, code)
			}
			for aborted := c.length(); aborted > 0 && c.err == nil; aborted-- {
				c.int64()
				c.int64()
				c.tags()
			}
			c.int32() // preferred replica
			records := c.take(max(c.length(), 0))
			c.tags()
			if c.err == nil {
				if err := f(partition, highWatermark, records); err != nil {
					return correlation, err
				}
			}
		}
		c.tags()
	}
	if c.err != nil {
		return correlation, fmt.Errorf("read a Fetch response: %w", c.err)
	}
	return correlation, nil
}

// eachBatch walks the whole batches in records and returns how many bytes they have.
func eachBatch(records []byte, f func(baseOffset int64, count int32)) (whole int) {
	for len(records)-whole >= batchHeaderBytes {
		b := records[whole:]
		size := int(binary.BigEndian.Uint32(b[batchLengthAt:])) + batchOverheadBytes
		if size > len(b) {
			break
		}
		f(int64(binary.BigEndian.Uint64(b)), int32(binary.BigEndian.Uint32(b[batchLastDeltaAt:]))+1)
		whole += size
	}
	return whole
}
