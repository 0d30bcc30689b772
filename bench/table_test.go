package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestQuantilesAreNearTheTruth(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var h, part histogram
	var all []time.Duration
	for i := range 20_000 {
		d := time.Duration(random.ExpFloat64() * 1e6)
		all = append(all, d)
		if i%2 == 0 {
			h.add(d)
		} else {
			part.add(d)
		}
	}
	h.merge(&part)
	slices.Sort(all)
	for _, q := range []float64{0, 0.5, 0.99, 0.999, 1} {
		got, want := h.quantile(q), all[int(q*float64(len(all)-1))]
		if float64(got) < float64(want) || float64(got) > float64(want)*1.02+1 {
			t.Errorf("quantile %v is %v, the truth %v", q, got, want)
		}
	}
	if (&histogram{}).quantile(0.5) != 0 {
		t.Error("an empty histogram has a median")
	}
}

func TestBucketsCoverEverything(t *testing.T) {
	for _, d := range []time.Duration{0, 1, 63, 64, 65, 127, 128, 129, 255, 256, 1e6, 1e9, 3600e9} {
		i := bucketOf(d)
		if edge := upperEdge(i); edge < d || i > 0 && upperEdge(i-1) >= d {
			t.Errorf("%d lies in bucket %d, which ends at %d", d, i, edge)
		}
	}
}

func example() *result {
	return &result{Date: "2026-01-02-1000", Machine: machine{Commit: "abc", Cores: 2}, Command: "go run ./bench", Measure: "3s", Rounds: 3, Cells: map[string]rows{
		"machine": {"Machine": {Rounds: []figures{{colDisk: 2000, colLoopback: 4000}}}},
		"produce": {
			"Ottla": {Rounds: []figures{{colProduced: 900, colCPU: 0.5}, {colProduced: 1100, colCPU: 0.7}, {colProduced: 1234.5, colCPU: 0.6}}, Disturbed: []figures{{colProduced: 1}}},
			"Kafka": {Rounds: []figures{{colProduced: 400, colCPU: 2.4, colRSS: 700}}},
		},
		"latency": {"Ottla": {Rounds: []figures{{colEnd50: 0.4}}}, "Ottla cache": {Rounds: []figures{{colEnd50: 0.1}}}, "Kafka": {Disturbed: []figures{{colEnd50: 0.25}}}},
		"fetch":   {"Ottla": {Rounds: []figures{{colFetched: 3000}}}, "Kafka": {Note: "it\nstopped"}},
	}}
}

