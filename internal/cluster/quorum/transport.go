package quorum

import (
	"fmt"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// Transport carries messages between voters. It may lose, double, delay and reorder them.
type Transport interface {
	// Send hands over one message; it must not wait. The receiver gives it to Receive.
	Send(to Voter, message []byte)
}

// maxInbound bounds the messages of other voters that wait for the loop; more are dropped, which Raft takes as a loss on the way.
const maxInbound = 4096

// Receive takes a message that another voter's Transport sent. It does not wait.
func (q *Quorum) Receive(message []byte) error {
	m := &raftpb.Message{}
	if err := proto.Unmarshal(message, m); err != nil {
		return fmt.Errorf("receive a message of the metadata quorum: %w", err)
	}
	if _, ok := q.voters.byID[m.GetFrom()]; !ok || m.GetTo() != q.self.raftID() || raft.IsLocalMsg(m.GetType()) {
		return fmt.Errorf("receive a message of the metadata quorum: %s from %x to %x is not for this voter", m.GetType(), m.GetFrom(), m.GetTo())
	}
	q.mu.Lock()
	if len(q.mu.inbox.messages) < maxInbound {
		q.mu.inbox.messages = append(q.mu.inbox.messages, m)
	}
	q.mu.Unlock()
	q.wakeLoop()
	return nil
}

// send gives a message to the transport.
func (q *Quorum) send(m *raftpb.Message) {
	to, ok := q.voters.byID[m.GetTo()]
	if !ok || q.opts.Transport == nil {
		return
	}
	message, err := proto.Marshal(m)
	if err != nil {
		q.fail(fmt.Errorf("encode a message of the metadata quorum: %w", err))
		return
	}
	q.opts.Transport.Send(to, message)
}
