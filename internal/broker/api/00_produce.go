package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
)

// adminClient is the client id to which Kafka allows writes to internal topics.
const adminClient = "__admin_client"

// produced is one Produce request on its way: what was decoded, the answer in the making and the ticket that it waits for. It is reused.
type produced struct {
	version int16
	req     wire.ProduceRequest
	resp    wire.ProduceResponse
	ticket  *partition.Ticket // nil with acks=0
	spare   *partition.Ticket // the one before, to be used again
	timeout time.Duration
	conn    *server.Conn
	ctx     context.Context
	body    []byte

	topics []*partition.Topic            // of the request; nil where there is none
	named  []bool                        // for resolve
	seen   map[*partition.Topic]struct{} // for resolve

	// Made once: a method value is an allocation.
	waiting   func(stop <-chan struct{})
	ready     func() bool
	finishing func() server.Body
}

var producedPool = sync.Pool{New: func() any {
	p := &produced{seen: map[*partition.Topic]struct{}{}}
	p.waiting, p.finishing = p.wait, p.finish
	p.ready = func() bool { return p.ticket.Ready() }
	return p
}}

// keptBody is the largest response that a reused request keeps.
const keptBody = 64 << 10

func (p *produced) release() {
	p.req.Reset()
	p.resp.Reset()
	if p.ticket != nil {
		p.spare = p.ticket
	}
	p.ticket, p.conn = nil, nil
	clear(p.topics)
	clear(p.seen)
	if cap(p.body) > keptBody {
		p.body = nil
	}
	producedPool.Put(p)
}

// produce serves API 0, versions 3 to 13; ApiVersions shows it from version 0, because older clients decide about compression by that (KAFKA-18659).
// Every partition's batch is appended here, in the order of the requests; the writer waits for the acks.
func (b *Broker) produce(r *server.Request) server.Answer {
	p := producedPool.Get().(*produced)
	p.version, p.conn, p.ctx = r.Version, r.Conn, b.Context
	if err := p.req.Decode(r.Version, r.Body); err != nil {
		complainOfDecoding(r, err)
		p.release()
		return server.Answer{None: true, Close: true}
	}
	p.resolve(b.Partitions)
	acks := p.req.Acks
	slots := 0
	for i := range p.req.Topics {
		slots += len(p.req.Topics[i].Partitions)
	}
	if acks != 0 {
		p.open(slots)
		p.ticket.MayHold = r.MayHelp
	}
	failed := b.appendAll(p, r.ClientID)
	p.timeout = time.Duration(p.req.TimeoutMs) * time.Millisecond
	p.req.Reset() // it aliases the request's memory, which is given back now
	if acks == 0 {
		if failed {
			r.Conn.Complain("closing a connection: records with acks=0 were refused, and there is no other way to tell", slog.String("client", r.ClientID))
		}
		p.release()
		return server.Answer{None: true, Close: failed} // nobody can be told of an error, so the connection ends, as in Kafka
	}
	if p.ticket.Ready() {
		return server.Answer{Body: p.finishing}
	}
	a := server.Answer{Wait: p.waiting, Ready: p.ready, Body: p.finishing}
	if d := p.ticket.Held; d != nil {
		a.Turn = d
	}
	return a
}

// open takes a ticket with so many slots. One that was given up on, when its request timed out, is left to the partitions that still hold it.
func (p *produced) open(slots int) {
	p.ticket, p.spare = p.spare, nil
	if p.ticket == nil || !p.ticket.Reopen(slots) {
		p.ticket = partition.NewTicket(slots)
	}
}

