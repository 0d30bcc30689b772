package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// control is a connection for what is asked once: topics, and the first produce of a fresh broker.
type control struct {
	socket      net.Conn
	correlation int32
}

// controlTimeout bounds one answer; creating a thousand topics at once takes Apache Kafka seconds.
const controlTimeout = 60 * time.Second

func dialControl(ctx context.Context, address string) (*control, error) {
	var d net.Dialer
	socket, err := d.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &control{socket: socket}, nil
}

func (c *control) close() { _ = c.socket.Close() }

// ask sends one request and reads its answer.
func (c *control) ask(r kmsg.Request) (kmsg.Response, error) {
	c.correlation++
	if err := c.socket.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return nil, err
	}
	if _, err := c.socket.Write(formatter().AppendRequest(nil, r, c.correlation)); err != nil {
		return nil, fmt.Errorf("send %s: %w", kmsg.NameForKey(r.Key()), err)
	}
	frame, err := readFrame(c.socket, nil)
	if err != nil {
		return nil, fmt.Errorf("answer to %s: %w", kmsg.NameForKey(r.Key()), err)
	}
	in := cursor{b: frame}
	if got := in.int32(); got != c.correlation {
		return nil, fmt.Errorf("answer to %s: correlation id %d, not %d", kmsg.NameForKey(r.Key()), got, c.correlation)
	}
	response := r.ResponseKind()
	if response.IsFlexible() {
		in.tags()
	}
	if in.err != nil {
		return nil, in.err
	}
	return response, response.ReadFrom(in.b)
}

// readFrame reads one frame without its size into buf, which grows as needed.
func readFrame(r io.Reader, buf []byte) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	n := int(binary.BigEndian.Uint32(size[:]))
	if n < 4 || n > 256<<20 {
		return nil, fmt.Errorf("a response of %d bytes", n)
	}
	if cap(buf) < n {
		buf = make([]byte, n)
	}
	_, err := io.ReadFull(r, buf[:n])
	return buf[:n], err
}

// topic is one topic as it was created.
type topic struct {
	Name       string
	ID         [16]byte
	Partitions int32
}

// refusedError is an error code in an answer.
type refusedError struct {
	what string
	code int16
}

func (e *refusedError) Error() string { return fmt.Sprintf("%s: error code %d", e.what, e.code) }

// createTopics creates topics in one request, with one replica each.
func (c *control) createTopics(names []string, partitions int32, configs map[string]string) ([]topic, error) {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.SetVersion(7)
	r.TimeoutMillis = 50_000
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, partitions, 1
		for key, value := range configs {
			t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: key, Value: &value})
		}
		r.Topics = append(r.Topics, t)
	}
	response, err := c.ask(r)
	if err != nil {
		return nil, err
	}
	var out []topic
	for _, t := range response.(*kmsg.CreateTopicsResponse).Topics {
		if t.ErrorCode != 0 {
			return nil, &refusedError{"create topic " + t.Topic, t.ErrorCode}
		}
		out = append(out, topic{t.Topic, t.TopicID, partitions})
	}
	if len(out) != len(names) {
		return nil, fmt.Errorf("create topics: %d answers to %d topics", len(out), len(names))
	}
	return out, nil
}

// addPartitions gives a topic as many partitions as t says.
func (c *control) addPartitions(t topic) error {
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.SetVersion(3)
	r.TimeoutMillis = 50_000
	r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: t.Name, Count: t.Partitions}}
	response, err := c.ask(r)
	if err != nil {
		return err
	}
	for _, answer := range response.(*kmsg.CreatePartitionsResponse).Topics {
		if answer.ErrorCode != 0 {
			return &refusedError{"add partitions to " + t.Name, answer.ErrorCode}
		}
	}
	return nil
}

func (c *control) deleteTopic(t topic) error {
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.SetVersion(6)
	r.TimeoutMillis = 50_000
	r.Topics = []kmsg.DeleteTopicsRequestTopic{{Topic: &t.Name}}
	response, err := c.ask(r)
	if err != nil {
		return err
	}
	for _, answer := range response.(*kmsg.DeleteTopicsResponse).Topics {
		if answer.ErrorCode != 0 {
			return &refusedError{"delete topic " + t.Name, answer.ErrorCode}
		}
	}
	return nil
}

// produceOnce sends one batch with acks=all and waits for the acknowledgement.
func (c *control) produceOnce(name string, partition int32, batch []byte) error {
	if err := c.socket.SetDeadline(time.Now().Add(controlTimeout)); err != nil {
		return err
	}
	if _, err := c.socket.Write(produceFrame(name, partition, -1, batch)); err != nil {
		return fmt.Errorf("send Produce: %w", err)
	}
	frame, err := readFrame(c.socket, nil)
	if err != nil {
		return fmt.Errorf("answer to Produce: %w", err)
	}
	_, _, err = producedAt(frame)
	return err
}

// awaitAck produces to every partition of a topic until each has acknowledged once: a fresh topic may refuse while its leaders are settled.
func (c *control) awaitAck(ctx context.Context, t topic) error {
	batch, _ := buildBatch(0, 100, time.Now().UnixMilli())
	for p := range t.Partitions {
		err := c.produceOnce(t.Name, p, batch)
		for err != nil && ctx.Err() == nil && !errors.Is(err, io.EOF) && !isNetError(err) {
			pause(ctx, time.Millisecond)
			err = c.produceOnce(t.Name, p, batch)
		}
		if err != nil {
			return fmt.Errorf("first produce to %s-%d: %w", t.Name, p, err)
		}
	}
	return nil
}

// retry does something again while the broker refuses it, for as long as one answer may take.
func (c *control) retry(ctx context.Context, do func() error) error {
	ctx, cancel := context.WithTimeout(ctx, controlTimeout)
	defer cancel()
	for {
		err := do()
		if _, refused := errors.AsType[*refusedError](err); !refused || ctx.Err() != nil {
			return err
		}
		pause(ctx, 10*time.Millisecond)
	}
}

func isNetError(err error) bool {
	var e net.Error
	return errors.As(err, &e)
}

// pause waits, or less when the context ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
