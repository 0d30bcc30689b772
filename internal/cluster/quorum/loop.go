package quorum

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// loop owns Raft: it feeds it, carries out what it decides and shows the outcome.
func (q *Quorum) loop() {
	var ticks <-chan time.Time
	if !q.alone() {
		ticker := time.NewTicker(tickInterval)
		defer ticker.Stop()
		ticks = ticker.C
	}
	for {
		q.drain()
		q.carryOut()
		if q.fetched {
			q.fetched = false
			q.exit()
		}
		q.show()
		select {
		case <-q.stop.Done():
			return
		case <-q.wake:
		case <-ticks:
			q.raft.Tick()
			q.remind()
		}
		if err := q.log.Err(); err != nil {
			q.fail(fmt.Errorf("the metadata log failed: %w", err))
			return
		}
	}
}

// drain feeds Raft with what arrived.
func (q *Quorum) drain() {
	q.mu.Lock()
	in := q.mu.inbox
	q.mu.inbox = inbox{}
	q.mu.Unlock()
	for _, w := range in.written {
		q.wrote(w)
	}
	q.answer()
	for _, f := range in.fetched {
		q.arrived(f)
	}
	for _, task := range in.tasks {
		task()
	}
	for _, m := range in.messages {
		if m.GetType() == raftpb.MsgSnap && !q.known(m.GetSnapshot().GetMetadata()) {
			q.offered(m)
			continue
		}
		q.heard(m)
		// An error says that the message is not for a node in this state, which is as good as a loss on the way.
		if err := q.raft.Step(m); err != nil {
			q.opts.Logger.Debug("a message of the metadata quorum was ignored", "type", m.GetType().String(), "error", err)
		}
	}
	for _, p := range in.proposals {
		q.propose(p)
	}
}

// wrote notes what the writer did. Entries that were replaced meanwhile are not there for anyone: their answers are lost.
func (q *Quorum) wrote(w written) {
	q.noticed = w.number
	if w.number <= q.cut.number && w.end > q.cut.offset {
		return
	}
	q.inLog = w.end
	q.pending = append(q.pending, w)
}

// propose gives a batch to Raft, unless the epoch for which it was made has ended: then its offset may belong to another batch (I3).
func (q *Quorum) propose(p proposal) {
	status := q.raft.BasicStatus()
	if status.RaftState != raft.StateLeader || status.HardState.GetTerm() != uint64(p.epoch) {
		return
	}
	if err := q.raft.Propose(p.batch); err != nil {
		q.fail(fmt.Errorf("propose a batch at offset %d: %w", p.batch.BaseOffset(), err))
	}
}

// answer releases the responses of everything that is on disk now (I1).
func (q *Quorum) answer() {
	synced := q.log.SyncedOffset()
	for len(q.pending) > 0 && q.pending[0].end <= synced {
		responses := q.pending[0].responses
		q.pending = q.pending[1:]
		q.deliver(responses)
	}
	if len(q.pending) == 0 {
		q.pending = nil
	}
}

func (q *Quorum) deliver(responses []*raftpb.Message) {
	for _, m := range responses {
		if m.GetTo() != q.self.raftID() {
			q.send(m)
			continue
		}
		q.heard(m)
		if err := q.raft.Step(m); err != nil {
			q.opts.Logger.Debug("an answer of the metadata log was ignored", "type", m.GetType().String(), "error", err)
		}
	}
}

// carryOut does what Raft decided, until it has nothing more to say.
func (q *Quorum) carryOut() {
	for q.raft.HasReady() && q.Err() == nil {
		q.table.stubs = true
		ready := q.raft.Ready()
		q.table.stubs = false
		for _, m := range ready.Messages { // first, because messages to others may carry entries that are made here
			if m.GetTo() != raft.LocalAppendThread {
				continue
			}
			if err := q.take(m); err != nil {
				q.fail(fmt.Errorf("take entries into the metadata log: %w", err))
				return
			}
		}
		for _, m := range ready.Messages {
			switch m.GetTo() {
			case raft.LocalAppendThread:
				q.hand(m)
			case raft.LocalApplyThread:
				q.deliver(m.GetResponses())
			default:
				full, err := q.filled(m)
				if err != nil {
					q.fail(err)
					return
				}
				q.send(full)
			}
		}
	}
}

