//go:build unix

package fault

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/cli"
	"github.com/ottla/ottla/test/fault/raw"
	"github.com/ottla/ottla/test/transcript"
)

// childVariable says what a started test binary is to be.
const childVariable = "FAULT_CHILD"

func TestMain(m *testing.M) {
	switch child := os.Getenv(childVariable); child {
	case "":
		os.Exit(m.Run())
	case "node":
		if err := os.Unsetenv(childVariable); err != nil {
			panic(err)
		}
		os.Exit(cli.Main(append([]string{"ottla", "serve", "--quiet"}, os.Args[1:]...)))
	default:
		os.Exit(serveMutant(child, os.Args[1:]))
	}
}

// long says that the long form runs, with the limits that are promised; the short form is generous with time, because machines are noisy.
var long = os.Getenv("OTTLA_LONG") != ""

// limit is a promised time: the short form allows three times as much.
func limit(d time.Duration) time.Duration {
	if long {
		return d
	}
	return 3 * d
}

// within fails when something took longer than promised, and says how long it took in any case.
func within(t *testing.T, what string, took, promised time.Duration) {
	t.Helper()
	t.Logf("%s: %v (promised: under %v)", what, took.Round(10*time.Microsecond), promised)
	if took > limit(promised) {
		t.Errorf("%s took %v, more than %v", what, took, limit(promised))
	}
}

// eventually polls until ok or the deadline.
func eventually(t *testing.T, what string, deadline time.Duration, ok func() bool) {
	t.Helper()
	if !poll(deadline, ok) {
		t.Fatalf("not within %v: %s", deadline, what)
	}
}

// poll asks every few milliseconds until ok or the deadline.
func poll(deadline time.Duration, ok func() bool) bool {
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	over := time.After(deadline)
	for {
		if ok() {
			return true
		}
		select {
		case <-ticker.C:
		case <-over:
			return ok()
		}
	}
}

// pause waits for a time that is the experiment itself, such as how long a node is left idle.
func pause(d time.Duration) { <-time.After(d) }

// launch says how a node is started.
type launch struct {
	dir       string
	port      int      // of the Kafka listener; 0 takes a free one
	child     string   // "node" when empty
	wrap      []string // a command that runs the node, such as strace
	overrides []string
}

// process is one run of a node.
type process struct {
	launch
	t       *testing.T
	cmd     *exec.Cmd
	stderr  *transcript.Transcript
	address string // of the Kafka listener
	began   time.Time
	exited  chan struct{}
	exit    error // valid once exited is closed
}

// run starts a node without waiting until it serves.
func run(t *testing.T, l launch) *process {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{}, l.wrap...)
	args = append(args, exe)
	for _, o := range append([]string{
		"listeners=PLAINTEXT://127.0.0.1:" + strconv.Itoa(l.port), "log.dirs=" + l.dir, "ottla.admin.listener=127.0.0.1:0", "group.initial.rebalance.delay.ms=0",
	}, l.overrides...) {
		args = append(args, "--override", o)
	}
	if l.child == "" {
		l.child = "node"
	}
	p := &process{launch: l, t: t, cmd: exec.Command(args[0], args[1:]...), stderr: &transcript.Transcript{}, exited: make(chan struct{})}
	p.cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "TMPDIR=" + os.TempDir(), childVariable + "=" + l.child}
	p.cmd.Stderr = p.stderr
	stdout, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.began = time.Now()
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	addresses := make(chan string, 1)
	go p.watch(stdout, addresses)
	t.Cleanup(p.kill)
	if l.port != 0 {
		p.address = net.JoinHostPort("127.0.0.1", strconv.Itoa(l.port))
		return p
	}
	select {
	case p.address = <-addresses:
	case <-p.exited:
		t.Fatalf("the node ended before it served: %v\n%s", p.exit, p.tail())
	case <-time.After(60 * time.Second):
		t.Fatalf("the node did not print its address within 60 s\n%s", p.tail())
	}
	return p
}

// watch reads what the node prints, then waits for its end.
func (p *process) watch(stdout io.Reader, addresses chan<- string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		if address, ok := strings.CutPrefix(lines.Text(), "PLAINTEXT://"); ok && len(addresses) == 0 {
			addresses <- address
		}
	}
	p.exit = p.cmd.Wait()
	close(p.exited)
}

// start runs a node and waits until it answers.
func start(t *testing.T, l launch) *process {
	t.Helper()
	p := run(t, l)
	p.serving()
	return p
}

// serving waits until the node answers and returns how long that took from its start.
func (p *process) serving() time.Duration {
	p.t.Helper()
	if !poll(60*time.Second, func() bool {
		select {
		case <-p.exited:
			p.t.Fatalf("the node ended before it served: %v\n%s", p.exit, p.tail())
		default:
		}
		return answers(p.address)
	}) {
		p.t.Fatalf("the node did not serve within 60 s\n%s", p.tail())
	}
	return time.Since(p.began)
}

// answers tells whether somebody at an address answers ApiVersions and knows a broker.
func answers(address string) bool {
	c, err := raw.Dial(address)
	if err != nil {
		return false
	}
	defer c.Close()
	c.Timeout = 5 * time.Second
	if _, err := c.Do(apiVersions()); err != nil {
		return false
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version, metadata.Topics = 12, []kmsg.MetadataRequestTopic{}
	resp, err := raw.Ask[*kmsg.MetadataResponse](c, metadata)
	return err == nil && len(resp.Brokers) == 1
}

func apiVersions() *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.Version, req.ClientSoftwareName, req.ClientSoftwareVersion = 3, "fault", "1"
	return req
}

// kill ends the process as a crash does. It may be called again.
func (p *process) kill() {
	select {
	case <-p.exited:
		return
	default:
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Errorf("kill the node: %v", err)
		return
	}
	<-p.exited
}

// signal sends a signal.
func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatalf("signal the node: %v\n%s", err, p.tail())
	}
}

// wait waits for the end and returns the exit code, -1 for a signal.
func (p *process) wait(deadline time.Duration) int {
	p.t.Helper()
	select {
	case <-p.exited:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(deadline):
		p.t.Fatalf("the node did not end within %v\n%s", deadline, p.tail())
		return 0
	}
}

// stop ends the node in order.
func (p *process) stop() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.wait(60 * time.Second); code != 0 {
		p.t.Fatalf("the node ended with exit code %d\n%s", code, p.tail())
	}
}

// tail is the end of the node's log.
func (p *process) tail() string {
	return p.stderr.Tail(8 << 10)
}

// events is the node's log without the lines that every start after a crash has for each log.
func (p *process) events() string {
	var out strings.Builder
	for line := range strings.Lines(p.stderr.String()) {
		if !strings.Contains(line, `msg="log recovered"`) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// healthy fails the test when the node's log has a bug of its own.
func (p *process) healthy() {
	p.t.Helper()
	for _, word := range []string{"BUG:", "panic:", "FATAL:", "DATA RACE"} {
		if strings.Contains(p.stderr.String(), word) {
			p.t.Fatalf("the node's log has %s\n%s", word, p.tail())
		}
	}
}

// dial opens a plain connection to the node.
func (p *process) dial() *raw.Conn {
	p.t.Helper()
	c, err := raw.Dial(p.address)
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.tail())
	}
	p.t.Cleanup(func() { _ = c.Close() }) // the node may be gone
	return c
}

// steadyPort finds a free port below those that the system gives to outgoing connections, so that nobody takes it while the node is down.
func steadyPort(t *testing.T) int {
	t.Helper()
	const low, high = 20_000, 30_000
	for range 200 {
		port := low + rand.IntN(high-low)
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no free port")
	return 0
}
