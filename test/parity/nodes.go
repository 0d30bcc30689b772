package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// clusterID is given to both nodes.
const clusterID = "b3R0bGEtcGFyaXR5LTAwMQ"

// absentFeatures are those that Ottla does not finalise yet, so the control must not either: they change how other APIs answer.
var absentFeatures = []string{"transaction.version", "group.version", "share.version", "streams.version", "eligible.leader.replicas.version"}

// process is a node that this program has started.
type process struct {
	name    string
	address string
	cmd     *exec.Cmd
	output  string
	exited  chan error
}

// settings is the one configuration of both nodes; only ports and directories differ.
func settings(port, controller int, data string) string {
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		fmt.Sprintf("listeners=PLAINTEXT://127.0.0.1:%d,CONTROLLER://127.0.0.1:%d", port, controller),
		fmt.Sprintf("advertised.listeners=PLAINTEXT://127.0.0.1:%d", port),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("controller.quorum.bootstrap.servers=127.0.0.1:%d", controller),
		"log.dirs=" + data,
		"offsets.topic.replication.factor=1",
		"log.retention.ms=-1", // records of the past are asked about: Kafka looks for what is too old half a minute after its start
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		"group.initial.rebalance.delay.ms=0",
		"group.min.session.timeout.ms=1000",
		"num.partitions=2",
		"log.retention.hours=72",
	}, "\n") + "\n"
}

func freePort() (int, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// prepare writes a node's configuration and returns its address and directory of data.
func prepare(scratch, name string) (p *process, file string, err error) {
	port, err := freePort()
	if err != nil {
		return nil, "", err
	}
	controller, err := freePort()
	if err != nil {
		return nil, "", err
	}
	dir := filepath.Join(scratch, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, "", err
	}
	file = filepath.Join(dir, "server.properties")
	if err := os.WriteFile(file, []byte(settings(port, controller, filepath.Join(dir, "data"))), 0o644); err != nil {
		return nil, "", err
	}
	return &process{name: name, address: fmt.Sprintf("127.0.0.1:%d", port), output: filepath.Join(dir, "out"), exited: make(chan error, 1)}, file, nil
}

func startKafka(ctx context.Context, root, scratch string) (*process, error) {
	jars := filepath.Join(root, ".clients", "java", "kafka-4.4.0")
	if _, err := os.Stat(jars); err != nil {
		return nil, errors.New("no Apache Kafka here: run `make clients` first")
	}
	p, file, err := prepare(scratch, "kafka")
	if err != nil {
		return nil, err
	}
	logging := filepath.Join(root, "test", "compat", "drivers", "tools", "log4j2.properties")
	java := []string{"-Xmx512m", "-Xshare:auto", "-XX:+UseSerialGC", "-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(jars, "*")}
	args := append(java, "kafka.tools.StorageTool", "format", "-t", clusterID, "--standalone", "-c", file)
	for _, feature := range absentFeatures {
		args = append(args, "--feature", feature+"=0")
	}
	format := exec.CommandContext(ctx, "java", args...)
	if out, err := format.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format Kafka's data directory: %w\n%s", err, out)
	}
	return p, p.start(ctx, exec.Command("java", append(java, "kafka.Kafka", file)...))
}

func startOttla(ctx context.Context, root, scratch string) (*process, error) {
	binary := filepath.Join(scratch, "ottla-binary")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/ottla")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("build ./cmd/ottla: %w\n%s", err, out)
	}
	p, file, err := prepare(scratch, "ottla")
	if err != nil {
		return nil, err
	}
	return p, p.start(ctx, exec.Command(binary, "serve", file, "--override", "ottla.admin.listener=127.0.0.1:0"))
}

// start runs the process and returns when it accepts connections.
func (p *process) start(ctx context.Context, cmd *exec.Cmd) error {
	out, err := os.Create(p.output)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd = cmd
	go func() { p.exited <- cmd.Wait() }()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if c, err := net.DialTimeout("tcp", p.address, time.Second); err == nil {
			return c.Close()
		}
		select {
		case err := <-p.exited:
			p.cmd = nil
			return fmt.Errorf("%s ended while it started (%w): see %s", p.name, err, p.output)
		case <-ctx.Done():
			return fmt.Errorf("%s does not listen on %s: %w: see %s", p.name, p.address, ctx.Err(), p.output)
		case <-tick.C:
		}
	}
}

// stop ends the process.
func (p *process) stop() error {
	if p == nil || p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
		return nil
	case <-time.After(20 * time.Second):
		err := p.cmd.Process.Kill()
		<-p.exited
		return errors.Join(fmt.Errorf("%s ignored SIGTERM for 20 s and was killed", p.name), err)
	}
}
