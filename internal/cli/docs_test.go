package cli

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// rewriting is datadriven's flag, which also rewrites the page.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

// TestPage keeps docs/cli.md what the commands say of themselves.
func TestPage(t *testing.T) {
	path := filepath.Join("..", "..", "docs", "cli.md")
	want := page((&shell{}).root())
	if rewriting() {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/cli.md is not what the commands say: go test ./internal/cli -run TestPage -rewrite")
	}
}

// TestDocsRun runs what README and the guide tell a stranger to type, in their order, against a node whose data is where they say.
func TestDocsRun(t *testing.T) {
	command := regexp.MustCompile(`^(?:echo '([^']*)' \| )?(?:\./)?ottla ([^#]*)`)
	for name, least := range map[string]int{"README.md": 6, "docs/getting-started.md": 8} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(name)))
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			bootstrap, _ := openNodeIn(t, dir, "127.0.0.1:0")
			ran := 0
			for i, block := range strings.Split(string(text), "```") {
				if i%2 == 0 || !strings.HasPrefix(block, "sh\n") {
					continue
				}
				for line := range strings.Lines(block) {
					typed := command.FindStringSubmatch(line)
					if typed == nil || strings.HasPrefix(typed[2], "serve") && !strings.Contains(typed[2], "--print-config") {
						continue
					}
					args := strings.Fields(strings.ReplaceAll(strings.Split(typed[2], ">")[0], "ottla-data", dir))
					if args[0] == "consume" && !strings.Contains(line, "--max-messages") && !strings.Contains(line, "--follow=false") {
						args = append(args, "--max-messages", "1") // it is Ctrl-C that ends it
					}
					if got := run(t, bootstrap, typed[1]+"\n", args...); got.code != exitOK || got.out == "" && got.err == "" {
						t.Errorf("%s: exit %d\n%s%s", strings.TrimSpace(line), got.code, got.out, got.err)
					}
					ran++
				}
			}
			if ran < least {
				t.Errorf("%d commands were found, want at least %d", ran, least)
			}
		})
	}
}

const pageHead = `# The command line

<!-- Written by go test ./internal/cli -run TestPage -rewrite from the commands themselves. Change those, not this page. -->

` + "`ottla`" + ` is a node and the verbs to use it. The verbs reach the brokers through the Kafka protocol and work with every Kafka.

* Results go to stdout: tables for people, JSON with ` + "`-o json`" + ` for programs. Questions, progress, notes and errors go to stderr.
* Exit codes: 0 done, 1 failed, 2 the command line was not understood, 130 interrupted. A node that is told to stop and stops cleanly ends with 0. A reader that
  closes our stdout early (` + "`| head`" + `) has seen enough: that is 0 too.
* The first Ctrl-C (or SIGTERM) ends a verb in order: a consumer commits what it printed and leaves its group, a producer waits for what it read, a node stops
  cleanly. The second ends it at once.
* ` + "`OTTLA_BOOTSTRAP`" + ` names the brokers where ` + "`--bootstrap-server`" + ` does not.
* ` + "`ottla completion bash|zsh|fish|powershell`" + ` prints a completion script; topics, groups, settings and their owners complete from the live cluster.

`

// page is docs/cli.md.
func page(root *cobra.Command) string {
	var b strings.Builder
	b.WriteString(pageHead)
	var commands []*cobra.Command
	var collect func(c *cobra.Command)
	collect = func(c *cobra.Command) {
		commands = append(commands, c)
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				collect(sub)
			}
		}
	}
	collect(root)
	b.WriteString("| verb | |\n| --- | --- |\n")
	for _, c := range commands {
		if !c.HasSubCommands() || c == root {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.CommandPath(), anchorOf(c), c.Short)
		}
	}
	b.WriteString("\n## Flags of every client verb\n\n")
	writeFlags(&b, root.PersistentFlags())
	for _, c := range commands {
		if c.HasSubCommands() && c != root {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s.\n\n```\n%s\n```\n\n", c.CommandPath(), strings.TrimSuffix(c.Short, "."), c.UseLine())
		if c.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", c.Long)
		}
		if parent := c.Parent(); parent != nil && parent != root && parent.Long != "" {
			fmt.Fprintf(&b, "%s\n\n", parent.Long)
		}
		writeFlags(&b, c.LocalNonPersistentFlags())
		if c.Example != "" {
			fmt.Fprintf(&b, "```sh\n%s\n```\n\n", strings.ReplaceAll(strings.TrimPrefix(c.Example, "  "), "\n  ", "\n"))
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func anchorOf(c *cobra.Command) string { return strings.ReplaceAll(c.CommandPath(), " ", "-") }

func writeFlags(b *strings.Builder, flags *pflag.FlagSet) {
	var rows []string
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		name := "`--" + f.Name + "`"
		if f.Shorthand != "" {
			name = "`-" + f.Shorthand + "`, " + name
		}
		fallback := ""
		if f.DefValue != "" && f.DefValue != "[]" && f.DefValue != "false" {
			fallback = "`" + f.DefValue + "`"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", name, fallback, strings.ReplaceAll(f.Usage, "|", "\\|")))
	})
	if len(rows) > 0 {
		fmt.Fprintf(b, "| flag | default | |\n| --- | --- | --- |\n%s\n", strings.Join(rows, ""))
	}
}

// TestScreen shows what a node says when it serves.
func TestScreen(t *testing.T) {
	datadriven.RunTest(t, "testdata/screen.txt", func(t *testing.T, d *datadriven.TestData) string {
		v := screen{dataDirs: []string{"/home/me/ottla-data"}, clusterID: "4L6g3nShT-eMCtK--X86sw", nodeID: 1, took: 23456 * time.Microsecond}
		var listeners string
		d.ScanArgs(t, "listeners", &listeners)
		v.addresses = strings.Split(listeners, ";")
		d.MaybeScanArgs(t, "admin", &v.admin)
		d.MaybeScanArgs(t, "settings", &v.settings)
		_, v.bootstrap, _ = strings.Cut(v.addresses[0], "://")
		v.loopback = !d.HasArg("open")
		v.metadata = v.dataDirs[0]
		if d.HasArg("two-disks") {
			v.dataDirs, v.metadata = []string{"/disk1", "/disk2"}, "/fast/metadata"
		}
		var b strings.Builder
		if err := v.write(&b); err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(b.String(), buildVersion().Version, "VERSION")
	})
}
