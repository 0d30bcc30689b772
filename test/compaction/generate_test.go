//go:build unix

package compaction

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/plog"
)

// generator writes a log with everything that a cleaner may meet.
type generator struct {
	t     *testing.T
	log   *plog.Log
	r     *rand.Rand
	epoch int32
	clock int64 // ms
	keys  int

	sequences map[int64]int32
	open      map[int64]bool // producers with a transaction under way
}

// generate makes a log of so many batches in a new directory, and returns a time after all of it.
func generate(t *testing.T, path string, c *plog.Config, seed uint64, batches int) int64 {
	t.Helper()
	d, l := open(t, path, c)
	g := &generator{t: t, log: l, r: rand.New(rand.NewPCG(seed, 0x0771a)), clock: time.Now().Add(-time.Hour).UnixMilli(), keys: 300, sequences: map[int64]int32{}, open: map[int64]bool{}}
	for i := range batches {
		g.clock += g.r.Int64N(1000)
		if g.r.IntN(400) == 0 {
			g.epoch++
		}
		switch n := g.r.IntN(10); {
		case n < 4:
			g.data(-1, false)
		case n < 6:
			id := 1 + g.r.Int64N(4)
			if i > batches/3 { // one of them falls silent, but may send again
				id = min(id, 3)
			}
			g.data(id, false)
		case n < 9:
			id := 10 + g.r.Int64N(5)
			g.data(id, true)
			g.open[id] = true
		default:
			id := 10 + g.r.Int64N(5)
			if g.open[id] {
				g.end(id, g.r.IntN(2) == 0)
			}
		}
	}
	for id := range int64(20) {
		if g.open[id] {
			g.end(id, false)
		}
	}
	for range 40 { // so that the last of it is sealed
		g.data(-1, false)
	}
	until(t, l, "sync", func() bool { return l.SyncedOffset() == l.EndOffset() })
	shut(t, d)
	return g.clock + 60_000
}

func (g *generator) data(producer int64, txn bool) {
	g.t.Helper()
	o := batch.Options{Codec: batch.Codec(g.r.IntN(5)), Transactional: txn}
	n := 1 + g.r.IntN(8)
	if producer >= 0 {
		o.HasProducer, o.ProducerID, o.BaseSequence = true, producer, g.sequences[producer]
		g.sequences[producer] += int32(n)
	}
	if g.r.IntN(10) == 0 {
		o.TimestampType, o.LogAppendMs = batch.LogAppendTime, g.clock
	}
	var b batch.Builder
	b.Reset(o)
	for range n {
		at := g.clock + g.r.Int64N(10_000) - 5000
		if g.r.IntN(40) == 0 {
			at = batch.NoTimestamp
		}
		key := fmt.Appendf(nil, "key %d", g.r.IntN(g.keys))
		if g.r.IntN(50) == 0 {
			key = nil
		}
		value := fmt.Appendf(nil, "%d %s", g.r.Uint64(), strings.Repeat("value ", g.r.IntN(60)))
		if g.r.IntN(8) == 0 {
			value = nil
		}
		var headers []batch.Header
		for i := range g.r.IntN(3) {
			h := batch.Header{Key: fmt.Append(nil, "h", i), Value: fmt.Append(nil, g.r.IntN(100))}
			if g.r.IntN(3) == 0 {
				h.Value = nil
			}
			headers = append(headers, h)
		}
		b.Append(at, key, value, headers...)
	}
	g.append(b.Build(), plog.Client)
}

func (g *generator) end(producer int64, commit bool) {
	g.t.Helper()
	delete(g.open, producer)
	var b batch.Builder
	b.Reset(batch.Options{HasProducer: true, ProducerID: producer, BaseSequence: batch.NoSequence, Transactional: true, Control: true})
	kind := uint16(0)
	if commit {
		kind = 1
	}
	b.Append(g.clock, binary.BigEndian.AppendUint16(make([]byte, 2), kind), binary.BigEndian.AppendUint32(make([]byte, 2), 5))
	g.append(b.Build(), plog.Internal)
}

func (g *generator) append(b batch.Batch, origin plog.Origin) {
	g.t.Helper()
	for {
		_, err := g.log.Append(bytes.Clone(b), g.epoch, time.UnixMilli(g.clock), origin)
		if !errors.Is(err, plog.ErrBudget) {
			if err != nil {
				g.t.Fatal(err)
			}
			return
		}
		if err := g.log.WaitRoom(g.t.Context(), plog.Internal); err != nil {
			g.t.Fatal(err)
		}
	}
}

// overwritten makes a log of so many bytes in which few keys are written again and again, and returns a time after all of it.
func overwritten(t *testing.T, path string, c *plog.Config, size int64) int64 {
	t.Helper()
	d, l := open(t, path, c)
	g := &generator{t: t, log: l, r: rand.New(rand.NewPCG(3, 4)), clock: time.Now().Add(-time.Hour).UnixMilli()}
	value := make([]byte, 400)
	var b batch.Builder
	for written := int64(0); written < size; {
		b.Reset(batch.Options{Codec: batch.LZ4})
		for range 100 {
			for i := range value {
				value[i] = "etaoin shrdlu"[g.r.IntN(13)]
			}
			b.Append(g.clock, fmt.Appendf(nil, "key %d", g.r.IntN(100_000)), value)
		}
		out := b.Build()
		written += int64(len(out))
		g.clock++
		g.append(out, plog.Client)
	}
	until(t, l, "sync", func() bool { return l.SyncedOffset() == l.EndOffset() })
	shut(t, d)
	return g.clock + 60_000
}
