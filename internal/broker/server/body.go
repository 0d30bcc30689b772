package server

import (
	"errors"
	"io"
)

// Body is the body of one response, without header and frame size.
//
// Len does not change, and WriteTo writes exactly that many bytes or returns an error. Its writer gathers small writes and passes large ones on, so a Body
// writes its parts as they are. An error of the writer ends the connection quietly; any other is logged. Close is called once, after WriteTo or instead of it.
type Body interface {
	Len() int
	WriteTo(w io.Writer) (int64, error)
	Close()
}

// ErrDisk marks an error of Body.WriteTo as one of the disk: the peer did nothing wrong.
var ErrDisk = errors.New("the disk failed a read")

// Keeper is what the writer of Body.WriteTo also is. Keep is Write for bytes that stay as they are until the Body is closed: many of them leave in one system
// call, which for large answers is half of their cost.
type Keeper interface {
	io.Writer
	Keep(b []byte) (int, error)
}

// Holder is a Body that holds less memory than its length, because the rest is in files. What a large or waiting body holds is reserved when Answer.Memory did
// not; without this method that is its length.
type Holder interface {
	Held() int
}

// Bytes is a Body that is in memory as a whole.
type Bytes []byte

func (b Bytes) Len() int { return len(b) }

func (b Bytes) WriteTo(w io.Writer) (int64, error) {
	if k, ok := w.(Keeper); ok {
		n, err := k.Keep(b)
		return int64(n), err
	}
	n, err := w.Write(b)
	return int64(n), err
}

func (b Bytes) Close() {}

func held(b Body) int {
	if h, ok := b.(Holder); ok {
		return h.Held()
	}
	return b.Len()
}
