package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
)

// Verdicts of a cell. An empty one means that nobody answered, which is red.
const (
	pass  = "PASS"
	fail  = "FAIL"
	na    = "NA"
	again = "AGAIN" // red at the first try, passed alone at the second
)

type cell struct {
	verdict string
	reason  string
	millis  int
}

// report collects what every part found.
type report struct {
	options options
	mu      struct {
		sync.Mutex
		columns []string // clients, in the order of the table
		cells   map[string]map[string]cell
		other   []finding // cases of the other parts
	}
}

type finding struct {
	part, name string
	cell
}

func newReport(o options) *report {
	r := &report{options: o}
	r.mu.cells = map[string]map[string]cell{}
	return r
}

func (r *report) column(client string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.columns = append(r.mu.columns, client)
	r.mu.cells[client] = map[string]cell{}
}

func (r *report) set(client, feature string, c cell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.cells[client][feature] = c
}

func (r *report) get(client, feature string) cell {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.mu.cells[client][feature]
}

func (r *report) pass(part, name string) { r.add(part, name, cell{verdict: pass}) }

func (r *report) fail(part, name, reason string) { r.add(part, name, cell{fail, reason, 0}) }

func (r *report) add(part, name string, c cell) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.other = append(r.mu.other, finding{part, name, c})
}

// print writes the table, every reason, and the count; red is an error.
func (r *report) print(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var passed, failed, absent int
	var reasons []string
	note := func(where string, c cell) string {
		switch c.verdict {
		case pass:
			passed++
			return "ok"
		case again:
			passed++
			reasons = append(reasons, fmt.Sprintf("  2nd  %s: passed alone after %s", where, c.reason))
			return "2nd"
		case na:
			absent++
			reasons = append(reasons, fmt.Sprintf("  n/a  %s: %s", where, c.reason))
			return "-"
		case fail:
			failed++
			reasons = append(reasons, fmt.Sprintf("  RED  %s: %s", where, c.reason))
			return "RED"
		}
		failed++
		reasons = append(reasons, fmt.Sprintf("  RED  %s: the driver gave no answer", where))
		return "RED"
	}
	if len(r.mu.columns) > 0 {
		r.table(w, note)
	}
	counts := map[string][2]int{}
	for _, f := range r.mu.other {
		n := counts[f.part]
		if note(f.part+" "+f.name, f.cell) == "RED" {
			n[1]++
		} else {
			n[0]++
		}
		counts[f.part] = n
	}
	for _, part := range []string{"matrix", "tools", "suite", "gotchas"} {
		if n, ok := counts[part]; ok {
			fmt.Fprintf(w, "%-8s %d ok, %d red\n", part, n[0], n[1])
		}
	}
	if len(reasons) > 0 {
		slices.Sort(reasons)
		fmt.Fprintf(w, "\nReasons (n/a: the client itself lacks it; 2nd: red at first, then passed alone):\n%s\n", strings.Join(reasons, "\n"))
	}
	fmt.Fprintf(w, "\ntarget %s, %d not offered by the client\ncompat: %d passed, %d failed\n", r.options.target, absent, passed, failed)
	if failed > 0 {
		return fmt.Errorf("%d red", failed)
	}
	if passed == 0 {
		return fmt.Errorf("nothing was run: check -clients and -features")
	}
	return nil
}

func (r *report) table(w io.Writer, note func(string, cell) string) {
	fmt.Fprintf(w, "\n%-24s", "feature \\ client")
	for _, c := range r.mu.columns {
		fmt.Fprintf(w, " %-*s", len(c), c)
	}
	fmt.Fprintln(w)
	for _, f := range matrixFeatures(r.options) {
		fmt.Fprintf(w, "%-24s", f.ID)
		for _, c := range r.mu.columns {
			fmt.Fprintf(w, " %-*s", len(c), note(c+" "+f.ID, r.mu.cells[c][f.ID]))
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintf(w, "%-24s", "seconds")
	for _, c := range r.mu.columns {
		millis := 0
		for _, each := range r.mu.cells[c] {
			millis += each.millis
		}
		fmt.Fprintf(w, " %-*d", len(c), millis/1000)
	}
	fmt.Fprintln(w)
}
