package cli

import (
	"fmt"
	"strings"
)

// outcome is what became of one of the things that a verb was asked to change.
type outcome struct {
	done string // what was done, for a person
	err  error
}

// errorText is an outcome's error for JSON.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// report shows what became of each thing; one failure among them fails the verb, after all are shown.
func (s *shell) report(document any, outcomes []outcome) error {
	if s.output == jsonOutput {
		if err := writeJSON(s.out, document); err != nil {
			return err
		}
	}
	for _, o := range outcomes {
		if o.err == nil && s.output == tableOutput {
			if _, err := fmt.Fprintln(s.out, o.done); err != nil {
				return err
			}
		}
	}
	return s.reportFailures(outcomes)
}

// count writes a number with its noun.
func count[N int | int16 | int32 | int64](n N, noun string) string {
	if n == 1 {
		return fmt.Sprintf("1 %s", noun)
	}
	if strings.HasSuffix(noun, "ch") {
		noun += "e"
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// reportFailures shows what could not be done, after what could has been shown.
func (s *shell) reportFailures(outcomes []outcome) error {
	var failed error
	for _, o := range outcomes {
		if o.err != nil {
			s.notef("ottla: %v", o.err)
			failed = errReported
		}
	}
	return failed
}
