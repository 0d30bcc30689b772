package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// spread is one figure over all rounds.
type spread struct{ min, median, max float64 }

func spreadOf(rounds []figures, c column) (s spread, ok bool) {
	var values []float64
	for _, f := range rounds {
		if v, has := f[c]; has {
			values = append(values, v)
		}
	}
	if len(values) == 0 {
		return s, false
	}
	slices.Sort(values)
	n := len(values)
	return spread{values[0], (values[(n-1)/2] + values[n/2]) / 2, values[n-1]}, true
}

// text shows the median, and the range when it is wanted and one can be seen.
func (s spread) text(ranges bool) string {
	least, most := digits(s.min), digits(s.max)
	if !ranges || least == most {
		return digits(s.median)
	}
	return fmt.Sprintf("%s [%s..%s]", digits(s.median), least, most)
}

// shown are the columns of a cell's table: its own, and the closing ones that any row has.
func (c *cell) shown(of rows) []column {
	out := slices.Clone(c.columns)
	for _, col := range closing {
		for _, r := range of {
			if _, ok := r.spread(col); ok && !slices.Contains(out, col) {
				out = append(out, col)
			}
		}
	}
	return out
}

// table is that of one cell: a head, a row per side, and the ratio of each of Ottla's rows to each of the others'.
func (c *cell) table(of rows, ranges bool) [][]string {
	columns := c.shown(of)
	head := []string{""}
	for _, col := range columns {
		head = append(head, string(col))
	}
	table := [][]string{head}
	var ottla, others []side
	for _, s := range c.sides {
		r := of[s.name]
		if len(r.counted()) == 0 {
			continue
		}
		switch s.kind {
		case "kafka", "nats":
			others = append(others, s)
		case "ottla":
			ottla = append(ottla, s)
		}
		line := []string{s.name}
		if len(r.Rounds) == 0 {
			line[0] += " (disturbed)"
		}
		for _, col := range columns {
			text := "-"
			if v, ok := r.spread(col); ok {
				text = v.text(ranges)
			}
			line = append(line, text)
		}
		table = append(table, line)
	}
	for _, o := range ottla {
		for _, k := range others {
			if o.partitions == k.partitions {
				table = append(table, ratios(columns, o.name+" / "+k.name, of[o.name], of[k.name]))
			}
		}
	}
	return table
}

func ratios(columns []column, name string, o, k *row) []string {
	line := []string{name}
	for _, col := range columns {
		text := ""
		ours, ok := o.spread(col)
		theirs, also := k.spread(col)
		if ok && also && col.comparable() && theirs.median > 0 {
			text = digits(ours.median/theirs.median) + "x"
		}
		line = append(line, text)
	}
	return line
}

// remarks are what a table has to say besides its figures: what each side promises, and what went otherwise.
func (c *cell) remarks(of rows) (out []string) {
	if c.notBuilt {
		return []string{"not built"}
	}
	for _, s := range c.sides {
		r := of[s.name]
		if r == nil {
			continue
		}
		text := s.name + ": " + s.promise
		switch quiet, disturbed := len(r.Rounds), len(r.Disturbed); {
		case quiet == 0 && disturbed == 0:
		case quiet == 0:
			text += fmt.Sprintf("; none of %s was quiet", measurements(disturbed))
		case disturbed > 0:
			text += fmt.Sprintf("; %d of %s counted, others or the host were busy in the rest", quiet, measurements(quiet+disturbed))
		default:
			text += "; " + measurements(quiet)
		}
		if r.Note != "" {
			text += "; " + strings.Join(strings.Fields(r.Note), " ")
		}
		out = append(out, text)
	}
	return out
}

func measurements(n int) string {
	if n == 1 {
		return "1 measurement"
	}
	return fmt.Sprintf("%d measurements", n)
}

// print shows a run on a terminal.
func (b *bench) print(w io.Writer) {
	for i := range b.cells {
		c := &b.cells[i]
		of := b.result.Cells[c.name]
		if len(of) == 0 && !c.notBuilt {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", c.name, c.title)
		table := c.table(of, false)
		widths := make([]int, len(table[0]))
		for _, line := range table {
			for j, text := range line {
				widths[j] = max(widths[j], utf8.RuneCountInString(text))
			}
		}
		for n, line := range table {
			if n == 0 && len(table) == 1 {
				break
			}
			for j, text := range line {
				if j == 0 {
					fmt.Fprintf(w, "  %-*s", widths[j], text)
				} else {
					fmt.Fprintf(w, "  %*s", widths[j], text)
				}
			}
			fmt.Fprintln(w)
		}
		for _, text := range c.remarks(of) {
			fmt.Fprintf(w, "  %s\n", text)
		}
		for _, g := range goals {
			if g.cell == c.name {
				for _, v := range g.judge(b.result).verdicts {
					fmt.Fprintf(w, "  goal %s: %s: %s\n", g.title, v.text, v.far)
				}
			}
		}
	}
}
