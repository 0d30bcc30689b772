package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// page writes docs/performance.md and its pictures from the newest run of each cell, so that a long run may be made in parts.
type page struct {
	history history
	notes   map[string]string // why a goal is missed, by its key
	b       strings.Builder
}

// Places in the repository.
const (
	resultsDir = "bench/results"
	notesFile  = "bench/notes.md"
	pageFile   = "docs/performance.md"
	chartsDir  = "docs/performance"
)

// worseBy is the change of a figure between two runs that the page calls out.
const worseBy = 0.10

func writePage(root string) error {
	h, err := loadResults(filepath.Join(root, resultsDir))
	if err != nil {
		return err
	}
	if len(h) == 0 {
		return fmt.Errorf("there is no result in %s: run go run ./bench -save first", resultsDir)
	}
	notes, err := os.ReadFile(filepath.Join(root, notesFile))
	if err != nil {
		return err
	}
	p := &page{history: h}
	if p.notes, err = parseNotes(string(notes)); err != nil {
		return fmt.Errorf("%s: %w", notesFile, err)
	}
	if err := os.MkdirAll(filepath.Join(root, chartsDir), 0o755); err != nil {
		return err
	}
	for name, picture := range p.charts() {
		if err := os.WriteFile(filepath.Join(root, chartsDir, name+".svg"), []byte(picture.svg()), 0o644); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(root, pageFile), []byte(p.text()), 0o644)
}

// parseNotes reads "## key" and what stands below it.
func parseNotes(text string) (map[string]string, error) {
	notes := map[string]string{}
	_, rest, _ := strings.Cut("\n"+text, "\n## ")
	for part := range strings.SplitSeq(rest, "\n## ") {
		key, body, _ := strings.Cut(part, "\n")
		if key = strings.TrimSpace(key); key == "" {
			continue
		}
		if findGoal(key) == nil {
			return nil, fmt.Errorf("there is no goal %q for the note under that heading", key)
		}
		notes[key] = strings.Join(strings.Fields(body), " ")
	}
	return notes, nil
}

func (p *page) text() string {
	p.head()
	p.limits()
	p.goals()
	p.pictures()
	p.tables()
	return p.b.String()
}

func (p *page) line(format string, args ...any) { fmt.Fprintf(&p.b, format+"\n", args...) }

// runs are those that give a cell to the page, newest first.
func (p *page) runs() (out []*result) {
	for i := range cells {
		if now, _ := p.history.newest(cells[i].name); now != nil && !slices.Contains(out, now) {
			out = append(out, now)
		}
	}
	slices.SortFunc(out, func(a, b *result) int { return strings.Compare(b.Date, a.Date) })
	return out
}

func (p *page) head() {
	p.line("# Ottla beside Apache Kafka\n")
	p.line("Written by `make bench` from the runs in [%s](../%s); the method is in [bench/README.md](../bench/README.md). Figures are medians over rounds in which the brokers took", resultsDir, resultsDir)
	p.line("turns, with [least..most] where they differ; they are of whole processes. MB is 10^6 bytes of record batches as they are on the wire, compressed ones too; s/GB are CPU seconds per 10^9")
	p.line("such bytes; a ratio is Ottla's figure divided by the other's. Every table says what each side's acknowledgement promises, and how many measurements counted: *(disturbed)* stands at a row")
	p.line("of which none was quiet, because other processes used more than %d %% of the machine meanwhile, or the host took more than %d %%. Broker and load generator share the machine's cores: MB/s is", othersLimit, stealLimit)
	p.line("that of the pair, and a client that uses much leaves little; broker CPU and client CPU are told apart.\n")
	runs := p.runs()
	p.line("Machine: %s", runs[0].Machine)
	p.line("Compared and driven with: %s.\n", runs[0].Machine.Clients)
	p.line("| Run | Commit | Command | Rounds | Measured | Took |\n| --- | --- | --- | --- | --- | --- |")
	for _, r := range runs {
		p.line("| %s | %s | `%s` | %d | %s each | %s |", r.Date, r.Machine.Commit, r.Command, r.Rounds, r.Measure, r.Took)
	}
	p.line("")
	for _, r := range runs {
		if len(r.Dropped) > 0 {
			p.line("The run of %s had no time left for %s.\n", r.Date, droppedText(r.Dropped))
		}
	}
	for _, r := range runs[1:] {
		if m, first := r.Machine, runs[0].Machine; m.CPU != first.CPU || m.Kernel != first.Kernel || m.Cores != first.Cores {
			p.line("The run of %s was made on another machine: %s\n", r.Date, m)
		}
	}
}

