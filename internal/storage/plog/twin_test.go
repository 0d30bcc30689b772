package plog

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// entry is one batch that was appended. States share entries; after a cut the same offsets belong to others.
type entry struct {
	orig  batch.Batch // as the log has it
	now   batch.Batch // as a reader gets it at the moment; nil when compaction dropped it
	loose bool        // a cleaning may have changed it
	recs  []record
}

// record is one record of an entry.
type record struct {
	offset, timestamp int64
	key, value        string
	tombstone         bool
	horizon           int64 // ms: from then on a cleaning may drop the tombstone, 0 before the first cleaning
	mayGo             bool  // a cleaning may have dropped it
	gone              bool  // and did
}

func (e *entry) base() int64 { return e.orig.BaseOffset() }
func (e *entry) last() int64 { return e.orig.LastOffset() }
func (e *entry) next() int64 { return e.orig.NextOffset() }

// allows says what is wrong with what a log has for an entry, nil for nothing.
func (e *entry) allows(b batch.Batch) error {
	if !e.loose {
		if !bytes.Equal(b, e.orig) {
			return fmt.Errorf("offsets %d to %d: %d bytes were appended, %d are there, and they differ", e.base(), e.last(), len(e.orig), len(b))
		}
		return nil
	}
	left, err := recordsOf(b)
	if err != nil {
		return err
	}
	i := 0
	for k := range e.recs {
		r := &e.recs[k]
		if i < len(left) && left[i].offset == r.offset {
			if l := left[i]; l.timestamp != r.timestamp || l.key != r.key || l.value != r.value || l.tombstone != r.tombstone {
				return fmt.Errorf("offset %d: %+v was appended, %+v is there", r.offset, *r, l)
			}
			i++
		} else if !r.mayGo {
			return fmt.Errorf("offset %d is missing, and nothing superseded it", r.offset)
		}
	}
	if i < len(left) {
		return fmt.Errorf("offset %d was never appended", left[i].offset)
	}
	return nil
}

// least is the least timestamp that the batch may have: compaction takes records out.
func (e *entry) least() int64 {
	if !e.loose {
		return e.orig.MaxTimestamp()
	}
	least := e.recs[0].timestamp
	for _, r := range e.recs {
		least = min(least, r.timestamp)
	}
	return least
}

// mayGo tells whether a cleaning may have dropped all of its records.
func (e *entry) mayGo() bool {
	return e.loose && !slices.ContainsFunc(e.recs, func(r record) bool { return !r.mayGo })
}

// see takes what a reader gets for an entry.
func (e *entry) see(b batch.Batch) error {
	e.now = b
	if !e.loose {
		return nil
	}
	left, err := recordsOf(b)
	for k := range e.recs {
		r := &e.recs[k]
		r.gone = !slices.ContainsFunc(left, func(l record) bool { return l.offset == r.offset })
	}
	return err
}

// recordsOf reads a batch's records, none of no batch.
func recordsOf(b batch.Batch) ([]record, error) {
	if b == nil || b.RecordCount() == 0 {
		return nil, nil
	}
	var reader batch.Reader
	if err := reader.Reset(b, 1<<20); err != nil {
		return nil, err
	}
	var out []record
	for reader.Next() {
		r := reader.Record()
		out = append(out, record{offset: r.Offset, timestamp: r.Timestamp, key: string(r.Key), value: string(r.Value), tombstone: r.Value == nil})
	}
	return out, reader.Err()
}

// content is a log as its user knows it. It is a value: changing the log makes another.
type content struct {
	entries    []*entry // also those before start, as long as the log was not begun anew
	first      int64    // where it was begun
	start, end int64
}

// holds compares what a log has from start to end with a content.
func (s content) holds(start, end int64, got []batch.Batch) error {
	if end > s.end || start < s.first {
		return fmt.Errorf("it has offsets %d to %d, the user's begins at %d and ends at %d", start, end, s.first, s.end)
	}
	i := 0
	loose := false
	for _, e := range s.entries {
		if e.last() < start || e.base() >= end {
			continue
		}
		var b batch.Batch
		if i < len(got) && got[i].LastOffset() == e.last() {
			b = got[i]
			i++
		}
		if err := e.allows(b); err != nil {
			return err
		}
		loose = loose || e.loose
	}
	if i < len(got) {
		return fmt.Errorf("offsets %d to %d were never appended there", got[i].BaseOffset(), got[i].LastOffset())
	}
	if loose {
		return s.superseded(start, end, got)
	}
	return nil
}

