package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// crowd is many connections with one request each on the way, driven by one thread that asks the kernel which of them have an answer. A goroutine for each of them costs
// as much as a broker does.
type crowd struct {
	epoll   int
	members []member
	frames  [][]byte // by partition
	next    int      // partition: the members take turns
	batch   int      // bytes of records in each request
	waiting int      // requests on the way
	read    []byte
	// answered reads an answer and tells whose it is.
	answered func(answer []byte) (correlation int32, err error)

	ack         histogram
	bytes, all  int64
	count       int64
	correlation int32
}

// member is one connection of a crowd.
type member struct {
	fd      int
	sentAt  time.Time
	counted bool
	sent    int32 // correlation id of the request on the way
	have    []byte
}

// crowded tells whether the job is for a crowd.
func (j *job) crowded() bool {
	return j.Kind == "produce" && j.InFlight == 1 && j.Producers >= 8 && j.Consumers == 0
}

func newCrowd(j *job) (_ *crowd, err error) {
	c := &crowd{read: make([]byte, 64<<10)}
	if c.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	c.answered = func(answer []byte) (int32, error) {
		correlation, _, err := producedAt(answer)
		return correlation, err
	}
	if j.Kind == "commit" {
		c.answered = committed
		for i := range j.Producers {
			c.frames = append(c.frames, commitFrame(groupName(j.Topic.Name, i), j.Topic.Name))
		}
	} else {
		batch, err := j.batch()
		if err != nil {
			return nil, err
		}
		c.batch = len(batch)
		for partition := range j.Topic.Partitions {
			c.frames = append(c.frames, produceFrame(j.Topic.Name, partition, j.Acks, batch))
		}
	}
	for i := range j.Producers {
		fd, err := dialRaw(j.Address)
		if err != nil {
			return nil, errors.Join(err, c.close())
		}
		c.members = append(c.members, member{fd: fd})
		if err := unix.EpollCtl(c.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)}); err != nil {
			return nil, errors.Join(fmt.Errorf("watch a connection: %w", err), c.close())
		}
	}
	return c, nil
}

// dialRaw connects and takes the socket away from the runtime.
func dialRaw(address string) (fd int, err error) {
	socket, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return 0, fmt.Errorf("connect: %w", err)
	}
	f, err := socket.(*net.TCPConn).File()
	if err = errors.Join(err, socket.Close()); err != nil {
		return 0, err
	}
	defer f.Close()
	if fd, err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
		err = unix.SetNonblock(fd, true)
	}
	return fd, err
}

func (c *crowd) close() error {
	err := unix.Close(c.epoll)
	for i := range c.members {
		err = errors.Join(err, unix.Close(c.members[i].fd))
	}
	return err
}

func (c *crowd) run(m *meter) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer func() { err = errors.Join(err, c.close()) }()
	for i := range c.members {
		if err := c.send(m, &c.members[i]); err != nil {
			return err
		}
	}
	events := make([]unix.EpollEvent, len(c.members))
	heard := time.Now()
	for c.waiting > 0 {
		n, err := unix.EpollWait(c.epoll, events, 1000)
		if err != nil && err != unix.EINTR {
			return fmt.Errorf("wait for answers: %w", err)
		}
		if n > 0 {
			heard = time.Now()
		} else if time.Since(heard) > loadTimeout {
			return fmt.Errorf("no answer to any of %d Produce requests for %s", c.waiting, loadTimeout)
		}
		for _, e := range events[:max(n, 0)] {
			if err := c.receive(m, &c.members[e.Fd]); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends the next request; it fits any socket's buffer.
func (c *crowd) send(m *meter, x *member) error {
	frame := c.frames[c.next]
	c.next = (c.next + 1) % len(c.frames)
	c.correlation++
	x.sent = c.correlation
	binary.BigEndian.PutUint32(frame[correlationAt:], uint32(x.sent))
	x.sentAt, x.counted = time.Now(), m.measuring.Load()
	if n, err := unix.Write(x.fd, frame); err != nil || n < len(frame) {
		return fmt.Errorf("send Produce: wrote %d of %d bytes: %w", n, len(frame), err)
	}
	c.waiting++
	return nil
}

// receive reads what has come, and sends the next request when that was a whole answer.
func (c *crowd) receive(m *meter, x *member) error {
	n, err := unix.Read(x.fd, c.read)
	if err == unix.EAGAIN || err == unix.EINTR {
		return nil
	}
	if err != nil || n == 0 {
		return fmt.Errorf("answer to Produce: read %d bytes: %w", n, err)
	}
	answer := c.read[:n]
	if len(x.have) > 0 {
		x.have = append(x.have, answer...)
		answer = x.have
	}
	if len(answer) < 4 || len(answer) < 4+int(binary.BigEndian.Uint32(answer)) {
		x.have = append(x.have[:0], answer...)
		return nil
	}
	x.have = x.have[:0]
	correlation, err := c.answered(answer[4:])
	if err != nil {
		return err
	}
	if correlation != x.sent {
		return fmt.Errorf("answer to Produce: correlation id %d, not %d", correlation, x.sent)
	}
	c.waiting--
	c.all += int64(c.batch)
	if x.counted && m.measuring.Load() {
		c.ack.add(time.Since(x.sentAt))
		c.bytes += int64(c.batch)
		c.count++
		m.count(c.batch)
	}
	if m.stopped.Load() {
		return nil
	}
	return c.send(m, x)
}

func (c *crowd) report(o *outcome) {
	o.Ack.merge(&c.ack)
	o.ProducedBytes += c.bytes
	o.AllProduced += c.all
	o.Produces += c.count
}
