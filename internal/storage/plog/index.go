package plog

import (
	"encoding/binary"
	"sort"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Entries of Kafka's index files, see docs/format/index.md.
const (
	indexEntrySize = 4 + 4
	timeEntrySize  = 8 + 4
)

// indexEntry says that the batch whose last offset is base+offset begins at position at.
type indexEntry struct {
	offset uint32 // relative to the segment's base
	at     uint32
}

// timeEntry says that no batch up to the one whose last offset is base+offset has a greater timestamp.
type timeEntry struct {
	timestamp int64
	offset    uint32 // relative to the segment's base
}

// sparse is a segment's offset and time index: the entries in the files, and the newer ones that are still in memory. Log.mu guards it.
type sparse struct {
	since       int64 // bytes since the last entry
	fileEntries int32
	fileTimes   int32
	fileLimit   int64 // entries in the file for offsets from here on were cut, and wait for the committer to cut them; 0 when there are none
	entries     []indexEntry
	times       []timeEntry
	lastTime    int64 // timestamp of the newest time entry, noTimestamp when there is none
	version     int   // grows when entries are taken away: by a cut, or when the index is made anew
	rebuilding  bool  // a reader makes it anew
	rewrite     bool  // the files are wrong: the committer writes them anew from memory
}

func (s *sparse) count() int64     { return int64(s.fileEntries) + int64(len(s.entries)) }
func (s *sparse) timeCount() int64 { return int64(s.fileTimes) + int64(len(s.times)) }

// add takes a batch into the index, by Kafka's rule: an entry for the first batch after more than interval bytes.
func (s *sparse) add(base, lastOffset, at int64, size int, interval int64, sum summary) {
	if s.since > interval {
		s.entries = append(s.entries, indexEntry{uint32(lastOffset - base), uint32(at)})
		s.addTime(base, sum)
		s.since = 0
	}
	s.since += int64(size)
}

// addTime notes the greatest timestamp so far, unless it was noted before.
func (s *sparse) addTime(base int64, sum summary) {
	if sum.maxTimestamp > s.lastTime && sum.maxOffset >= base {
		s.times = append(s.times, timeEntry{sum.maxTimestamp, uint32(sum.maxOffset - base)})
		s.lastTime = sum.maxTimestamp
	}
}

// floor returns the newest entry in memory at or below the relative offset.
func (s *sparse) floor(offset uint32) (indexEntry, bool) {
	i := sort.Search(len(s.entries), func(i int) bool { return s.entries[i].offset > offset })
	if i == 0 {
		return indexEntry{}, false
	}
	return s.entries[i-1], true
}

// below returns the newest entry in memory whose batch begins at or below a position.
func (s *sparse) below(at int64) (indexEntry, bool) {
	i := sort.Search(len(s.entries), func(i int) bool { return int64(s.entries[i].at) > at })
	if i == 0 {
		return indexEntry{}, false
	}
	return s.entries[i-1], true
}

// floorTime returns the newest time entry in memory before the timestamp.
func (s *sparse) floorTime(timestamp int64) (timeEntry, bool) {
	i := sort.Search(len(s.times), func(i int) bool { return s.times[i].timestamp >= timestamp })
	if i == 0 {
		return timeEntry{}, false
	}
	return s.times[i-1], true
}

// shrink lets large slices go once they were written.
func (s *sparse) wrote(entries, times int) {
	s.entries = dropFront(s.entries, entries)
	s.times = dropFront(s.times, times)
	s.fileEntries += int32(entries)
	s.fileTimes += int32(times)
}

// keptEntries is the room that an index keeps in memory when it is empty.
const keptEntries = 64

func dropFront[T any](s []T, n int) []T {
	rest := s[n:]
	if len(rest) == 0 && cap(s) > keptEntries {
		return nil
	}
	return s[:copy(s, rest)]
}

func encodeEntries(entries []indexEntry) []byte {
	out := make([]byte, 0, len(entries)*indexEntrySize)
	for _, e := range entries {
		out = binary.BigEndian.AppendUint32(out, e.offset)
		out = binary.BigEndian.AppendUint32(out, e.at)
	}
	return out
}

func encodeTimes(entries []timeEntry) []byte {
	out := make([]byte, 0, len(entries)*timeEntrySize)
	for _, e := range entries {
		out = binary.BigEndian.AppendUint64(out, uint64(e.timestamp))
		out = binary.BigEndian.AppendUint32(out, e.offset)
	}
	return out
}

func parseEntry(p []byte) indexEntry {
	return indexEntry{binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])}
}

func parseTime(p []byte) timeEntry {
	return timeEntry{int64(binary.BigEndian.Uint64(p)), binary.BigEndian.Uint32(p[8:])}
}

// searchBlock is how many entries are read at once at the end of a search in a file.
const searchBlock = 512

// searchFile returns the last of count entries for which keep holds, given that it holds for a prefix of them. Single entries are read until few are left, then
// those at once.
func searchFile[T any](f vfs.File, count int32, size int, parse func([]byte) T, keep func(T) bool) (found T, ok bool, err error) {
	var buf [searchBlock * timeEntrySize]byte
	low, high := 0, int(count) // keep holds below low, fails from high on
	for high-low > searchBlock {
		middle := (low + high) / 2
		if err := vfs.ReadFull(f, buf[:size], int64(middle)*int64(size)); err != nil {
			return found, false, err
		}
		if keep(parse(buf[:size])) {
			low = middle
		} else {
			high = middle
		}
	}
	block := buf[:(high-low)*size]
	if err := vfs.ReadFull(f, block, int64(low)*int64(size)); err != nil {
		return found, false, err
	}
	at := func(i int) T { return parse(block[i*size : (i+1)*size]) }
	if n := sort.Search(high-low, func(i int) bool { return !keep(at(i)) }); n > 0 {
		found, ok = at(n-1), true
	}
	return found, ok, nil
}
