package partition

import (
	"context"
	"math"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Appended is where a produced batch went.
type Appended struct {
	BaseOffset     int64
	LogStartOffset int64
	// LogAppendTimeMs is the broker's time where the topic asks for it, else -1.
	LogAppendTimeMs int64
}

// Produce judges what a client sent for the partition, appends it and leaves the ticket's slot to be completed when the acks are met. With an error nothing was
// appended and the slot is the caller's to complete; LogStartOffset is what Kafka would tell, -1 unless the log itself refused the records. With acks=0 there is no ticket. It waits, until ctx ends, while the logs' memory is used up.
func (p *Partition) Produce(ctx context.Context, records []byte, version int16, acks int16, ticket *Ticket, slot int) (Appended, error) {
	b, err := batch.One(records)
	if err != nil {
		return notLooked, err
	}
	if b.IsTransactional() {
		return notLooked, &model.Error{Code: model.InvalidRequest, Message: "transactional records are not served yet: use a producer without transactional.id"}
	}
	now := p.clock()
	rules := p.settings.Load().Rules
	rules.NowMs, rules.AllowZstd = now.UnixMilli(), version >= 7
	if rules.MaxPlainBytes == 0 {
		rules.MaxPlainBytes = maxPlainBytes
	}
	if b, err = admit(b, &rules); err != nil {
		return p.refused(err), err
	}
	appended, err := p.append(b, acks, ticket, slot)
	for err == plog.ErrBudget {
		if err = p.log.WaitRoom(ctx, plog.Client); err == nil {
			appended, err = p.append(b, acks, ticket, slot)
		}
	}
	if err != nil {
		return p.refused(err), err
	}
	out := Appended{BaseOffset: appended.BaseOffset, LogStartOffset: p.log.StartOffset(), LogAppendTimeMs: -1}
	if rules.TimestampType == batch.LogAppendTime || appended.Duplicate {
		out.LogAppendTimeMs = appended.Timestamp // a duplicate's is the original's, whatever its type
	}
	return out, nil
}

// notLooked is the place of records that were refused before the log was asked.
var notLooked = Appended{BaseOffset: -1, LogStartOffset: -1, LogAppendTimeMs: -1}

// refused is the place of records that were refused: Kafka tells where the log begins, but not with these errors.
func (p *Partition) refused(err error) Appended {
	out := notLooked
	switch code, _ := model.CodeOf(err); code {
	case model.NotLeaderForPartition, model.MessageTooLarge, model.CorruptMessage, model.KafkaStorageError, model.UnknownTopicOrPartition:
	default:
		out.LogStartOffset = p.log.StartOffset()
	}
	return out
}

// mostHeld bounds a batch that is held: copying a larger one to the page cache takes longer than waking a goroutine, which can do it meanwhile.
const mostHeld = 16 << 10

// mayHold tells whether a batch may be left to the ticket's owner to be written: it waits for that, and for no sync.
func (p *Partition) mayHold(size int, ticket *Ticket) bool {
	if ticket == nil || !ticket.MayHold || size > mostHeld || ticket.Held != nil && ticket.Held != p.log.Dir() {
		return false
	}
	s := p.settings.Load()
	return s.Cache && s.Log.FlushMessages == math.MaxInt64
}

// append appends an admitted batch under the lock.
func (p *Partition) append(b batch.Batch, acks int16, ticket *Ticket, slot int) (plog.Appended, error) {
	p.mu.Lock()
	if p.mu.err != nil {
		defer p.mu.Unlock()
		return plog.Appended{}, p.mu.err
	}
	if code := p.mu.replica.Admit(acks); code != model.None {
		defer p.mu.Unlock()
		return plog.Appended{}, p.refusal(code)
	}
	add := p.log.Append
	hold := p.mayHold(len(b), ticket)
	if hold {
		add = p.log.AppendHeld
	}
	appended, err := add(b, p.mu.replica.Role().LeaderEpoch, p.clock(), plog.Client)
	if err != nil {
		p.mu.Unlock()
		return plog.Appended{}, err
	}
	if hold {
		ticket.Held = p.log.Dir()
	}
	settled := p.park(appended.End, acks, ticket, slot)
	p.mu.Unlock()
	if settled {
		ticket.Complete(slot, model.None)
	}
	return appended, nil
}

// park leaves the slot with the waiters of its acks, or says that it is settled already, as for a duplicate of a committed batch. The lock is held.
func (p *Partition) park(end int64, acks int16, ticket *Ticket, slot int) (settled bool) {
	if ticket == nil {
		return false
	}
	w := waiter{end: end, ticket: ticket, slot: slot}
	if acks == 1 {
		if written, _ := p.reached(); written >= end {
			return true
		}
		p.mu.written.push(w)
		return false
	}
	if p.mu.replica.HighWatermark() >= end {
		return true
	}
	p.mu.committed.push(w)
	return false
}

func (p *Partition) refusal(code model.ErrorCode) error {
	if code == model.NotEnoughReplicas {
		return &model.Error{Code: code, Message: "fewer in-sync replicas than min.insync.replicas"}
	}
	return code
}
