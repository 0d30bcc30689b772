package quorum

import (
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"

	"github.com/ottla/ottla/internal/kafka/model"
)

// Description is what DescribeQuorum tells.
type Description struct {
	LeaderID      int32 // -1 when unknown
	LeaderEpoch   int32
	HighWatermark int64
	Voters        []Voter
	// Replicas is how far each voter is. Only the leader knows; elsewhere it is empty.
	Replicas []Replica
}

// Replica is how far a voter is, as its leader knows. Times are zero when it was not heard of.
type Replica struct {
	ID           int32
	DirectoryID  model.TopicID
	LogEndOffset int64
	LastFetch    time.Time // when it was heard last
	LastCaughtUp time.Time // when it had all that the leader had
}

// voterContact is what the leader knows about another voter.
type voterContact struct {
	heard    time.Time
	caughtUp time.Time
}

// Describe returns the state of the quorum as this node knows it.
func (q *Quorum) Describe() Description {
	q.mu.Lock()
	d := Description{LeaderID: q.mu.leader, LeaderEpoch: q.mu.term, HighWatermark: q.mu.committed, Voters: q.voters.list}
	leads, next := q.mu.epoch >= 0, q.mu.next
	if leads {
		d.Replicas = append(d.Replicas, q.mu.replicas...)
	}
	q.mu.Unlock()
	now := q.opts.Clock()
	for i := range d.Replicas {
		if r := &d.Replicas[i]; r.ID == q.self.ID {
			r.LogEndOffset, r.LastFetch, r.LastCaughtUp = next, now, now
		}
	}
	return d
}

// heard notes what a message tells about its sender.
func (q *Quorum) heard(m *raftpb.Message) {
	switch m.GetType() {
	case raftpb.MsgVoteResp:
		if m.GetReject() {
			return
		}
		if m.GetTerm() != q.grantedIn {
			q.granted, q.grantedIn = map[uint64]bool{}, m.GetTerm()
		}
		q.granted[m.GetFrom()] = true
	case raftpb.MsgAppResp, raftpb.MsgHeartbeatResp:
		if q.alone() {
			return
		}
		c := q.contact[m.GetFrom()]
		if c == nil {
			c = &voterContact{}
			q.contact[m.GetFrom()] = c
		}
		c.heard = q.opts.Clock()
	}
}

// replicas lists the voters for Describe.
func (q *Quorum) replicas(status raft.BasicStatus) []Replica {
	if status.RaftState != raft.StateLeader {
		return nil
	}
	out := make([]Replica, 0, len(q.voters.list))
	q.raft.WithProgress(func(id uint64, _ raft.ProgressType, p tracker.Progress) {
		v, ok := q.voters.byID[id]
		if !ok {
			return
		}
		r := Replica{ID: v.ID, DirectoryID: v.DirectoryID, LogEndOffset: q.table.endOf(min(p.Match, q.table.last()))}
		if c := q.contact[id]; c != nil {
			if p.Match == q.table.last() {
				c.caughtUp = c.heard
			}
			r.LastFetch, r.LastCaughtUp = c.heard, c.caughtUp
		}
		out = append(out, r)
	})
	return out
}
