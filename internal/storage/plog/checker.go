package plog

import (
	"fmt"
	"hash/crc32"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// crcFrom is where the bytes begin that a batch's CRC covers.
const crcFrom = 21

// checker compares the batches of a stream of bytes with their CRCs, whatever pieces it comes in. Only bytes that were on the disk before the log was opened are worth it:
// what came later was checked before it was appended.
type checker struct {
	slice  *Slice
	on     bool
	header [batch.HeaderSize]byte
	have   int   // bytes of the present batch's header
	left   int64 // bytes of the present batch behind its header
	at     int64 // position of the present batch
	sum    uint32
	expect int64 // offset at which the next batch begins, -1 before the first
	gaps   bool  // compaction may have left some
}

func newChecker(s *Slice) checker {
	return checker{slice: s, expect: -1, gaps: s.log.mayHaveGaps(), on: s.segment.base < s.log.openEnd && s.at < s.log.openAt(s.segment), at: s.at}
}

// next takes the next piece.
func (c *checker) next(p []byte) error {
	for c.on && len(p) > 0 {
		if c.have < batch.HeaderSize {
			n := copy(c.header[c.have:], p)
			c.have += n
			p = p[n:]
			if c.have < batch.HeaderSize {
				return nil
			}
			b, err := checkHeader(c.header[:])
			if err != nil {
				return c.rotten(err.Error())
			}
			if detail := c.follows(b); detail != "" {
				return c.rotten(detail)
			}
			c.left = int64(b.Size() - batch.HeaderSize)
			c.sum = crc32.Checksum(c.header[crcFrom:], castagnoli)
		}
		n := min(c.left, int64(len(p)))
		c.sum = crc32.Update(c.sum, castagnoli, p[:n])
		c.left -= n
		p = p[n:]
		if c.left > 0 {
			return nil
		}
		b := batch.Batch(c.header[:])
		if c.sum != b.CRC() {
			return c.rotten(fmt.Sprintf("stored CRC %08x, computed %08x", b.CRC(), c.sum))
		}
		c.at += int64(b.Size())
		c.expect = b.NextOffset()
		c.have = 0
	}
	return nil
}

// follows says what is wrong with a batch's offsets, which its CRC does not cover.
func (c *checker) follows(b batch.Batch) string {
	ok := b.BaseOffset() == c.expect || c.gaps && b.BaseOffset() > c.expect && b.BaseOffset() < c.slice.end
	if c.expect < 0 {
		ok = b.BaseOffset() <= c.slice.first && c.slice.first <= b.LastOffset() || c.gaps && b.LastOffset() >= c.slice.first && b.BaseOffset() < c.slice.end
	}
	if ok {
		return ""
	}
	return fmt.Sprintf("a batch of offsets %d to %d stands where offset %d was expected", b.BaseOffset(), b.LastOffset(), max(c.expect, c.slice.first))
}

// finish checks that the last batch ends where it must.
func (c *checker) finish() error {
	if c.on && !c.gaps && c.expect != c.slice.end {
		return c.rotten(fmt.Sprintf("the batches end at offset %d, not %d", c.expect, c.slice.end))
	}
	return nil
}

func (c *checker) rotten(detail string) error {
	return c.slice.log.rotten(c.slice.segment, c.at, max(c.expect, c.slice.first), detail)
}
