package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// paced is an open loop: one connection sends one-record requests at a fixed rate whatever comes back, another follows all partitions with long polls. Times
// count from before the send; when the broker kept the sender from being on time, from when the send was due.
type paced struct {
	job     *job
	began   time.Time
	origins []int64        // by partition: the offset of the first paced record
	sentAt  []atomic.Int64 // ring, by serial: nanoseconds after began, 0 when it does not count
	sent    atomic.Int64
	acked   atomic.Int64
}

const (
	pacedRing  = 1 << 15
	pacedLimit = 8192 // requests that may be on the way
)

func newRing() []atomic.Int64 { return make([]atomic.Int64, pacedRing) }

func newPaced(j *job) ([]worker, error) {
	p := &paced{job: j, began: time.Now(), sentAt: newRing()}
	out, err := net.DialTimeout("tcp", j.Address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	batch, err := j.batch()
	if err != nil {
		return nil, err
	}
	s := &pacedSender{paced: p, socket: out}
	s.prepare = func(n int64) []byte {
		frame := s.frames[n%int64(len(s.frames))]
		binary.BigEndian.PutUint32(frame[correlationAt:], uint32(n))
		return frame
	}
	in := bufio.NewReader(out)
	var partitions []int32
	for i := range j.Topic.Partitions {
		frame := produceFrame(j.Topic.Name, i, j.Acks, batch)
		s.frames = append(s.frames, frame)
		partitions = append(partitions, i)
		if _, err := out.Write(frame); err != nil {
			return nil, fmt.Errorf("send Produce: %w", err)
		}
		answer, err := readFrame(in, nil)
		if err != nil {
			return nil, fmt.Errorf("answer to Produce: %w", err)
		}
		_, offset, err := producedAt(answer)
		if err != nil {
			return nil, err
		}
		p.origins = append(p.origins, offset+1)
	}
	follow, err := net.DialTimeout("tcp", j.Address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	c := &pacedConsumer{paced: p, socket: follow, in: bufio.NewReaderSize(follow, 64<<10), request: newFetchRequest(j.Topic.ID, partitions, 1, j.FetchBytes, j.FetchBytes)}
	copy(c.request.offsets, p.origins)
	return []worker{s, &pacedAcks{tally{paced: p, each: len(batch)}, in}, c}, nil
}

func (p *paced) since(serial int64) (time.Duration, bool) {
	at := p.sentAt[serial%pacedRing].Load()
	return time.Since(p.began) - time.Duration(at), at > 0
}

type pacedSender struct {
	*paced
	socket  net.Conn
	frames  [][]byte
	prepare func(serial int64) []byte
	late    histogram
}

func (s *pacedSender) run(m *meter) error {
	defer s.socket.Close()
	interval := time.Second / time.Duration(s.job.Rate)
	start := time.Now()
	var free time.Time // when the broker let the sender go on
	for n := int64(0); !m.stopped.Load(); n++ {
		due := start.Add(time.Duration(n) * interval)
		if d := time.Until(due); d > 0 {
			if err := nap(d); err != nil {
				return err
			}
		}
		for n-s.acked.Load() >= pacedLimit && !m.stopped.Load() {
			time.Sleep(interval)
			free = time.Now()
		}
		at := time.Now()
		if free.After(due) {
			at = due
		}
		mark := int64(0)
		if m.measuring.Load() {
			mark = int64(max(at.Sub(s.began), 1))
			s.late.add(at.Sub(due))
		}
		s.sentAt[n%pacedRing].Store(mark)
		frame := s.prepare(n)
		if err := s.socket.SetDeadline(at.Add(loadTimeout)); err != nil {
			return err
		}
		s.sent.Store(n + 1)
		if _, err := s.socket.Write(frame); err != nil {
			return fmt.Errorf("send Produce: %w", err)
		}
		free = time.Now()
	}
	for limit := time.Now().Add(loadTimeout); s.acked.Load() < s.sent.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("%d of %d paced requests were never answered", s.sent.Load()-s.acked.Load(), s.sent.Load())
		}
	}
	return nil
}

