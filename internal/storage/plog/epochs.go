package plog

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/ottla/ottla/internal/storage/dir"
)

// epochFile is Kafka's file of leader epochs.
const epochFile = "leader-epoch-checkpoint"

// NoEpoch is Kafka's "none" for a leader epoch, NoOffset for an offset.
const (
	NoEpoch  = -1
	NoOffset = -1
)

// epochStart says at which offset a leader epoch begins.
type epochStart struct {
	epoch int32
	start int64
}

// epochs are the leader epochs of a log, both columns increasing.
type epochs []epochStart

func (e epochs) latest() int32 {
	if len(e) == 0 {
		return NoEpoch
	}
	return e[len(e)-1].epoch
}

// at returns the epoch of the record at an offset.
func (e epochs) at(offset int64) int32 {
	i := sort.Search(len(e), func(i int) bool { return e[i].start > offset })
	if i == 0 {
		return NoEpoch
	}
	return e[i-1].epoch
}

// end answers OffsetForLeaderEpoch: the greatest epoch at or below the asked one, and the first offset after it.
func (e epochs) end(epoch int32, logEnd int64) (int32, int64) {
	switch {
	case epoch == NoEpoch || len(e) == 0:
		return NoEpoch, NoOffset
	case epoch == e.latest():
		return epoch, logEnd
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].epoch > epoch })
	switch {
	case i == len(e): // of the future
		return NoEpoch, NoOffset
	case i == 0: // older than all that is left: nothing of it remains
		return epoch, e[0].start
	}
	return e[i-1].epoch, e[i].start
}

// assign adds an epoch, unless it is not newer.
func (e epochs) assign(epoch int32, start int64) (epochs, bool) {
	if epoch <= e.latest() {
		return e, false
	}
	// Epochs that began here and got no record are gone, as Kafka has it.
	for len(e) > 0 && e[len(e)-1].start >= start {
		e = e[:len(e)-1]
	}
	return append(e, epochStart{epoch, start}), true
}

// cutEnd drops the epochs that begin at or after the new end.
func (e epochs) cutEnd(end int64) epochs {
	n := sort.Search(len(e), func(i int) bool { return e[i].start >= end })
	return e[:n]
}

// cutStart drops the epochs that end before the new start; the one that spans it begins there.
func (e epochs) cutStart(start int64) epochs {
	n := sort.Search(len(e), func(i int) bool { return e[i].start > start })
	if n == 0 {
		return e
	}
	out := append(epochs(nil), e[n-1:]...)
	out[0].start = start
	return out
}

func (e epochs) encode() []byte {
	out := fmt.Appendf(nil, "0\n%d\n", len(e))
	for _, x := range e {
		from := len(out)
		out = fmt.Appendf(out, "%d %d", x.epoch, x.start)
		out = append(dir.SealLine(out, from), '\n')
	}
	return out
}

func parseEpochs(data []byte) (epochs, error) {
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) < 2 || lines[0] != "0" {
		return nil, fmt.Errorf("%s: version %q, want 0", epochFile, lines[0])
	}
	count, err := strconv.Atoi(lines[1])
	if err != nil || count != len(lines)-2 {
		return nil, fmt.Errorf("%s: %q entries announced, %d found", epochFile, lines[1], len(lines)-2)
	}
	var out epochs
	for _, line := range lines[2:] {
		line, err := dir.UnsealLine(line)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", epochFile, err)
		}
		a, b, ok := strings.Cut(line, " ")
		epoch, err1 := strconv.ParseInt(a, 10, 32)
		start, err2 := strconv.ParseInt(b, 10, 64)
		if !ok || err1 != nil || err2 != nil || epoch < 0 || start < 0 {
			return nil, fmt.Errorf("%s: line %q is not \"epoch offset\"", epochFile, line)
		}
		if n := len(out); n > 0 && (int32(epoch) <= out[n-1].epoch || start < out[n-1].start) {
			return nil, fmt.Errorf("%s: line %q goes back", epochFile, line)
		}
		out = append(out, epochStart{int32(epoch), start})
	}
	return out, nil
}

// LeaderEpoch is the newest leader epoch the log knows, NoEpoch when it has none.
func (l *Log) LeaderEpoch() int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epochs.latest()
}

// EpochAt is the leader epoch of the record at an offset, NoEpoch when it is not known.
func (l *Log) EpochAt(offset int64) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epochs.at(offset)
}

// EpochEnd answers Kafka's OffsetForLeaderEpoch: the greatest epoch at or below the asked one, and the offset at which it ends. NoEpoch and NoOffset when the
// asked epoch is not known yet.
func (l *Log) EpochEnd(epoch int32) (int32, int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.epochs.end(epoch, l.end.Load())
}

// AssignLeaderEpoch notes that a leader epoch begins at the log's end, before its first record. An epoch that is not newer is ignored.
func (l *Log) AssignLeaderEpoch(epoch int32) {
	l.mu.Lock()
	e, ok := l.mu.epochs.assign(epoch, l.end.Load())
	l.mu.epochs = e
	l.mu.epochsDirty = l.mu.epochsDirty || ok
	l.mu.Unlock()
}