// appendAll hands every partition's records to its partition and prepares the answer. It reports whether any was refused.
func (b *Broker) appendAll(p *produced, clientID string) (failed bool) {
	slot := 0
	refused := produceRefusal(&p.req)
	for i := range p.req.Topics {
		t := &p.req.Topics[i]
		if len(t.Partitions) == 0 {
			continue
		}
		topic, unknown := p.topics[i], model.UnknownTopicOrPartition
		if p.version >= 13 {
			unknown = model.UnknownTopicID
		}
		out := p.resp.AddTopic("", t.ID)
		if topic != nil {
			out.Name = topic.Name
		} else {
			out.Name = string(t.Name)
		}
		for j := range t.Partitions {
			in := &t.Partitions[j]
			answer := out.AddPartition(in.Index)
			err := refused
			target := topic.Partition(in.Index)
			switch {
			case refused != nil && p.req.TransactionalID != nil:
			case target == nil && topic != nil:
				err = model.UnknownTopicOrPartition
			case target == nil:
				err = unknown
			case refused != nil:
			case model.IsInternal(topic.Name) && clientID != adminClient:
				err = model.InvalidTopicException
			default:
				err = p.append(target, in.Records, slot, answer)
			}
			if err != nil {
				failed = true
				refuseProduce(answer, err)
				refusals{p.conn, clientID, wire.KeyProduce}.complain(int16(answer.ErrorCode), new(err.Error()), about(out.Name, t.ID), slog.Int("partition", int(in.Index)))
				if p.ticket != nil {
					p.ticket.Complete(slot, answer.ErrorCode)
				}
			}
			slot++
		}
	}
	return failed
}

// noTransactions tells who asks for one.
const noTransactions = "this node does not serve transactions yet: use a producer without transactional.id"

// produceRefusal says why nothing of the request may be appended, if so.
func produceRefusal(req *wire.ProduceRequest) error {
	if req.Acks < -1 || req.Acks > 1 {
		return model.InvalidRequiredAcks
	}
	if req.TransactionalID != nil {
		return &model.Error{Code: model.InvalidRequest, Message: noTransactions}
	}
	return nil
}

func (p *produced) append(target *partition.Partition, records []byte, slot int, answer *wire.ProducePartitionResponse) error {
	appended, err := target.Produce(p.ctx, records, p.version, p.req.Acks, p.ticket, slot)
	if err != nil {
		answer.LogStartOffset = appended.LogStartOffset
		return err
	}
	answer.BaseOffset, answer.LogStartOffset, answer.LogAppendTimeMs = appended.BaseOffset, appended.LogStartOffset, appended.LogAppendTimeMs
	return nil
}

// refuseProduce puts an error into one partition's answer, with the records that it is about.
func refuseProduce(answer *wire.ProducePartitionResponse, err error) {
	code, message := model.CodeOf(err)
	answer.ErrorCode, answer.BaseOffset = code, -1
	if message != code.String() {
		answer.ErrorMessage = message
	}
	if e, ok := errors.AsType[*batch.RecordErrors](err); ok {
		for _, re := range e.Records {
			answer.RecordErrors = append(answer.RecordErrors, wire.RecordError{BatchIndex: re.Index, Message: re.Message})
		}
	}
}

// wait waits for the acks, the request's timeout, or the end of the connection.
func (p *produced) wait(stop <-chan struct{}) {
	p.ticket.Await(p.conn.Timer(p.timeout).C, stop)
}

// finish makes the body from how the ticket's slots ended.
func (p *produced) finish() server.Body {
	slot := 0
	for i := range p.resp.Topics {
		partitions := p.resp.Topics[i].Partitions
		for j := range partitions {
			if code := p.ticket.Code(slot); code != model.None && partitions[j].ErrorCode == model.None {
				partitions[j].ErrorCode, partitions[j].BaseOffset = code, -1
			}
			slot++
		}
	}
	p.body = p.resp.Append(p.body[:0], p.version)
	return producedBody{p}
}

// producedBody gives the request back when its answer was written.
type producedBody struct{ p *produced }

func (b producedBody) Len() int  { return len(b.p.body) }
func (b producedBody) Close()    { b.p.release() }
func (b producedBody) Held() int { return 0 }

// WriteTo writes the body.
func (b producedBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.p.body)
	return int64(n), err
}