// limits is what the machine gives without a broker.
func (p *page) limits() {
	p.line("## The machine's limits, measured in the same runs\n")
	c := findCell("machine")
	p.line("%s.\n\n| Run | %s |\n|%s", strings.ToUpper(c.title[:1])+c.title[1:], joinColumns(c.columns), strings.Repeat(" --- |", len(c.columns)+1))
	for _, r := range p.runs() {
		line := "| " + r.Date + " |"
		for _, col := range c.columns {
			text := " - |"
			if s, ok := r.get(c.name, machineSide.name).spread(col); ok {
				text = " " + s.text(true) + " |"
			}
			line += text
		}
		p.line("%s", line)
	}
	p.line("")
}

func joinColumns(columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = string(c)
	}
	return strings.Join(names, " | ")
}

// goals is the table of what was promised, and the reasons for what is not kept.
func (p *page) goals() {
	var lines, why, worse []string
	met, missed, unknown := 0, 0, 0
	for i := range goals {
		g := &goals[i]
		now, before := p.history.newest(g.cell)
		j := g.judge(now)
		if !j.has {
			unknown++
			lines = append(lines, fmt.Sprintf("| %s | not measured | | | | |", g.title))
			continue
		}
		bounds, far, kept := "", "", true
		for _, v := range j.verdicts {
			bounds += v.text + "<br>"
			far += v.far + "<br>"
			kept = kept && v.met
		}
		if kept {
			met++
		} else {
			missed++
			why = append(why, fmt.Sprintf("* **%s**: %s", g.title, cmp.Or(p.notes[g.key], "not explained yet.")))
		}
		ours, theirs := digits(j.ours.median), "-"
		if j.hasBeside {
			ours += fmt.Sprintf("<br>(synced %s)", digits(j.beside))
		}
		if j.hasBoth {
			theirs = fmt.Sprintf("%s<br>%sx", digits(j.theirs.median), digits(j.ours.median/j.theirs.median))
		} else if r := now.get(g.cell, g.theirs); r != nil && r.Note != "" {
			theirs = strings.Join(strings.Fields(r.Note), " ")
		}
		change := ""
		if old, ok := before.get(g.cell, g.ours).spread(g.column); ok && old.median > 0 {
			by := j.ours.median/old.median - 1
			change = fmt.Sprintf("%+.0f %% of %s", 100*by, before.Date)
			if by > worseBy && g.atMost || by < -worseBy && !g.atMost {
				worse = append(worse, fmt.Sprintf("* %s: %s, was %s on %s", g.title, digits(j.ours.median), digits(old.median), before.Date))
			}
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %s | %s | %s | %s |", g.title, ours, theirs, strings.TrimSuffix(bounds, "<br>"), strings.TrimSuffix(far, "<br>"), change))
	}
	p.line("## Goals\n")
	p.line("%d of %d are met, %d are missed%s. End to end and single connection: `ottla.durability=cache` against Kafka's default, the synced figure beside; everything else is Ottla synced, as it comes.\n",
		met, len(goals), missed, plural(unknown, ", %d not measured"))
	p.line("| Goal | Ottla | Kafka, ratio | Bounds | Reached | Change |\n| --- | --- | --- | --- | --- | --- |\n%s\n", strings.Join(lines, "\n"))
	if len(worse) > 0 {
		p.line("Worse by more than %.0f %% than in the run before:\n\n%s\n", 100*worseBy, strings.Join(worse, "\n"))
	}
	if len(why) > 0 {
		p.line("Why goals are missed:\n\n%s\n", strings.Join(why, "\n"))
	}
}

func plural(n int, format string) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(format, n)
}

