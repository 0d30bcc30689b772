//go:build unix

package fault

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

// plain writes unique values with acks=all and without idempotence, several requests at a time on one connection, and sends none of them twice: so nothing of it
// may be doubled either. Between them go requests with acks 1 and 0, to which nothing is promised.
type plain struct {
	caller
	number  uint64
	ledger  *ledger
	places  []place
	rng     *rand.Rand
	written uint64
	done    atomic.Int64
	ended   chan struct{}
}

// window is how many requests are on their way together.
const window = 6

func newPlain(number int, address string, places []place, l *ledger, seed uint64) *plain {
	return &plain{caller: caller{address: address}, number: uint64(number), ledger: l, places: places, rng: rand.New(rand.NewPCG(seed, uint64(number))), ended: make(chan struct{})}
}

func (p *plain) run(ctx context.Context) {
	defer close(p.ended)
	defer p.close()
	for ctx.Err() == nil {
		if p.connect(ctx) != nil {
			return
		}
		if !p.round() {
			p.close() // what was not answered is unknown
		}
	}
}

// sentPlain is one request on its way.
type sentPlain struct {
	req    *kmsg.ProduceRequest
	id     int32
	at     place
	values []uint64
}

// round sends a window of requests and reads the answers, which come in the order of the requests. It tells whether the connection still works.
func (p *plain) round() bool {
	var sent []sentPlain
	alive := true
	for range window {
		s := p.request()
		var err error
		if s.id, err = p.conn.Send(s.req); err != nil {
			alive = false // what was sent before may have been answered
			break
		}
		if s.req.Acks != 0 {
			sent = append(sent, s)
		}
	}
	for _, s := range sent {
		resp, err := p.conn.Receive(s.req, s.id)
		if err != nil {
			return false
		}
		p.note(s, resp.(*kmsg.ProduceResponse))
	}
	return alive
}

func (p *plain) request() sentPlain {
	s := sentPlain{at: p.places[p.rng.IntN(len(p.places))]}
	var b batch.Builder
	for range 1 + p.rng.IntN(5) {
		p.written++
		value := p.number<<40 | p.written
		s.values = append(s.values, value)
		b.Append(time.Now().UnixMilli(), nil, append(binary.BigEndian.AppendUint64(nil, value), make([]byte, p.rng.IntN(300))...))
	}
	acks := int16(-1)
	switch p.rng.IntN(8) {
	case 0:
		acks = 1
	case 1:
		acks = 0
	}
	s.req = produceRequest(s.at.topic, s.at.partition, acks, b.Build())
	return s
}

func (p *plain) note(s sentPlain, resp *kmsg.ProduceResponse) {
	got := resp.Topics[0].Partitions[0]
	if got.ErrorCode != 0 {
		p.ledger.fault("%v: values of a plain producer were refused: %v", s.at, model.ErrorCode(got.ErrorCode))
		return
	}
	if s.req.Acks != -1 {
		return
	}
	for i, value := range s.values {
		p.ledger.note("acknowledged", s.at, got.BaseOffset+int64(i), value)
		p.ledger.acked.Add(1)
	}
	p.done.Add(1)
}

// firstProduce asks a fresh connection for one acknowledged record; a node that has just begun to serve must take it at once.
func firstProduce(address, topic string) error {
	c, err := raw.Dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest(topic, 0, -1, batchOf("probe")))
	if err != nil {
		return err
	}
	if code := resp.Topics[0].Partitions[0].ErrorCode; code != 0 {
		return model.ErrorCode(code)
	}
	return nil
}
