package plog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// RotRange is a piece of a segment's file that is not what was written, and the offsets that stood there.
type RotRange struct {
	Position, Until int64 // in the file; equal where bytes are missing
	From, To        int64 // equal where no offset is concerned
	Detail          string
	Epoch           int32 // leader epoch of the sound batch before
}

// SurveyOptions are what is known of a segment.
type SurveyOptions struct {
	Base int64 // the first offset that it can have
	End  int64 // the offset after its last one
	Open bool  // more may follow behind End; it is not looked at
	Gaps bool  // compaction may have left gaps of offsets
	// Size is how many bytes the segment must have, when that is known: else, with gaps, nobody can tell that its end is missing.
	Size int64
	// Epoch is the leader epoch at the segment's beginning.
	Epoch int32
}

// Surveyed is what a look at every byte of a segment found.
type Surveyed struct {
	Rot     []RotRange // by position
	Batches int64
	Bytes   int64 // of sound batches
	Epoch   int32 // leader epoch of the last of them
}

// Survey reads the first size bytes of a segment and compares every batch with its checksum and its place. Where that fails it looks for the place from which the segment
// is sound again. Memory is one window, whatever the file claims. An error is one of the disk.
func Survey(f io.ReaderAt, size int64, o SurveyOptions) (Surveyed, error) {
	s := &surveyor{file: f, size: size, gaps: o.Gaps, buf: make([]byte, surveyWindow)}
	out := Surveyed{Epoch: o.Epoch}
	at, expect := int64(0), o.Base
	for at < size && (!o.Open || expect < o.End) {
		b, bad, err := s.sound(at)
		if err != nil {
			return out, err
		}
		if bad == "" {
			bad = s.follows(b, expect)
		}
		if bad == "" && b.LastOffset() >= o.End && !o.Open {
			bad = fmt.Sprintf("a batch ends at offset %d and the segment at %d", b.LastOffset(), o.End)
		}
		if bad == "" {
			out.Batches, out.Bytes = out.Batches+1, out.Bytes+int64(b.Size())
			at, expect = at+int64(b.Size()), b.NextOffset()
			out.Epoch = max(out.Epoch, b.PartitionLeaderEpoch())
			continue
		}
		next, base, _, err := s.resume(at, expect, o.End)
		if err != nil {
			return out, err
		}
		out.Rot = append(out.Rot, RotRange{at, next, expect, base, bad, out.Epoch})
		at, expect = next, base
	}
	if expect < o.End && (!o.Gaps || o.Open || size < o.Size) {
		out.Rot = append(out.Rot, RotRange{size, size, expect, o.End, "the segment ends there", out.Epoch})
	}
	return out, nil
}

const (
	// surveyWindow is how much of a file is read at once.
	surveyWindow = 256 << 10
	// chainEnough is how far batches must follow one another behind damage before they are believed, when neither the end of the file nor the last offset comes before:
	// what a record's value can hold of a batch's image is less.
	chainEnough = 64 << 20
	// resumeEffort bounds the search behind one damaged place: so many times the file's size are looked at, or leastEffort bytes.
	resumeEffort = 8
	leastEffort  = 64 << 20
)

// surveyor looks at the bytes of a segment's file. It believes none of them.
type surveyor struct {
	file io.ReaderAt
	size int64
	gaps bool
	buf  []byte
	from int64 // position of buf
	have int
	head [batch.HeaderSize]byte
}

// view returns the bytes of the window from a position on, at least n of them, valid until the next call.
func (s *surveyor) view(at int64, n int) ([]byte, error) {
	if at < s.from || at+int64(n) > s.from+int64(s.have) {
		want := int(min(int64(len(s.buf)), s.size-at))
		s.from, s.have = at, 0
		if err := vfs.ReadFull(s.file, s.buf[:want], at); err != nil {
			return nil, err
		}
		s.have = want
	}
	return s.buf[at-s.from : s.have], nil
}

// header reads what must be a batch's header at a position, and says why it cannot be one.
func (s *surveyor) header(at int64) (b batch.Batch, bad string, err error) {
	if s.size-at < batch.HeaderSize {
		return nil, fmt.Sprintf("%d bytes are left, less than a batch's header", s.size-at), nil
	}
	p, err := s.view(at, batch.HeaderSize)
	if err != nil {
		return nil, "", err
	}
	copy(s.head[:], p)
	b, err = checkHeader(s.head[:])
	switch {
	case err != nil:
		return nil, err.Error(), nil
	case int64(b.Size()) > s.size-at:
		return nil, fmt.Sprintf("a batch of %d bytes has %d of them", b.Size(), s.size-at), nil
	case b.LastOffsetDelta() < 0, b.BaseOffset() < 0, b.NextOffset() < 0:
		return nil, fmt.Sprintf("a batch of offsets %d to %d", b.BaseOffset(), b.LastOffset()), nil
	}
	return b, "", nil
}

