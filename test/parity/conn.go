package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kbin"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Ways in which a request ends without an answer.
var (
	errClosed = errors.New("connection closed")
	errSilent = errors.New("no answer")
)

// maxAnswer bounds what a side may make the driver allocate.
const maxAnswer = 64 << 20

// conn is one connection to one side.
type conn struct {
	net      net.Conn
	clientID string
	next     int32
}

func dial(address, clientID string) (*conn, error) {
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return &conn{net: c, clientID: clientID}, nil
}

// frame makes a request with its header around a body.
func (c *conn) frame(key, version int16, flexible bool, body []byte) []byte {
	c.next++
	b := make([]byte, 4, 64+len(body))
	b = kbin.AppendInt16(b, key)
	b = kbin.AppendInt16(b, version)
	b = kbin.AppendInt32(b, c.next)
	b = kbin.AppendNullableString(b, &c.clientID)
	if flexible {
		b = append(b, 0)
	}
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *conn) write(frame []byte) error {
	if err := c.net.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err := c.net.Write(frame)
	return err
}

// read returns the next answer's body behind its correlation id.
func (c *conn) read(limit time.Duration) ([]byte, error) {
	if err := c.net.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(c.net, size[:]); err != nil {
		return nil, ended(err)
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 4 || n > maxAnswer {
		return nil, fmt.Errorf("an answer of %d bytes", n)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(c.net, b); err != nil {
		return nil, ended(err)
	}
	if id := int32(binary.BigEndian.Uint32(b)); id != c.next {
		return nil, fmt.Errorf("correlation id %d, want %d", id, c.next)
	}
	return b[4:], nil
}

func ended(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return errSilent
	}
	return errClosed
}

// decode reads an answer as kmsg knows it, and refuses bytes that are left over.
func decode(req kmsg.Request, body []byte) (kmsg.Response, error) {
	resp := req.ResponseKind()
	if resp.IsFlexible() && req.Key() != 18 {
		r := kbin.Reader{Src: body}
		if tags := r.Uvarint(); tags != 0 {
			return nil, fmt.Errorf("%d tags in the response header", tags)
		}
		body = r.Src
	}
	if err := resp.ReadFrom(body); err != nil {
		return nil, fmt.Errorf("cannot be decoded: %w", err)
	}
	if again := resp.AppendTo(nil); len(again) != len(body) {
		return nil, fmt.Errorf("%d bytes, %d of them belong to the answer", len(body), len(again))
	}
	return resp, nil
}
