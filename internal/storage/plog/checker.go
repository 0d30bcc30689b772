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
}

func newChecker(s *Slice) checker {
	return checker{slice: s, on: s.segment.base < s.log.openEnd && s.at < s.log.openAt(s.segment), at: s.at}
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
		c.have = 0
	}
	return nil
}

func (c *checker) rotten(detail string) error {
	offset := c.slice.segment.base
	if c.have == batch.HeaderSize {
		offset = max(offset, batch.Batch(c.header[:]).BaseOffset())
	}
	return c.slice.log.rotten(c.slice.segment, c.at, offset, detail)
}
