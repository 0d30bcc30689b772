package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// schedule keeps a run within its time. The first round has everything; what each part of it took tells what of the later rounds there is time for. Base cells come first: time
// for all their rounds is kept back.
type schedule struct {
	now     func() time.Time
	began   time.Time
	steps   map[[2]string]time.Duration // by cell and side: what its last measurement took, with all that belongs to it
	opening map[string]time.Duration    // by kind of broker: what it took until it was warm
	turns   int                         // begun so far
	again   time.Duration               // what repeated measurements took so far
}

func newSchedule(now func() time.Time) schedule {
	return schedule{now: now, began: now(), steps: map[[2]string]time.Duration{}, opening: map[string]time.Duration{}}
}

func (s *schedule) elapsed() time.Duration { return s.now().Sub(s.began) }

// fitting are the cells of a round. Of a later one those for which there is time, the base cells first, then those that lack a quiet measurement; the others are dropped, which
// the result says.
func (b *bench) fitting(round int) (chosen []*cell) {
	var wanted []*cell
	for i := range b.cells {
		c := &b.cells[i]
		if slices.ContainsFunc(b.targets, func(kind string) bool { return b.pace.wants(c, kind, round) }) {
			wanted = append(wanted, c)
		}
	}
	if round == 0 {
		return wanted
	}
	inOrder := slices.Clone(wanted)
	slices.SortStableFunc(wanted, func(x, y *cell) int { return b.urgency(x) - b.urgency(y) })
	left := b.pace.limit - b.elapsed() - (b.pace.repeats - b.again)
	open := map[string]bool{}
	var base time.Duration
	for _, c := range wanted {
		if c.base {
			base += b.cost(c, open)
		}
	}
	left -= time.Duration(b.pace.rounds-1-round) * base
	clear(open)
	for _, c := range wanted {
		if cost := b.cost(c, open); cost <= left {
			left -= cost
			chosen = append(chosen, c)
		} else {
			b.drop(round, c)
		}
	}
	slices.SortFunc(chosen, func(x, y *cell) int { return slices.Index(inOrder, x) - slices.Index(inOrder, y) })
	return chosen
}

// urgency is lower for what a round must have first.
func (b *bench) urgency(c *cell) int {
	switch {
	case c.base:
		return 0
	case slices.ContainsFunc(c.sides, func(s side) bool {
		r := b.result.get(c.name, s.name)
		return r != nil && len(r.Rounds) == 0 && len(r.Disturbed) > 0
	}):
		return 1
	}
	return 2
}

// cost is what a cell will take if it takes as long as last time, with the start of those brokers that are not open for another one.
func (b *bench) cost(c *cell, open map[string]bool) (d time.Duration) {
	for i := range c.sides {
		s := &c.sides[i]
		if !slices.Contains(b.targets, s.kind) {
			continue
		}
		d += b.schedule.steps[[2]string{c.name, s.name}]
		if c.alone == nil && !open[s.kind] {
			open[s.kind] = true
			d += b.schedule.opening[s.kind]
		}
	}
	return d
}

func (b *bench) drop(round int, c *cell) {
	what := fmt.Sprintf("round %d of %s", round+1, c.name)
	if !slices.Contains(b.result.Dropped, what) {
		b.result.Dropped = append(b.result.Dropped, what)
	}
}

// mayRepeat tells whether a measurement that took so long may be made again: all repeats together have a time, of which each turn so far has brought the same part, so that the
// broker that comes first does not use up what the others need too.
func (b *bench) mayRepeat(took time.Duration) bool {
	all := time.Duration(b.pace.rounds * len(b.targets))
	return b.again+took <= b.pace.repeats*time.Duration(b.schedule.turns)/all
}

// droppedText is what a run had no time for, in short: "round 2 of a, b; round 3 of a, b, c".
func droppedText(dropped []string) string {
	var out []string
	last := ""
	for _, d := range dropped {
		round, cell, _ := strings.Cut(d, " of ")
		if round == last {
			out[len(out)-1] += ", " + cell
		} else {
			out = append(out, d)
		}
		last = round
	}
	return strings.Join(out, "; ")
}
