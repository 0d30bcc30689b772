package main

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"strings"
)

// reason is one line of differences.txt: differences that are meant.
//
//	# why, over as many lines as it needs
//	SCENARIO/STEP PATH: EXPRESSION
//
// Each line is an expression that must match a whole difference as it is printed, without its versions.
type reason struct {
	line int
	text *regexp.Regexp
	used bool
}

func readReasons(file string) ([]*reason, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []*reason
	commented := false
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		switch {
		case text == "":
			commented = false
		case text[0] == '#':
			commented = true
		case !commented:
			return nil, fmt.Errorf("%s:%d: an entry without a reason above it", file, n)
		default:
			e, err := regexp.Compile("^(?:" + text + ")$")
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", file, n, err)
			}
			all = append(all, &reason{line: n, text: e})
		}
	}
	return all, lines.Err()
}

// meant reports whether a reason covers a difference.
func meant(reasons []*reason, f finding) bool {
	found := false
	for _, r := range reasons {
		if r.text.MatchString(f.text) {
			r.used, found = true, true
		}
	}
	return found
}
