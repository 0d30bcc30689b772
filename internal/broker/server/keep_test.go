package server

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
)

// mixedBody writes pieces of all sizes in both ways, and spoils each when it may: what was written at once, what was kept on Close.
type mixedBody struct {
	pieces [][]byte
	keep   []bool
}

func newMixedBody(r *rand.Rand) (*mixedBody, []byte) {
	b := &mixedBody{}
	var whole []byte
	for range r.IntN(100) {
		p := make([]byte, r.IntN([]int{2, 100, 3000, 70_000, 200_000}[r.IntN(5)]+1))
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		b.pieces, b.keep, whole = append(b.pieces, p), append(b.keep, r.IntN(2) == 0), append(whole, p...)
	}
	return b, whole
}

func (b *mixedBody) Len() (n int) {
	for _, p := range b.pieces {
		n += len(p)
	}
	return n
}

func (b *mixedBody) WriteTo(w io.Writer) (total int64, err error) {
	for i, p := range b.pieces {
		n := 0
		if b.keep[i] {
			n, err = w.(Keeper).Keep(p)
		} else {
			n, err = w.Write(p)
			clear(p)
		}
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
	return total, nil
}

func (b *mixedBody) Close() {
	for _, p := range b.pieces {
		clear(p)
	}
}

func TestKeptPieces(t *testing.T) {
	h := prepareHarness(t)
	r := rand.New(rand.NewPCG(1, 2))
	wholes := make(chan []byte, 100)
	h.handlers[keyEcho].Serve = func(*Request) Answer {
		b, whole := newMixedBody(r)
		wholes <- whole
		return Answer{Body: func() Body { return b }}
	}
	h.run(nil)
	c := h.dial()
	for range 3 {
		var all []byte
		for i := range int32(6) {
			all = append(all, frame(keyEcho, 1, i, "")...)
			all = append(all, frame(keyMute, 3, i, "")...)
		}
		go c.send(all)
		for i := range int32(6) {
			id, body := c.response(false)
			if whole := <-wholes; id != i || !bytes.Equal([]byte(body), whole) {
				t.Fatalf("response %d of %d bytes is not what was written", id, len(whole))
			}
		}
	}
}
