package server

import (
	"math/bits"
	"sync"
)

const (
	bulkSize    = 64 << 10 // a read buffer for frames that do not fit the connection's own, at least
	bulkFrames  = 5        // frames like the largest so far that one should take, which is what Kafka's producer has on the way
	bulkLimit   = 512 << 10
	largestKept = 4 << 20 // larger buffers are left to the garbage collector
)

// buffer is memory for requests; its size is one of a ladder with four steps in each power of two, so that at most a fifth of it is unused.
type buffer struct {
	bytes []byte
}

var buffers [(22-16)*4 + 1]sync.Pool // from 64 KiB (2^16) to 4 MiB (2^22)

// ladder rounds a size up to a step of the ladder.
func ladder(n int) int {
	if n <= bulkSize {
		return bulkSize
	}
	step := 1 << (bits.Len(uint(n-1)) - 3)
	return (n + step - 1) / step * step
}

// rung is the index of a ladder size in buffers.
func rung(size int) int {
	exponent := bits.Len(uint(size)) - 1
	return (exponent-16)*4 + (size>>(exponent-2))&3
}

// newBuffer returns a buffer of exactly ladder(n) bytes, whatever they contain.
func newBuffer(n int) *buffer {
	size := ladder(n)
	if size <= largestKept {
		if b, ok := buffers[rung(size)].Get().(*buffer); ok {
			return b
		}
	}
	return &buffer{bytes: make([]byte, size)}
}

// free gives the buffer back. Who still looks at it finds, in builds that look for such mistakes, poison.
func (b *buffer) free() {
	poison(b.bytes)
	if len(b.bytes) <= largestKept {
		buffers[rung(len(b.bytes))].Put(b)
	}
}

// poison overwrites bytes that nobody may look at any more, in builds with the race detector and in this package's tests.
func poison(b []byte) {
	if !poisoning {
		return
	}
	for i := range b {
		b[i] = 0xdb
	}
}
