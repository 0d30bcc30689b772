package dir

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"unsafe"
)

// The journal's file begins with a page that says what it is; then come two halves of frames. See docs/format/journal.md.
const (
	journalFile    = "ottla.journal"
	journalMagic   = "OTTLAJNL"
	journalVersion = 1
	journalPage    = 4096 // frames begin at multiples of it, so that writing one never touches a page of the one before

	frameMagic      = 0x4f4a4631
	frameHeaderSize = 4 + 4 + 4 + 8 + 8 + 8 + 4
	countBits       = 24 // of the number of writes; the rest of its field is how many frames of the round come before
	maxAfter        = 1<<(32-countBits) - 1
)

var errFrame = errors.New("no frame")

// journalHeader is the first page.
type journalHeader struct {
	salt uint64
	half int64 // bytes of each half
}

func (h journalHeader) encode() []byte {
	out := make([]byte, journalPage)
	copy(out, journalMagic)
	binary.BigEndian.PutUint32(out[8:], journalVersion)
	binary.BigEndian.PutUint64(out[16:], h.salt)
	binary.BigEndian.PutUint64(out[24:], uint64(h.half))
	binary.BigEndian.PutUint32(out[12:], crc32.Checksum(out[16:32], castagnoli))
	return out
}

func parseJournalHeader(p []byte, fileSize int64) (journalHeader, bool) {
	if len(p) < journalPage || string(p[:8]) != journalMagic || binary.BigEndian.Uint32(p[8:]) != journalVersion || binary.BigEndian.Uint32(p[12:]) != crc32.Checksum(p[16:32], castagnoli) {
		return journalHeader{}, false
	}
	h := journalHeader{binary.BigEndian.Uint64(p[16:]), int64(binary.BigEndian.Uint64(p[24:]))}
	ok := h.half >= journalPage && h.half%journalPage == 0 && h.half <= (1<<40) && fileSize >= journalPage+2*h.half
	return h, ok
}

// frame is one round's writes. Its bytes are built by append and finished by seal.
type frame struct {
	buf   []byte
	count uint32
}

func (f *frame) reset() {
	f.room(frameHeaderSize - len(f.buf))
	f.buf = f.buf[:frameHeaderSize]
	clear(f.buf)
	f.count = 0
}

// room makes room for n more bytes and the padding to a page. The memory begins at a page: a file that is open for direct writes takes no other.
func (f *frame) room(n int) {
	if need := len(f.buf) + n + journalPage; need > cap(f.buf) {
		b := pages(max(need, 2*cap(f.buf)))
		f.buf = b[:copy(b[:cap(b)], f.buf)]
	}
}

// pages returns an empty slice whose memory begins at a page and has room for n bytes.
func pages(n int) []byte {
	b := make([]byte, n+journalPage)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (journalPage - 1)
	return b[skip : skip : skip+n]
}

// append adds a write of p at a position of a log's segment.
func (f *frame) append(log string, base, at int64, p []byte) {
	f.room(2 + len(log) + 8 + 8 + 4 + len(p))
	f.buf = binary.BigEndian.AppendUint16(f.buf, uint16(len(log)))
	f.buf = append(f.buf, log...)
	f.buf = binary.BigEndian.AppendUint64(f.buf, uint64(base))
	f.buf = binary.BigEndian.AppendUint64(f.buf, uint64(at))
	f.buf = binary.BigEndian.AppendUint32(f.buf, uint32(len(p)))
	f.buf = append(f.buf, p...)
	f.count++
}

// seal fills in the header and pads to whole pages. oldest is the sequence number of the first frame that a recovery must still apply; after is how many frames right before
// this one may not be on disk when this one is, because they are of the same round.
func (f *frame) seal(salt, sequence, oldest uint64, after int) []byte {
	b := f.buf
	binary.BigEndian.PutUint32(b, frameMagic)
	binary.BigEndian.PutUint32(b[4:], uint32(len(b)))
	binary.BigEndian.PutUint64(b[12:], salt)
	binary.BigEndian.PutUint64(b[20:], sequence)
	binary.BigEndian.PutUint64(b[28:], oldest)
	binary.BigEndian.PutUint32(b[36:], f.count|uint32(min(after, maxAfter))<<countBits)
	binary.BigEndian.PutUint32(b[8:], crc32.Checksum(b[12:], castagnoli))
	if rest := len(b) % journalPage; rest != 0 {
		b = append(b, zeroPage[:journalPage-rest]...)
		f.buf = b
	}
	return b
}

var zeroPage [journalPage]byte

// framed is the header of a frame that was read.
type framed struct {
	length           int64
	sequence, oldest uint64
	count            uint32
	after            uint32
}

// padded is the room the frame takes.
func (f framed) padded() int64 { return (f.length + journalPage - 1) &^ (journalPage - 1) }

// parseFrameHeader reads the fixed part of a frame; room is what is left of its half.
func parseFrameHeader(p []byte, salt uint64, room int64) (framed, error) {
	if len(p) < frameHeaderSize || binary.BigEndian.Uint32(p) != frameMagic || binary.BigEndian.Uint64(p[12:]) != salt {
		return framed{}, errFrame
	}
	f := framed{int64(binary.BigEndian.Uint32(p[4:])), binary.BigEndian.Uint64(p[20:]), binary.BigEndian.Uint64(p[28:]), binary.BigEndian.Uint32(p[36:]) & (1<<countBits - 1), binary.BigEndian.Uint32(p[36:]) >> countBits}
	if f.length < frameHeaderSize || f.length > room || f.sequence == 0 || f.oldest > f.sequence {
		return framed{}, errFrame
	}
	return f, nil
}

// frameHolds compares a whole frame with its checksum.
func frameHolds(p []byte) bool {
	return binary.BigEndian.Uint32(p[8:]) == crc32.Checksum(p[12:], castagnoli)
}

// journaled is one write in a frame.
type journaled struct {
	log      string
	base, at int64
	data     []byte
}

// parseFrame calls f for every write of a whole frame.
func parseFrame(p []byte, count uint32, f func(journaled) error) error {
	p = p[frameHeaderSize:]
	for range count {
		if len(p) < 2 {
			return errFrame
		}
		n := int(binary.BigEndian.Uint16(p))
		if p = p[2:]; len(p) < n+20 {
			return errFrame
		}
		j := journaled{log: string(p[:n]), base: int64(binary.BigEndian.Uint64(p[n:])), at: int64(binary.BigEndian.Uint64(p[n+8:]))}
		size := int64(binary.BigEndian.Uint32(p[n+16:]))
		if p = p[n+20:]; int64(len(p)) < size || j.base < 0 || j.at < 0 {
			return errFrame
		}
		j.data, p = p[:size:size], p[size:]
		if err := f(j); err != nil {
			return err
		}
	}
	if len(p) != 0 {
		return errFrame
	}
	return nil
}
