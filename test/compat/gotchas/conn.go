package gotchas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const answerLimit = 20 * time.Second

// Conn is a connection that frames requests and nothing else.
type Conn struct {
	net.Conn
	t           testing.TB
	correlation int32
}

// Dial connects and closes with the test.
func Dial(t testing.TB, address string) *Conn {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Fatalf("dial the node: %v", err)
	}
	t.Cleanup(func() { c.Close() })
	return &Conn{Conn: c, t: t, correlation: rand.Int32()}
}

// Send writes one request and returns its correlation id.
func (c *Conn) Send(req kmsg.Request) int32 {
	c.t.Helper()
	c.correlation++
	frame := kmsg.NewRequestFormatter(kmsg.FormatterClientID("gotcha")).AppendRequest(nil, req, c.correlation)
	if _, err := c.Write(frame); err != nil {
		c.t.Fatalf("send %s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return c.correlation
}

// SendRaw writes a frame with this header and body; the length is put before it.
func (c *Conn) SendRaw(key, version int16, flexible bool, body []byte) int32 {
	c.t.Helper()
	c.correlation++
	b := binary.BigEndian.AppendUint16(make([]byte, 4), uint16(key))
	b = binary.BigEndian.AppendUint16(b, uint16(version))
	b = binary.BigEndian.AppendUint32(b, uint32(c.correlation))
	b = binary.BigEndian.AppendUint16(b, 6)
	b = append(b, "gotcha"...)
	if flexible {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send key %d v%d: %v", key, version, err)
	}
	return c.correlation
}

// Frame reads one answer: its correlation id and what follows it. io.EOF says that the node closed the connection.
func (c *Conn) Frame() (int32, []byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(answerLimit)); err != nil {
		return 0, nil, err
	}
	var head [8]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return 0, nil, err
	}
	size := binary.BigEndian.Uint32(head[:])
	if size < 4 || size > 100<<20 {
		return 0, nil, fmt.Errorf("an answer of %d bytes", size)
	}
	body := make([]byte, size-4)
	_, err := io.ReadFull(c, body)
	return int32(binary.BigEndian.Uint32(head[4:])), body, err
}

// Decode reads an answer's body and fails unless every byte of it means something.
func Decode(resp kmsg.Response, body []byte) error {
	if resp.IsFlexible() && resp.Key() != 18 {
		if len(body) == 0 || body[0] != 0 {
			return errors.New("a flexible answer's header has no empty tag section")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return fmt.Errorf("decode: %w", err)
	}
	if again := resp.AppendTo(nil); string(again) != string(body) {
		return fmt.Errorf("the answer is %d bytes, what it means is %d", len(body), len(again))
	}
	return nil
}

// Do sends a request and decodes its answer.
func Do[R kmsg.Response](c *Conn, req kmsg.Request) R {
	c.t.Helper()
	want := c.Send(req)
	return Answer[R](c, req, want)
}

// Answer reads the answer of a request that was sent.
func Answer[R kmsg.Response](c *Conn, req kmsg.Request, want int32) R {
	c.t.Helper()
	correlation, body, err := c.Frame()
	if err != nil {
		c.t.Fatalf("%s v%d: no answer: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	if correlation != want {
		c.t.Fatalf("%s v%d: answered with correlation id %d, asked with %d", kmsg.NameForKey(req.Key()), req.GetVersion(), correlation, want)
	}
	resp := req.ResponseKind()
	if err := Decode(resp, body); err != nil {
		c.t.Fatalf("%s v%d: %v", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp.(R)
}

// Closed fails unless the node closes the connection without an answer.
func (c *Conn) Closed() {
	c.t.Helper()
	_, body, err := c.Frame()
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		c.t.Fatalf("the connection was not closed: %d bytes, %v", len(body), err)
	}
}

// Until polls with a deadline: metadata of a new topic reaches a broker a moment later.
func Until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(answerLimit)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("%s did not happen within %s", what, answerLimit)
		}
		<-tick.C
	}
}

