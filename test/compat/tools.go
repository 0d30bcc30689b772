package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

// toolRun is one pass of all cases against one node.
type toolRun struct {
	t      *targets
	n      *Node
	tools  *toolRunner
	chosen *regexp.Regexp
	out    map[string]string // case → masked output
	group  string            // whose member is running
	member *exec.Cmd
}

func runTools(ctx context.Context, t *targets, o options, r *report) error {
	allowed, err := readDifferences(filepath.Join(t.root, "test/compat/differences.txt"))
	if err != nil {
		return err
	}
	target, control := &toolRun{t: t, chosen: o.features}, &toolRun{t: t, chosen: o.features}
	var wait sync.WaitGroup
	var targetErr, controlErr error
	// Both prepare before they run side by side: the scratch directory and the build are shared.
	if _, err := t.goclients(ctx); err != nil {
		return err
	}
	if err := target.open(ctx, o.target, "target"); err != nil {
		return err
	}
	defer target.close()
	switch {
	case o.record:
	case o.control == "recorded":
		control.out, controlErr = readRecorded(t)
	default:
		if err := t.missing("java/kafka-4.4.0"); err != nil {
			return err
		}
		if err := control.open(ctx, "kafka", "control"); err != nil {
			return err
		}
		defer control.close()
		wait.Go(func() { controlErr = control.all(ctx) })
	}
	wait.Go(func() { targetErr = target.all(ctx) })
	wait.Wait()
	if targetErr != nil {
		return targetErr
	}
	if controlErr != nil {
		return fmt.Errorf("the control: %w", controlErr)
	}
	if o.record {
		return writeRecorded(t, target.out, r)
	}
	for _, c := range append(toolCases(), dumpCases...) {
		if !o.features.MatchString(c.name) {
			continue
		}
		want, ok := control.out[c.name]
		if !ok {
			r.fail("tools", c.name, "the control has no output: record it again")
			continue
		}
		if left := unexpected(c.name, compare(want, target.out[c.name]), allowed); len(left) > 0 {
			r.fail("tools", c.name, "differs from the control (- control, + target):\n         "+strings.Join(left, "\n         "))
			continue
		}
		r.pass("tools", c.name)
	}
	if o.target == "ottla" && o.features.String() == "" {
		for _, d := range allowed {
			if !d.used {
				r.fail("tools", fmt.Sprintf("differences.txt:%d", d.line), "the entry matches nothing: remove it")
			}
		}
	}
	return nil
}

func (u *toolRun) open(ctx context.Context, kind, name string) (err error) {
	u.out = map[string]string{}
	if u.tools, err = newToolRunner(ctx, u.t, name); err != nil {
		return err
	}
	overrides := quick
	if kind == "ottla" {
		overrides = append(overrides[:len(overrides):len(overrides)], single...)
	}
	if u.n, err = u.t.new(ctx, kind, overrides...); err != nil {
		return err
	}
	for file, content := range toolFiles {
		if err := os.WriteFile(filepath.Join(u.n.Dir, file), []byte(content), 0o644); err != nil {
			return err
		}
	}
	return u.n.Start(ctx)
}

func (u *toolRun) close() {
	u.keepMember(context.Background(), "")
	u.tools.close()
	u.n.Stop()
}

// all runs every case; the segments are read once the node has stopped.
func (u *toolRun) all(ctx context.Context) error {
	for _, c := range toolCases() {
		if err := u.one(ctx, c); err != nil {
			return err
		}
	}
	if err := u.n.Stop(); err != nil {
		return err
	}
	for _, c := range dumpCases {
		if err := u.one(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

var fileWord = regexp.MustCompile(`\{file:([^}]+)\}`)

func (u *toolRun) one(ctx context.Context, c toolCase) error {
	if !u.chosen.MatchString(c.name) {
		return nil
	}
	if err := u.keepMember(ctx, c.with); err != nil {
		return fmt.Errorf("%s: %w", c.name, err)
	}
	var args []string
	for _, a := range c.args {
		a = strings.NewReplacer("{broker}", u.n.Bootstrap, "{data}", u.n.DataDir).Replace(a)
		args = append(args, fileWord.ReplaceAllString(a, u.n.Dir+"/$1"))
	}
	deadline := time.Now().Add(20 * time.Second)
	for {
		o, err := u.tools.run(c.class, c.stdin, args...)
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		u.out[c.name] = masked(o, c, u.n)
		if c.until == "" || strings.Contains(u.out[c.name], c.until) || time.Now().After(deadline) || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// keepMember runs a member of this group, and only of it; "" means none.
func (u *toolRun) keepMember(ctx context.Context, group string) error {
	if u.group == group {
		return nil
	}
	if u.member != nil {
		u.member.Process.Kill()
		u.member.Wait() // its state is the signal we sent
		u.member = nil
	}
	u.group = group
	if group == "" {
		return nil
	}
	binary, err := u.t.goclients(ctx)
	if err != nil {
		return err
	}
	u.member = exec.Command(binary, "franz", "member", u.n.Bootstrap, group, "people")
	return u.member.Start()
}

func recordedFile(t *targets) string {
	return filepath.Join(t.root, "test/compat/testdata/tools-kafka-4.4.txt")
}

// writeRecorded keeps all outputs in one file that a person can read; a line of === starts a case.
func writeRecorded(t *targets, out map[string]string, r *report) error {
	var b strings.Builder
	b.WriteString("What Kafka's tools 4.3.1 print on Apache Kafka 4.4.0, masked. Written by -target kafka -only tools -record.\n")
	for _, c := range append(toolCases(), dumpCases...) {
		if text, ok := out[c.name]; ok {
			fmt.Fprintf(&b, "=== %s\n%s", c.name, text)
			r.pass("tools", c.name)
		}
	}
	if err := os.MkdirAll(filepath.Dir(recordedFile(t)), 0o755); err != nil {
		return err
	}
	return os.WriteFile(recordedFile(t), []byte(b.String()), 0o644)
}

func readRecorded(t *targets) (map[string]string, error) {
	text, err := os.ReadFile(recordedFile(t))
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, part := range strings.Split("\n"+string(text), "\n=== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		out[name] = strings.TrimRight(rest, "\n") + "\n"
	}
	return out, nil
}
