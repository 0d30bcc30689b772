// Bench runs Ottla and Apache Kafka in turn on one machine under the same load and prints what each of them did with it, and what that cost. README.md has the
// method and the goals.
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
	"runtime"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) == 2 && os.Args[1] == generatorArgument {
		if err := generate(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench generator:", err)
			os.Exit(1)
		}
		return
	}
	if len(os.Args) == 3 && os.Args[1] == floorArgument {
		fmt.Fprintln(os.Stderr, "bench floor:", serveFloor(os.Args[2]))
		os.Exit(1)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

type options struct {
	short                                      bool
	rounds                                     int
	measure                                    time.Duration
	cell, target, output, binary, dir, profile string
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.short, "short", false, "one round of short measurements, as CI runs it")
	f.IntVar(&o.rounds, "rounds", 0, "how often each broker has its turn (3, with -short 1)")
	f.DurationVar(&o.measure, "measure", 0, "how long each measurement takes (6s, with -short 2s)")
	f.StringVar(&o.cell, "cell", "", "cells to run, separated by commas: "+cellNames()+" (all)")
	f.StringVar(&o.target, "target", "both", "ottla, kafka or both; with both also the floor, a server that only answers")
	f.StringVar(&o.output, "o", "", "write the results as a page too: a file, or a directory in which it is named after the date")
	f.StringVar(&o.binary, "binary", "", "an ottla to measure instead of building ./cmd/ottla")
	f.StringVar(&o.dir, "dir", "", "where the brokers' directories are made (the system's temporary directory)")
	f.StringVar(&o.profile, "profile", "", "save profiles of Ottla in this directory; taking them costs some speed")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if o.rounds < 0 || o.rounds > 100 || o.measure < 0 || o.measure > time.Minute {
		return nil, errors.New("-rounds is 1 to 100, -measure up to 1m")
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	root, err := repository()
	if err != nil {
		return err
	}
	b := &bench{pace: longPace, binary: o.binary, profile: o.profile, note: note}
	if o.short {
		b.pace = shortPace
	}
	if o.rounds > 0 {
		b.pace.rounds = o.rounds
	}
	if o.measure > 0 {
		b.pace.measure = o.measure
	}
	var unknown string
	if b.cells, unknown = choose(o.cell); unknown != "" {
		return fmt.Errorf("there is no cell %q: it is one of %s", unknown, cellNames())
	}
	if b.scratch, err = os.MkdirTemp(o.dir, "ottla-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if err := b.chooseTargets(ctx, root, o.target); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, b.pace.limit)
	defer cancel()
	began := time.Now()
	if err := b.run(ctx); err != nil {
		return err
	}
	b.print(os.Stdout)
	fmt.Printf("\ntook %s\n", time.Since(began).Round(time.Second))
	if o.output == "" {
		return nil
	}
	return b.write(o.output, describeMachine(root), "go run ./bench "+strings.Join(args, " "))
}

func note(format string, args ...any) { fmt.Printf(format+"\n", args...) }

// repository finds the directory of go.mod.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("%s is not inside the repository", dir)
		}
	}
}

// chooseTargets builds Ottla and finds Kafka, as far as they are wanted.
func (b *bench) chooseTargets(ctx context.Context, root, target string) error {
	switch target {
	case "ottla", "kafka", "both":
	default:
		return fmt.Errorf("-target %s: it is ottla, kafka or both", target)
	}
	if target != "kafka" {
		if b.binary == "" {
			b.binary = filepath.Join(b.scratch, "ottla")
			if runtime.GOOS == "windows" {
				b.binary += ".exe"
			}
			cmd := exec.CommandContext(ctx, "go", "build", "-o", b.binary, "./cmd/ottla")
			cmd.Dir = root
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as it is shipped: one static binary
			if out, err := cmd.CombinedOutput(); err != nil {
				return fmt.Errorf("build ./cmd/ottla: %w\n%s", err, out)
			}
		}
		b.targets = append(b.targets, "ottla")
	}
	if target == "ottla" {
		return nil
	}
	jars, err := findKafka(root)
	switch {
	case err != nil && target == "kafka":
		return err
	case err != nil:
		b.note("%v", err)
		return nil
	}
	b.jars = jars
	b.targets = append(b.targets, "kafka")
	if target == "both" {
		b.targets = append(b.targets, "floor")
	}
	return nil
}

// write saves the page.
func (b *bench) write(path string, m machine, command string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, m.Date+".md")
	}
	var text strings.Builder
	b.markdown(&text, m, command)
	if err := os.WriteFile(path, []byte(text.String()), 0o644); err != nil {
		return err
	}
	b.note("wrote %s", path)
	return nil
}
