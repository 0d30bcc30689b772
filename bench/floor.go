package main

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"os/exec"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// floorArgument makes this program a server that only answers: no checks, no log, no disk. What it costs is what the machine and the generator ask of any broker, and so
// tells how much of a broker's figures is the broker's.
const floorArgument = "floor"

func newFloor(scratch string) (*broker, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the floor: %w", err)
	}
	b, err := newBroker("floor", scratch)
	if err != nil {
		return nil, err
	}
	b.command = func(address string) *exec.Cmd { return exec.Command(self, floorArgument, address) }
	return b, nil
}

// serveFloor runs until the process is ended.
func serveFloor(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	for {
		socket, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			f := &floor{socket: socket, in: bufio.NewReaderSize(socket, 256<<10)}
			if err := f.run(); err != nil && !closedOnPurpose(err) && !isNetError(err) {
				fmt.Fprintln(os.Stderr, "bench floor:", err)
			}
		}()
	}
}

// floor answers one connection.
type floor struct {
	socket net.Conn
	in     *bufio.Reader
	frame  []byte
	out    []byte // answers to requests that came together

	produced []byte // whole frames
	fetched  []byte
}

// Places in a Fetch of fetchVersion for one topic: of the partition's number behind the request's header, and in the answer's frame.
const (
	fetchPartitionAt   = 4 + 4 + 4 + 1 + 4 + 4 + 1 + 16 + 1
	fetchedCorrelation = 4
	fetchedPartitionAt = 4 + 4 + 1 + 4 + 2 + 4 + 1 + 16 + 1
	floorFetchBytes    = 1 << 20
	floorBatchBytes    = 64 << 10
)

func (f *floor) run() (err error) {
	defer f.socket.Close()
	for {
		if f.frame, err = readFrame(f.in, f.frame[:cap(f.frame)]); err != nil {
			return err
		}
		if err := f.answer(); err != nil {
			return err
		}
		if f.in.Buffered() > 0 && len(f.out) < 64<<10 {
			continue
		}
		if len(f.out) > 0 {
			if _, err := f.socket.Write(f.out); err != nil {
				return err
			}
			f.out = f.out[:0]
		}
	}
}

// answer puts an answer into out, or writes it if it is large.
func (f *floor) answer() error {
	in := cursor{b: f.frame}
	key, version, correlation := in.int16(), in.int16(), in.int32()
	in.take(int(in.int16())) // client id
	in.tags()
	if in.err != nil {
		return in.err
	}
	switch key {
	case 0:
		if f.produced == nil {
			f.produced = producedAnswer(version, in.b)
		}
		f.out = append(f.out, f.produced...)
		binary.BigEndian.PutUint32(f.out[len(f.out)-len(f.produced)+4:], uint32(correlation))
		return nil
	case 1:
		if f.fetched == nil {
			f.fetched = fetchedAnswer(version)
		}
		binary.BigEndian.PutUint32(f.fetched[fetchedCorrelation:], uint32(correlation))
		copy(f.fetched[fetchedPartitionAt:fetchedPartitionAt+4], in.b[fetchPartitionAt:])
		_, err := f.socket.Write(f.fetched)
		return err
	}
	request := kmsg.RequestForKey(key)
	if request == nil {
		return fmt.Errorf("asked for API %d", key)
	}
	request.SetVersion(version)
	if err := request.ReadFrom(in.b); err != nil {
		return err
	}
	response := request.ResponseKind()
	switch r := request.(type) {
	case *kmsg.CreateTopicsRequest:
		for i, t := range r.Topics {
			made := kmsg.NewCreateTopicsResponseTopic()
			made.Topic, made.TopicID = t.Topic, [16]byte{15: byte(i + 1)}
			response.(*kmsg.CreateTopicsResponse).Topics = append(response.(*kmsg.CreateTopicsResponse).Topics, made)
		}
	case *kmsg.DeleteTopicsRequest:
	default:
		return fmt.Errorf("asked for %s", kmsg.NameForKey(key))
	}
	f.out = append(f.out, frameAnswer(response, correlation)...)
	return nil
}

// frameAnswer is the whole frame of a flexible response.
func frameAnswer(r kmsg.Response, correlation int32) []byte {
	b := append(make([]byte, 4), 0, 0, 0, 0, 0)
	binary.BigEndian.PutUint32(b[4:], uint32(correlation))
	b = r.AppendTo(b)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

// producedAnswer acknowledges the partition that the first request named, and is used for all others.
func producedAnswer(version int16, body []byte) []byte {
	request := kmsg.NewPtrProduceRequest()
	request.SetVersion(version)
	response := request.ResponseKind().(*kmsg.ProduceResponse)
	if err := request.ReadFrom(body); err == nil {
		for _, t := range request.Topics {
			response.Topics = append(response.Topics, kmsg.ProduceResponseTopic{Topic: t.Topic, Partitions: []kmsg.ProduceResponseTopicPartition{kmsg.NewProduceResponseTopicPartition()}})
		}
	}
	return frameAnswer(response, 0)
}

// fetchedAnswer has as many batches as a fetch takes, from offset 0 to the high watermark: whoever read them begins again.
func fetchedAnswer(version int16) []byte {
	p := kmsg.NewFetchResponseTopicPartition()
	batch, records := buildBatch(floorBatchBytes, 1<<10, 1)
	for len(p.RecordBatches)+len(batch) <= floorFetchBytes {
		binary.BigEndian.PutUint64(batch, uint64(p.HighWatermark))
		p.RecordBatches = append(p.RecordBatches, batch...)
		p.HighWatermark += int64(records)
	}
	t := kmsg.NewFetchResponseTopic()
	t.Partitions = append(t.Partitions, p)
	response := kmsg.NewPtrFetchResponse()
	response.SetVersion(version)
	response.Topics = append(response.Topics, t)
	return frameAnswer(response, 0)
}
