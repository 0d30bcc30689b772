package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// difference is one line of differences.txt: where the target's output may differ from the control's.
//
//	# reason, over as many lines as it needs
//	CASE -EXPRESSION     a line that only the control prints
//	CASE +EXPRESSION     a line that only the target prints
//
// CASE is an expression too. A reason goes on for all entries below it until the next comment.
type difference struct {
	line   int
	name   *regexp.Regexp
	sign   byte
	text   *regexp.Regexp
	reason string
	used   bool
}

func readDifferences(file string) ([]*difference, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []*difference
	var reason []string
	comment := false
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		switch {
		case text == "":
		case text[0] == '#':
			if !comment {
				reason = nil
			}
			comment = true
			reason = append(reason, strings.TrimSpace(text[1:]))
		default:
			comment = false
			name, rest, ok := strings.Cut(text, " ")
			rest = strings.TrimSpace(rest)
			if !ok || len(rest) < 2 || (rest[0] != '-' && rest[0] != '+') || len(reason) == 0 {
				return nil, fmt.Errorf("%s:%d: want CASE -EXPRESSION or CASE +EXPRESSION below a reason", file, n)
			}
			d := &difference{line: n, sign: rest[0], reason: strings.Join(reason, " ")}
			if d.name, err = regexp.Compile("^(" + name + ")$"); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			if d.text, err = regexp.Compile("^(" + rest[1:] + ")$"); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			all = append(all, d)
		}
	}
	return all, lines.Err()
}

// unexpected returns the lines of the comparison that no entry allows.
func unexpected(name string, lines []string, allowed []*difference) (left []string) {
next:
	for _, line := range lines {
		for _, d := range allowed {
			if d.sign == line[0] && d.name.MatchString(name) && d.text.MatchString(line[1:]) {
				d.used = true
				continue next
			}
		}
		left = append(left, line)
	}
	return left
}

// compare gives the lines that only one side has, with - for the first and + for the second, in order.
func compare(first, second string) (out []string) {
	a, b := strings.Split(first, "\n"), strings.Split(second, "\n")
	// common[i][j] is the length of the longest common sequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(a) && j < len(b) {
		switch {
		case a[i] == b[j]:
			i, j = i+1, j+1
		case common[i+1][j] >= common[i][j+1]:
			out = append(out, "-"+a[i])
			i++
		default:
			out = append(out, "+"+b[j])
			j++
		}
	}
	for ; i < len(a); i++ {
		out = append(out, "-"+a[i])
	}
	for ; j < len(b); j++ {
		out = append(out, "+"+b[j])
	}
	return out
}
