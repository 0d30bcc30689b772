package main

import (
	"encoding/xml"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// historyOf saves results and loads them again, as the tool does.
func historyOf(t *testing.T, results ...*result) history {
	t.Helper()
	dir := t.TempDir()
	for _, r := range results {
		if err := r.save(dir); err != nil {
			t.Fatal(err)
		}
	}
	h, err := loadResults(dir)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestThePageMergesTheNewestRunOfEachCell(t *testing.T) {
	old, now := example(), example()
	now.Date, now.Command, now.Cells = "2026-01-03-1000", "go run ./bench -cell produce", maps.Clone(now.Cells)
	delete(now.Cells, "fetch")
	delete(now.Cells, "latency")
	now.Cells["produce"] = rows{
		"Ottla": {Rounds: []figures{{colProduced: 550, colCPU: 1.4}}},
		"Kafka": {Rounds: []figures{{colProduced: 400, colCPU: 2.8}}},
	}
	p := &page{history: historyOf(t, now, old), notes: map[string]string{"cpu-64k": "the disk, see a profile."}}
	text := p.text()
	for _, want := range []string{
		"| 2026-01-03-1000 | abc | `go run ./bench -cell produce` |", "| 2026-01-02-1000 | abc |", // both runs are named
		"| broker CPU s/GB produced, 64 KiB batches | 1.40 | 2.80<br>0.500x | ratio ≤ 0.250<br>≤ 0.700 | missed: 0.500, 2.00 times the goal<br>missed: 1.40, 2.00 times the goal | +133 % of 2026-01-02-1000 |",
		"| raw produce MB/s, 64 KiB batches | 550 | 400<br>1.38x | ratio ≥ 3.00 | missed: 1.38, 45.8 % of the goal | -50 % of 2026-01-02-1000 |",
		"* **broker CPU s/GB produced, 64 KiB batches**: the disk, see a profile.",
		"* **raw produce MB/s, 64 KiB batches**: not explained yet.",
		"* raw produce MB/s, 64 KiB batches: 550, was 1,100 on 2026-01-02-1000", // worse
		"(synced 0.400)",
		"| raw hot fetch MB/s | 3,000 | it stopped |",
		"| start to first ack, 10,000 partitions, ms | not measured |",
		"* Kafka: default: acknowledges from the page cache", "### tls\n\nProduce and fetch over TLS.\n\nNot built.",
		"| 2026-01-03-1000 | 2,000 |", "performance/produce.svg",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	for _, g := range goals {
		if !strings.Contains(text, "| "+g.title+" |") {
			t.Errorf("the goal %s is left out", g.key)
		}
	}
	for _, c := range cells {
		if c.name != "machine" && !strings.Contains(text, "### "+c.name+"\n") {
			t.Errorf("the cell %s is left out", c.name)
		}
	}
}

func TestNotesAreForGoals(t *testing.T) {
	notes, err := parseNotes("# Title\n\nHow.\n\n## fetch\n\nBecause\nof it.\n\n## both\nNo.\n")
	if err != nil || notes["fetch"] != "Because of it." || notes["both"] != "No." || len(notes) != 2 {
		t.Errorf("%v, %v", notes, err)
	}
	if _, err := parseNotes("## nonsense\n\nx"); err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("a note for no goal: %v", err)
	}
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, notesFile))
	if err != nil {
		t.Fatal(err)
	}
	if notes, err = parseNotes(string(text)); err != nil {
		t.Fatalf("%s: %v", notesFile, err)
	}
	for key, note := range notes {
		for _, path := range profiles.FindAllString(note, -1) {
			if _, err := os.Stat(filepath.Join(root, path)); err != nil {
				t.Errorf("the note on %s: %v", key, err)
			}
		}
	}
}

var profiles = regexp.MustCompile(`bench/results/profiles/[a-z0-9-]+\.txt`)

func TestAResultMustBeNamedAfterItsDate(t *testing.T) {
	dir := t.TempDir()
	if err := example().save(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "2026-01-02-1000.json"), filepath.Join(dir, "2026-01-09-1000.json")); err != nil {
		t.Fatal(err)
	}
	if _, err := loadResults(dir); err == nil || !strings.Contains(err.Error(), "its name must be its date") {
		t.Errorf("%v", err)
	}
}

func TestTheKeptResultsCanBeRead(t *testing.T) {
	root, err := repository()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := loadResults(filepath.Join(root, resultsDir)); err != nil {
		t.Error(err)
	}
}

var bars = regexp.MustCompile(`<rect x="[0-9.]+" y="([0-9.]+)" width="[0-9.]+" height="([0-9.]+)" fill="#0b6e4f"/><text[^>]* font-size="10">([^<]+)<`)

func TestChartsAreDrawnToScale(t *testing.T) {
	c := &chart{title: "a <b>", unit: "MB/s", groups: []string{"x", "y", "z"}, series: []series{{synced, []float64{10, 1000, 0}}, {kafka, []float64{100, 2, 3}}}}
	text := c.svg()
	d := xml.NewDecoder(strings.NewReader(text))
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
	}
	found := bars.FindAllStringSubmatch(text, -1)
	if len(found) != 2 || found[0][3] != "10.0" || found[1][3] != "1,000" {
		t.Fatalf("bars %q in\n%s", found, text)
	}
	var heights []float64
	for _, f := range found {
		top, _ := strconv.ParseFloat(f[1], 64)
		height, _ := strconv.ParseFloat(f[2], 64)
		heights = append(heights, height)
		if bottom := top + height; bottom < chartHeight-chartBottom-0.2 || bottom > chartHeight-chartBottom+0.2 {
			t.Errorf("a bar from %v, %v high, does not stand on the axis", top, height)
		}
	}
	// The axis is from 1 to 1,000: 10 stands at a third of it, 1,000 at its top.
	if want := []float64{chartInnerH / 3.0, chartInnerH}; !slices.EqualFunc(heights, want, func(a, b float64) bool { return a > b-0.2 && a < b+0.2 }) {
		t.Errorf("heights %v, not %v", heights, want)
	}
	if (&chart{series: []series{{synced, []float64{0}}}}).svg() != "" {
		t.Error("a chart of nothing is drawn")
	}
}

func TestAKeptResultHasALineForEachRow(t *testing.T) {
	r := example()
	text, err := r.text()
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), "\n"); n != 1+4+8 { // head, cells and rows
		t.Errorf("%d lines:\n%s", n, text)
	}
	kept := historyOf(t, r)[0]
	again, err := kept.text()
	if err != nil || string(again) != string(text) {
		t.Errorf("%v: read as\n%s\nnot\n%s", err, again, text)
	}
}
