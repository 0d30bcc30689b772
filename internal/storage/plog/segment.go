package plog

import (
	"path/filepath"
	"sort"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/storage/dir"
)

// Suffixes of a segment's files.
const (
	logSuffix       = ".log"
	indexSuffix     = ".index"
	timeIndexSuffix = ".timeindex"
	snapshotSuffix  = ".snapshot"
	txnIndexSuffix  = ".txnindex"
	deletedSuffix   = ".deleted"
	cutSuffix       = ".cut"
)

// maxSegmentBytes is what a position in the index can express.
const maxSegmentBytes = 1<<31 - 1

// noTimestamp is the time of a segment without records.
const noTimestamp = -1

// segment is one file of the log and its hints. The list holds one reference, every reader another.
type segment struct {
	base  int64
	refs  atomic.Int32
	where atomic.Int32 // of its log file, see placeFinal

	log, index, times dir.Handle

	// Guarded by Log.mu.
	size     int64 // bytes, those in memory included
	created  int64 // ms, for rolling a segment whose records have no times
	modified int64 // ms, when the last batch came: the age of a segment whose records have no times
	jitter   int64 // ms, this segment's share of segment.jitter.ms
	summary
	sparse sparse

	// Of who has the directory's turn.
	exists    bool // the log file is there
	unsynced  bool // written since the last sync; guarded by Log.mu
	uncovered bool // has bytes that are neither synced nor went through Round.Append in this round
	snapshot  []byte
}

// summary is what a segment knows of its records' times.
type summary struct {
	firstTimestamp int64 // of the first batch, its greatest
	maxTimestamp   int64
	maxOffset      int64 // the last offset of the batch that has maxTimestamp
}

var emptySummary = summary{noTimestamp, noTimestamp, -1}

func newSegment(base, createdMs int64) *segment {
	s := &segment{base: base, created: createdMs, modified: createdMs, summary: emptySummary}
	s.refs.Store(1)
	return s
}

// freshSegment is a segment that the log goes on in.
func (l *Log) freshSegment(base int64, now time.Time) *segment {
	s := newSegment(base, now.UnixMilli())
	s.jitter = l.cfg.Load().jitter()
	return s
}

// greatestTimestamp is the greatest of the segment's records, or when none has one the time of the last append, as Kafka takes the file's.
func (s *segment) greatestTimestamp() int64 {
	if s.maxTimestamp >= 0 {
		return s.maxTimestamp
	}
	return s.modified
}

// acquire takes a reference; false when the segment is gone.
func (s *segment) acquire() bool {
	for {
		n := s.refs.Load()
		if n <= 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// fileName returns Kafka's name of a segment's file.
func fileName(base int64, suffix string) string {
	return string(appendFileName(make([]byte, 0, 40), base, suffix))
}

// offsetDigits is how many digits an offset has in a file's name.
const offsetDigits = 20

func appendFileName(dst []byte, base int64, suffix string) []byte {
	var digits [offsetDigits]byte
	for i := len(digits) - 1; i >= 0; i-- {
		digits[i] = byte('0' + base%10)
		base /= 10
	}
	return append(append(dst, digits[:]...), suffix...)
}

func (l *Log) fileName(base int64, suffix string) string {
	name := append(make([]byte, 0, 256), l.path...) // once per log and round: the path is clean and needs no Join
	return string(appendFileName(append(name, filepath.Separator), base, suffix))
}

// segmentList is all segments by base offset, the last one active. It is immutable.
type segmentList []*segment

// find returns the index of the segment that would hold the offset: the last whose base is at or below it. -1 when there is none.
func (l segmentList) find(offset int64) int {
	return sort.Search(len(l), func(i int) bool { return l[i].base > offset }) - 1
}

func (l segmentList) active() *segment { return l[len(l)-1] }

// endOf returns the first offset after segment i.
func (l segmentList) endOf(i int, logEnd int64) int64 {
	if i+1 < len(l) {
		return l[i+1].base
	}
	return logEnd
}
