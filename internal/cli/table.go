package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of text under a header, aligned; columns of numbers stand to the right.
type table struct {
	header []string
	rows   [][]string
}

func newTable(header ...string) *table { return &table{header: header} }

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

func (t *table) write(w io.Writer) error {
	widths := make([]int, len(t.header))
	numeric := make([]bool, len(t.header))
	for i, h := range t.header {
		widths[i] = utf8.RuneCountInString(h)
		numeric[i] = len(t.rows) > 0
	}
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
			numeric[i] = numeric[i] && looksNumeric(cell)
		}
	}
	out := bufio.NewWriter(w)
	t.writeRow(out, t.header, widths, numeric)
	for _, row := range t.rows {
		t.writeRow(out, row, widths, numeric)
	}
	return out.Flush()
}

func (t *table) writeRow(out *bufio.Writer, row []string, widths []int, numeric []bool) {
	var line strings.Builder
	for i, cell := range row {
		if i > 0 {
			line.WriteString("  ")
		}
		padding := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if numeric[i] {
			line.WriteString(padding + cell)
		} else {
			line.WriteString(cell + padding)
		}
	}
	out.WriteString(strings.TrimRight(line.String(), " ") + "\n") // the error shows at Flush
}

// looksNumeric tells a number, or the dash that stands for none, from text.
func looksNumeric(cell string) bool {
	if cell == absent {
		return true
	}
	for i, c := range cell {
		if (c < '0' || c > '9') && (c != '-' || i > 0 || len(cell) == 1) && c != '.' {
			return false
		}
	}
	return cell != ""
}

// absent stands in a table where there is no value.
const absent = "-"

func orAbsent(text string) string {
	if text == "" {
		return absent
	}
	return text
}

// writeJSON writes one indented document.
func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// show writes a result in the chosen format; nothing at all says so on stderr.
func (s *shell) show(document any, t *table, nothing string) error {
	if s.output == jsonOutput {
		return writeJSON(s.out, document)
	}
	if len(t.rows) == 0 {
		s.notef("%s", nothing)
		return nil
	}
	return t.write(s.out)
}
