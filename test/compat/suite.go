package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

const (
	suiteModule  = "github.com/twmb/franz-go"
	suiteRecords = "50000" // of each chain of groups; the suite's own default is ten times that
	suiteLimit   = 6 * time.Minute
)

// suiteEntry is one line of suite.txt: a test that is not run against Ottla, or one that skips itself.
type suiteEntry struct {
	kind, name, reason string
	used               bool
}

func readSuite(file string) ([]*suiteEntry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var all []*suiteEntry
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		fields := strings.SplitN(text, " ", 3)
		if len(fields) != 3 || fields[0] != "leave" && fields[0] != "itself" {
			return nil, fmt.Errorf("%s:%d: want: leave|itself TEST REASON", file, n)
		}
		all = append(all, &suiteEntry{kind: fields[0], name: fields[1], reason: strings.TrimSpace(fields[2])})
	}
	return all, lines.Err()
}

// runSuite builds the tests of franz-go's client where the module cache has them and runs them against the target.
func runSuite(ctx context.Context, t *targets, o options, r *report) error {
	entries, err := readSuite(filepath.Join(t.root, "test/compat/suite.txt"))
	if err != nil {
		return err
	}
	dir, err := t.suiteDir(ctx)
	if err != nil {
		return err
	}
	binary, err := t.buildSuite(ctx, dir)
	if err != nil {
		return err
	}
	n, err := t.new(ctx, o.target, quick...)
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	defer n.Stop()
	args := []string{"-test.v", "-test.timeout", suiteLimit.String()}
	var leave []string
	for _, e := range entries {
		if e.kind == "leave" && o.target == "ottla" {
			leave, e.used = append(leave, "^"+e.name+"$"), true
			r.add("suite", e.name, cell{na, e.reason, 0})
		}
	}
	if len(leave) > 0 {
		args = append(args, "-test.skip", strings.Join(leave, "|"))
	}
	ctx, cancel := context.WithTimeout(ctx, suiteLimit+30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Dir = filepath.Join(dir, "pkg", "kgo")
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+n.Bootstrap, "KGO_TEST_RF=1", "KGO_TEST_RECORDS="+suiteRecords, "KGO_LOG_LEVEL=none")
	if err := goTests(cmd, filepath.Join(t.scratch, "suite.out"), func(name string, c cell) {
		r.add("suite", name, allowed(entries, name, c))
	}); err != nil {
		return err
	}
	for _, e := range entries {
		if o.target == "ottla" && !e.used {
			r.fail("suite", "suite.txt", "the entry for "+e.name+" matches nothing: remove it")
		}
	}
	if err := n.Stop(); err != nil {
		return err
	}
	return nil
}

// allowed gives a test that skipped itself its reason of suite.txt; without one it is red.
func allowed(entries []*suiteEntry, name string, c cell) cell {
	if c.verdict != na {
		return c
	}
	for _, e := range entries {
		if e.kind == "itself" && e.name == name {
			e.used = true
			return cell{na, e.reason, 0}
		}
	}
	return cell{fail, "it skipped itself, and suite.txt has no reason for that: " + c.reason, 0}
}

func (t *targets) suiteDir(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-json", suiteModule)
	cmd.Dir = filepath.Join(t.root, "test/compat/goclients")
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find %s (run `make clients` first): %w", suiteModule, err)
	}
	var module struct{ Dir, Version string }
	if err := json.Unmarshal(out, &module); err != nil {
		return "", err
	}
	if module.Dir == "" {
		return "", fmt.Errorf("%s %s is not in the module cache: run `make clients` first", suiteModule, module.Version)
	}
	return module.Dir, nil
}

// buildSuite leaves the module cache as it is: go.mod and go.sum are used from a copy.
func (t *targets) buildSuite(ctx context.Context, dir string) (string, error) {
	overlay := filepath.Join(t.scratch, "suite")
	if err := os.MkdirAll(overlay, 0o755); err != nil {
		return "", err
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return "", err
		}
		if err := os.WriteFile(filepath.Join(overlay, name), text, 0o644); err != nil {
			return "", err
		}
	}
	binary := filepath.Join(overlay, "kgo.test")
	cmd := exec.CommandContext(ctx, "go", "test", "-mod=mod", "-modfile="+filepath.Join(overlay, "go.mod"), "-c", "-o", binary, "./pkg/kgo")
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build franz-go's tests: %w\n%s", err, out)
	}
	return binary, nil
}

var testLine = regexp.MustCompile(`^( *)--- (PASS|FAIL|SKIP): (\S+) `)

// goTests runs a test binary or `go test -v` and hands over every test that ended; no test at all is an error.
func goTests(cmd *exec.Cmd, log string, found func(name string, c cell)) error {
	out, err := cmd.CombinedOutput()
	if writeErr := os.WriteFile(log, out, 0o644); writeErr != nil {
		return writeErr
	}
	failed, tests := false, 0
	lines := bytes.Split(out, []byte("\n"))
	for i, line := range lines {
		m := testLine.FindSubmatch(line)
		if m == nil {
			continue
		}
		tests++
		name, reason := string(m[3]), ""
		// What a test printed stands above its line or, indented, below it.
		for j := max(0, i-8); j < min(len(lines), i+4); j++ {
			if text := bytes.TrimSpace(lines[j]); bytes.Contains(text, []byte("_test.go:")) {
				reason = string(text)
			}
		}
		switch string(m[2]) {
		case "PASS":
			found(name, cell{verdict: pass})
		case "SKIP":
			found(name, cell{na, reason, 0})
		default:
			failed = true
			found(name, cell{fail, reason, 0})
		}
	}
	if tests == 0 || err != nil && !failed {
		return fmt.Errorf("%s: %v, %d tests ended, its output ends:\n%s", filepath.Base(cmd.Path), err, tests, tail(log))
	}
	return nil
}

// runGotchas runs the package of that name against the target.
func runGotchas(ctx context.Context, t *targets, o options, r *report) error {
	n, err := t.new(ctx, o.target, quick...)
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	defer n.Stop()
	cmd := exec.CommandContext(ctx, "go", "test", "-count=1", "-v", "./test/compat/gotchas")
	cmd.Dir = t.root
	cmd.Env = append(os.Environ(), "OTTLA_GOTCHAS="+n.Bootstrap)
	if err := goTests(cmd, filepath.Join(t.scratch, "gotchas.out"), func(name string, c cell) {
		if c.verdict == na { // none of ours may skip itself
			c.verdict = fail
		}
		r.add("gotchas", name, c)
	}); err != nil {
		return err
	}
	return n.Stop()
}
