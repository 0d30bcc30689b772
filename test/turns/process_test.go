//go:build unix

package turns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/cli"
	"github.com/ottla/ottla/test/transcript"
)

const (
	childVariable = "TURNS_CHILD"
	kafka, ottla  = "kafka", "ottla"
)

// TestMain lets the test's own binary be ottla.
func TestMain(m *testing.M) {
	if os.Getenv(childVariable) == "" {
		os.Exit(m.Run())
	}
	os.Exit(cli.Main(append([]string{"ottla"}, os.Args[1:]...)))
}

// place is one data directory with its configuration, which both read.
type place struct {
	t          *testing.T
	jars       string
	dir        string   // of everything
	data       []string // log.dirs
	properties string
	address    string
	controller string // the address of its listener
	output     transcript.Transcript
	running    *exec.Cmd
	exited     chan error
	stopped    bool     // whoever was last stopped in order
	release    string   // of Kafka, that the directory is formatted for; empty for this one
	overrides  []string // settings of Kafka alone
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// longForm skips what takes minutes of Apache Kafka.
func longForm(t *testing.T) {
	t.Helper()
	if os.Getenv("OTTLA_LONG") == "" {
		t.Skip("not run: takes minutes of Apache Kafka; set OTTLA_LONG=1")
	}
}

// newPlace makes a place with so many log directories, and lines for its properties.
func newPlace(t *testing.T, dirs int, settings ...string) *place {
	t.Helper()
	return newPlaceOf(t, dirs, "", settings...)
}

// newPlaceOf makes a place that is formatted for a release of Kafka. Before 3.9 the voters of the metadata quorum stand in the configuration.
func newPlaceOf(t *testing.T, dirs int, release string, settings ...string) *place {
	t.Helper()
	if testing.Short() {
		t.Skip("not run: starts Apache Kafka; run without -short")
	}
	jars, err := filepath.Abs("../../.clients/java/kafka-4.4.0")
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(jars, "kafka_2.13-*.jar")); len(found) == 0 {
		t.Skip("not run: no Apache Kafka: run `make clients` first")
	}
	p := &place{t: t, jars: jars, dir: t.TempDir(), stopped: true, release: release}
	p.properties = filepath.Join(p.dir, "server.properties")
	for i := range dirs {
		p.data = append(p.data, filepath.Join(p.dir, fmt.Sprintf("data-%d", i)))
	}
	port, controller := freePort(t), freePort(t)
	p.address, p.controller = fmt.Sprintf("127.0.0.1:%d", port), fmt.Sprintf("127.0.0.1:%d", controller)
	voters := "controller.quorum.bootstrap.servers=" + p.controller
	if p.static() {
		voters = "controller.quorum.voters=1@" + p.controller
	}
	lines := []string{
		"process.roles=broker,controller", "node.id=1", fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s", p.address, p.controller),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT", "controller.listener.names=CONTROLLER",
		voters, "log.dirs=" + strings.Join(p.data, ","),
		"offsets.topic.replication.factor=1", "offsets.topic.num.partitions=5", "transaction.state.log.replication.factor=1", "transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1", "share.coordinator.state.topic.min.isr=1", "group.initial.rebalance.delay.ms=0", "log.segment.bytes=1048576",
	}
	if err := os.WriteFile(p.properties, []byte(strings.Join(append(lines, settings...), "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := "status=error\nappender.c.type=Console\nappender.c.name=C\nappender.c.layout.type=PatternLayout\nappender.c.layout.pattern=%d %p %m (%c)%n\nrootLogger.level=warn\nrootLogger.appenderRef.c.ref=C\n" +
		"logger.l.name=org.apache.kafka.server.BrokerLifecycleManager\nlogger.l.level=info\n"
	if err := os.WriteFile(filepath.Join(p.dir, "log4j2.properties"), []byte(log), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.running != nil {
			p.kill()
		}
		if t.Failed() {
			t.Log(p.output.Tail(6000))
		}
	})
	return p
}

func (p *place) java(args ...string) *exec.Cmd {
	return exec.Command("java", append([]string{"-Xmx400m", "-Xshare:auto", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1",
		"-Dlog4j2.configurationFile=" + filepath.Join(p.dir, "log4j2.properties"), "-cp", p.classes()}, args...)...)
}

// classes are Kafka's, and its tools, of which there is only the release before; they work on the server's classes.
func (p *place) classes() string {
	tools, _ := filepath.Glob(filepath.Join(p.jars, "..", "tools-*", "kafka-tools-*.jar")) // the pattern is a good one
	return strings.Join(append([]string{filepath.Join(p.jars, "*")}, tools...), string(filepath.ListSeparator))
}

// ottla is a command of Ottla's.
func (p *place) ottla(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "OTTLA_") }), childVariable+"=1")
	return cmd
}

