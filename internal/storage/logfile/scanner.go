package logfile

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	// window is how much of a file is read at once.
	window = 256 << 10
	// crcFrom is where the bytes begin that a batch's CRC covers.
	crcFrom = 21
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Damage says where a file stops making sense, and why.
type Damage struct {
	Position int64
	Reason   string
	// Torn tells that the file ends within a batch, or is zeros from here on, as a crash leaves it; else the bytes are not what was written.
	Torn bool
}

// scanner walks the batches of a file, checking each one's CRC. Memory is one window, and one batch when the records are asked for.
type scanner struct {
	file vfs.File
	size int64
	buf  []byte
	from int64 // position of buf
	have int

	at    int64       // of the present batch
	head  batch.Batch // its header
	next  int64       // where the one after it would begin
	whole []byte
	// damage is why the walk ended before the end of the file.
	damage *Damage
}

// newScanner walks a file from a position, which must be a batch's, up to a size.
func newScanner(f vfs.File, from, size int64) *scanner {
	return &scanner{file: f, size: size, next: from, buf: make([]byte, window)}
}

// step goes to the next batch. It returns false at the end, at damage, and with an error of the disk.
func (s *scanner) step() (bool, error) {
	if s.damage != nil || s.next >= s.size {
		return false, nil
	}
	s.at = s.next
	if s.size-s.at < batch.HeaderSize {
		return false, s.stop(fmt.Sprintf("%d bytes are left, less than a batch's header", s.size-s.at), true)
	}
	p, err := s.view(s.at, batch.HeaderSize)
	if err != nil {
		return false, err
	}
	if _, _, err := batch.Next(p); err != nil && !errors.Is(err, batch.ErrTruncated) {
		return false, s.stop(err.Error(), false)
	}
	s.head = batch.Batch(append(s.head[:0], p...))
	size := int64(s.head.Size())
	if size > s.size-s.at {
		return false, s.stop(fmt.Sprintf("a batch of %d bytes has %d of them", size, s.size-s.at), true)
	}
	sum, err := s.checksum(s.at+crcFrom, s.at+size)
	if err != nil {
		return false, err
	}
	if sum != s.head.CRC() {
		return false, s.stop(fmt.Sprintf("stored CRC %08x, computed %08x", s.head.CRC(), sum), false)
	}
	if s.head.LastOffsetDelta() < 0 || s.head.BaseOffset() < 0 || s.head.BaseOffset() > math.MaxInt64-math.MaxInt32 {
		return false, s.stop(fmt.Sprintf("a batch of offsets %d to %d", s.head.BaseOffset(), s.head.LastOffset()), false)
	}
	s.next = s.at + size
	return true, nil
}

// stop ends the walk. Bytes that are all zero to the end of the file were never written.
func (s *scanner) stop(reason string, torn bool) error {
	if !torn {
		zero, err := s.zeros()
		if err != nil {
			return err
		}
		if torn = zero; torn {
			reason = fmt.Sprintf("%d bytes are zero to the end of the file", s.size-s.at)
		}
	}
	s.damage = &Damage{s.at, reason, torn}
	return nil
}

func (s *scanner) zeros() (bool, error) {
	for at := s.at; at < s.size; {
		p, err := s.view(at, int(min(window, s.size-at)))
		if err != nil {
			return false, err
		}
		for _, b := range p {
			if b != 0 {
				return false, nil
			}
		}
		at += int64(len(p))
	}
	return true, nil
}

// view returns n bytes, at most a window, at a position; they are valid until the next call.
func (s *scanner) view(at int64, n int) ([]byte, error) {
	if at < s.from || at+int64(n) > s.from+int64(s.have) {
		want := int(min(int64(len(s.buf)), s.size-at))
		s.from, s.have = at, 0
		got, err := s.file.ReadAt(s.buf[:want], at)
		if got < n && (err == nil || errors.Is(err, io.EOF)) {
			err = io.ErrUnexpectedEOF
		}
		if got < n {
			return nil, fmt.Errorf("read %s at %d: %w", s.file.Name(), at, err)
		}
		s.have = got
	}
	return s.buf[at-s.from:][:n], nil
}

// checksum computes the CRC of a range, a window at a time.
func (s *scanner) checksum(from, to int64) (uint32, error) {
	var sum uint32
	for from < to {
		if rest := s.from + int64(s.have) - from; from >= s.from && rest > 0 {
			p := s.buf[from-s.from:][:min(rest, to-from)]
			sum = crc32.Update(sum, castagnoli, p)
			from += int64(len(p))
			continue
		}
		if _, err := s.view(from, int(min(window, to-from))); err != nil {
			return 0, err
		}
	}
	return sum, nil
}

// batch returns the whole present batch, valid until the next call.
func (s *scanner) batch() (batch.Batch, error) {
	n := s.head.Size()
	if cap(s.whole) < n {
		s.whole = make([]byte, n)
	}
	s.whole = s.whole[:n]
	if err := vfs.ReadFull(s.file, s.whole, s.at); err != nil {
		return nil, fmt.Errorf("read %s at %d: %w", s.file.Name(), s.at, err)
	}
	b, _, err := batch.Next(s.whole)
	if err == nil {
		err = b.Check() // the file may have changed since
	}
	return b, err
}

// resume looks for the first sound batch after damage that may follow it: one whose base offset lies from low to high. It looks at every byte and compares checksums, and
// what it finds must be followed by another sound batch or the end of the file. ok is false when there is none.
func (s *scanner) resume(low, high int64) (ok bool, err error) {
	at := s.damage.Position + 1
	for ; at+batch.HeaderSize <= s.size; at++ {
		p, err := s.view(at, batch.HeaderSize)
		if err != nil {
			return false, err
		}
		if p[16] != batch.Magic || p[0] != 0 && p[0] != byte(low>>56) {
			continue
		}
		head, _, err := batch.Next(p)
		if head == nil && !errors.Is(err, batch.ErrTruncated) {
			continue
		}
		if head == nil {
			head = batch.Batch(p)
		}
		if base := head.BaseOffset(); base < low || base > high || head.LastOffsetDelta() < 0 || int64(head.Size()) > s.size-at {
			continue
		}
		next := newScanner(s.file, at, s.size)
		first, err := next.step()
		if err != nil {
			return false, err
		}
		if !first {
			continue
		}
		follows := next.head.NextOffset()
		second, err := next.step()
		if err != nil {
			return false, err
		}
		if second && next.head.BaseOffset() >= follows || !second && next.damage == nil {
			s.damage, s.next = nil, at
			return true, nil
		}
	}
	return false, nil
}
