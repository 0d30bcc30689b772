package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// figures are what one measurement of one row gave.
type figures map[column]float64

// row is what all rounds of a cell gave for one side.
type row struct {
	Rounds    []figures `json:",omitempty"`
	Disturbed []figures `json:",omitempty"` // other processes, or the host, took too much of the machine
	Note      string    `json:",omitempty"` // what happened instead, or besides
}

// counted are the rounds that count: the disturbed ones only where there is no other.
func (r *row) counted() []figures {
	if r == nil {
		return nil
	}
	if len(r.Rounds) == 0 {
		return r.Disturbed
	}
	return r.Rounds
}

func (r *row) spread(c column) (spread, bool) { return spreadOf(r.counted(), c) }

// rows are those of one cell, by the name of the side.
type rows map[string]*row

// result is one run, as the history keeps it.
type result struct {
	Date    string // with the time: names are in the order of time
	Machine machine
	Command string
	Pace    string
	Measure string
	Rounds  int
	Took    string          `json:",omitempty"`
	Dropped []string        `json:",omitempty"` // what there was no time for
	Cells   map[string]rows // by name
}

const dateForm = "2006-01-02-1504"

func (r *result) at(cell, side string) *row {
	if r.Cells[cell] == nil {
		r.Cells[cell] = rows{}
	}
	if r.Cells[cell][side] == nil {
		r.Cells[cell][side] = &row{}
	}
	return r.Cells[cell][side]
}

// get is nil where nothing was measured.
func (r *result) get(cell, side string) *row {
	if r == nil {
		return nil
	}
	return r.Cells[cell][side]
}

func (r *result) path(dir string) string { return filepath.Join(dir, r.Date+".json") }

// save writes a result, a whole one or nothing: an interrupted run leaves what it had.
func (r *result) save(dir string) error {
	text, err := r.text()
	if err != nil {
		return err
	}
	path := r.path(dir)
	if err := os.WriteFile(path+".tmp", text, 0o644); err != nil {
		return err
	}
	return os.Rename(path+".tmp", path)
}

// text is JSON with a line for each row.
func (r *result) text() ([]byte, error) {
	head := *r
	head.Cells = nil
	out, err := json.Marshal(head)
	if err != nil {
		return nil, err
	}
	out = append(bytes.TrimSuffix(out, []byte("null}")), '{')
	for i, cell := range slices.Sorted(maps.Keys(r.Cells)) {
		out = append(out, separator(i, fmt.Sprintf("\n%q:{", cell))...)
		for j, side := range slices.Sorted(maps.Keys(r.Cells[cell])) {
			line, err := json.Marshal(r.Cells[cell][side])
			if err != nil {
				return nil, err
			}
			out = append(append(out, separator(j, fmt.Sprintf("\n %q:", side))...), line...)
		}
		out = append(out, '}')
	}
	return append(out, "}}\n"...), nil
}

func separator(i int, text string) string {
	if i > 0 {
		return "," + text
	}
	return text
}

// loadResults reads the history, oldest first.
func loadResults(dir string) (history, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	slices.Sort(paths)
	var out history
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		r := &result{}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if want := strings.TrimSuffix(filepath.Base(path), ".json"); r.Date != want {
			return nil, fmt.Errorf("%s says that it is of %s: its name must be its date", path, r.Date)
		}
		out = append(out, r)
	}
	return out, nil
}

// history is all stored results, oldest first.
type history []*result

// newest finds the last run of a cell, and the one before that.
func (h history) newest(cell string) (now, before *result) {
	for _, r := range slices.Backward(h) {
		if len(r.Cells[cell]) == 0 {
			continue
		}
		if now != nil {
			return now, r
		}
		now = r
	}
	return now, nil
}

func newResult(m machine, command string, p *pace, at time.Time) *result {
	return &result{Date: at.Format(dateForm), Machine: m, Command: command, Pace: p.name, Measure: p.measure.String(), Cells: map[string]rows{}}
}
