package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// Exit codes.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// Main runs the command line of this process and returns its exit code. A second signal ends the process without returning.
func Main(args []string) int {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	// A reader that goes away is an error of the write, not the death of a process that has a group to leave or a node to serve.
	signal.Ignore(syscall.SIGPIPE)
	p := process{args: args, in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ(), signals: signals, exit: os.Exit}
	return p.run()
}

// process is what the command line takes from the operating system.
type process struct {
	args     []string // the first is the program
	in       io.Reader
	out, err io.Writer
	environ  []string
	signals  <-chan os.Signal
	exit     func(code int)
	terminal func(stream any) bool // as shell's
}

var errInterrupted = errors.New("interrupted")

// interruption is errInterrupted if that is why the context ended.
func interruption(ctx context.Context) error {
	if cause := context.Cause(ctx); errors.Is(cause, errInterrupted) {
		return cause
	}
	return nil
}

func (p *process) run() int {
	started := time.Now()
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	done := make(chan struct{})
	defer close(done)
	go p.awaitSignals(cancel, done)

	s := &shell{in: p.in, out: p.out, err: p.err, environ: p.environ, started: started, terminal: p.terminal}
	root := s.root()
	root.SetArgs(p.args[1:])
	root.SetIn(p.in)
	root.SetOut(p.out)
	root.SetErr(p.err)
	command, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	switch usage := (*usageError)(nil); {
	case errors.As(err, &usage):
		fmt.Fprintf(p.err, "ottla: %v\nSee `%s --help`.\n", err, command.CommandPath())
		return exitUsage
	case errors.Is(err, syscall.EPIPE): // who read our output has seen enough
		return exitOK
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.Is(err, errReported):
		return exitFailure
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(p.err, "ottla: %s\n", line)
	}
	return exitFailure
}

// sameSignal is how long after the first signal others count as that one: timeout(1), for one, sends it to the process and at once again to its group.
const sameSignal = 100 * time.Millisecond

// awaitSignals ends the verb's context at the first signal and the process at the second.
func (p *process) awaitSignals(cancel context.CancelCauseFunc, done <-chan struct{}) {
	var first time.Time
	for {
		select {
		case <-done:
			return
		case <-p.signals:
		}
		switch {
		case first.IsZero():
			first = time.Now()
			cancel(errInterrupted)
		case time.Since(first) > sameSignal:
			p.exit(exitInterrupted)
			return
		}
	}
}