// value is the newest median of a figure; zero where there is none.
func (p *page) value(cell, side string, col column) float64 {
	now, _ := p.history.newest(cell)
	s, _ := now.get(cell, side).spread(col)
	return s.median
}

// over makes a chart of one figure of some sides over some cells.
func (p *page) over(title string, col column, sides []string, names, labels []string) *chart {
	c := &chart{title: title, unit: string(col), groups: labels}
	for _, side := range sides {
		s := series{name: side}
		for _, name := range names {
			s.values = append(s.values, p.value(name, side, col))
		}
		c.series = append(c.series, s)
	}
	return c
}

func (p *page) charts() map[string]*chart {
	all := []string{synced, unsynced, kafka, flushed}
	batches, batchLabels := []string{"produce-16k", "produce", "produce-1m"}, []string{"16 KiB", "64 KiB", "1 MB"}
	smalls, smallLabels := []string{"small-1x1", "small-1x5", "small-1x50", "small"}, []string{"1 x 1", "1 x 5", "1 x 50", "64 x 1"}
	strangers := []string{"franz-produce", "librdkafka-produce", "tools-produce"}
	rates, rateLabels := []string{"latency", "latency-10", "latency-50", "latency-80"}, []string{"2,000/s", "10 %", "50 %", "80 %"}
	charts := map[string]*chart{
		"produce":     p.over("Produce by batch size", colProduced, all, batches, batchLabels),
		"produce-cpu": p.over("Broker CPU by batch size", colCPU, all, batches, batchLabels),
		"requests":    p.over("One-record requests by connections x requests in flight", colRequests, all, smalls, smallLabels),
		"latency-p50": p.over("End to end, median by load", colEnd50, []string{synced, unsynced, kafka}, rates, rateLabels),
		"latency-p99": p.over("End to end, 99th percentile by load", colEnd99, []string{synced, unsynced, kafka}, rates, rateLabels),
		"latency-999": p.over("End to end, 99.9th percentile by load", colEnd999, []string{synced, unsynced, kafka}, rates, rateLabels),
		"strangers":   p.over("Produce with real clients", colProduced, []string{synced, kafka}, strangers, []string{"franz-go", "librdkafka", "Kafka's perf test"}),
	}
	partitions := &chart{title: "Broker CPU over partitions, 64 KiB batches", unit: string(colCPU), groups: []string{"1", "10", "1,000", "10,000"}, series: []series{{name: synced}, {name: kafka}}}
	for i := range partitions.series {
		s := &partitions.series[i]
		for _, n := range partitions.groups {
			s.values = append(s.values, p.value("partitions", s.name+", "+n, colCPU))
		}
	}
	charts["partitions"] = partitions
	for name, c := range charts {
		if _, _, ok := c.decades(); !ok {
			delete(charts, name)
		}
	}
	return charts
}

func (p *page) pictures() {
	charts := p.charts()
	if len(charts) == 0 {
		return
	}
	p.line("## Pictures\n")
	for _, name := range []string{"produce", "produce-cpu", "requests", "latency-p50", "latency-p99", "latency-999", "partitions", "strangers"} {
		if c := charts[name]; c != nil {
			p.line("![%s](performance/%s.svg)\n", c.title, name)
		}
	}
}

// tables are all cells, those that wait for something to be built too.
func (p *page) tables() {
	p.line("## Everything\n")
	several := len(p.runs()) > 1
	for i := range cells {
		c := &cells[i]
		now, _ := p.history.newest(c.name)
		if c.name == "machine" {
			continue
		}
		p.line("### %s\n", c.name)
		p.line("%s\n", strings.ToUpper(c.title[:1])+c.title[1:]+".")
		switch {
		case c.notBuilt:
			p.line("Not built.\n")
			continue
		case now == nil:
			p.line("Not measured.\n")
			continue
		}
		for j, line := range c.table(now.Cells[c.name], true) {
			p.line("| %s |", strings.Join(line, " | "))
			if j == 0 {
				p.line("|%s", strings.Repeat(" --- |", len(line)))
			}
		}
		p.line("")
		for _, text := range c.remarks(now.Cells[c.name]) {
			p.line("* %s", text)
		}
		if several {
			p.line("* run of %s", now.Date)
		}
		p.line("")
	}
}
