package cli

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// masks hide what differs from run to run.
var masks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "HOST:PORT"},
	{regexp.MustCompile(`(127\.0\.0\.1 +)\d+`), "${1}PORT"},
	{regexp.MustCompile(`("port": )\d+`), "${1}PORT"},
	{regexp.MustCompile(`("timestamp": ?)\d+`), "${1}TIME"},
	{regexp.MustCompile(`((?:Cluster|  id|"id": "|"cluster_id": ") *)[A-Za-z0-9_-]{22}\b`), "${1}ID"},
	{regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`(log\.dirs +)/\S+`), "${1}DIR"},
	{regexp.MustCompile(`\d+\.\d+( MB in )\d+\.\d+ s: \d+ records/s, \d+\.\d+ MB/s; latency p50 \d+\.\d+ ms, p99 \d+\.\d+ ms, max \d+\.\d+ ms`), "X${1}X s: X records/s, X MB/s; latency p50 X ms, p99 X ms, max X ms"},
	{regexp.MustCompile(`("(?:seconds|records_per_second|megabytes_per_second|latency_p50_ms|latency_p99_ms|latency_max_ms)": )[0-9.e+-]+`), "${1}X"},
}

func masked(text string) string {
	for _, m := range masks {
		text = m.what.ReplaceAllString(text, m.by)
	}
	return text
}

// TestVerbs runs scripts of command lines against one node each. The first lines of a script's input are the arguments, after a line "stdin" comes the input.
func TestVerbs(t *testing.T) {
	datadriven.Walk(t, "testdata/verbs", func(t *testing.T, path string) {
		bootstrap := openNode(t)
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "ottla" {
				t.Fatalf("%s: a script has only ottla, not %s", d.Pos, d.Cmd)
			}
			arguments, stdin, _ := strings.Cut(d.Input, "\nstdin\n")
			if stdin != "" {
				stdin += "\n"
			}
			got := run(t, bootstrap, stdin, splitArguments(arguments)...)
			var b strings.Builder
			b.WriteString(got.out)
			if got.err != "" {
				for line := range strings.Lines(got.err) {
					b.WriteString("stderr: " + line)
				}
			}
			fmt.Fprintf(&b, "exit %d\n", got.code)
			return masked(b.String())
		})
	})
}

// splitArguments splits at white space outside of single quotes.
func splitArguments(line string) []string {
	var args []string
	word, inWord, quoted := "", false, false
	for _, c := range line {
		switch {
		case c == '\'':
			quoted, inWord = !quoted, true
		case !quoted && (c == ' ' || c == '\n'):
			if inWord {
				args = append(args, word)
			}
			word, inWord = "", false
		default:
			word += string(c)
			inWord = true
		}
	}
	if inWord {
		args = append(args, word)
	}
	return args
}
