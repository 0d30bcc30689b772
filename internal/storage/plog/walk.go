package plog

import (
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"

	"github.com/ottla/ottla/internal/kafka/batch"
)

const (
	// windowSize is how much a walk over small batches reads at once.
	windowSize = 64 << 10
	// largeBatch is the size from which a walk reads headers only.
	largeBatch = 8 << 10
)

var windows = sync.Pool{New: func() any { return new([windowSize]byte) }}

// sizeOf returns a segment's size in bytes, memory included.
func (l *Log) sizeOf(s *segment) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return s.size
}

// readAt reads up to len(p) bytes of a segment at a position, from memory where it has them, else from the file. It returns fewer only where the two meet, and
// io.ErrUnexpectedEOF when there are none.
func (l *Log) readAt(s *segment, p []byte, at int64) (int, error) {
	n, until := l.readTail(s, p, at)
	if n > 0 {
		return n, nil
	}
	if until < int64(len(p)) {
		p = p[:until]
	}
	h := l.dir.Handles()
	f, err := l.openSegment(s)
	if err != nil {
		return 0, l.diskError(err)
	}
	n, err = f.ReadAt(p, at)
	if e := h.Release(&s.log); e != nil && err == nil {
		err = e
	}
	switch {
	case n > 0:
		return n, nil
	case err == nil, errors.Is(err, io.EOF):
		return 0, io.ErrUnexpectedEOF
	}
	return 0, l.diskError(err)
}

// readTail copies what memory has at a position; without any, until says how many bytes lie before memory's first.
func (l *Log) readTail(s *segment, p []byte, at int64) (n int, until int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	tail := l.mu.tail
	i := sort.Search(len(tail), func(i int) bool {
		c := tail[i]
		return c.segment.base > s.base || c.segment == s && c.end() > at
	})
	for ; i < len(tail) && tail[i].segment == s && n < len(p); i++ {
		c := tail[i]
		if c.at > at {
			if n == 0 {
				return 0, c.at - at
			}
			break
		}
		k := copy(p[n:], c.Buf[at-c.at:c.filled])
		n += k
		at += int64(k)
	}
	if n == 0 {
		return 0, max(0, s.size-at)
	}
	return n, 0
}

// readExactly fills p from a segment.
func (l *Log) readExactly(s *segment, p []byte, at int64) error {
	for len(p) > 0 {
		n, err := l.readAt(s, p, at)
		if err != nil {
			return err
		}
		p, at = p[n:], at+int64(n)
	}
	return nil
}

// walk calls f for the batches of a segment from position from to position to, which must be batch boundaries, until it returns false. Small batches come whole, of
// large ones only the header. Damaged ranges are passed over.
func (l *Log) walk(s *segment, from, to int64, f func(b batch.Batch, at int64) bool) error {
	return l.walkRange(s, from, to, true, f)
}

// walkSound is walk that ends with a *RotError at damage.
func (l *Log) walkSound(s *segment, from, to int64, f func(b batch.Batch, at int64) bool) error {
	return l.walkRange(s, from, to, false, f)
}

func (l *Log) walkRange(s *segment, from, to int64, over bool, f func(b batch.Batch, at int64) bool) error {
	buffer := windows.Get().(*[windowSize]byte)
	defer windows.Put(buffer)
	w := window{log: l, segment: s, buf: buffer[:], until: to}
	expect, exact := s.base, from == 0 // whether a batch must begin at expect, or only not before
	gaps := l.mayHaveGaps()
	size := int64(0)
	for at := from; at < to; at += size {
		b, err := w.header(at, size)
		if err == nil {
			size = int64(b.Size())
			switch {
			case b.BaseOffset() < expect || b.BaseOffset() > expect && exact && !gaps || b.LastOffsetDelta() < 0:
				err = fmt.Errorf("a batch of offsets %d to %d stands where offset %d was expected", b.BaseOffset(), b.LastOffset(), expect)
			case at+size > to:
				err = fmt.Errorf("a batch of %d bytes stands %d bytes before the end", size, to-at)
			case size <= windowSize && (size <= largeBatch || b.IsControl()):
				whole, failed := w.whole(at, int(size))
				if _, disk := errors.AsType[*DiskError](failed); failed != nil && (!disk || b.IsControl()) {
					err = failed
				}
				if failed == nil { // else the header has to do: who only passes by needs no more
					b = whole
				}
			}
		}
		if err != nil {
			err = l.damaged(s, at, expect, err)
			rot, ok := asRot(err)
			if !over || !ok || !rot.marked {
				return err
			}
			at, size = rot.Until, 0
			expect, exact = rot.To, true
			continue
		}
		if !f(b, at) {
			return nil
		}
		expect, exact = b.NextOffset(), true
	}
	return nil
}

// window is the part of a segment that a walk holds.
type window struct {
	log     *Log
	segment *segment
	buf     []byte
	at      int64
	n       int
	until   int64
}

// header returns at least the header of the batch at a position; last is the size of the one before, which tells how far ahead reading pays.
func (w *window) header(at, last int64) (batch.Batch, error) {
	if p := w.have(at, batch.HeaderSize); p != nil {
		return checkHeader(p)
	}
	want := len(w.buf)
	if last > largeBatch {
		want = batch.HeaderSize
	}
	if err := w.fill(at, want, batch.HeaderSize); err != nil {
		return nil, err
	}
	p := w.have(at, batch.HeaderSize)
	if p == nil {
		return nil, fmt.Errorf("%d bytes are left, less than a batch's header", w.until-at)
	}
	return checkHeader(p)
}

func (w *window) whole(at int64, size int) (batch.Batch, error) {
	if p := w.have(at, size); p != nil {
		return batch.Batch(p[:size:size]), nil
	}
	if err := w.fill(at, len(w.buf), size); err != nil {
		return nil, err
	}
	p := w.have(at, size)
	if p == nil {
		return nil, io.ErrUnexpectedEOF
	}
	return batch.Batch(p[:size:size]), nil
}

func (w *window) have(at int64, n int) []byte {
	if at < w.at || at+int64(n) > w.at+int64(w.n) {
		return nil
	}
	return w.buf[at-w.at : w.n]
}

// fill reads from a position on, as much as wanted and there is; where the disk fails that, less, down to what is needed.
func (w *window) fill(at int64, want, need int) error {
	want, need = int(min(int64(want), w.until-at)), int(min(int64(need), w.until-at))
	w.at, w.n = at, 0
	for {
		err := w.log.readExactly(w.segment, w.buf[:want], at)
		if err == nil {
			w.n = want
			return nil
		}
		if _, disk := errors.AsType[*DiskError](err); !disk || want <= need {
			return err
		}
		want = max(need, want/2)
	}
}

// checkHeader refuses what cannot be the header of a batch, so that its length may be followed.
func checkHeader(p []byte) (batch.Batch, error) {
	_, _, err := batch.Next(p[:batch.HeaderSize])
	if err != nil && !errors.Is(err, batch.ErrTruncated) {
		return nil, err
	}
	return batch.Batch(p[:batch.HeaderSize]), nil
}