// Record is what Batch encodes; a nil key or value is null.
type Record struct {
	Key, Value []byte
	Timestamp  int64 // ms
}

// BatchOptions change what a well-behaved client would send.
type BatchOptions struct {
	LeaderEpoch   int32
	Magic         int8 // 0 means 2
	Attributes    int16
	MaxTimestamp  *int64
	Count         *int32
	ProducerID    int64 // 0 means none
	ProducerEpoch int16
	BaseSequence  int32
}

// Batch encodes one uncompressed record batch.
func Batch(o BatchOptions, records ...Record) []byte {
	base, newest := records[0].Timestamp, records[0].Timestamp
	var body []byte
	for i, r := range records {
		newest = max(newest, r.Timestamp)
		rec := []byte{0}
		rec = binary.AppendVarint(rec, r.Timestamp-base)
		rec = binary.AppendVarint(rec, int64(i))
		for _, b := range [][]byte{r.Key, r.Value} {
			if b == nil {
				rec = binary.AppendVarint(rec, -1)
				continue
			}
			rec = append(binary.AppendVarint(rec, int64(len(b))), b...)
		}
		rec = binary.AppendVarint(rec, 0)
		body = append(binary.AppendVarint(body, int64(len(rec))), rec...)
	}
	count, producer, epoch, sequence := int32(len(records)), int64(-1), int16(-1), int32(-1)
	last := count - 1
	if o.Count != nil {
		count = *o.Count
	}
	if o.MaxTimestamp != nil {
		newest = *o.MaxTimestamp
	}
	if o.ProducerID != 0 {
		producer, epoch, sequence = o.ProducerID, o.ProducerEpoch, o.BaseSequence
	}
	magic := o.Magic
	if magic == 0 {
		magic = 2
	}
	be := binary.BigEndian
	tail := be.AppendUint16(nil, uint16(o.Attributes))
	tail = be.AppendUint32(tail, uint32(last))
	tail = be.AppendUint64(tail, uint64(base))
	tail = be.AppendUint64(tail, uint64(newest))
	tail = be.AppendUint64(tail, uint64(producer))
	tail = be.AppendUint16(tail, uint16(epoch))
	tail = be.AppendUint32(tail, uint32(sequence))
	tail = be.AppendUint32(tail, uint32(count))
	tail = append(tail, body...)
	b := be.AppendUint64(nil, 0)
	b = be.AppendUint32(b, uint32(4+1+4+len(tail)))
	b = be.AppendUint32(b, uint32(o.LeaderEpoch))
	b = append(b, byte(magic))
	b = be.AppendUint32(b, crc32.Checksum(tail, crc32.MakeTable(crc32.Castagnoli)))
	return append(b, tail...)
}

// Header is the fixed part of a batch as it was read.
type Header struct {
	BaseOffset   int64
	LeaderEpoch  int32
	CRCOK        bool
	Attributes   int16
	LastDelta    int32
	MaxTimestamp int64
	Size         int
}

// Headers reads the headers of complete batches.
func Headers(t testing.TB, b []byte) (out []Header) {
	t.Helper()
	be := binary.BigEndian
	for len(b) >= 61 {
		size := 12 + int(be.Uint32(b[8:]))
		if size > len(b) {
			break
		}
		out = append(out, Header{
			BaseOffset: int64(be.Uint64(b)), LeaderEpoch: int32(be.Uint32(b[12:])),
			CRCOK:      be.Uint32(b[17:]) == crc32.Checksum(b[21:size], crc32.MakeTable(crc32.Castagnoli)),
			Attributes: int16(be.Uint16(b[21:])), LastDelta: int32(be.Uint32(b[23:])), MaxTimestamp: int64(be.Uint64(b[35:])), Size: size,
		})
		b = b[size:]
	}
	return out
}
