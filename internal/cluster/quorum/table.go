package quorum

import (
	"errors"
	"fmt"
	"slices"
	"sort"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/kafka/batch"
)

// table maps Raft's index to offsets and terms, and is Raft's view of the log (raft.Storage). It has every entry that Raft ever handed out to be
// written, also those that the writer has not put into the log yet; Raft itself asks only for what is there. Entries below a snapshot need not be in it, whether or not the log
// still has them. It costs eight bytes for each batch. It belongs to the loop.
type table struct {
	log  Log
	hard *raftpb.HardState
	conf *raftpb.ConfState
	snap *raftpb.Snapshot // the newest one, nil when there is none that Raft could use

	before uint64    // the entry before the first: the last that a snapshot stands for, or 0
	start  int64     // the offset after it
	ends   []int64   // of the entries behind it: the offset after each
	terms  []termRun // the first may begin below the table
	// stubs says that Raft asks for committed entries, of which nobody reads the data: they are found in the log by their offsets.
	stubs bool
}

// termRun is where a term begins.
type termRun struct {
	index uint64
	term  uint64
}

func newTable(log Log) *table {
	return &table{log: log, start: log.StartOffset(), hard: &raftpb.HardState{}, conf: &raftpb.ConfState{}}
}

// reset forgets everything: the table begins behind an entry, whose batch ended at the offset.
func (t *table) reset(before, term uint64, start int64) {
	t.before, t.start, t.ends, t.terms = before, start, nil, nil
	if before > 0 {
		t.terms = []termRun{{before, term}}
	}
}

// compact forgets the entries up to index, which a snapshot stands for.
func (t *table) compact(index uint64) {
	if index <= t.before {
		return
	}
	n := index - t.before
	t.before, t.start, t.ends = index, t.ends[n-1], slices.Clone(t.ends[n:])
	i := sort.Search(len(t.terms), func(i int) bool { return t.terms[i].index > index })
	t.terms = slices.Clone(t.terms[i-1:]) // the term of the entry before the first stays known
}

func (t *table) last() uint64 { return t.before + uint64(len(t.ends)) }

// endOf is the offset after the entry; of those below the table the table's beginning.
func (t *table) endOf(index uint64) int64 {
	if index <= t.before {
		return t.start
	}
	return t.ends[index-t.before-1]
}

func (t *table) baseOf(index uint64) int64 { return t.endOf(index - 1) }

// endingAt is the entry whose batch ends at the offset; ok is false when the offset lies within a batch or beyond the table.
func (t *table) endingAt(offset int64) (index uint64, ok bool) {
	if offset == t.start {
		return t.before, true
	}
	n, ok := slices.BinarySearch(t.ends, offset)
	return t.before + uint64(n) + 1, ok
}

// add appends an entry at index, forgetting what was there and after it.
func (t *table) add(index, term uint64, b batch.Batch) error {
	if index <= t.before || index > t.last()+1 {
		return fmt.Errorf("entry %d does not follow entry %d", index, t.last())
	}
	if base := t.baseOf(index); b.BaseOffset() != base || b.NextOffset() <= base {
		return fmt.Errorf("entry %d has a batch with the offsets %d to %d, but offset %d is next", index, b.BaseOffset(), b.LastOffset(), base)
	}
	if uint64(b.PartitionLeaderEpoch()) != term {
		return fmt.Errorf("entry %d of term %d has a batch of the leader epoch %d", index, term, b.PartitionLeaderEpoch())
	}
	t.cut(index)
	if n := len(t.terms); n == 0 || t.terms[n-1].term != term {
		if n > 0 && t.terms[n-1].term > term {
			return fmt.Errorf("entry %d of term %d follows one of term %d", index, term, t.terms[n-1].term)
		}
		t.terms = append(t.terms, termRun{index, term})
	}
	t.ends = append(t.ends, b.NextOffset())
	return nil
}

// cut forgets the entries from index on.
func (t *table) cut(index uint64) {
	if index > t.last() {
		return
	}
	t.ends = t.ends[:index-t.before-1]
	for n := len(t.terms); n > 0 && t.terms[n-1].index >= index; n-- {
		t.terms = t.terms[:n-1]
	}
}

// firstOf is the first entry of the term, which may lie below the table; ok is false when it has none.
func (t *table) firstOf(term uint64) (index uint64, ok bool) {
	n := sort.Search(len(t.terms), func(i int) bool { return t.terms[i].term >= term })
	if n == len(t.terms) || t.terms[n].term != term {
		return 0, false
	}
	return t.terms[n].index, true
}

// InitialState implements raft.Storage.
func (t *table) InitialState() (*raftpb.HardState, *raftpb.ConfState, error) {
	return t.hard, t.conf, nil
}

// FirstIndex implements raft.Storage.
func (t *table) FirstIndex() (uint64, error) { return t.before + 1, nil }

// LastIndex implements raft.Storage.
func (t *table) LastIndex() (uint64, error) { return t.last(), nil }

// Snapshot implements raft.Storage: Raft asks for it when another voter needs entries that are no longer in the table.
func (t *table) Snapshot() (*raftpb.Snapshot, error) {
	if t.snap == nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return t.snap, nil
}

// Term implements raft.Storage.
func (t *table) Term(index uint64) (uint64, error) {
	if index < t.before {
		return 0, raft.ErrCompacted
	}
	if index > t.last() {
		return 0, raft.ErrUnavailable
	}
	n := sort.Search(len(t.terms), func(i int) bool { return t.terms[i].index > index })
	if n == 0 {
		return 0, nil // before the first entry
	}
	return t.terms[n-1].term, nil
}

// maxStubs bounds the entries that one answer has without data.
const maxStubs = 4096

// Entries implements raft.Storage.
func (t *table) Entries(lo, hi, maxSize uint64) ([]*raftpb.Entry, error) {
	if lo <= t.before {
		return nil, raft.ErrCompacted
	}
	if hi > t.last()+1 || lo > hi {
		return nil, raft.ErrUnavailable
	}
	if t.stubs {
		return t.stubEntries(lo, min(hi, lo+maxStubs))
	}
	data, err := t.log.Read(nil, t.baseOf(lo), int(min(maxSize, maxBatchBytes, uint64(hi-lo)*maxBatchBytes)))
	if err != nil {
		return nil, fmt.Errorf("read entries from %d on: %w", lo, err)
	}
	var out []*raftpb.Entry
	size := uint64(0)
	for index := lo; index < hi; index++ {
		b, rest, err := batch.Next(data)
		if errors.Is(err, batch.ErrTruncated) && len(out) > 0 {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read entry %d: %w", index, err)
		}
		invariant.Check(b.BaseOffset() == t.baseOf(index), "entry %d lies at offset %d of the metadata log, the table says %d", index, b.BaseOffset(), t.baseOf(index))
		if size += uint64(len(b)); size > maxSize && len(out) > 0 {
			break
		}
		term, err := t.Term(index)
		if err != nil {
			return nil, err
		}
		out = append(out, &raftpb.Entry{Index: new(index), Term: new(term), Data: b})
		data = rest
	}
	return out, nil
}

func (t *table) stubEntries(lo, hi uint64) ([]*raftpb.Entry, error) {
	out := make([]*raftpb.Entry, 0, hi-lo)
	for index := lo; index < hi; index++ {
		term, err := t.Term(index)
		if err != nil {
			return nil, err
		}
		out = append(out, &raftpb.Entry{Index: new(index), Term: new(term)})
	}
	return out, nil
}