// take enters what is to be written into the table and makes the batches of entries that Raft left empty.
func (q *Quorum) take(m *raftpb.Message) error {
	if s := m.GetSnapshot(); !raft.IsEmptySnap(s) {
		if err := q.install(s); err != nil {
			return err
		}
	}
	entries := m.GetEntries()
	if len(entries) == 0 {
		return nil
	}
	if first := entries[0].GetIndex(); first <= q.table.last() {
		q.forget(first)
	}
	own := make([]*raftpb.Entry, 0, len(entries))
	for _, e := range entries {
		if len(e.GetData()) == 0 {
			e = withData(e, q.beginTerm(e.GetIndex(), e.GetTerm()))
		}
		b, rest, err := batch.Next(e.GetData())
		if err == nil && len(rest) != 0 {
			err = fmt.Errorf("%d bytes follow its batch", len(rest))
		}
		if err == nil {
			err = b.Check()
		}
		if err == nil {
			err = q.table.add(e.GetIndex(), e.GetTerm(), b)
		}
		if err != nil {
			return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
		}
		if b.IsControl() {
			if named, ok, err := votersIn(b); err != nil {
				return fmt.Errorf("entry %d: %w", e.GetIndex(), err)
			} else if ok {
				q.named, q.member = named, b.BaseOffset()
			}
		}
		q.grow(b, q.opts.Clock())
		own = append(own, e)
	}
	m.Entries = own
	return nil
}

// forget drops what is kept about the entries from first on, which another leader replaces.
func (q *Quorum) forget(first uint64) {
	base := q.table.baseOf(first)
	if q.noticed < q.cut.number { // the writer has not come to the cut before this one
		q.cut.offset = min(q.cut.offset, base)
	} else {
		q.cut.offset = base
	}
	q.cut.number = q.handed
	q.inLog = min(q.inLog, base)
	q.pending = slices.DeleteFunc(q.pending, func(w written) bool { return w.end > base })
	for index := range q.changes {
		if index >= first {
			delete(q.changes, index)
		}
	}
	if q.member >= base {
		q.named, q.member = nil, -1
	}
	q.table.cut(first)
}

// beginTerm makes the batch of the empty entry with which this node begins to lead.
func (q *Quorum) beginTerm(index, term uint64) batch.Batch {
	granting := []Voter{}
	for _, v := range q.voters.list {
		if v.ID == q.self.ID || q.grantedIn == term && q.granted[v.raftID()] {
			granting = append(granting, v)
		}
	}
	b := leaderChange(int32(term), q.table.baseOf(index), q.opts.Clock().UnixMilli(), q.self.ID, q.voters.list, granting, q.member < 0 && index == 1)
	q.changes[index] = b
	return b
}

// filled returns the message with the batches of entries that Raft holds empty: other voters must get the very same bytes.
func (q *Quorum) filled(m *raftpb.Message) (*raftpb.Message, error) {
	if !slices.ContainsFunc(m.GetEntries(), func(e *raftpb.Entry) bool { return len(e.GetData()) == 0 }) {
		return m, nil
	}
	out := proto.CloneOf(m)
	for i, e := range out.GetEntries() {
		if len(e.GetData()) > 0 {
			continue
		}
		b, ok := q.changes[e.GetIndex()]
		if !ok { // committed long ago, yet Raft has not let go of its own copy
			stored, err := q.table.Entries(e.GetIndex(), e.GetIndex()+1, maxBatchBytes)
			if err != nil {
				return nil, err
			}
			b = stored[0].GetData()
		}
		out.Entries[i] = withData(e, b)
	}
	return out, nil
}

func withData(e *raftpb.Entry, b batch.Batch) *raftpb.Entry {
	return &raftpb.Entry{Index: new(e.GetIndex()), Term: new(e.GetTerm()), Type: e.Type, Data: b}
}

// show computes what callers see and tells them when it changed.
func (q *Quorum) show() {
	status := q.raft.BasicStatus()
	commit := status.HardState.GetCommit()
	for index := range q.changes {
		if index <= commit && q.table.endOf(index) <= q.inLog {
			delete(q.changes, index)
		}
	}
	now := public{epoch: -1, term: int32(status.HardState.GetTerm()), leader: -1, committed: min(q.table.endOf(min(commit, q.table.last())), q.inLog)}
	if v, ok := q.voters.byID[status.Lead]; ok {
		now.leader = v.ID
	}
	if status.RaftState == raft.StateLeader {
		if first, ok := q.table.firstOf(status.HardState.GetTerm()); ok && q.table.endOf(first) <= q.inLog { // I4
			now.epoch, now.next = now.term, q.table.endOf(first)
		}
	}
	now.replicas = q.replicas(status)
	q.mu.Lock()
	before := q.mu.public
	now.committed = max(now.committed, before.committed) // the log may be behind the table for a moment
	if q.mu.err != nil {
		now.epoch, now.leader = -1, -1
	}
	if now.epoch == before.epoch {
		now.next = before.next // Append moves it
	} else {
		q.mu.inFlight, q.mu.bytes = nil, 0
	}
	q.mu.public, q.mu.growth = now, q.growth
	for len(q.mu.inFlight) > 0 && q.mu.inFlight[0].end <= now.committed {
		q.mu.bytes -= q.mu.inFlight[0].size
		q.mu.inFlight = q.mu.inFlight[1:]
	}
	q.mu.Unlock()
	if now.epoch != before.epoch || now.committed != before.committed || now.leader != before.leader || now.term != before.term {
		q.notify()
	}
}