// superseded checks that no record is there whose key has a newer one that is not: a compacted log must not bring back what was overwritten or deleted.
func (s content) superseded(start, end int64, got []batch.Batch) error {
	there := map[int64]bool{}
	for _, b := range got {
		left, err := recordsOf(b)
		if err != nil {
			return err
		}
		for _, r := range left {
			there[r.offset] = true
		}
	}
	newest := map[string]int64{} // of each key
	for i := len(s.entries) - 1; i >= 0; i-- {
		e := s.entries[i]
		for k := len(e.recs) - 1; k >= 0; k-- {
			r := &e.recs[k]
			if r.offset < start || r.offset >= end {
				continue
			}
			if at, ok := newest[r.key]; !ok {
				newest[r.key] = r.offset
			} else if there[r.offset] && !there[at] {
				return fmt.Errorf("key %q has the record at offset %d, and not the newer one at %d", r.key, r.offset, at)
			}
		}
	}
	return nil
}

// upTo is the content below an offset.
func (s content) upTo(end int64) content {
	n := len(s.entries)
	for n > 0 && s.entries[n-1].last() >= end {
		n--
	}
	return content{s.entries[:n:n], s.first, s.start, end}
}

// pledge is what a crash at some moment must keep of a log.
type pledge struct {
	id            model.TopicID
	maybe         bool      // the topic may be gone
	unproven      bool      // what a cut took that was not acknowledged may still return, also when it is gone at first
	states        []content // the acknowledged one first, then those on the way; the last is the present one
	from          int       // which of them is the first that may be there: no cut that was acknowledged comes undone
	start, starts int64     // the acknowledged start offset, and the greatest that was asked for
	safe          int64     // what lies below it in the present state must be there; NoOffset when a cut is under way
	synced        int64     // what lies below it must be there after a power cut that follows, too
}

// check says what is wrong with what a log has after a crash; else it returns what it has of the state that it has the beginning of, and whose producers it remembers.
func (p pledge) check(start, end int64, got []batch.Batch, genuine func(content) error) (content, error) {
	present := p.states[len(p.states)-1]
	if start < p.start || start > p.starts && start != present.start {
		return content{}, fmt.Errorf("it starts at offset %d; %d was acknowledged, %d the most that was asked for", start, p.start, p.starts)
	}
	if least := p.least(p.safe); end < least {
		return content{}, fmt.Errorf("it ends at offset %d, but %d was acknowledged", end, least)
	}
	if p.safe > start {
		n := 0
		for n < len(got) && got[n].LastOffset() < p.safe {
			n++
		}
		if err := present.upTo(p.safe).holds(start, p.safe, got[:n]); err != nil {
			return content{}, fmt.Errorf("of what was acknowledged up to offset %d: %w", p.safe, err)
		}
	}
	var why error
	for i := len(p.states) - 1; i >= p.from; i-- {
		s := p.states[i]
		err := s.holds(start, end, got)
		if err == nil {
			s = s.upTo(end)
			s.start = start
			err = genuine(s)
		}
		if err == nil {
			return s, nil
		}
		why = errors.Join(why, fmt.Errorf("not the state %d to %d: %w", p.states[i].start, p.states[i].end, err))
	}
	return content{}, why
}

// least is the end below which nothing may be lost, when what lies below safe is.
func (p pledge) least(safe int64) int64 {
	least := p.states[0].end
	for _, s := range p.states {
		least = min(least, s.end)
	}
	return max(least, safe)
}

// sender is what a log must remember of a producer.
type sender struct {
	epoch     int16
	timestamp int64    // of the last batch, as the log has it
	txnFirst  int64    // where its transaction began that has not ended, NoOffset for none
	window    []*entry // the last five of the epoch
}

// last is nil when of all that was sent only markers are known.
func (p *sender) last() *entry {
	if len(p.window) == 0 {
		return nil
	}
	return p.window[len(p.window)-1]
}

func (p *sender) add(e *entry) {
	if p.epoch != e.orig.ProducerEpoch() {
		p.epoch, p.window = e.orig.ProducerEpoch(), nil
	}
	p.timestamp = e.orig.MaxTimestamp()
	switch {
	case e.orig.IsControl():
		p.txnFirst = NoOffset
		return
	case e.orig.IsTransactional() && p.txnFirst == NoOffset:
		p.txnFirst = e.base()
	}
	p.window = append(p.window[max(0, len(p.window)-rememberedBatches+1):len(p.window):len(p.window)], e)
}

// known tells whether a remembered batch has a sequence number of a range.
func (p *sender) known(from, to int32) bool {
	return slices.ContainsFunc(p.window, func(e *entry) bool { return e.orig.BaseSequence() <= to && e.orig.LastSequence() >= from })
}

// first is which of the remembered batches has the sequence numbers of one: a producer that was forgotten and began again may have sent two.
func (p *sender) first(like *entry) int {
	return slices.IndexFunc(p.window, func(e *entry) bool {
		return e.orig.BaseSequence() == like.orig.BaseSequence() && e.orig.LastSequence() == like.orig.LastSequence()
	})
}