// static tells whether the voters of the metadata quorum stand in the configuration, not in the log.
func (p *place) static() bool { return strings.HasPrefix(p.release, "3.") && p.release < "3.9" }

// recover has `ottla log recover` bring what only a journal has to the segments, in every directory.
func (p *place) recover() {
	p.t.Helper()
	for _, data := range p.data {
		if out, err := p.ottla("log", "recover", data).CombinedOutput(); err != nil {
			p.t.Fatalf("ottla log recover %s: %v\n%s", data, err, out)
		}
	}
}

func (p *place) format() {
	p.t.Helper()
	args := []string{"kafka.tools.StorageTool", "format", "-t", "b3R0bGEtY29tcGF0LTAwMQ", "-c", p.properties}
	if p.release != "" {
		args = append(args, "--release-version", p.release)
	} else {
		args = append(args, "--add-scram", "SCRAM-SHA-256=[name=alice,password=secret]")
	}
	if !p.static() {
		args = append(args, "--standalone")
	}
	out, err := p.java(args...).CombinedOutput()
	if err != nil {
		p.t.Fatalf("format: %v\n%s", err, out)
	}
}

// start runs one of the two and returns when it accepts connections.
func (p *place) start(who string) {
	p.t.Helper()
	var cmd *exec.Cmd
	if who == kafka {
		args := []string{"kafka.Kafka", p.properties}
		for _, o := range p.overrides {
			args = append(args, "--override", o)
		}
		cmd = p.java(args...)
	} else {
		cmd = p.ottla("serve", "--quiet", p.properties, "--override", "ottla.admin.listener=")
	}
	fmt.Fprintf(&p.output, "--- %s starts\n", who)
	cmd.Dir, cmd.Stdout, cmd.Stderr = p.dir, &p.output, &p.output
	before, began := len(p.output.String()), time.Now()
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	p.running, p.exited = cmd, make(chan error, 1)
	go func() { p.exited <- cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(2 * time.Minute)
	for {
		if c, err := net.DialTimeout("tcp", p.address, time.Second); err == nil {
			_ = c.Close() // it was only to see whether somebody is there
			p.t.Logf("%s listens after %v", who, time.Since(began).Round(10*time.Millisecond))
			if who == kafka {
				p.registered(p.output.String()[before:])
			}
			return
		}
		select {
		case err := <-p.exited:
			p.running = nil
			p.t.Fatalf("%s ended while it started: %v", who, err)
		case <-deadline:
			p.t.Fatalf("%s does not listen", who)
		case <-tick.C:
		}
	}
}

// registered fails when Kafka had to wait for the session of the broker before it, although that had stopped in order.
func (p *place) registered(said string) {
	p.t.Helper()
	if !strings.Contains(said, "Successfully registered broker 1") {
		p.t.Errorf("Kafka serves and did not say that it is registered: what it says of that has changed\n%s", said)
	}
	if p.stopped && strings.Contains(said, "DUPLICATE_BROKER_REGISTRATION") {
		p.t.Errorf("Kafka waited for the session of a broker that had stopped in order\n%s", said)
	}
}

func (p *place) stop() { p.end(syscall.SIGTERM) }
func (p *place) kill() { p.end(syscall.SIGKILL) }

func (p *place) end(signal syscall.Signal) {
	p.t.Helper()
	cmd := p.running
	p.running, p.stopped = nil, signal == syscall.SIGTERM
	if err := cmd.Process.Signal(signal); err != nil {
		p.t.Errorf("signal %v: %v", signal, err)
	}
	select {
	case <-p.exited:
	case <-time.After(time.Minute):
		_ = cmd.Process.Kill() // the test has failed already
		p.t.Fatalf("a node ignored %v", signal)
	}
}

// gone waits until no log directory has a name any more.
func (p *place) gone(name string) {
	p.t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for _, data := range p.data {
		for {
			if _, err := os.Stat(filepath.Join(data, name)); errors.Is(err, fs.ErrNotExist) {
				break
			}
			select {
			case <-tick.C:
			case <-deadline:
				p.t.Fatalf("%s is still in %s", name, data)
			}
		}
	}
}

// strays fails when a directory was put aside.
func (p *place) strays() {
	p.t.Helper()
	for _, data := range p.data {
		found, err := filepath.Glob(filepath.Join(data, "*-stray*"))
		if err != nil || len(found) > 0 {
			p.t.Errorf("put aside: %v %v", found, err)
		}
		cut, err := filepath.Glob(filepath.Join(data, "*", "*.cut"))
		if err != nil || len(cut) > 0 {
			p.t.Errorf("cut: %v %v", cut, err)
		}
	}
}
