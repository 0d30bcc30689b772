package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

// loadTimeout bounds the wait for any one answer under load.
const loadTimeout = 60 * time.Second

// producer sends pre-built Produce requests over one connection, a fixed number of them on the way.
type producer struct {
	socket  net.Conn
	in      *bufio.Reader
	frames  [][]byte // by partition
	batch   int      // bytes of records in each
	limit   int
	next    int // partition
	serial  int32
	sentAt  []time.Time // ring of those on the way, in order
	counted []bool
	head, n int
	vector  net.Buffers
	heads   [][]byte
	buf     []byte
	last    []byte // with acks=0: the one request that is answered, after all others

	ack   histogram
	bytes int64
	all   int64
	count int64
}

func newProducer(j *job, index int) (*producer, error) {
	socket, err := net.DialTimeout("tcp", j.Address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	batch, err := j.batch()
	if err != nil {
		return nil, errors.Join(err, socket.Close())
	}
	p := &producer{socket: socket, in: bufio.NewReaderSize(socket, 64<<10), batch: len(batch), limit: j.InFlight, next: index % int(j.Topic.Partitions),
		sentAt: make([]time.Time, j.InFlight), counted: make([]bool, j.InFlight)}
	for partition := range j.Topic.Partitions {
		p.frames = append(p.frames, produceFrame(j.Topic.Name, partition, j.Acks, batch))
	}
	if j.Acks == 0 {
		p.last = produceFrame(j.Topic.Name, 0, -1, batch)
	}
	// What is on the way at the same time differs in its correlation id, so each has a head of its own; the rest of the frame is shared.
	for range j.InFlight {
		p.heads = append(p.heads, make([]byte, headBytes))
	}
	return p, nil
}

// headBytes is how much of a frame is copied for its correlation id.
const headBytes = correlationAt + 4

func (p *producer) run(m *meter) error {
	defer p.socket.Close()
	if p.last != nil {
		return p.pour(m)
	}
	for !m.stopped.Load() || p.n > 0 {
		if !m.stopped.Load() && p.n < p.limit {
			if err := p.fill(m); err != nil {
				return err
			}
		}
		if err := p.receive(m); err != nil {
			return err
		}
		for p.n > 0 && p.answered() { // what has come already costs no system call, and neither do the requests that follow it
			if err := p.receive(m); err != nil {
				return err
			}
		}
	}
	return nil
}

// pour sends requests that are not answered as fast as the broker takes them, and in the end one that is: all before it have then been taken.
func (p *producer) pour(m *meter) error {
	for !m.stopped.Load() {
		measuring := m.measuring.Load()
		if err := p.fill(m); err != nil {
			return err
		}
		p.all += int64(p.n * p.batch)
		if measuring && m.measuring.Load() {
			p.bytes += int64(p.n * p.batch)
			p.count += int64(p.n)
			m.count(p.n * p.batch)
		}
		p.n = 0
	}
	p.serial++
	binary.BigEndian.PutUint32(p.last[correlationAt:], uint32(p.serial))
	if _, err := p.socket.Write(p.last); err != nil {
		return fmt.Errorf("send the last Produce: %w", err)
	}
	p.n = 1
	return p.receive(m)
}

// answered tells whether a whole response is in the buffer.
func (p *producer) answered() bool {
	if p.in.Buffered() < 4 {
		return false
	}
	size, err := p.in.Peek(4)
	return err == nil && p.in.Buffered() >= 4+int(binary.BigEndian.Uint32(size))
}

// fill sends as many requests as may be on the way, in one system call.
func (p *producer) fill(m *meter) error {
	vector := p.vector[:0]
	now, measuring := time.Now(), m.measuring.Load()
	for p.n < p.limit {
		slot := (p.head + p.n) % p.limit
		frame := p.frames[p.next]
		p.next = (p.next + 1) % len(p.frames)
		head := p.heads[slot]
		copy(head, frame)
		p.serial++
		binary.BigEndian.PutUint32(head[correlationAt:], uint32(p.serial))
		vector = append(vector, head, frame[headBytes:])
		p.sentAt[slot], p.counted[slot] = now, measuring
		p.n++
	}
	p.vector = vector
	if err := p.socket.SetDeadline(now.Add(loadTimeout)); err != nil {
		return err
	}
	if _, err := vector.WriteTo(p.socket); err != nil {
		return fmt.Errorf("send Produce: %w", err)
	}
	return nil
}

func (p *producer) receive(m *meter) error {
	var err error
	if p.buf, err = readFrame(p.in, p.buf[:cap(p.buf)]); err != nil {
		return fmt.Errorf("answer to Produce: %w", err)
	}
	correlation, _, err := producedAt(p.buf)
	if err != nil {
		return err
	}
	if want := p.serial - int32(p.n) + 1; correlation != want {
		return fmt.Errorf("answer to Produce: correlation id %d, not %d", correlation, want)
	}
	p.all += int64(p.batch)
	if p.counted[p.head] && m.measuring.Load() {
		p.ack.add(time.Since(p.sentAt[p.head]))
		p.bytes += int64(p.batch)
		p.count++
		m.count(p.batch)
	}
	p.head = (p.head + 1) % p.limit
	p.n--
	return nil
}

func (p *producer) report(o *outcome) {
	o.Ack.merge(&p.ack)
	o.ProducedBytes += p.bytes
	o.AllProduced += p.all
	o.Produces += p.count
}
