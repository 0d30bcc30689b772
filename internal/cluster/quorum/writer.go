package quorum

import (
	"fmt"
	"path/filepath"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// written is one thing that Raft asked to be written and that now is in the log, though perhaps not on disk.
type written struct {
	number    int64 // of the work
	end       int64 // the log's end then; once it is synced, the responses may go
	responses []*raftpb.Message
}

// work is one thing that Raft asks to be written, or the move of the log's start to an offset.
type work struct {
	number  int64
	message *raftpb.Message
	forget  int64
	done    chan<- error // of forget; it has room for one
}

// writer carries out what Raft asks to be written, in order. It alone waits for the disk.
func (q *Quorum) writer() {
	for {
		q.mu.Lock()
		list := q.mu.toWrite
		q.mu.toWrite = nil
		q.mu.Unlock()
		for _, w := range list {
			done, err := q.carry(w)
			if err != nil {
				if q.stop.Err() == nil {
					q.fail(err)
				}
				return
			}
			done.number = w.number
			q.mu.Lock()
			q.mu.inbox.written = append(q.mu.inbox.written, done)
			q.mu.Unlock()
			q.wakeLoop()
		}
		select {
		case <-q.stop.Done():
			return
		case <-q.wakeWriter:
		}
	}
}

func (q *Quorum) carry(w work) (written, error) {
	if w.message != nil {
		return q.write(w.message)
	}
	err := q.log.ForgetBefore(w.forget)
	if err != nil {
		err = fmt.Errorf("move the start of the metadata log to offset %d: %w", w.forget, err)
	}
	w.done <- err
	return written{end: q.log.EndOffset()}, err
}

// write makes term and vote durable, a lone voter's with the entries of the term, and puts entries into the log. The entries' sync is not waited for.
func (q *Quorum) write(m *raftpb.Message) (written, error) {
	if m.Term != nil && m.Vote != nil {
		q.cast = vote{m.GetTerm(), m.GetVote()}
	}
	if !q.alone() {
		if err := q.saveVote(); err != nil {
			return written{}, err
		}
	}
	if s := m.GetSnapshot(); !raft.IsEmptySnap(s) { // the file is on disk; after a crash before the log follows, the next start lets it follow
		at, err := decodePosition(s.GetData())
		if err == nil {
			err = q.log.BeginAt(at.Offset)
		}
		if err != nil {
			return written{}, fmt.Errorf("begin the metadata log behind a snapshot: %w", err)
		}
	}
	for i, e := range m.GetEntries() {
		b := batch.Batch(e.GetData())
		if end := q.log.EndOffset(); i == 0 && b.BaseOffset() < end {
			if err := q.log.TruncateTo(b.BaseOffset()); err != nil {
				return written{}, fmt.Errorf("cut the metadata log to offset %d: %w", b.BaseOffset(), err)
			}
		}
		if err := q.log.Append(q.stop, b); err != nil {
			return written{}, fmt.Errorf("append to the metadata log at offset %d: %w", b.BaseOffset(), err)
		}
	}
	if len(m.GetEntries()) > 0 { // a lone voter's vote counts with the first entry of its term (I1): both get to the disk at the same time
		if err := q.saveVote(); err != nil {
			return written{}, err
		}
	}
	return written{end: q.log.EndOffset(), responses: m.GetResponses()}, nil
}

// saveVote makes term and vote durable, and before the first ones of this process the name of the directory.
func (q *Quorum) saveVote() error {
	if !q.rooted {
		if err := q.opts.FS.SyncDir(filepath.Dir(q.opts.Path)); err != nil {
			return err
		}
		q.rooted = true
	}
	if q.cast == q.saved {
		return nil
	}
	if err := q.store.save(q.cast); err != nil {
		return err
	}
	q.saved = q.cast
	return nil
}

// hand gives work to the writer. What only tells the commit index is left out: it is found again by election.
func (q *Quorum) hand(m *raftpb.Message) {
	v := q.asked
	if m.Term != nil && m.Vote != nil {
		v = vote{m.GetTerm(), m.GetVote()}
	}
	if v == q.asked && len(m.GetEntries()) == 0 && len(m.GetResponses()) == 0 && raft.IsEmptySnap(m.GetSnapshot()) {
		return
	}
	q.asked = v
	q.handed++
	q.give(work{number: q.handed, message: m})
}

// give puts work into the writer's mailbox.
func (q *Quorum) give(w work) {
	q.mu.Lock()
	q.mu.toWrite = append(q.mu.toWrite, w)
	q.mu.Unlock()
	select {
	case q.wakeWriter <- struct{}{}:
	default:
	}
}
