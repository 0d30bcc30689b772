package plog

import (
	"cmp"
	"slices"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// txnState follows the transactions while a pass walks the log in its order: which batches were aborted, which markers end a transaction of which nothing is left, and what
// the transaction index of the new segment needs. The rules are Kafka's.
type txnState struct {
	ahead     []abortedTxn          // those whose first record is not reached yet, by that
	aborted   map[int64]*abortedRun // aborted ones under way, by producer
	committed map[int64]bool        // producers of whom batches came that are in no aborted transaction
	sieve     batch.Sieve
}

// abortedRun is an aborted transaction between its first record and its marker.
type abortedRun struct {
	abortedTxn
	seen bool // a batch of it is there
}

func newTxnState(aborted []abortedTxn) *txnState {
	return &txnState{ahead: aborted, aborted: map[int64]*abortedRun{}, committed: map[int64]bool{}}
}

func (t *txnState) reach(offset int64) {
	for len(t.ahead) > 0 && t.ahead[0].first <= offset {
		a := t.ahead[0]
		t.ahead = t.ahead[1:]
		if t.aborted[a.producerID] == nil {
			t.aborted[a.producerID] = &abortedRun{abortedTxn: a}
		}
	}
}

// data takes a batch of records and tells whether it was aborted.
func (t *txnState) data(b batch.Batch) bool {
	t.reach(b.LastOffset())
	if !b.IsTransactional() {
		return false
	}
	if run := t.aborted[b.ProducerID()]; run != nil {
		run.seen = true
		return true
	}
	t.committed[b.ProducerID()] = true
	return false
}

// control takes a control batch. void tells that it is a marker whose transaction has left nothing, so that it may go once its time has come. kept is the aborted
// transaction of a marker of which batches are left, for the transaction index.
func (t *txnState) control(b batch.Batch) (void bool, kept *abortedTxn) {
	t.reach(b.LastOffset())
	if b.RecordCount() == 0 {
		return true, nil // emptied by an earlier cleaning
	}
	commit, ok := t.sieve.Marker(b)
	if !ok {
		return false, nil
	}
	id := b.ProducerID()
	seen := t.committed[id]
	delete(t.committed, id)
	if commit {
		return !seen, nil
	}
	run := t.aborted[id]
	delete(t.aborted, id)
	if run != nil && run.seen {
		return false, &run.abortedTxn
	}
	return !seen, nil // of a batch that an index forgot the marker must stay too
}

// transactions returns how the transactions ended that have records in what is cleaned: from the transaction indexes of the segments, and where those say nothing from
// the markers. It is called for the first batch that needs it; most logs have none. What ended before that batch must not count: its marker would not come by any more.
func (p *pass) transactions(from int64) (*txnState, error) {
	if p.ended == nil {
		ended, err := p.endedTxns()
		if err != nil {
			return nil, err
		}
		p.ended = &ended
	}
	return newTxnState(slices.DeleteFunc(slices.Clone(*p.ended), func(a abortedTxn) bool { return a.marker < from })), nil
}

func (p *pass) endedTxns() ([]abortedTxn, error) {
	type end struct{ producerID, marker int64 }
	known := map[end]bool{}
	var out []abortedTxn
	add := func(a abortedTxn) {
		if !known[end{a.producerID, a.marker}] {
			known[end{a.producerID, a.marker}] = true
			out = append(out, a)
		}
	}
	for _, s := range *p.log.segments.Load() {
		complete := false
		err := p.held(s, func(int64) error {
			aborted, err := p.log.readTxns(s)
			for _, a := range aborted {
				add(a)
				complete = complete || a.stable >= p.dirty.FirstUncleanable
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if complete {
			break
		}
	}
	if err := p.scanTxns(add); err != nil {
		return nil, err
	}
	slices.SortStableFunc(out, func(a, b abortedTxn) int { return cmp.Compare(a.first, b.first) })
	return out, nil
}

// scanTxns finds the aborted transactions in the batches of the dirty part. It goes on behind it as long as one of its transactions has not ended: the last stable offset
// says that it has, but not where.
func (p *pass) scanTxns(add func(abortedTxn)) error {
	list := *p.log.segments.Load()
	open := map[int64]int64{} // first offset, by producer
	var marks batch.Sieve
	for i, s := range list {
		if list.endOf(i, p.log.end.Load()) <= p.dirty.FirstDirty {
			continue
		}
		if s.base >= p.dirty.FirstUncleanable && len(open) == 0 {
			return nil
		}
		err := p.held(s, func(size int64) error {
			return p.log.walkSound(s, 0, size, func(b batch.Batch, _ int64) bool {
				beyond := b.BaseOffset() >= p.dirty.FirstUncleanable
				if beyond && len(open) == 0 {
					return false
				}
				first, begun := open[b.ProducerID()]
				if !b.IsControl() {
					if b.IsTransactional() && !begun && !beyond {
						open[b.ProducerID()] = b.BaseOffset()
					}
					return true
				}
				commit, ok := marks.Marker(b)
				if !ok || !begun {
					return true
				}
				delete(open, b.ProducerID())
				if !commit {
					stable := b.NextOffset()
					for _, other := range open {
						stable = min(stable, other)
					}
					add(abortedTxn{b.ProducerID(), first, b.BaseOffset(), stable})
				}
				return true
			})
		})
		if err != nil {
			return err
		}
	}
	return nil
}
