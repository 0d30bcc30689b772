package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// cleaning is a cell that has a topic compacted: the same records, from a seed, on every side.
type cleaning struct {
	bytes      int64 // of batches that are written first
	keys       int
	valueBytes int
}

var cleaningLoad = cleaning{bytes: 400 << 20, keys: 100_000, valueBytes: 200}

const (
	cleanBatchRecords = 64
	cleanSegmentBytes = 8 << 20
	cleanTimeout      = 3 * time.Minute
	cleanStill        = 3 * time.Second // without a change of its size a log counts as clean
	fetchCleanBytes   = 8 << 20
)

// clean writes a log, has it compacted and looks at what that cost from the order until the log's size moved last. What is left must be the same on every side.
func (b *bench) clean(ctx context.Context, target *broker, c *cell, s *side) (figures, error) {
	load := cleaningLoad
	load.bytes /= int64(min(b.pace.scale, 8)) // with less there is nothing to clean
	warm := load
	warm.bytes /= 4
	if _, err := b.cleanOnce(ctx, target, &warm); err != nil { // for the control's compiler
		return nil, fmt.Errorf("warm up: %w", err)
	}
	f, err := b.cleanOnce(ctx, target, &load)
	if err != nil {
		return nil, err
	}
	for other, r := range b.result.Cells[c.name] {
		for _, theirs := range r.counted() {
			if theirs[colFingerprint] != short(f[colFingerprint]) || theirs[colLeft] != short(f[colLeft]) {
				return nil, fmt.Errorf("%s kept %v records and %s kept %v, or not the same ones", s.name, f[colLeft], other, theirs[colLeft])
			}
		}
	}
	return f, nil
}

func (b *bench) cleanOnce(ctx context.Context, target *broker, load *cleaning) (f figures, err error) {
	t, err := b.freshTopic(ctx, target, 1, map[string]string{"segment.bytes": fmt.Sprint(cleanSegmentBytes)})
	if err != nil {
		return nil, err
	}
	c, err := dialControl(ctx, target.address)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := load.write(c, t.Name); err != nil {
		return nil, err
	}
	settle(ctx)
	full, err := c.size(t.Name)
	if err != nil {
		return nil, err
	}
	if err := c.alter(kmsg.ConfigResourceTypeBroker, "", "log.cleaner.backoff.ms", "100"); err != nil {
		return nil, err
	}
	before, err := target.usage()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	for _, x := range [][2]string{{"min.cleanable.dirty.ratio", "0.01"}, {"cleanup.policy", "compact"}} {
		if err := c.alter(kmsg.ConfigResourceTypeTopic, t.Name, x[0], x[1]); err != nil {
			return nil, err
		}
	}
	size, moved, after := full, began, before
	for time.Since(began) < cleanTimeout && (size == full || time.Since(moved) < cleanStill) {
		pause(ctx, 20*time.Millisecond)
		now, err := c.size(t.Name)
		if err != nil {
			return nil, err
		}
		if now == size {
			continue
		}
		size, moved = now, time.Now()
		if after, err = target.usage(); err != nil {
			return nil, err
		}
	}
	if size == full {
		return nil, fmt.Errorf("the log was not compacted within %v", cleanTimeout)
	}
	left, fingerprint, err := c.read(t)
	if err != nil {
		return nil, err
	}
	f = figures{colCleaned: moved.Sub(began).Seconds(), colCleanCPU: (after.cpu - before.cpu).Seconds() / (float64(full) / 1e9), colLeft: float64(left),
		colFingerprint: float64(fingerprint), colLeftBytes: float64(size) / float64(full), colRSS: mib(after.rss)}
	return f, b.dropTopic(ctx, target, t)
}

