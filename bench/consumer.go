package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"
)

// consumer sends Fetch requests over one connection, one at a time. Alone it reads a filled topic again and again, one partition a request; beside producers it
// follows the ends of its partitions.
type consumer struct {
	socket  net.Conn
	in      *bufio.Reader
	follow  bool
	frames  []fetchRequest
	next    int
	serial  int32
	answer  []byte
	latency histogram
	bytes   int64
	count   int64
}

// fetchRequest is a pre-built Fetch with places for its offsets.
type fetchRequest struct {
	frame      []byte
	partitions []int32
	offsetsAt  []int
	offsets    []int64
}

func newFetchRequest(id [16]byte, partitions []int32, minBytes, maxBytes, partitionBytes int32) fetchRequest {
	frame, at := fetchFrame(id, partitions, minBytes, maxBytes, partitionBytes)
	return fetchRequest{frame, partitions, at, make([]int64, len(partitions))}
}

func (r *fetchRequest) prepare(serial int32) []byte {
	binary.BigEndian.PutUint32(r.frame[correlationAt:], uint32(serial))
	for i, at := range r.offsetsAt {
		binary.BigEndian.PutUint64(r.frame[at:], uint64(r.offsets[i]))
	}
	return r.frame
}

func (r *fetchRequest) place(partition int32) (int, error) {
	for i, p := range r.partitions {
		if p == partition {
			return i, nil
		}
	}
	return 0, fmt.Errorf("a Fetch was answered with partition %d, which was not asked for", partition)
}

func newConsumer(j *job, index int) (*consumer, error) {
	socket, err := net.DialTimeout("tcp", j.Address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &consumer{socket: socket, in: bufio.NewReaderSize(socket, 256<<10), follow: j.Producers > 0}
	var own []int32
	for p := int32(index); p < j.Topic.Partitions; p += int32(j.Consumers) {
		own = append(own, p)
	}
	if c.follow {
		c.frames = append(c.frames, newFetchRequest(j.Topic.ID, own, 1, j.FetchBytes*int32(len(own)), j.FetchBytes))
		return c, nil
	}
	for _, p := range own {
		c.frames = append(c.frames, newFetchRequest(j.Topic.ID, []int32{p}, 1, j.FetchBytes, j.FetchBytes))
	}
	return c, nil
}

func (c *consumer) run(m *meter) error {
	defer c.socket.Close()
	for !m.stopped.Load() {
		r := &c.frames[c.next]
		c.next = (c.next + 1) % len(c.frames)
		c.serial++
		now, measuring := time.Now(), m.measuring.Load()
		if err := c.socket.SetDeadline(now.Add(loadTimeout)); err != nil {
			return err
		}
		if _, err := c.socket.Write(r.prepare(c.serial)); err != nil {
			return fmt.Errorf("send Fetch: %w", err)
		}
		var err error
		if c.answer, err = readFrame(c.in, c.answer[:cap(c.answer)]); err != nil {
			return fmt.Errorf("answer to Fetch: %w", err)
		}
		got := 0
		correlation, err := fetchedRecords(c.answer, func(partition int32, highWatermark int64, records []byte) error {
			n, err := c.advance(r, partition, highWatermark, records)
			got += n
			return err
		})
		if err == nil && correlation != c.serial {
			err = fmt.Errorf("answer to Fetch: correlation id %d, not %d", correlation, c.serial)
		}
		if err != nil {
			return err
		}
		if measuring && m.measuring.Load() {
			c.latency.add(time.Since(now))
			c.bytes += int64(got)
			c.count++
			if !c.follow {
				m.count(got)
			}
		}
	}
	return nil
}

// advance moves a partition's offset behind what came. The end of a filled topic is followed by its beginning.
func (c *consumer) advance(r *fetchRequest, partition int32, highWatermark int64, records []byte) (int, error) {
	i, err := r.place(partition)
	if err != nil {
		return 0, err
	}
	want := r.offsets[i]
	var odd error
	n := eachBatch(records, func(base int64, count int32) {
		if base != want && odd == nil {
			odd = fmt.Errorf("partition %d: a batch at offset %d where %d was next", partition, base, want)
		}
		want = base + int64(count)
	})
	if odd != nil {
		return n, odd
	}
	if n == 0 && !c.follow {
		return 0, fmt.Errorf("partition %d: nothing at offset %d below the high watermark %d", partition, want, highWatermark)
	}
	if r.offsets[i] = want; want >= highWatermark && !c.follow {
		r.offsets[i] = 0
	}
	return n, nil
}

func (c *consumer) report(o *outcome) {
	o.Fetch.merge(&c.latency)
	o.FetchedBytes += c.bytes
	o.Fetches += c.count
}

// closedOnPurpose tells an error of a connection that its own side has closed.
func closedOnPurpose(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF)
}
