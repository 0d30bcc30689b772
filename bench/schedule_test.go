package main

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// timed is a run of cells that only take time: a minute per row, as long as the machine is not slower.
type timed struct {
	*bench
	clock fakeClock
	slow  func(round int) float64 // by how much
	noise float64                 // steal of every measurement, in percent
	order []string                // what was measured: "cell kind"
	most  time.Duration           // that a step took
}

func newTimed(limit time.Duration, base, more int) *timed {
	t := &timed{slow: func(int) float64 { return 1 }}
	p := longPace
	p.limit = limit
	t.bench = &bench{pace: p, targets: []string{"kafka", "ottla"}, note: func(string, ...any) {}, look: quiet, result: newResult(machine{}, "", &p, time.Now())}
	t.schedule = newSchedule(t.clock.now)
	add := func(name string, isBase, once bool) {
		t.cells = append(t.cells, cell{name: name, base: isBase, once: once, sides: plain, columns: []column{colRequests}, alone: t.measureFor})
	}
	add("once", false, true)
	for i := range base {
		add(fmt.Sprintf("base-%d", i), true, false)
	}
	for i := range more {
		add(fmt.Sprintf("more-%d", i), false, false)
	}
	return t
}

func (t *timed) measureFor(_ *bench, _ context.Context, c *cell, s *side) (figures, error) {
	takes := time.Duration(float64(30*time.Second) * t.slow(t.turns/len(t.targets)))
	t.clock.at, t.most = t.clock.at.Add(takes), max(t.most, takes)
	t.order = append(t.order, c.name+" "+s.kind)
	return figures{colRequests: 1, colSteal: t.noise}, nil
}

// rounds is how often a cell was measured on one kind of broker.
func (t *timed) rounds(cell, kind string) (n int) {
	for _, o := range t.order {
		if o == cell+" "+kind {
			n++
		}
	}
	return n
}

func TestARunKeepsItsTime(t *testing.T) {
	steady := func(int) float64 { return 1 }
	for _, test := range []struct {
		name       string
		limit      time.Duration
		slow       func(turn int) float64
		noise      float64
		base, more int // rounds that they get at least; those of the first of the others
		dropped    string
	}{
		{"all fits", 100 * time.Minute, steady, 0, 3, 3, ""},
		// The first round takes 11 minutes, a base round 4, the other 6 cells 6.
		{"the base cells come first", 11*time.Minute + 5*time.Minute + 8*time.Minute, steady, 0, 3, 1, "round 2 of more-0, more-1, more-2, more-3, more-4, more-5; round 3 of more-0, more-1, more-2, more-3, more-4, more-5"},
		{"cell by cell", 11*time.Minute + 5*time.Minute + 10*time.Minute, steady, 0, 3, 2, "round 2 of more-2, more-3, more-4, more-5; round 3 of more-0, more-1, more-2, more-3, more-4, more-5"},
		{"noise costs no base round", 11*time.Minute + 5*time.Minute + 8*time.Minute, steady, 50, 3, 1, "round 2 of more-0, more-1, more-2, more-3, more-4, more-5; round 3 of more-0, more-1, more-2, more-3, more-4, more-5"},
		{"the machine becomes slow", 11*time.Minute + 5*time.Minute + 8*time.Minute, func(turn int) float64 {
			if turn > 0 {
				return 4
			}
			return 1
		}, 0, 1, 1, ""},
		{"the first round takes all", 5 * time.Minute, steady, 0, 1, 1, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			run := newTimed(test.limit, 4, 6)
			run.slow = func(turn int) float64 { return test.slow((run.turns - 1) / len(run.targets)) }
			run.noise = test.noise
			if err := run.run(t.Context()); err != nil {
				t.Fatal(err)
			}
			if over := run.elapsed() - max(test.limit, 11*time.Minute); over > run.most {
				t.Errorf("the run takes %v more than its %v", over, test.limit)
			}
			for _, kind := range run.targets {
				if n := run.rounds("base-0", kind); n < test.base {
					t.Errorf("%d rounds of the base cells on %s, not %d", n, kind, test.base)
				}
				if n := run.rounds("more-0", kind); n < test.more || test.noise == 0 && test.dropped != "" && n != test.more {
					t.Errorf("%d rounds of the others on %s, not %d", n, kind, test.more)
				}
				if n := run.rounds("once", kind); n < 1 || test.noise == 0 && n != 1 {
					t.Errorf("what is measured once was measured %d times on %s", n, kind)
				}
			}
			if got := droppedText(run.result.Dropped); test.dropped != "" && got != test.dropped {
				t.Errorf("dropped is %q, not %q", got, test.dropped)
			}
			if want := 2 * (1 + 3*10); len(run.order) < want && len(run.result.Dropped) == 0 {
				t.Errorf("%d of %d measurements were made, and it is not said which are missing", len(run.order), want)
			}
		})
	}
}

func TestARowWithoutAQuietMeasurementComesBeforeTheOthers(t *testing.T) {
	run := newTimed(11*time.Minute+5*time.Minute+9*time.Minute, 4, 6)
	run.pace.rounds = 2
	run.pace.limit -= 4 * time.Minute // there is one base round less
	for i := range run.cells {
		if c := &run.cells[i]; c.name == "more-5" {
			c.alone = func(b *bench, ctx context.Context, c *cell, s *side) (figures, error) {
				f, err := run.measureFor(b, ctx, c, s)
				f[colSteal] = 50
				return f, err
			}
		}
	}
	run.pace.repeats = 0
	run.pace.limit -= 5 * time.Minute
	if err := run.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := run.rounds("more-5", "ottla"); n != 2 {
		t.Errorf("%d rounds of the disturbed cell", n)
	}
	if n := run.rounds("more-0", "ottla"); n != 1 {
		t.Errorf("%d rounds of a quiet one", n)
	}
	if i, j := slices.Index(run.order[22:], "base-0 ottla"), slices.Index(run.order[22:], "more-5 ottla"); i > j {
		t.Error("the cells of a later round are out of order")
	}
}

func TestNoBrokerUsesUpTheOthersRepeats(t *testing.T) {
	run := newTimed(100*time.Minute, 4, 6)
	run.noise, run.pace.rounds, run.pace.repeats = 50, 1, 4*time.Minute
	if err := run.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	tried := map[string]int{}
	for _, c := range run.cells {
		for _, kind := range run.targets {
			tried[kind] += run.rounds(c.name, kind) - 1
		}
	}
	if tried["kafka"] != 4 || tried["ottla"] != 4 {
		t.Errorf("repeats by broker: %v", tried)
	}
}