func (s *pacedSender) report(o *outcome) { o.Late.merge(&s.late) }

// tally counts what is acknowledged, in the order in which it was sent.
type tally struct {
	*paced
	each  int // bytes
	ack   histogram
	count int64
}

func (t *tally) note(m *meter, serial int64) {
	if d, ok := t.since(serial); ok && m.measuring.Load() {
		t.ack.add(d)
		t.count++
	}
	t.acked.Store(serial + 1)
}

// over tells whether nothing will be acknowledged any more.
func (t *tally) over(m *meter) bool { return m.stopped.Load() && t.acked.Load() == t.sent.Load() }

func (t *tally) report(o *outcome) {
	o.Ack.merge(&t.ack)
	o.Produces += t.count
	o.AllProduced += t.acked.Load() * int64(t.each)
	o.ProducedBytes += t.count * int64(t.each)
}

type pacedAcks struct {
	tally
	in *bufio.Reader
}

func (a *pacedAcks) run(m *meter) error {
	var buf []byte
	for n := int64(0); ; n++ {
		var err error
		if buf, err = readFrame(a.in, buf[:cap(buf)]); err != nil {
			if a.over(m) && closedOnPurpose(err) {
				return nil
			}
			return fmt.Errorf("answer to Produce: %w", err)
		}
		correlation, offset, err := producedAt(buf)
		if err != nil {
			return err
		}
		partitions := int64(len(a.origins))
		if want := a.origins[n%partitions] + n/partitions; correlation != int32(n) || offset != want {
			return fmt.Errorf("answer to paced Produce %d: correlation id %d, offset %d, not %d", n, correlation, offset, want)
		}
		a.note(m, n)
	}
}

type pacedConsumer struct {
	*paced
	socket  net.Conn
	in      *bufio.Reader
	request fetchRequest
	serial  int32
	latency histogram
	fetches int64
	bytes   int64
}

func (c *pacedConsumer) run(m *meter) error {
	defer c.socket.Close()
	var buf []byte
	for !m.stopped.Load() {
		c.serial++
		if err := c.socket.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
			return err
		}
		if _, err := c.socket.Write(c.request.prepare(c.serial)); err != nil {
			return fmt.Errorf("send Fetch: %w", err)
		}
		var err error
		if buf, err = readFrame(c.in, buf[:cap(buf)]); err != nil {
			return fmt.Errorf("answer to Fetch: %w", err)
		}
		correlation, err := fetchedRecords(buf, func(partition int32, _ int64, records []byte) error { return c.arrived(m, partition, records) })
		if err != nil {
			return err
		}
		if correlation != c.serial {
			return fmt.Errorf("answer to Fetch: correlation id %d, not %d", correlation, c.serial)
		}
		if m.measuring.Load() {
			c.fetches++
		}
	}
	return nil
}

func (c *pacedConsumer) arrived(m *meter, partition int32, records []byte) error {
	i, err := c.request.place(partition)
	if err != nil {
		return err
	}
	want := c.request.offsets[i]
	n := eachBatch(records, func(base int64, count int32) {
		if base != want && err == nil {
			err = fmt.Errorf("partition %d: a batch at offset %d where %d was next", partition, base, want)
		}
		want = base + int64(count)
		serial := (base-c.origins[i])*int64(len(c.origins)) + int64(i)
		if d, ok := c.since(serial); ok && m.measuring.Load() {
			c.latency.add(d)
		}
	})
	c.request.offsets[i] = want
	if m.measuring.Load() {
		c.bytes += int64(n)
	}
	return err
}

func (c *pacedConsumer) report(o *outcome) {
	o.EndToEnd.merge(&c.latency)
	o.Fetches += c.fetches
	o.FetchedBytes += c.bytes
}