// writers replays a content.
func (s content) writers() map[int64]*sender {
	out := map[int64]*sender{}
	for _, e := range s.entries {
		id := e.orig.ProducerID()
		if id < 0 {
			continue
		}
		if out[id] == nil {
			out[id] = &sender{epoch: e.orig.ProducerEpoch(), txnFirst: NoOffset}
		}
		out[id].add(e)
	}
	return out
}

// twin is one topic's partition: a log, and the slice that must agree with it.
type twin struct {
	name   string
	id     model.TopicID
	config *Config
	log    *Log // nil when the topic is deleted
	maybe  bool // its deletion was begun and not acknowledged

	content
	since    []content // the states since the last one that was acknowledged, that one first
	cut      int       // which of them came of the last cut of this process
	unproven bool      // they have cuts that a killed process may not have synced
	acked    int64     // acknowledged start
	starts   int64
	writers  map[int64]*sender
	epochs   []epochStart
	cleanTo  int64 // cleanings have changed nothing from here on
	expired  int64 // ms: producers silent since then may have been forgotten
	vague    int64 // below it a cleaning may have dropped what became the last of its producer by a later cut, as in Kafka
	cuts     int   // how often the log was cut, begun anew, closed or cleaned: who reads it meanwhile may get an error
}

// change makes a new present state.
func (m *twin) change(s content) {
	m.content = s
	m.since = append(m.since, s)
	m.starts = max(m.starts, s.start)
}

// hasCut says that the log has taken the cut that made the present state.
func (m *twin) hasCut() { m.cut = len(m.since) - 1 }

// settled says that the present state is acknowledged.
func (m *twin) settled() {
	m.since, m.cut, m.unproven = append(m.since[:0:0], m.content), 0, false
	m.acked, m.starts = m.start, m.start
}

// pledge is what a crash now must keep; killed: a crash of the process alone, which loses nothing that is written.
func (m *twin) pledge(killed bool) pledge {
	p := pledge{id: m.id, maybe: m.maybe, unproven: m.unproven && m.cut == 0, states: m.since[:len(m.since):len(m.since)], start: m.acked, starts: m.starts, safe: NoOffset, synced: NoOffset}
	if m.log != nil && m.log.CutPending() {
		p.unproven = true
	} else if m.log != nil {
		p.from = m.cut
		p.synced = min(m.log.SyncedOffset(), m.end)
		p.safe = p.synced
		if killed {
			p.safe = min(m.log.WrittenOffset(), m.end)
		}
	}
	return p
}

// visible are the entries that a reader from an offset gets, up to another.
func (m *twin) visible(from, to int64) []*entry {
	var out []*entry
	for _, e := range m.entries {
		if e.now != nil && e.last() >= from && e.next() <= to {
			out = append(out, e)
		}
	}
	return out
}

// The leader epochs, by Kafka's rules.

func (m *twin) latestEpoch() int32 {
	if len(m.epochs) == 0 {
		return NoEpoch
	}
	return m.epochs[len(m.epochs)-1].epoch
}

// leaderEpoch is what who leads now appends with: no topic's epoch goes back, also when the records that had it are deleted, and with them what the log knows of it.
func (m *twin) leaderEpoch() int32 {
	epoch := max(0, m.latestEpoch())
	if n := len(m.entries); n > 0 {
		epoch = max(epoch, m.entries[n-1].orig.PartitionLeaderEpoch())
	}
	return epoch
}

func (m *twin) assignEpoch(epoch int32, at int64) {
	if epoch <= m.latestEpoch() {
		return
	}
	m.cutEpochs(at)
	m.epochs = append(m.epochs, epochStart{epoch, at})
}

func (m *twin) cutEpochs(end int64) {
	m.epochs = slices.DeleteFunc(slices.Clone(m.epochs), func(e epochStart) bool { return e.start >= end })
}

func (m *twin) moveEpochs(start int64) {
	for len(m.epochs) > 1 && m.epochs[1].start <= start {
		m.epochs = m.epochs[1:]
	}
	if len(m.epochs) > 0 && m.epochs[0].start < start {
		m.epochs = slices.Clone(m.epochs)
		m.epochs[0].start = start
	}
}

// epochEnd is the answer to OffsetForLeaderEpoch.
func (m *twin) epochEnd(epoch int32) (int32, int64) {
	switch {
	case epoch == NoEpoch, epoch > m.latestEpoch():
		return NoEpoch, NoOffset
	case epoch == m.latestEpoch():
		return epoch, m.end
	case epoch < m.epochs[0].epoch:
		return epoch, m.epochs[0].start
	}
	i := 0
	for m.epochs[i+1].epoch <= epoch {
		i++
	}
	return m.epochs[i].epoch, m.epochs[i+1].start
}
