package cli

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"

	"github.com/ottla/ottla/internal/storage/logfile"
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
	{regexp.MustCompile(`20[2-9]\d-\d\d-\d\dT[\d:.]+Z`), "DATE"},
	{regexp.MustCompile(`("(?:base|max)_timestamp": ?)\d+`), "${1}TIME"},
	{regexp.MustCompile(`(crc )[0-9a-f]{8}|("crc": ?)"?[0-9a-fx]+"?`), "${1}${2}CRC"},
	{regexp.MustCompile(`((?:Cluster|  id|"id": "|"cluster_id": "|topic_id =) *)[A-Za-z0-9_-]{22}\b`), "${1}ID"},
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

// TestVerbs runs scripts of command lines against one node each, whose log directory they call $DIR. The first lines of a script's input are the arguments, after a line
// "stdin" comes the input. Every verb must succeed in one of them with a table and in one with JSON.
func TestVerbs(t *testing.T) {
	succeeded := map[string]bool{}
	root := (&shell{}).root()
	datadriven.Walk(t, "testdata/verbs", func(t *testing.T, path string) {
		dir := t.TempDir()
		bootstrap, _ := openNodeIn(t, dir, "127.0.0.1:0")
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "ottla" {
				t.Fatalf("%s: a script has only ottla, not %s", d.Pos, d.Cmd)
			}
			arguments, stdin, _ := strings.Cut(d.Input, "\nstdin\n")
			if stdin != "" {
				stdin += "\n"
			}
			args := splitArguments(strings.ReplaceAll(arguments, "$DIR", dir))
			got := run(t, bootstrap, stdin, args...)
			if verb, _, err := root.Find(args); err == nil && got.code == exitOK {
				succeeded[verb.CommandPath()+format(args)] = true
			}
			var b strings.Builder
			b.WriteString(got.out)
			if got.err != "" {
				for line := range strings.Lines(got.err) {
					b.WriteString("stderr: " + line)
				}
			}
			fmt.Fprintf(&b, "exit %d\n", got.code)
			return masked(strings.ReplaceAll(b.String(), dir, "$DIR"))
		})
	})
	elsewhere := []string{"ottla serve", "ottla completion", "ottla version", "ottla log recover", "ottla log repair"} // their tests start and stop nodes, or have no node
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			visit(sub)
		}
		for _, shown := range []string{"", asJSONSuffix} {
			if path := c.CommandPath() + shown; !c.HasSubCommands() && !slices.Contains(elsewhere, c.CommandPath()) && !succeeded[path] {
				t.Errorf("no script has %s succeed", path)
			}
		}
	}
	visit(root)
}

const asJSONSuffix = " -o json"

// format tells the two formats of a command line apart.
func format(args []string) string {
	if slices.Contains(args, "json") {
		return asJSONSuffix
	}
	return ""
}

// TestVersion: the verb and the flag say the same.
func TestVersion(t *testing.T) {
	verb, flag := succeed(t, "", "", "version"), succeed(t, "", "", "--version")
	if verb.out != flag.out || !strings.HasPrefix(verb.out, "ottla "+buildVersion().Version+" (protocol of Apache Kafka 4.4, ") {
		t.Errorf("%q, %q", verb.out, flag.out)
	}
	if got := asJSON[build](t, "", "version"); got != buildVersion() {
		t.Errorf("%+v", got)
	}
}

// TestLogRepair: rot in a closed directory is found, given up only when that is said, and the rest is sound afterwards; a whole directory needs nothing.
func TestLogRepair(t *testing.T) {
	dir := t.TempDir()
	bootstrap, stop := openNodeIn(t, dir, "127.0.0.1:0")
	for _, value := range []string{"one\n", "two\n", "three\n"} {
		succeed(t, bootstrap, value, "produce", "words")
	}
	if got := run(t, "", "", "log", "repair", dir); got.code != exitFailure || !strings.Contains(got.err, "stop it first") {
		t.Errorf("beside a node: exit %d, %s", got.code, got.err)
	}
	stop()
	if got := succeed(t, "", "", "log", "repair", dir); !strings.Contains(got.err, "needs nothing") {
		t.Errorf("%s%s", got.out, got.err)
	}
	segment := filepath.Join(dir, "words-0", "00000000000000000000.log")
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1 // within the second of three batches
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", "", "log", "verify", dir); got.code != exitFailure || !strings.Contains(got.out, "damage") {
		t.Errorf("verify: exit %d, %s%s", got.code, got.out, got.err)
	}
	for _, args := range [][]string{nil, {"--yes"}, {"--skip-rot"}} {
		got := run(t, "", "", append([]string{"log", "repair", dir}, args...)...)
		if after, err := os.ReadFile(segment); err != nil || !bytes.Equal(after, data) || !strings.Contains(got.out, "1 to 1") {
			t.Errorf("%q changed the segment (%v), or does not say what is wrong:\n%s%s", args, err, got.out, got.err)
		}
	}
	succeed(t, "", "", "log", "repair", filepath.Join(dir, "words-0"), "--skip-rot", "--yes", "-o", "json")
	succeed(t, "", "", "log", "verify", dir)
	bootstrap, _ = openNodeIn(t, dir, "127.0.0.1:0")
	if got := succeed(t, bootstrap, "", "consume", "words", "--from", "beginning", "--follow=false", "--format", `%o %v\n`); got.out != "0 one\n2 three\n" {
		t.Errorf("%q", got.out)
	}
}

// TestLogRecover: a directory that a node has is refused; one that was not closed cleanly is, and needs nothing afterwards.
func TestLogRecover(t *testing.T) {
	dir := t.TempDir()
	bootstrap, stop := openNodeIn(t, dir, "127.0.0.1:0")
	succeed(t, bootstrap, "kept\n", "produce", "words")
	image := t.TempDir() // as a kill leaves it
	if err := os.CopyFS(image, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	if got := run(t, "", "", "log", "recover", dir); got.code != exitFailure || !strings.Contains(got.err, "is in use") {
		t.Errorf("beside a node: exit %d, %s", got.code, got.err)
	}
	stop()
	for _, needed := range []bool{true, false} {
		if got := asJSON[[]logfile.Recovery](t, "", "log", "recover", image); len(got) != 1 || got[0].Needed != needed || needed && got[0].Logs != 2 || len(got[0].Damaged) != 0 {
			t.Errorf("%+v, want needed %v", got, needed)
		}
	}
	if got := succeed(t, "", "", "log", "recover", image); !strings.Contains(got.out, "NEEDED") || !strings.Contains(got.out, "false") {
		t.Errorf("%q", got.out)
	}
	bootstrap, _ = openNodeIn(t, image, "127.0.0.1:0")
	if got := succeed(t, bootstrap, "", "consume", "words", "--from", "beginning", "--follow=false"); got.out != "kept\n" {
		t.Errorf("%q", got.out)
	}
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
