package quorum

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/ottla/ottla/internal/machine"
)

// SnapshotFetcher is a Transport that can bring a voter that is far behind a snapshot of another one, piece by piece, as FetchSnapshot does.
type SnapshotFetcher interface {
	// FetchSnapshot returns what the voter's snapshot has from a position on, at least a byte of it, and its size. The other side answers with ReadSnapshot.
	FetchSnapshot(ctx context.Context, from Voter, snapshot machine.Position, position int64) (part []byte, size int64, err error)
}

// snapshotTicks is how long a leader waits for a voter to get a snapshot before it offers one again: the message may be lost, or the snapshot gone.
const snapshotTicks = 100

// maxSnapshotBytes bounds what a leader can make this voter write.
const maxSnapshotBytes = 64 << 30

// ReadSnapshot reads from a snapshot for another voter, and tells its size.
func (q *Quorum) ReadSnapshot(end machine.Position, position int64, p []byte) (n int, size int64, err error) {
	w := &checkpointWriter{path: q.opts.Path, end: end}
	file, err := q.opts.FS.OpenRead(w.name())
	if err != nil {
		return 0, 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if size, err = file.Size(); err != nil {
		return 0, 0, err
	}
	if position < 0 || position >= size {
		return 0, size, fmt.Errorf("read the metadata snapshot %s: it has no byte %d", w.name(), position)
	}
	p = p[:min(int64(len(p)), size-position)]
	n, err = file.ReadAt(p, position)
	if n == len(p) {
		err = nil
	}
	return n, size, err
}

// fetched is a snapshot that a leader offered, once it is here.
type fetched struct {
	offer *raftpb.Message
	base  *Checkpoint
	err   error
}

// known tells whether what the snapshot stands for is in this log, so that Raft can answer without it.
func (q *Quorum) known(at *raftpb.SnapshotMetadata) bool {
	if at.GetIndex() <= q.raft.BasicStatus().HardState.GetCommit() {
		return true
	}
	term, err := q.table.Term(at.GetIndex())
	return err == nil && term == at.GetTerm()
}

// offered takes a leader's offer of a snapshot. Raft hears of it only when the snapshot is on disk here: from then on this voter answers for what it stands for.
func (q *Quorum) offered(m *raftpb.Message) {
	from, ok := q.opts.Transport.(SnapshotFetcher)
	end, err := decodePosition(m.GetSnapshot().GetData())
	switch {
	case q.fetching:
		return // the leader offers it again
	case !ok:
		err = errors.New("the transport cannot bring it")
	case err == nil && !slices.Equal(m.GetSnapshot().GetMetadata().GetConfState().GetVoters(), q.voters.raftIDs()):
		err = errors.New("it is of another set of voters")
	}
	if err != nil {
		q.opts.Logger.Warn("a metadata snapshot that the leader offers cannot be taken", "error", err)
		return
	}
	q.fetching = true
	q.running.Go(func() {
		if q.enter(q.stop) != nil {
			return // as good as a snapshot that never comes
		}
		base, err := q.fetch(from, q.voters.byID[m.GetFrom()], end)
		q.mu.Lock()
		q.mu.inbox.fetched = append(q.mu.inbox.fetched, fetched{m, base, err})
		q.mu.Unlock()
		q.wakeLoop()
	})
}

// fetch brings a snapshot, unless it is here already.
func (q *Quorum) fetch(from SnapshotFetcher, leader Voter, end machine.Position) (*Checkpoint, error) {
	w, err := createCheckpoint(q.opts.FS, q.opts.Path, end, 0)
	if err != nil {
		return nil, err
	}
	size := int64(1)
	for w.size < size {
		var part []byte
		if part, size, err = from.FetchSnapshot(q.stop, leader, end, w.size); err == nil && (len(part) == 0 || size > maxSnapshotBytes) {
			err = fmt.Errorf("%d bytes at position %d of %d", len(part), w.size, size)
		}
		if err == nil {
			err = w.raw(part)
		}
		if err != nil {
			return nil, errors.Join(err, w.discard())
		}
	}
	c := &Checkpoint{End: end, Bytes: w.size, name: w.partName(), fs: q.opts.FS}
	if err := c.verify(); err != nil {
		return nil, errors.Join(err, w.discard())
	}
	c.name = w.name()
	return c, w.seal()
}

// arrived gives Raft the offer whose snapshot is here. Until Raft has decided nobody may make a snapshot of the log as it was.
func (q *Quorum) arrived(f fetched) {
	q.fetching, q.fetched = false, true
	if f.err == nil && f.base.index != f.offer.GetSnapshot().GetMetadata().GetIndex() {
		f.err = fmt.Errorf("it says that it stands for %d entries, the leader says %d", f.base.index, f.offer.GetSnapshot().GetMetadata().GetIndex())
	}
	if f.err != nil {
		q.opts.Logger.Warn("a metadata snapshot could not be brought from the leader", "error", f.err)
		return
	}
	q.arrival = f.base
	q.heard(f.offer)
	if err := q.raft.Step(f.offer); err != nil {
		q.opts.Logger.Debug("a metadata snapshot was ignored", "error", err)
	}
}

// install begins the table behind the snapshot that Raft took; the writer follows with the log.
func (q *Quorum) install(s *raftpb.Snapshot) error {
	c, at := q.arrival, s.GetMetadata()
	if c == nil || c.index != at.GetIndex() || uint64(c.End.Epoch) != at.GetTerm() {
		return fmt.Errorf("a snapshot of %d entries in term %d is to be installed and is not here", at.GetIndex(), at.GetTerm())
	}
	q.arrival = nil
	// Whatever is on its way to the log lies where it no longer matters.
	q.cut, q.pending = cut{number: q.handed, offset: -1}, nil
	q.mu.Lock()
	q.inLog = min(q.inLog, q.mu.committed)
	q.mu.base = c
	q.mu.Unlock()
	clear(q.changes)
	q.table.reset(at.GetIndex(), at.GetTerm(), c.End.Offset)
	q.table.snap = s
	q.growth = Growth{}
	q.member, q.named = max(0, c.End.Offset-1), c.Voters
	return nil
}

// remind lets a leader offer snapshots again to voters that did not get them.
func (q *Quorum) remind() {
	var again []uint64
	q.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		if p.State != tracker.StateSnapshot {
			delete(q.waits, id)
			return
		}
		if q.waits[id]++; q.waits[id] >= snapshotTicks {
			again = append(again, id)
		}
	})
	for _, id := range again {
		delete(q.waits, id)
		q.raft.ReportSnapshot(id, raft.SnapshotFailure)
	}
}

func encodePosition(at machine.Position) []byte {
	return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(nil, uint64(at.Offset)), uint32(at.Epoch))
}

func decodePosition(p []byte) (at machine.Position, err error) {
	if len(p) != 12 {
		return at, fmt.Errorf("a position of %d bytes, want 12", len(p))
	}
	at = machine.Position{Offset: int64(binary.BigEndian.Uint64(p)), Epoch: int32(binary.BigEndian.Uint32(p[8:]))}
	if at.Offset <= 0 || at.Epoch < 0 {
		return at, fmt.Errorf("position %v", at)
	}
	return at, nil
}