func TestTheTableShowsMediansRatiosAndGoals(t *testing.T) {
	b := &bench{cells: cells, result: example()}
	var out strings.Builder
	b.print(&out)
	for _, want := range []string{"1,100", "2.75x", "0.250x", "RSS MiB", "broker CPU s/GB produced, 64 KiB batches: ratio ≤ 0.250: met: 0.250", "≤ 0.700: met: 0.600", "; 3 of 4 measurements counted", "; none of 1 measurement was quiet",
		"Kafka (disturbed)", "it stopped", "rf3: replication factor 3\n  not built"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
	if text := out.String(); strings.Contains(text, "small:") || strings.Contains(text, "flushed") {
		t.Errorf("rows that were not measured are shown:\n%s", text)
	}
}

func TestCellsAndGoalsFitTogether(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells {
		if seen[c.name] {
			t.Errorf("two cells are named %s", c.name)
		}
		seen[c.name] = true
		if !c.notBuilt && (len(c.sides) == 0 || len(c.columns) == 0) {
			t.Errorf("cell %s has no rows or no columns", c.name)
		}
	}
	keys := map[string]bool{}
	for _, g := range goals {
		if keys[g.key] {
			t.Errorf("two goals are named %s", g.key)
		}
		keys[g.key] = true
		c := findCell(g.cell)
		if c == nil {
			t.Errorf("goal %s is for the cell %q, which there is not", g.key, g.cell)
			continue
		}
		if c.side(g.ours) == nil || g.theirs != "" && c.side(g.theirs) == nil && g.ratio.must != 0 {
			t.Errorf("goal %s: cell %s has no row %q or %q", g.key, g.cell, g.ours, g.theirs)
		}
		if !slices.Contains(append(slices.Clone(c.columns), closing...), g.column) {
			t.Errorf("goal %s: cell %s has no column %q", g.key, g.cell, g.column)
		}
		if g.ratio.must == 0 && g.absolute.must == 0 && g.part.must == 0 {
			t.Errorf("goal %s has no bound", g.key)
		}
	}
	if _, unknown := choose("produce,nonsense"); unknown != "nonsense" {
		t.Errorf("the unknown cell is %q", unknown)
	}
}

func TestVerdicts(t *testing.T) {
	atMost, atLeast := goal{atMost: true}, goal{}
	for _, test := range []struct {
		g     goal
		b     bound
		v     float64
		met   bool
		far   string
		bound string
	}{
		{atMost, bound{0.7, 0.45}, 0.7, true, "met: 0.700", "≤ 0.700"},
		{atMost, bound{0.7, 0.45}, 0.4, true, "met: 0.400, the stretch of 0.450 too", "≤ 0.700"},
		{atMost, bound{0.7, 0.45}, 1.4, false, "missed: 1.40, 2.00 times the goal", "≤ 0.700"},
		{atLeast, bound{3, 5}, 1.5, false, "missed: 1.50, 50.0 % of the goal", "≥ 3.00"},
		{atLeast, bound{3, 0}, 9, true, "met: 9.00", "≥ 3.00"},
	} {
		v := test.g.compare("", test.b, test.v)
		if v.met != test.met || v.far != test.far || v.text != test.bound {
			t.Errorf("%v of %v: %+v", test.v, test.b, v)
		}
	}
	r := example()
	if j := findGoal("fetch").judge(r); !j.has || j.hasBoth || len(j.verdicts) != 1 || j.verdicts[0].far != "missed: 0.750, 83.3 % of the goal" {
		t.Errorf("a ratio without Kafka's figure: %+v", j)
	}
	if j := findGoal("latency-p50").judge(r); !j.hasBeside || j.beside != 0.4 || len(j.verdicts) != 2 || !j.verdicts[0].met || !j.verdicts[1].met {
		t.Errorf("the unsynced goal: %+v", j)
	}
}

func TestFiguresArePrintedWithThreeDigits(t *testing.T) {
	for v, want := range map[float64]string{0: "0.000", 12345.6: "12,346", 99.96: "100.0", 1.234: "1.23", 0.25: "0.250", 0.0125: "0.0125", 0.00123456: "0.00123", 0.00001: "0.000", -0.05: "-0.0500"} {
		if got := digits(v); got != want {
			t.Errorf("%v is printed as %s, not %s", v, got, want)
		}
	}
}

func TestFiguresAreKeptShort(t *testing.T) {
	for v, want := range map[float64]float64{0: 0, 123456.7: 123460, 0.00123456: 0.0012346, -2.000049: -2, 1: 1} {
		if got := short(v); got != want {
			t.Errorf("%v is kept as %v, not %v", v, got, want)
		}
	}
}

func TestDisturbedMeasurementsAreKnown(t *testing.T) {
	for _, f := range []figures{{colOthers: 5.1}, {colSteal: 1.1}} {
		if !f.disturbed() {
			t.Errorf("%v counts", f)
		}
	}
	if (figures{colOthers: 4.9, colSteal: 0.9}).disturbed() {
		t.Error("a quiet measurement does not count")
	}
}

func TestKernelThreadsThatEndTakeNothingBack(t *testing.T) {
	before := machineUse{kernel: map[int]time.Duration{1: 10, 2: 500, 3: 70}}
	now := machineUse{kernel: map[int]time.Duration{1: 15, 3: 20, 4: 2}} // 2 has ended, 3 is another one now, 4 is new
	if got := now.kernelSince(&before); got != 5+20+2 {
		t.Errorf("%d, not 27", got)
	}
}
