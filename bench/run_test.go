package main

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fakeCell gives these figures one after the other, then an error.
func fakeCell(given ...figures) *cell {
	return &cell{name: "fake", sides: []side{ottlaSynced}, columns: []column{colRequests}, alone: func(*bench, context.Context, *cell, *side) (figures, error) {
		if len(given) == 0 {
			return nil, errors.New("it broke")
		}
		f := given[0]
		given = given[1:]
		return f, nil
	}}
}

func fakeBench(c *cell) *bench {
	return &bench{pace: pace{name: "fake", rounds: 1, repeats: 10 * time.Second, limit: time.Minute}, cells: []cell{*c}, targets: []string{"ottla"}, note: func(string, ...any) {}, look: quiet,
		result: newResult(machine{}, "", &longPace, time.Now()), schedule: newSchedule((&fakeClock{}).now)}
}

// quiet is a machine on which nothing else happens.
func quiet() machineUse { return machineUse{} }

func TestWhatOthersDisturbedIsMeasuredAgain(t *testing.T) {
	loud, quiet := figures{colRequests: 1, colSteal: 50}, figures{colRequests: 2}
	for _, test := range []struct {
		name             string
		given            []figures
		repeats          time.Duration // a measurement takes 3 s
		quiet, disturbed int
	}{
		{"quiet at once", []figures{quiet}, time.Minute, 1, 0},
		{"quiet the third time", []figures{loud, loud, quiet}, time.Minute, 1, 2},
		{"never quiet", []figures{loud, loud, loud, quiet}, time.Minute, 0, 3},
		{"no time for a second repeat", []figures{loud, loud, quiet}, 5 * time.Second, 0, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			var given []figures
			for _, f := range test.given {
				given = append(given, figures{colRequests: f[colRequests], colSteal: f[colSteal], colMax: 7})
			}
			c := fakeCell()
			c.alone = nil
			clock := &fakeClock{}
			c.inside = fakeCell(given...).shared(clock, 3*time.Second)
			b := fakeBench(c)
			b.schedule = newSchedule(clock.now)
			b.pace.repeats, b.turns = test.repeats, 1
			if err := b.measure(t.Context(), nil, c, &c.sides[0]); err != nil {
				t.Fatal(err)
			}
			r := b.result.get("fake", "Ottla")
			if len(r.Rounds) != test.quiet || len(r.Disturbed) != test.disturbed {
				t.Errorf("%d quiet and %d disturbed measurements: %+v", len(r.Rounds), len(r.Disturbed), r)
			}
			if _, kept := r.counted()[0][colMax]; kept {
				t.Error("a figure is kept that no table shows")
			}
		})
	}
}

// fakeClock stands still but for what takes time.
type fakeClock struct{ at time.Time }

func (c *fakeClock) now() time.Time { return c.at }

// shared is the cell's function as one that shares a broker and takes its time; what the machine does meanwhile is not looked at.
func (c *cell) shared(clock *fakeClock, takes time.Duration) func(*bench, context.Context, *broker, *cell, *side) (figures, error) {
	return func(b *bench, ctx context.Context, _ *broker, _ *cell, s *side) (figures, error) {
		clock.at = clock.at.Add(takes)
		return c.alone(b, ctx, c, s)
	}
}

func TestAFailureIsNotedAndTheRunGoesOn(t *testing.T) {
	broken, sound := fakeCell(), fakeCell(figures{colRequests: 3})
	sound.name = "sound"
	b := fakeBench(broken)
	b.cells = append(b.cells, *sound)
	if err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), "cell fake, Ottla: it broke") {
		t.Errorf("the run ends with %v", err)
	}
	if note := b.result.get("fake", "Ottla").Note; note != "it broke" {
		t.Errorf("the note is %q", note)
	}
	if s, ok := b.result.get("sound", "Ottla").spread(colRequests); !ok || s.median != 3 {
		t.Error("the cell behind the broken one was not measured")
	}
}

func TestABrokerThatDoesNotStartCostsTheOthersNothing(t *testing.T) {
	sound := fakeCell(figures{colRequests: 3})
	b := fakeBench(sound)
	b.cells = append(b.cells, cell{name: "load", sides: []side{natsDefault}})
	b.targets, b.nats, b.scratch = []string{"nats", "ottla"}, filepath.Join(t.TempDir(), "nothing"), t.TempDir()
	if err := b.run(t.Context()); err == nil || !strings.Contains(err.Error(), "round 1, nats: start nats") {
		t.Errorf("the run ends with %v", err)
	}
	if _, ok := b.result.get("fake", "Ottla").spread(colRequests); !ok {
		t.Error("the other broker had no turn")
	}
}

func TestEachFormOfTheRunHasItsRows(t *testing.T) {
	base, more, once := findCell("produce"), findCell("record-100"), findCell("recovery")
	for _, test := range []struct {
		p     *pace
		c     *cell
		kind  string
		round int
		want  bool
	}{
		{&longPace, more, "kafka", 2, true}, {&longPace, once, "kafka", 0, true}, {&longPace, once, "kafka", 1, false}, {&longPace, more, "nats", 0, false},
		{&quickPace, base, "kafka", 1, true}, {&quickPace, more, "ottla", 0, false},
		{&shortPace, base, "kafka", 0, true}, {&shortPace, more, "kafka", 0, false}, {&shortPace, once, "ottla", 0, true},
		{&longPace, findCell("tls"), "ottla", 0, false},
	} {
		if got := test.p.wants(test.c, test.kind, test.round); got != test.want {
			t.Errorf("%s, cell %s, %s, round %d: %v", test.p.name, test.c.name, test.kind, test.round, got)
		}
	}
}

func TestRatesAreOfThisRunsCapacity(t *testing.T) {
	old, now := example(), example()
	old.at(capacityCell, kafka).Rounds = []figures{{colRequests: 100}}
	b := &bench{earlier: history{old}, result: now}
	if got := b.slowest(); got != 100 {
		t.Errorf("the capacity of an earlier run is %v", got)
	}
	b = &bench{earlier: history{old}, result: now}
	now.at(capacityCell, kafka).Rounds = []figures{{colRequests: 200}}
	now.at(capacityCell, synced).Rounds = []figures{{colRequests: 900}}
	if got := b.slowest(); got != 200 {
		t.Errorf("this run's capacity is %v", got)
	}
}
