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

// text shows the median, and the range when it is known and wanted.
func (s spread) text(ranges bool) string {
	if !ranges || s.min == s.max {
		return digits(s.median)
	}
	return fmt.Sprintf("%s [%s..%s]", digits(s.median), digits(s.min), digits(s.max))
}

// rows makes the table of one cell: a head, a row per side, and the ratio of each of Ottla's rows to each of Kafka's.
func (b *bench) rows(c *cell, ranges bool) [][]string {
	head := []string{""}
	for _, col := range c.columns {
		head = append(head, string(col))
	}
	table := [][]string{head}
	var ottla, kafka []side
	for _, s := range c.sides {
		rounds := b.results[c.name][s.name]
		if len(rounds) == 0 {
			continue
		}
		switch s.kind {
		case "kafka":
			kafka = append(kafka, s)
		case "ottla":
			ottla = append(ottla, s)
		}
		row := []string{s.name}
		for _, col := range c.columns {
			cellText := "-"
			if v, ok := spreadOf(rounds, col); ok {
				cellText = v.text(ranges)
			}
			row = append(row, cellText)
		}
		table = append(table, row)
	}
	for _, o := range ottla {
		for _, k := range kafka {
			if o.partitions == k.partitions {
				table = append(table, b.ratios(c, o, k))
			}
		}
	}
	return table
}

func (b *bench) ratios(c *cell, o, k side) []string {
	row := []string{o.name + " / " + k.name}
	for _, col := range c.columns {
		text := ""
		ours, ok := spreadOf(b.results[c.name][o.name], col)
		theirs, also := spreadOf(b.results[c.name][k.name], col)
		if ok && also && col.comparable() && theirs.median > 0 {
			text = digits(ours.median/theirs.median) + "x"
		}
		row = append(row, text)
	}
	return row
}

// verdicts compares a cell's goals with what was measured.
func (b *bench) verdicts(c *cell) []string {
	var out []string
	for _, g := range c.goals {
		row := g.row
		if row == "" {
			row = c.sides[0].name
		}
		if len(b.results[c.name][row]) == 0 {
			continue
		}
		s, ok := spreadOf(b.results[c.name][row], g.column)
		v := s.median
		if g.of != "" {
			base, also := spreadOf(b.results[c.name][g.of], g.column)
			ok = ok && also && base.median > 0
			v /= base.median
		}
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("goal %v: not measured", g))
		case g.met(v):
			out = append(out, fmt.Sprintf("goal %v: met, %s", g, digits(v)))
		default:
			out = append(out, fmt.Sprintf("goal %v: missed, %s", g, digits(v)))
		}
	}
	return out
}

// print shows everything on a terminal.
func (b *bench) print(w io.Writer) {
	for i := range b.cells {
		c := &b.cells[i]
		if len(b.results[c.name]) == 0 {
			continue
		}
		fmt.Fprintf(w, "\n%s: %s\n", c.name, c.title)
		table := b.rows(c, false)
		widths := make([]int, len(table[0]))
		for _, row := range table {
			for j, text := range row {
				widths[j] = max(widths[j], utf8.RuneCountInString(text))
			}
		}
		for _, row := range table {
			for j, text := range row {
				if j == 0 {
					fmt.Fprintf(w, "  %-*s", widths[j], text)
				} else {
					fmt.Fprintf(w, "  %*s", widths[j], text)
				}
			}
			fmt.Fprintln(w)
		}
		for _, v := range b.verdicts(c) {
			fmt.Fprintf(w, "  %s\n", v)
		}
	}
}

// markdown writes everything for bench/results.
func (b *bench) markdown(w io.Writer, m machine, command string) {
	fmt.Fprintf(w, "# Ottla beside Apache Kafka %s, %s\n\n", kafkaVersion, m.Date)
	fmt.Fprintf(w, "Command: `%s`, commit %s. %d rounds, brokers in turn, medians with [least..most]. Figures are of whole processes; MB is 10^6 bytes.\n\n", command, m.Commit, b.pace.rounds)
	fmt.Fprintf(w, "Machine: %s\n\n", m)
	for i := range b.cells {
		c := &b.cells[i]
		if len(b.results[c.name]) == 0 {
			continue
		}
		fmt.Fprintf(w, "## %s: %s\n\n", c.name, c.title)
		for j, row := range b.rows(c, true) {
			fmt.Fprintf(w, "| %s |\n", strings.Join(row, " | "))
			if j == 0 {
				fmt.Fprintf(w, "|%s\n", strings.Repeat(" --- |", len(row)))
			}
		}
		fmt.Fprintln(w)
		for _, s := range c.sides {
			if len(b.results[c.name][s.name]) > 0 && !c.processes && c.topics == 0 && c.cleaning == nil {
				fmt.Fprintf(w, "* %s: %s\n", s.name, s.promise)
			}
		}
		for _, v := range b.verdicts(c) {
			fmt.Fprintf(w, "* %s\n", v)
		}
		fmt.Fprintln(w)
	}
}