// sound is header for a batch whose checksum must hold too.
func (s *surveyor) sound(at int64) (batch.Batch, string, error) {
	b, bad, err := s.header(at)
	if err != nil || bad != "" {
		return nil, bad, err
	}
	var sum uint32
	for p, end := at+crcFrom, at+int64(b.Size()); p < end; {
		w, err := s.view(p, 1)
		if err != nil {
			return nil, "", err
		}
		w = w[:min(int64(len(w)), end-p)]
		sum = crc32.Update(sum, castagnoli, w)
		p += int64(len(w))
	}
	if sum != b.CRC() {
		return nil, fmt.Sprintf("stored CRC %08x, computed %08x", b.CRC(), sum), nil
	}
	return b, "", nil
}

// follows says why a batch cannot stand where an offset is expected.
func (s *surveyor) follows(b batch.Batch, expect int64) string {
	if b.BaseOffset() == expect || s.gaps && b.BaseOffset() > expect {
		return ""
	}
	return fmt.Sprintf("a batch begins at offset %d where %d was expected", b.BaseOffset(), expect)
}

// resume finds where the file goes on behind damage at a position, where the offset expect should be: a position and the offset there, which is at most end. When nothing is
// found it is the end of the file and the offset end.
func (s *surveyor) resume(at, expect, end int64) (next, base int64, found bool, err error) {
	b, bad, err := s.header(at)
	if err != nil {
		return 0, 0, false, err
	}
	if bad == "" && s.follows(b, expect) == "" { // only the checksum is wrong: the batch itself says where the next one begins
		after, follow := at+int64(b.Size()), b.NextOffset()
		if follow == end {
			return after, end, true, nil
		}
		b, bad, err := s.sound(after)
		if err != nil {
			return 0, 0, false, err
		}
		if bad == "" && s.follows(b, follow) == "" && b.BaseOffset() < end {
			return after, b.BaseOffset(), true, nil
		}
	}
	return s.search(at+1, expect, end)
}

// search looks at every byte for a batch of an offset from expect to below end, from which batches follow one another. A record may hold the image of a batch: that alone is
// no reason to believe it.
func (s *surveyor) search(at, expect, end int64) (next, base int64, found bool, err error) {
	doomed := int64(-1) // the next batch of a chain that was found to break
	effort := max(s.size*resumeEffort, leastEffort)
	for ; at+batch.HeaderSize <= s.size && effort > 0; at++ {
		w, err := s.view(at, batch.HeaderSize)
		if err != nil {
			return 0, 0, false, err
		}
		const magicAt = 16
		i := bytes.IndexByte(w[magicAt:len(w)-batch.HeaderSize+magicAt+1], batch.Magic)
		if i < 0 {
			at += int64(len(w) - batch.HeaderSize)
			continue
		}
		at += int64(i)
		if first := int64(binary.BigEndian.Uint64(w[i:])); first < expect || first >= end {
			continue
		}
		if at == doomed {
			b, bad, err := s.header(at)
			if err != nil {
				return 0, 0, false, err
			}
			if bad == "" {
				doomed += int64(b.Size())
				continue
			}
		}
		b, bad, err := s.header(at)
		if err == nil && bad == "" {
			effort -= int64(b.Size()) + min(surveyWindow, s.size)
			b, bad, err = s.sound(at)
		}
		if err != nil {
			return 0, 0, false, err
		}
		if bad != "" {
			continue
		}
		base, size := b.BaseOffset(), int64(b.Size())
		holds, looked, err := s.chain(at, end)
		if err != nil {
			return 0, 0, false, err
		}
		if holds {
			return at, base, true, nil
		}
		doomed, effort = at+size, effort-looked
	}
	return s.size, end, false, nil
}

// chain tells whether batches follow one another from a position to the end of the file, to the offset end, or far enough.
func (s *surveyor) chain(from, end int64) (holds bool, looked int64, err error) {
	expect := int64(-1)
	for at := from; ; {
		b, bad, err := s.header(at)
		if err != nil || bad != "" || expect >= 0 && s.follows(b, expect) != "" {
			return false, at - from + 1, err
		}
		at, expect = at+int64(b.Size()), b.NextOffset()
		if at == s.size || expect >= end || at-from >= chainEnough {
			return true, at - from, nil
		}
	}
}
