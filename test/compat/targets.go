package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// quick are the overrides of every node but the one that shows the defaults:
// groups form at once, and a crashed member is missed after seconds.
var quick = []string{
	"group.initial.rebalance.delay.ms=0",
	"group.min.session.timeout.ms=1000",
}

// single is what one Apache Kafka alone needs. Ottla needs none of it and gets it
// where what the two show of their configuration is compared.
var single = []string{
	"offsets.topic.replication.factor=1",
	"transaction.state.log.replication.factor=1",
	"transaction.state.log.min.isr=1",
	"share.coordinator.state.topic.replication.factor=1",
	"share.coordinator.state.topic.min.isr=1",
}

// targets makes nodes of either kind below one scratch directory.
type targets struct {
	root    string // of the repository
	clients string // .clients
	scratch string
	count   int
	binary  string // ottla, once built
}

func (t *targets) new(ctx context.Context, kind string, overrides ...string) (*Node, error) {
	t.count++
	dir := filepath.Join(t.scratch, fmt.Sprintf("%s-%d", kind, t.count))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	switch kind {
	case "ottla":
		if err := t.build(ctx); err != nil {
			return nil, err
		}
		return newNode(kind, dir, overrides, t.ottla)
	case "kafka":
		return newNode(kind, dir, overrides, t.kafka)
	}
	return nil, fmt.Errorf("unknown target %q: ottla or kafka", kind)
}

func (t *targets) build(ctx context.Context) error {
	if t.binary != "" {
		return nil
	}
	binary := filepath.Join(t.scratch, "ottla")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/ottla")
	cmd.Dir = t.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build ./cmd/ottla: %w\n%s", err, out)
	}
	t.binary = binary
	return nil
}

func (t *targets) ottla(n *Node) (*exec.Cmd, error) {
	args := []string{"serve",
		"--override", "listeners=PLAINTEXT://" + n.Bootstrap,
		"--override", "log.dirs=" + n.DataDir,
		"--override", "ottla.admin.listener=127.0.0.1:0",
		"--override", "node.id=1",
	}
	for _, o := range n.overrides {
		args = append(args, "--override", o)
	}
	return exec.Command(t.binary, args...), nil
}

// kafka formats the data directory on the first start. Three JVM flags keep it
// small and quick on a machine that also runs the clients.
func (t *targets) kafka(n *Node) (*exec.Cmd, error) {
	jars := filepath.Join(t.clients, "java", "kafka-4.4.0")
	file := filepath.Join(n.Dir, "server.properties")
	controllerFile := filepath.Join(n.Dir, "controller.port")
	logging := filepath.Join(t.root, "test", "compat", "drivers", "tools", "log4j2.properties")
	java := []string{"-Xmx512m", "-Xshare:auto", "-XX:+UseSerialGC", "-Dlog4j2.configurationFile=" + logging, "-cp", filepath.Join(jars, "*")}
	if _, err := os.Stat(file); err != nil {
		controller, err := freePort()
		if err != nil {
			return nil, err
		}
		if err := os.WriteFile(controllerFile, fmt.Append(nil, controller), 0o644); err != nil {
			return nil, err
		}
		if err := os.WriteFile(file, []byte(t.kafkaProperties(n, controller)), 0o644); err != nil {
			return nil, err
		}
		format := exec.Command("java", append(java, "kafka.tools.StorageTool", "format", "-t", "b3R0bGEtY29tcGF0LTAwMQ", "--standalone", "-c", file)...)
		if out, err := format.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("format Kafka's data directory: %w\n%s", err, out)
		}
	}
	return exec.Command("java", append(java, "kafka.Kafka", file)...), nil
}

func (t *targets) kafkaProperties(n *Node, controllerPort int) string {
	_, port, _ := net.SplitHostPort(n.Bootstrap)
	base := []string{
		"process.roles=broker,controller",
		"node.id=1",
		"listeners=PLAINTEXT://127.0.0.1:" + port + fmt.Sprintf(",CONTROLLER://127.0.0.1:%d", controllerPort),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER",
		fmt.Sprintf("controller.quorum.bootstrap.servers=127.0.0.1:%d", controllerPort),
		"log.dirs=" + n.DataDir,
	}
	return properties(base, single, n.overrides)
}

// missing names the parts of .clients that `make clients` has not made.
func (t *targets) missing(names ...string) error {
	var absent []string
	for _, name := range names {
		if _, err := os.Stat(filepath.Join(t.clients, name)); err != nil {
			absent = append(absent, name)
		}
	}
	if len(absent) > 0 {
		return fmt.Errorf("not installed: %s: run `make clients` first", strings.Join(absent, ", "))
	}
	return nil
}
