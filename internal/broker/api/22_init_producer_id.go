package api

import (
	"log/slog"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// producerIDs hands out producer ids from blocks that the controller gives. A block that was begun before a restart is not continued, so no id is given twice.
type producerIDs struct {
	mu      sync.Mutex
	next    int64
	end     int64
	pending *shard.Call // the block on its way
}

// take returns the next id, or false when the block is used up.
func (p *producerIDs) take() (int64, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next >= p.end {
		return 0, false
	}
	p.next++
	return p.next - 1, true
}

// refill asks for a block, once for all who wait, and waits for it.
func (p *producerIDs) refill(controller Caller, ask meta.AllocateProducerIDs, stop <-chan struct{}) error {
	p.mu.Lock()
	if p.next < p.end {
		p.mu.Unlock()
		return nil
	}
	if p.pending == nil {
		p.pending = controller.Call(ask)
	}
	call := p.pending
	p.mu.Unlock()
	reply, err := call.Wait(stop)
	select {
	case <-call.Done():
	default:
		return err // this connection ends; the block stays on its way for the others
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pending != call {
		return err // another one has taken it over already
	}
	p.pending = nil
	if err != nil {
		return err
	}
	block := reply.(meta.ProducerIDsReply)
	if block.Code != model.None {
		return &model.Error{Code: block.Code, Message: block.Message}
	}
	p.next, p.end = block.First, block.First+int64(block.Count)
	return nil
}

// initProducerID serves API 22, versions 0 to 5: an id for an idempotent producer. Transactional ids are refused for good, so that no client waits.
func (b *Broker) initProducerID(r *server.Request, req *kmsg.InitProducerIDRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.InitProducerIDResponse)
	resp.ProducerID, resp.ProducerEpoch = -1, -1
	refused := refusalsOf(r)
	if req.TransactionalID != nil || req.Version >= 3 && (req.ProducerID == -1) != (req.ProducerEpoch == -1) {
		resp.ErrorCode = int16(model.InvalidRequest)
		why := "a producer id comes with its epoch, or both are -1"
		if req.TransactionalID != nil {
			why = noTransactions
		}
		refused.complain(resp.ErrorCode, &why, slog.String("transactional_id", deref(req.TransactionalID)))
		return ready(resp)
	}
	if id, ok := b.producerIDs.take(); ok {
		resp.ProducerID, resp.ProducerEpoch = id, 0
		return ready(resp)
	}
	return later(resp, func(stop <-chan struct{}) {
		for {
			ask := meta.AllocateProducerIDs{Broker: b.NodeID}
			if self := b.Image().Broker(b.NodeID); self != nil {
				ask.Epoch = self.Epoch
			}
			if err := b.producerIDs.refill(b.Controller, ask, stop); err != nil {
				refused.conn.Complain("no producer ids can be had, producers try again", slog.String("error", err.Error()))
				resp.ErrorCode = int16(model.CoordinatorLoadInProgress) // producers try again
				return
			}
			if id, ok := b.producerIDs.take(); ok {
				resp.ProducerID, resp.ProducerEpoch = id, 0
				return
			}
		}
	})
}
