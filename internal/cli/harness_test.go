package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
)

// patience bounds every wait of these tests; none of them comes near it.
const patience = 30 * time.Second

// openNode starts a node in a directory of its own and returns where clients connect.
func openNode(t *testing.T, overrides ...string) string {
	t.Helper()
	bootstrap, _ := openNodeIn(t, t.TempDir(), "127.0.0.1:0", overrides...)
	return bootstrap
}

func openNodeIn(t *testing.T, dir, address string, overrides ...string) (bootstrap string, stop func()) {
	t.Helper()
	settings, err := config.ParseOverrides(append([]string{
		"listeners=PLAINTEXT://" + address, "log.dirs=" + dir, "ottla.admin.listener=", "group.initial.rebalance.delay.ms=0",
	}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	static, err := config.Load(config.Options{}, settings)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{Static: static, Loggers: node.NewLoggers(io.Discard, slog.LevelError)})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := n.Close(context.Background()); err != nil {
			t.Errorf("close the node: %v", err)
		}
	})
	t.Cleanup(func() { stop() })
	return n.Addresses().Listeners["PLAINTEXT"], stop
}

// invocation is one run of the command line.
type invocation struct {
	code     int
	out, err string
}

// run runs the command line to its end, with a timeout for the brokers that no healthy one needs.
func run(t *testing.T, bootstrap, stdin string, args ...string) invocation {
	t.Helper()
	s := start(t, bootstrap, strings.NewReader(stdin), args...)
	return s.wait()
}

// succeed runs the command line and fails the test unless it ends with 0.
func succeed(t *testing.T, bootstrap, stdin string, args ...string) invocation {
	t.Helper()
	got := run(t, bootstrap, stdin, args...)
	if got.code != exitOK {
		t.Fatalf("ottla %s: exit code %d\n%s%s", strings.Join(args, " "), got.code, got.out, got.err)
	}
	return got
}

// asJSON runs a verb with -o json and reads its document.
func asJSON[T any](t *testing.T, bootstrap string, args ...string) T {
	t.Helper()
	var document T
	got := succeed(t, bootstrap, "", append(args, "-o", "json")...)
	if err := json.Unmarshal([]byte(got.out), &document); err != nil {
		t.Fatalf("ottla %s: %v\n%s", strings.Join(args, " "), err, got.out)
	}
	return document
}

// started is a run of the command line that goes on.
type started struct {
	t        *testing.T
	signals  chan os.Signal
	out, err *watched
	code     chan int
}

func start(t *testing.T, bootstrap string, stdin io.Reader, args ...string) *started {
	t.Helper()
	var environ []string
	if bootstrap != "" {
		environ = []string{bootstrapVariable + "=" + bootstrap}
	}
	return startIn(t, environ, stdin, args...)
}

func startIn(t *testing.T, environ []string, stdin io.Reader, args ...string) *started {
	t.Helper()
	return startTo(t, newWatched(), environ, stdin, args...)
}

func startTo(t *testing.T, out *watched, environ []string, stdin io.Reader, args ...string) *started {
	t.Helper()
	s := &started{t: t, signals: make(chan os.Signal, 2), out: out, err: newWatched(), code: make(chan int, 1)}
	p := s.process(environ, stdin, args)
	go func() { s.code <- p.run() }()
	return s
}

// startAttended runs the command line for a person who watches stderr, and has sent stdout elsewhere.
func startAttended(t *testing.T, bootstrap string, stdin io.Reader, args ...string) *started {
	t.Helper()
	s := &started{t: t, signals: make(chan os.Signal, 2), out: newWatched(), err: newWatched(), code: make(chan int, 1)}
	p := s.process([]string{bootstrapVariable + "=" + bootstrap}, stdin, args)
	p.terminal = func(stream any) bool { return stream == any(s.err) }
	go func() { s.code <- p.run() }()
	return s
}

func (s *started) process(environ []string, stdin io.Reader, args []string) *process {
	return &process{
		args: append([]string{"ottla"}, args...), in: stdin, out: s.out, err: s.err, signals: s.signals, environ: environ,
		exit: func(code int) { s.t.Errorf("ottla %s: ended at once with %d", strings.Join(args, " "), code) },
	}
}

// interrupt is Ctrl-C.
func (s *started) interrupt() { s.signals <- syscall.SIGINT }

func (s *started) wait() invocation {
	s.t.Helper()
	select {
	case code := <-s.code:
		return invocation{code, s.out.String(), s.err.String()}
	case <-time.After(patience):
		s.t.Fatalf("the verb did not end\n%s%s", s.out, s.err)
	}
	return invocation{}
}

// watched keeps what was written and lets others wait for it.
type watched struct {
	mu struct {
		sync.Mutex
		text    bytes.Buffer
		changed chan struct{}
		fail    error // of every further write
	}
}

func newWatched() *watched {
	w := &watched{}
	w.mu.changed = make(chan struct{})
	return w
}

func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.fail != nil {
		return 0, w.mu.fail
	}
	close(w.mu.changed)
	w.mu.changed = make(chan struct{})
	return w.mu.text.Write(p)
}

// fail makes every further write fail.
func (w *watched) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.mu.fail = err
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.mu.text.String()
}

// await waits until a text was written.
func (w *watched) await(t *testing.T, text string) string {
	t.Helper()
	deadline := time.After(patience)
	for {
		w.mu.Lock()
		now, changed := w.mu.text.String(), w.mu.changed
		w.mu.Unlock()
		if strings.Contains(now, text) {
			return now
		}
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("%q was not written, only\n%s", text, now)
		}
	}
}

// eventually waits for something that nobody announces.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	deadline := time.After(patience)
	pace := time.NewTicker(5 * time.Millisecond)
	defer pace.Stop()
	for !happened() {
		select {
		case <-pace.C:
		case <-deadline:
			t.Fatalf("%s did not happen", what)
		}
	}
}

// endOf is the end offset of a topic's first partition.
func endOf(t *testing.T, bootstrap, topic string) int64 {
	t.Helper()
	topics := asJSON[[]describedTopic](t, bootstrap, "topic", "describe", topic)
	return *topics[0].Partitions[0].End
}
