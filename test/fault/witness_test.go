//go:build unix

package fault

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

// witness is the good client that produces and consumes while others misbehave, and must notice nothing.
type witness struct {
	t     *testing.T
	conn  *raw.Conn
	stop  chan struct{}
	ended chan struct{}
	err   atomic.Pointer[error]
	turns atomic.Int64
	next  int64
	value string
	times []time.Duration // of the turns since the last call of lap; the loop's own until ended
	laps  chan chan []time.Duration
}

const witnessTopic = "witness"

// newWitness makes its topic and begins.
func newWitness(t *testing.T, p *process) *witness {
	t.Helper()
	return newWitnessOf(t, p, "seen")
}

// newWitnessOf writes records of that value.
func newWitnessOf(t *testing.T, p *process, value string) *witness {
	t.Helper()
	w := &witness{t: t, value: value, conn: p.dial(), stop: make(chan struct{}), ended: make(chan struct{}), laps: make(chan chan []time.Duration)}
	resp, err := raw.Ask[*kmsg.CreateTopicsResponse](w.conn, createRequest(witnessTopic, 1, nil))
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	go w.run()
	return w
}

func (w *witness) run() {
	defer close(w.ended)
	for {
		select {
		case <-w.stop:
			return
		case lap := <-w.laps:
			lap <- w.times
			w.times = nil
		default:
		}
		began := time.Now()
		if err := w.turn(); err != nil {
			w.err.Store(&err)
			return
		}
		w.times = append(w.times, time.Since(began))
		w.turns.Add(1)
	}
}

// turn produces one record with acks=all and fetches it.
func (w *witness) turn() error {
	resp, err := raw.Ask[*kmsg.ProduceResponse](w.conn, produceRequest(witnessTopic, 0, -1, batchOf(w.value)))
	if err != nil {
		return err
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.BaseOffset != w.next {
		return &model.Error{Code: model.ErrorCode(p.ErrorCode), Message: "the good client's record was not taken, or elsewhere"}
	}
	fetched, err := raw.Ask[*kmsg.FetchResponse](w.conn, fetchRequest(witnessTopic, 0, w.next))
	if err != nil {
		return err
	}
	if f := fetched.Topics[0].Partitions[0]; f.ErrorCode != 0 || len(f.RecordBatches) == 0 {
		return &model.Error{Code: model.ErrorCode(f.ErrorCode), Message: "the good client's record cannot be read"}
	}
	w.next++
	return nil
}

// lap returns how long the turns since the last lap took, at least so many of them.
func (w *witness) lap(turns int64) []time.Duration {
	w.t.Helper()
	until := w.turns.Load() + turns
	eventually(w.t, "the good client goes on", 60*time.Second, func() bool { return w.turns.Load() >= until || w.err.Load() != nil })
	w.fine()
	lap := make(chan []time.Duration)
	select {
	case w.laps <- lap:
		return <-lap
	case <-w.ended:
		w.fine()
		return nil
	}
}

// fine fails when the good client has noticed something.
func (w *witness) fine() {
	w.t.Helper()
	if err := w.err.Load(); err != nil {
		w.t.Fatalf("the good client noticed: %v", *err)
	}
}

// end stops the good client.
func (w *witness) end() {
	w.t.Helper()
	close(w.stop)
	<-w.ended
	w.fine()
}

// percentile99 is what one in a hundred takes longer than.
func percentile99(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)*99/100]
}

func median(times []time.Duration) time.Duration {
	if len(times) == 0 {
		return 0
	}
	slices.Sort(times)
	return times[len(times)/2]
}
