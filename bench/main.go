// Bench runs Ottla and Apache Kafka in turn on one machine under the same load and prints what each of them did with it, and what that cost. README.md has the
// method and the goals.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
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
	short, quick, save, page           bool
	rounds                             int
	measure                            time.Duration
	cell, target, binary, dir, profile string
}

func parse(args []string) (*options, error) {
	o := &options{}
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.BoolVar(&o.short, "short", false, "one round of very short measurements, every cell against Ottla and the base cells against Kafka too, as CI runs it")
	f.BoolVar(&o.quick, "quick", false, "the base cells only, in less than 6 minutes")
	f.IntVar(&o.rounds, "rounds", 0, "how often each broker has its turn, if there is time (3, with -quick 2, with -short 1)")
	f.DurationVar(&o.measure, "measure", 0, "how long each measurement takes (3s, with -quick 1.5s, with -short 400ms)")
	f.StringVar(&o.cell, "cell", "", "cells to run, separated by commas: "+cellNames()+" (all)")
	f.StringVar(&o.target, "target", "both", "ottla, kafka or both; with both also NATS, and the floor, a server that only answers")
	f.BoolVar(&o.save, "save", false, "keep the result in "+resultsDir+" and write "+pageFile+" from the newest result of each cell")
	f.BoolVar(&o.page, "page", false, "write "+pageFile+" from what is kept, and run nothing")
	f.StringVar(&o.binary, "binary", "", "an ottla to measure instead of building ./cmd/ottla")
	f.StringVar(&o.dir, "dir", "", "where the brokers' directories are made (the system's temporary directory)")
	f.StringVar(&o.profile, "profile", "", "save profiles of Ottla in this directory; taking them costs some speed")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unknown argument %q", f.Arg(0))
	}
	if o.save && o.target != "both" {
		return nil, errors.New("-save keeps only runs of all sides: leave -target away")
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
	if o.page {
		return writePage(root)
	}
	b := &bench{pace: o.pace(), binary: o.binary, profile: o.profile, note: note, clients: filepath.Join(root, ".clients"), look: readMachineUse, schedule: newSchedule(time.Now)}
	var unknown string
	if b.cells, unknown = choose(o.cell); unknown != "" {
		return fmt.Errorf("there is no cell %q: it is one of %s", unknown, cellNames())
	}
	if b.earlier, err = loadResults(filepath.Join(root, resultsDir)); err != nil {
		return err
	}
	if o.save {
		if !slices.ContainsFunc(b.cells, func(c cell) bool { return c.name == "machine" }) { // its limits stand beside whatever is kept
			b.cells = append([]cell{*findCell("machine")}, b.cells...)
		}
		b.saveIn = filepath.Join(root, resultsDir)
	}
	b.result = newResult(describeMachine(root), "go run ./bench "+strings.Join(args, " "), &b.pace, time.Now())
	if b.scratch, err = os.MkdirTemp(o.dir, "ottla-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.scratch)) }()
	if err := b.chooseTargets(ctx, root, o.target); err != nil {
		return err
	}
	ctx, cancel := context.WithDeadlineCause(ctx, b.began.Add(b.pace.limit+b.pace.limit/20), fmt.Errorf("the run took longer than the %v that it may take", b.pace.limit))
	defer cancel()
	release, err := b.warmMemory(ctx)
	if err != nil {
		return err
	}
	defer release()
	err = b.run(ctx)
	b.print(os.Stdout)
	fmt.Printf("\ntook %s\n", b.elapsed().Round(time.Second))
	if o.save {
		err = errors.Join(err, writePage(root))
	}
	return err
}

func (o *options) pace() pace {
	p := longPace
	switch {
	case o.short:
		p = shortPace
	case o.quick:
		p = quickPace
	}
	p.baseOnly = p.baseOnly && o.cell == ""
	p.rounds, p.measure = cmp.Or(o.rounds, p.rounds), cmp.Or(o.measure, p.measure)
	return p
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
	}
	if target == "both" {
		b.targets = append(b.targets, "machine")
	}
	jars, err := findKafka(root)
	switch {
	case target == "ottla":
	case err == nil:
		b.jars = jars
		b.targets = append(b.targets, "kafka") // before Ottla: the rates of the open loops are parts of what it can do
	case target == "kafka":
		return err
	default:
		b.note("%v", err)
	}
	if target != "kafka" {
		b.targets = append(b.targets, "ottla")
	}
	if target != "both" {
		return nil
	}
	if slices.ContainsFunc(b.cells, func(c cell) bool { return b.pace.wants(&c, "nats", 0) }) {
		if b.nats, err = buildNATS(ctx, root, b.scratch); err != nil {
			b.note("%v", err)
		} else {
			b.targets = append(b.targets, "nats")
		}
	}
	b.targets = append(b.targets, "floor")
	return nil
}
