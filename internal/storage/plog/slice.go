package plog

import (
	"io"
	"iter"
	"sort"
	"sync"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// copyBuffer is how much of a file is read at once on its way to a writer.
const copyBuffer = 512 << 10

var copyBuffers = sync.Pool{New: func() any { return new([copyBuffer]byte) }}

// Slice is a range of whole batches of one segment, held until Close: a part in the file, then a part in memory. The zero Slice is empty.
type Slice struct {
	log     *Log
	segment *segment
	at      int64 // of the first byte
	first   int64 // an offset that the first batch holds
	end     int64 // the offset after the last batch
	inFile  int64 // bytes to be read from the file
	inTail  int64 // bytes in chunks
	skip    int   // of the first chunk
	chunks  []*tailChunk
}

func (s *Slice) size() int64 { return s.inFile + s.inTail }

// Len is the number of bytes.
func (s *Slice) Len() int { return int(s.size()) }

// Held is the memory that WriteTo takes for what is in the file. It keeps it for as long as the writer takes.
func (s *Slice) Held() int {
	if s.inFile == 0 {
		return 0
	}
	return copyBuffer
}

// End is the offset after the last batch; it means nothing for an empty slice.
func (s *Slice) End() int64 { return s.end }

// slice pins what memory has of a range at its end; the rest comes from the file. The caller's reference to the segment becomes the slice's.
func (l *Log) slice(s *segment, at, limit int64) Slice {
	out := Slice{log: l, segment: s, at: at, inFile: limit - at}
	l.mu.Lock()
	defer l.mu.Unlock()
	tail := l.mu.tail
	high := sort.Search(len(tail), func(i int) bool { // the first chunk beyond the range
		c := tail[i]
		return c.segment.base > s.base || c.segment == s && c.at >= limit
	})
	low := high
	for low > 0 { // chunks without a gap, from the end of the range backwards
		c := tail[low-1]
		until := limit
		if low < high {
			until = tail[low].at
		}
		if c.segment != s || c.end() < until || c.end() <= at || !l.pinLocked(c) {
			break
		}
		low--
		if c.at <= at {
			break
		}
	}
	if low == high {
		return out
	}
	first := max(at, tail[low].at)
	out.chunks = append(make([]*tailChunk, 0, high-low), tail[low:high]...)
	out.skip = int(first - tail[low].at)
	out.inFile, out.inTail = first-at, limit-first
	return out
}

// pinLocked holds a chunk for a reader. Unwritten bytes are nowhere else, so their chunk is always held.
func (l *Log) pinLocked(c *tailChunk) bool {
	if c.pins == 0 {
		if !l.dir.Memory().Pin(len(c.Buf), c.written < c.filled) {
			return false
		}
	}
	c.pins++
	return true
}

// Close lets go of what the slice holds. It must be called once, also after errors.
func (s *Slice) Close() {
	l := s.log
	if l == nil {
		return
	}
	s.log = nil
	for _, c := range s.chunks {
		l.mu.Lock()
		c.pins--
		unpinned := c.pins == 0
		release := c.claimLocked()
		evictable := unpinned && !c.gone && c.written == c.filled && !c.busy && !c.writing
		size := len(c.Buf)
		l.mu.Unlock()
		if unpinned {
			l.dir.Memory().Unpin(size)
		}
		switch {
		case release:
			c.Release()
		case evictable:
			c.Evictable(c)
		}
	}
	s.chunks = nil
	l.release(s.segment)
}

// tails calls f for the parts in memory.
func (s *Slice) tails(f func(p []byte) error) error {
	left, skip := s.inTail, s.skip
	for i, c := range s.chunks {
		p := c.Buf[skip:]
		if i+1 < len(s.chunks) { // a chunk that was cut is not full
			p = c.Buf[skip : s.chunks[i+1].at-c.at]
		}
		if int64(len(p)) > left {
			p = p[:left]
		}
		if err := f(p); err != nil {
			return err
		}
		left -= int64(len(p))
		skip = 0
	}
	return nil
}

// Buffers appends the parts to dst when all of them are in memory, for a gathering write; ok is false when some are in the file. They are valid until Close.
func (s *Slice) Buffers(dst [][]byte) (out [][]byte, ok bool) {
	if s.inFile > 0 {
		return dst, false
	}
	_ = s.tails(func(p []byte) error { // cannot fail
		dst = append(dst, p)
		return nil
	})
	return dst, true
}

// WriteTo writes the bytes to w. An error of the disk is a *DiskError, damage a *RotError, every other error is w's. What has been written before an error of the disk is
// no answer any more: the receiver must not be left waiting for the rest.
func (s *Slice) WriteTo(w io.Writer) (int64, error) {
	var n int64
	if s.inFile > 0 {
		buffer := copyBuffers.Get().(*[copyBuffer]byte)
		defer copyBuffers.Put(buffer)
		err := s.fileParts(buffer[:], func(p []byte) error {
			k, err := w.Write(p)
			n += int64(k)
			return err
		})
		if err != nil {
			return n, err
		}
	}
	err := s.tails(func(p []byte) error {
		k, err := w.Write(p)
		n += int64(k)
		return err
	})
	return n, err
}

// fileParts reads the part in the file piece by piece.
func (s *Slice) fileParts(buffer []byte, f func(p []byte) error) error {
	l := s.log
	h := l.dir.Handles()
	file, err := l.openSegment(s.segment)
	if err != nil {
		return l.diskError(err)
	}
	check := newChecker(s)
	for at := s.at; at < s.at+s.inFile; {
		p := buffer[:min(int64(len(buffer)), s.at+s.inFile-at)]
		if err = vfs.ReadFull(file, p, at); err != nil {
			err = l.diskError(err)
			break
		}
		if err = check.next(p); err != nil {
			break
		}
		if at+int64(len(p)) == s.at+s.inFile && s.inTail == 0 {
			if err = check.finish(); err != nil {
				break
			}
		}
		if err = f(p); err != nil {
			break
		}
		at += int64(len(p))
	}
	if e := h.Release(&s.segment.log); e != nil && err == nil {
		err = l.diskError(e)
	}
	return err
}

// AppendTo appends the bytes to dst.
func (s *Slice) AppendTo(dst []byte) ([]byte, error) {
	if s.inFile > 0 {
		n := len(dst)
		dst = append(dst, make([]byte, s.inFile)...)
		if err := s.fileParts(dst[n:], func([]byte) error { return nil }); err != nil {
			return dst[:n], err
		}
	}
	err := s.tails(func(p []byte) error {
		dst = append(dst, p...)
		return nil
	})
	return dst, err
}

// Batches yields the batches, each checked against its CRC. They alias one buffer, made for the purpose. After an error it ends.
func (s *Slice) Batches() iter.Seq2[batch.Batch, error] {
	return func(yield func(batch.Batch, error) bool) {
		if s.Len() == 0 {
			return
		}
		data, err := s.AppendTo(make([]byte, 0, s.Len()))
		if err != nil {
			yield(nil, err)
			return
		}
		at, offset := s.at, s.first
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err == nil {
				err = b.Check()
			}
			if err != nil {
				yield(nil, s.log.rotten(s.segment, at, offset, err.Error()))
				return
			}
			if !yield(b, nil) {
				return
			}
			at, offset, data = at+int64(len(b)), b.NextOffset(), rest
		}
	}
}
