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

func TestTheTableShowsMediansRatiosAndGoals(t *testing.T) {
	c, unknown := choose("produce,small")
	if unknown != "" {
		t.Fatal(unknown)
	}
	b := &bench{cells: c, pace: longPace, results: map[string]map[string][]figures{"produce": {
		"Ottla": {{colProduced: 900, colCPU: 0.5}, {colProduced: 1100, colCPU: 0.7}, {colProduced: 1234.5, colCPU: 0.6}},
		"Kafka": {{colProduced: 400, colCPU: 2.4}},
	}}}
	var terminal, page strings.Builder
	b.print(&terminal)
	b.markdown(&page, machine{Date: "2026-01-01"}, "go run ./bench")
	for text, wants := range map[string][]string{
		terminal.String(): {"1,100", "2.75x", "0.250x", "goal broker CPU s/GB <= 1.00: met, 0.600"},
		page.String():     {"1,100 [900..1,234]", "2.75x", "| --- |", "`go run ./bench`", "* Kafka: default"},
	} {
		for _, want := range wants {
			if !strings.Contains(text, want) {
				t.Errorf("no %q in\n%s", want, text)
			}
		}
		if strings.Contains(text, "small") || strings.Contains(text, "flushed") {
			t.Errorf("rows that were not measured are shown:\n%s", text)
		}
	}
}

func TestCellsAreNamedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, c := range cells {
		if seen[c.name] {
			t.Errorf("two cells are named %s", c.name)
		}
		seen[c.name] = true
		for _, g := range c.goals {
			if !slices.Contains(c.columns, g.column) {
				t.Errorf("cell %s has a goal for %q and no such column", c.name, g.column)
			}
		}
	}
	if _, unknown := choose("produce,nonsense"); unknown != "nonsense" {
		t.Errorf("the unknown cell is %q", unknown)
	}
}
