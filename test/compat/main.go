package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

type options struct {
	target   string
	only     []string
	clients  *regexp.Regexp
	features *regexp.Regexp
	binary   string
	control  string
	record   bool
	hold     bool
	keep     bool
	parallel int
}

func parseOptions() (options, error) {
	var o options
	var only, clients, features string
	flag.StringVar(&o.target, "target", "ottla", "what is tested: ottla or kafka")
	flag.StringVar(&only, "only", "matrix,tools,suite,gotchas", "parts to run, with commas")
	flag.StringVar(&clients, "clients", "", "expression: only these clients of the matrix")
	flag.StringVar(&features, "features", "", "expression: only these features of the matrix or cases of the tools")
	flag.StringVar(&o.binary, "binary", "", "with -target ottla: this program instead of one built from ./cmd/ottla")
	flag.StringVar(&o.control, "control", "live", "the tools' control: live (Apache Kafka is started) or recorded (testdata)")
	flag.BoolVar(&o.record, "record", false, "with -target kafka: write what the tools print to testdata")
	flag.BoolVar(&o.hold, "hold", false, "only start the target, say where it is, and wait for an interrupt")
	flag.BoolVar(&o.keep, "keep", false, "keep the scratch directory")
	flag.IntVar(&o.parallel, "parallel", 3, "drivers that run at the same time; they mostly wait")
	flag.Parse()
	o.only = strings.Split(only, ",")
	for _, part := range o.only {
		if !slices.Contains([]string{"matrix", "tools", "suite", "gotchas"}, part) {
			return o, fmt.Errorf("-only %s: there is no part %q", only, part)
		}
	}
	var err error
	if o.clients, err = regexp.Compile(clients); err != nil {
		return o, fmt.Errorf("-clients: %w", err)
	}
	if o.features, err = regexp.Compile(features); err != nil {
		return o, fmt.Errorf("-features: %w", err)
	}
	if o.record && o.target != "kafka" {
		return o, errors.New("-record records the control: it needs -target kafka")
	}
	return o, nil
}

func main() {
	o, err := parseOptions()
	if err == nil {
		err = run(o)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root, err := repositoryRoot()
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "ottla-compat-")
	if err != nil {
		return err
	}
	if o.keep {
		fmt.Println("compat: scratch directory", scratch)
	} else {
		defer os.RemoveAll(scratch)
	}
	t := &targets{root: root, clients: filepath.Join(root, ".clients"), scratch: scratch}
	if o.binary != "" {
		if t.binary, err = filepath.Abs(o.binary); err != nil {
			return err
		}
	}
	if o.hold {
		return hold(ctx, t, o)
	}
	found := newReport(o)
	parts := map[string]func(context.Context, *targets, options, *report) error{
		"matrix": runMatrix, "tools": runTools, "suite": runSuite, "gotchas": runGotchas,
	}
	for _, name := range []string{"matrix", "tools", "suite", "gotchas"} {
		if !slices.Contains(o.only, name) {
			continue
		}
		start := time.Now()
		fmt.Printf("compat: %s against %s …\n", name, o.target)
		if err := parts[name](ctx, t, o, found); err != nil {
			found.fail(name, "run", err.Error())
		}
		fmt.Printf("compat: %s took %d s\n", name, int(time.Since(start).Seconds()))
	}
	return found.print(os.Stdout)
}

func hold(ctx context.Context, t *targets, o options) error {
	n, err := t.new(ctx, o.target, quick...)
	if err != nil {
		return err
	}
	if err := n.Start(ctx); err != nil {
		return err
	}
	fmt.Printf("%s listens on %s, data in %s; interrupt to stop\n", n.Name, n.Bootstrap, n.DataDir)
	<-ctx.Done()
	return n.Stop()
}

func repositoryRoot() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("run this inside the repository")
	}
	return filepath.Dir(mod), nil
}
