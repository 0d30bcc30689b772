package plog

import (
	"math"
	"slices"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// rememberedBatches is how many batches of a producer can be recognised as duplicates.
const rememberedBatches = 5

// appended is what is remembered of one batch.
type appended struct {
	lastSequence int32
	offsetDelta  int32
	lastOffset   int64
	timestamp    int64
}

func (a appended) firstSequence() int32 {
	return int32((uint32(a.lastSequence) - uint32(a.offsetDelta)) & 0x7fffffff)
}

// producer is the state of one producer id in one partition.
type producer struct {
	epoch            int16
	count            int8
	coordinatorEpoch int32
	timestamp        int64 // of the last batch
	txnFirst         int64 // first offset of the open transaction, NoOffset when there is none
	marker           int64 // offset of its last marker, or an offset that it does not lie above; NoOffset when there is none
	first            int64 // nothing is known of it before this offset; 0 when that is not known either
	batches          [rememberedBatches]appended
}

func newProducer() *producer {
	return &producer{epoch: batch.NoProducerEpoch, coordinatorEpoch: NoEpoch, timestamp: batch.NoTimestamp, txnFirst: NoOffset, marker: NoOffset}
}

func (p *producer) last() (appended, bool) {
	if p.count == 0 {
		return appended{}, false
	}
	return p.batches[p.count-1], true
}

// add remembers a batch; the oldest of five gives way.
func (p *producer) add(a appended) {
	if p.count == rememberedBatches {
		copy(p.batches[:], p.batches[1:])
		p.count--
	}
	p.batches[p.count] = a
	p.count++
	p.timestamp = a.timestamp
}

func (p *producer) setEpoch(epoch int16) {
	if p.epoch != epoch {
		p.epoch = epoch
		p.count = 0
	}
}

// duplicate finds the remembered batch with exactly the same epoch and sequences.
func (p *producer) duplicate(b batch.Batch) (appended, bool) {
	if p.epoch != b.ProducerEpoch() {
		return appended{}, false
	}
	first, last := b.BaseSequence(), b.LastSequence()
	for _, a := range p.batches[:p.count] {
		if a.lastSequence == last && a.firstSequence() == first {
			return a, true
		}
	}
	return appended{}, false
}

func inSequence(last, next int32) bool {
	return int64(next) == int64(last)+1 || next == 0 && last == 1<<31-1
}

// producers is the state of all producer ids. A nil map is an empty state.
type producers map[int64]*producer

// check decides on a batch of a client, or with coordinator true of a coordinator, whose batches carry no sequences. It changes nothing.
func (ps producers) check(b batch.Batch, offset int64, coordinator bool) error {
	id, epoch, first := b.ProducerID(), b.ProducerEpoch(), b.BaseSequence()
	p := ps[id]
	if p == nil {
		return nil // an unknown producer may begin anywhere
	}
	if epoch < p.epoch {
		return failure(model.InvalidProducerEpoch, "producer %d has epoch %d at offset %d, an epoch below the last one seen, %d", id, epoch, offset, p.epoch)
	}
	if coordinator || b.IsControl() {
		return nil
	}
	if epoch != p.epoch {
		if first != 0 && p.epoch != batch.NoProducerEpoch {
			return failure(model.OutOfOrderSequenceNumber, "producer %d begins epoch %d at offset %d with sequence number %d, not 0 (its last epoch was %d)", id, epoch, offset, first, p.epoch)
		}
	} else {
		last := int32(batch.NoSequence)
		if a, ok := p.last(); ok {
			last = a.lastSequence
		}
		if !inSequence(last, first) {
			return failure(model.OutOfOrderSequenceNumber, "producer %d sent sequence number %d at offset %d, after %d", id, first, offset, last)
		}
	}
	if p.txnFirst != NoOffset && !b.IsTransactional() {
		return failure(model.InvalidTxnState, "producer %d has a transaction open since offset %d and sent a batch outside of it at offset %d", id, p.txnFirst, offset)
	}
	return nil
}

// update takes a batch that is in the log into the state; a batch that the state already has is skipped, so that replaying over a newer state is harmless.
func (ps *producers) update(b batch.Batch) {
	id := b.ProducerID()
	if id < 0 {
		return
	}
	p := (*ps)[id]
	if p == nil {
		p = newProducer()
		p.first = b.BaseOffset()
		if *ps == nil {
			*ps = producers{}
		}
		(*ps)[id] = p
	}
	if a, ok := p.last(); ok && b.LastOffset() <= a.lastOffset || b.LastOffset() <= p.marker {
		return
	}
	p.setEpoch(b.ProducerEpoch())
	if b.IsControl() {
		if e, ok := markerCoordinatorEpoch(b); ok {
			p.coordinatorEpoch = e
		}
		p.txnFirst, p.marker = NoOffset, b.LastOffset()
		p.timestamp = b.MaxTimestamp()
		return
	}
	if b.IsTransactional() && p.txnFirst == NoOffset {
		p.txnFirst = b.BaseOffset()
	}
	p.add(appended{b.LastSequence(), b.LastOffsetDelta(), b.LastOffset(), b.MaxTimestamp()})
}

// markerCoordinatorEpoch reads the coordinator epoch of a transaction marker, when the whole batch is at hand.
func markerCoordinatorEpoch(b batch.Batch) (int32, bool) {
	if len(b) < b.Size() || b.RecordCount() != 1 {
		return 0, false
	}
	var r batch.Reader
	if r.Reset(b, 1<<10) != nil || !r.Next() {
		return 0, false
	}
	v := r.Record().Value
	if len(v) < 6 {
		return 0, false
	}
	return int32(uint32(v[2])<<24 | uint32(v[3])<<16 | uint32(v[4])<<8 | uint32(v[5])), true
}

// cutEnd forgets batches at or after the new end. It returns false when a producer was left with nothing, or lost a marker, and so is forgotten; its older state, as a transaction that is open
// again, only the log knows.
func (ps producers) cutEnd(end int64) bool {
	whole := true
	for id, p := range ps {
		if p.marker >= end {
			delete(ps, id)
			whole = false
			continue
		}
		n := p.count
		for n > 0 && p.batches[n-1].lastOffset >= end {
			n--
		}
		if n == p.count && (p.txnFirst == NoOffset || p.txnFirst < end) {
			continue
		}
		p.count = n
		if p.txnFirst >= end {
			p.txnFirst = NoOffset
		}
		if n == 0 {
			delete(ps, id)
			whole = false
			continue
		}
		p.timestamp = p.batches[n-1].timestamp
	}
	return whole
}

// endedBelow notes that the markers of producers that had one, of whom nobody knows where, lie below an offset.
func (ps producers) endedBelow(offset int64) {
	for _, p := range ps {
		if p.coordinatorEpoch != NoEpoch {
			p.marker = offset - 1
		}
	}
}

// without are those that others do not have.
func (ps producers) without(others producers) producers {
	out := producers{}
	for id, p := range ps {
		if others[id] == nil {
			out[id] = p
		}
	}
	return out
}

// touches tells whether a remembered batch lies at or after an offset.
func (ps producers) touches(offset int64) bool {
	for _, p := range ps {
		if a, ok := p.last(); ok && a.lastOffset >= offset || p.txnFirst >= offset || p.marker >= offset {
			return true
		}
	}
	return false
}

// expire forgets producers that have been silent for too long and have no transaction open.
func (ps producers) expire(nowMs, after int64) (changed bool) {
	for id, p := range ps {
		if p.txnFirst == NoOffset && nowMs-p.timestamp >= after {
			delete(ps, id)
			changed = true
		}
	}
	return changed
}

// firstOpen is where the first transaction begins that has not ended.
func (ps producers) firstOpen() int64 {
	first := int64(math.MaxInt64)
	for _, p := range ps {
		if p.txnFirst != NoOffset {
			first = min(first, p.txnFirst)
		}
	}
	return first
}

func (ps producers) ids() []int64 {
	ids := make([]int64, 0, len(ps))
	for id := range ps {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// ProducerState is one producer as DescribeProducers shows it.
type ProducerState struct {
	ProducerID            int64
	ProducerEpoch         int16
	LastSequence          int32 // NoSequence when nothing is remembered
	LastTimestamp         int64 // ms
	CoordinatorEpoch      int32
	CurrentTxnStartOffset int64 // NoOffset when no transaction is open
}

// Producers lists the producers the log knows, by id.
func (l *Log) Producers() []ProducerState {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := make([]ProducerState, 0, len(l.mu.producers))
	for _, id := range l.mu.producers.ids() {
		p := l.mu.producers[id]
		s := ProducerState{ProducerID: id, ProducerEpoch: p.epoch, LastSequence: batch.NoSequence, LastTimestamp: p.timestamp, CoordinatorEpoch: p.coordinatorEpoch, CurrentTxnStartOffset: p.txnFirst}
		if a, ok := p.last(); ok {
			s.LastSequence = a.lastSequence
		}
		out = append(out, s)
	}
	return out
}
