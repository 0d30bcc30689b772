// Package raw is the smallest Kafka client: it sends one request and reads its answer, on one connection, at the version it was told, and hides nothing: no retry, no
// metadata, no reconnect. Tests use it where they must know exactly what was sent and what came back.
//
// # Invariants
//
//  1. An answer that does not decode, leaves bytes over, or would be encoded differently than it came is an error.
//  2. A request is sent at most once.
//
// # Ownership
//
// A Conn belongs to one goroutine at a time; Send and Receive may be called from two.
//
// # Does not
//
// It does not find brokers or coordinators and knows no error code.
package raw

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// DefaultTimeout bounds each Send and Receive.
const DefaultTimeout = 30 * time.Second

// maxFrame bounds what is read of an answer.
const maxFrame = 256 << 20

// Conn is one connection.
type Conn struct {
	net.Conn
	// Timeout bounds each Send and Receive.
	Timeout time.Duration
	// ClientID is sent with every request; nil is null.
	ClientID *string

	correlation int32
}

// Dial connects to a listener.
func Dial(address string) (*Conn, error) {
	c, err := net.DialTimeout("tcp", address, DefaultTimeout)
	if err != nil {
		return nil, err
	}
	return &Conn{Conn: c, Timeout: DefaultTimeout, ClientID: new("raw")}, nil
}

// Do sends a request at the version set in it and returns the decoded answer.
func (c *Conn) Do(req kmsg.Request) (kmsg.Response, error) {
	id, err := c.Send(req)
	if err != nil {
		return nil, err
	}
	return c.Receive(req, id)
}

// Ask is Do with the answer's type.
func Ask[R kmsg.Response](c *Conn, req kmsg.Request) (R, error) {
	resp, err := c.Do(req)
	if err != nil {
		var none R
		return none, err
	}
	return resp.(R), nil
}

// Send sends a request and returns its correlation id.
func (c *Conn) Send(req kmsg.Request) (int32, error) {
	c.correlation++
	if err := c.SendBytes(c.Frame(req, c.correlation)); err != nil {
		return 0, fmt.Errorf("send %s version %d: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return c.correlation, nil
}

// Frame returns the bytes of a request, its size first.
func (c *Conn) Frame(req kmsg.Request, correlation int32) []byte {
	var opts []kmsg.RequestFormatterOpt
	if c.ClientID != nil {
		opts = append(opts, kmsg.FormatterClientID(*c.ClientID))
	}
	return kmsg.NewRequestFormatter(opts...).AppendRequest(nil, req, correlation)
}

// SendBytes sends bytes as they are.
func (c *Conn) SendBytes(p []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(c.Timeout)); err != nil {
		return err
	}
	_, err := c.Write(p)
	return err
}

// SendBody sends a frame with a request header of version 1 (2 where flexible) before a body made by hand.
func (c *Conn) SendBody(key, version int16, flexible bool, body []byte) (int32, error) {
	c.correlation++
	return c.correlation, c.SendBytes(Frame(key, version, flexible, c.correlation, c.ClientID, body))
}

// Frame returns the bytes of a request with a body made by hand, its size first.
func Frame(key, version int16, flexible bool, correlation int32, clientID *string, body []byte) []byte {
	out := binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, uint16(key))
	out = binary.BigEndian.AppendUint16(out, uint16(version))
	out = binary.BigEndian.AppendUint32(out, uint32(correlation))
	if clientID == nil {
		out = append(out, 0xff, 0xff)
	} else {
		out = binary.BigEndian.AppendUint16(out, uint16(len(*clientID)))
		out = append(out, *clientID...)
	}
	if flexible {
		out = append(out, 0)
	}
	out = append(out, body...)
	binary.BigEndian.PutUint32(out, uint32(len(out)-4))
	return out
}

// Receive reads the next answer, which must be the one to req with that correlation id.
func (c *Conn) Receive(req kmsg.Request, correlation int32) (kmsg.Response, error) {
	frame, err := c.ReceiveFrame()
	if err != nil {
		return nil, fmt.Errorf("answer to %s version %d: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	resp, err := Decode(req, correlation, frame)
	if err != nil {
		return nil, fmt.Errorf("answer to %s version %d: %w", kmsg.NameForKey(req.Key()), req.GetVersion(), err)
	}
	return resp, nil
}

// Decode reads an answer strictly (I1).
func Decode(req kmsg.Request, correlation int32, frame []byte) (kmsg.Response, error) {
	if len(frame) < 4 {
		return nil, fmt.Errorf("a frame of %d bytes has no correlation id", len(frame))
	}
	if got := int32(binary.BigEndian.Uint32(frame)); got != correlation {
		return nil, fmt.Errorf("correlation id %d, want %d", got, correlation)
	}
	body := frame[4:]
	resp := req.ResponseKind()
	const keyApiVersions = 18 // its answer's header is never flexible
	if resp.IsFlexible() && req.Key() != keyApiVersions {
		if len(body) == 0 || body[0] != 0 {
			return nil, errors.New("the answer's header has no empty list of tags")
		}
		body = body[1:]
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("decode %x: %w", clip(body), err)
	}
	if again := resp.AppendTo(nil); !bytes.Equal(again, body) {
		return nil, fmt.Errorf("%d bytes came and %d would be encoded:\n%x\n%x", len(body), len(again), clip(body), clip(again))
	}
	return resp, nil
}

func clip(p []byte) []byte { return p[:min(len(p), 512)] }

// ReceiveFrame reads the next answer's bytes, without its size.
func (c *Conn) ReceiveFrame() ([]byte, error) {
	if err := c.SetReadDeadline(time.Now().Add(c.Timeout)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return nil, err
	}
	n := int32(binary.BigEndian.Uint32(size[:]))
	if n < 0 || n > maxFrame {
		return nil, fmt.Errorf("an answer of %d bytes is announced", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(c, frame); err != nil {
		return nil, fmt.Errorf("answer of %d bytes: %w", n, err)
	}
	return frame, nil
}