// write produces the records, one batch at a time.
func (l *cleaning) write(c *control, topic string) error {
	random := rand.New(rand.NewPCG(7, uint64(l.bytes)))
	value := make([]byte, l.valueBytes)
	for written := int64(0); written < l.bytes; {
		batch := make([]byte, batchHeaderBytes, batchHeaderBytes+cleanBatchRecords*(l.valueBytes+40))
		var body []byte
		for i := range cleanBatchRecords {
			key := fmt.Sprintf("key-%08d", random.IntN(l.keys))
			noise(value, random.Uint64())
			body = append(body[:0], 0, 0) // attributes, timestamp delta
			body = binary.AppendVarint(body, int64(i))
			body = append(binary.AppendVarint(body, int64(len(key))), key...)
			if random.IntN(50) == 0 {
				body = binary.AppendVarint(body, -1)
			} else {
				body = append(binary.AppendVarint(body, int64(len(value))), value...)
			}
			body = append(body, 0)
			batch = append(binary.AppendVarint(batch, int64(len(body))), body...)
		}
		sealBatch(batch, cleanBatchRecords, time.Now().UnixMilli())
		if err := c.produceOnce(topic, 0, batch); err != nil {
			return err
		}
		written += int64(len(batch))
	}
	return nil
}

// alter sets one key of a topic or of all brokers.
func (c *control) alter(kind kmsg.ConfigResourceType, name, key, value string) error {
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r.SetVersion(1)
	r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{ResourceType: kind, ResourceName: name,
		Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: key, Op: kmsg.IncrementalAlterConfigOpSet, Value: &value}}}}
	response, err := c.ask(r)
	if err != nil {
		return err
	}
	for _, answer := range response.(*kmsg.IncrementalAlterConfigsResponse).Resources {
		if answer.ErrorCode != 0 {
			return &refusedError{"set " + key, answer.ErrorCode}
		}
	}
	return nil
}

// size is how many bytes a topic's logs have.
func (c *control) size(topic string) (bytes int64, err error) {
	r := kmsg.NewPtrDescribeLogDirsRequest()
	r.SetVersion(4)
	r.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: topic, Partitions: []int32{0}}}
	response, err := c.ask(r)
	if err != nil {
		return 0, err
	}
	for _, dir := range response.(*kmsg.DescribeLogDirsResponse).Dirs {
		for _, t := range dir.Topics {
			for _, p := range t.Partitions {
				bytes += p.Size
			}
		}
	}
	return bytes, nil
}

// read counts the records of a topic's only partition and makes a fingerprint of their offsets, keys and values.
func (c *control) read(t topic) (records int, fingerprint uint32, err error) {
	frame, at := fetchFrame(t.ID, []int32{0}, 1, fetchCleanBytes, fetchCleanBytes)
	sum := fnv.New32a()
	for next := int64(0); ; {
		binary.BigEndian.PutUint64(frame[at[0]:], uint64(next))
		if err := c.socket.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
			return 0, 0, err
		}
		if _, err := c.socket.Write(frame); err != nil {
			return 0, 0, err
		}
		answer, err := readFrame(c.socket, nil)
		if err != nil {
			return 0, 0, err
		}
		before := next
		_, err = fetchedRecords(answer, func(_ int32, _ int64, batches []byte) (err error) {
			for err == nil && len(batches) >= batchHeaderBytes {
				n := batchOverheadBytes + int(binary.BigEndian.Uint32(batches[batchLengthAt:]))
				if n > len(batches) {
					break
				}
				records, next, err = sumBatch(sum, records, batches[:n])
				batches = batches[n:]
			}
			return err
		})
		if err != nil {
			return 0, 0, err
		}
		if next == before {
			return records, sum.Sum32(), nil
		}
	}
}

// sumBatch adds a batch's records to the fingerprint and returns how many there are now, and the offset behind the batch.
func sumBatch(sum io.Writer, records int, b []byte) (now int, next int64, err error) {
	var batch kmsg.RecordBatch
	if err := batch.ReadFrom(b); err != nil {
		return 0, 0, fmt.Errorf("read a batch: %w", err)
	}
	rest := batch.Records
	for range batch.NumRecords {
		length, size := binary.Varint(rest)
		end := size + int(length)
		if size <= 0 || length < 0 || end > len(rest) {
			return 0, 0, errShort
		}
		var record kmsg.Record
		if err := record.ReadFrom(rest[:end]); err != nil {
			return 0, 0, fmt.Errorf("read a record: %w", err)
		}
		rest = rest[end:]
		fmt.Fprintf(sum, "%d %s %x;", batch.FirstOffset+int64(record.OffsetDelta), record.Key, record.Value)
		records++
	}
	return records, batch.FirstOffset + int64(batch.LastOffsetDelta) + 1, nil
}
