package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// kafkaVersion is the release that everything is compared with.
const kafkaVersion = "4.4.0"

// kafkaFlags are those of Kafka's own start script: heap, collector and compiler.
var kafkaFlags = []string{
	"-Xmx1G", "-Xms1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true",
}

// errNoKafka says that there is nothing to compare with.
var errNoKafka = errors.New("control not run: run make clients")

// findKafka returns the directory with Kafka's jars.
func findKafka(root string) (string, error) {
	jars := filepath.Join(root, ".clients", "java", "kafka-"+kafkaVersion)
	found, err := filepath.Glob(filepath.Join(jars, "kafka_2.13-*.jar"))
	if err != nil || len(found) == 0 {
		return "", errNoKafka
	}
	if _, err := exec.LookPath("java"); err != nil {
		return "", fmt.Errorf("%w (there is no java either)", errNoKafka)
	}
	return jars, nil
}

// newKafka is one KRaft node, broker and controller in one process, with a fresh directory.
func newKafka(jars, scratch string) (*broker, error) {
	b, err := newBroker("kafka", scratch)
	if err != nil {
		return nil, err
	}
	controller, err := freeAddress()
	if err != nil {
		return nil, err
	}
	file := filepath.Join(b.dir, "server.properties")
	java := append(append([]string{}, kafkaFlags...), "-cp", filepath.Join(jars, "*"))
	b.prepare = func(address string) error {
		if err := os.WriteFile(file, []byte(kafkaProperties(address, controller, b.data())), 0o644); err != nil {
			return err
		}
		format := exec.Command("java", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(jars, "*"), "kafka.tools.StorageTool", "format",
			"-t", "b3R0bGEtYmVuY2gtMDAwMQ", "--standalone", "-c", file)
		format.WaitDelay = time.Minute
		if out, err := format.CombinedOutput(); err != nil {
			return fmt.Errorf("format Kafka's directory: %w\n%s", err, out)
		}
		return nil
	}
	b.command = func(string) *exec.Cmd {
		cmd := exec.Command("java", append(java, "kafka.Kafka", file)...)
		cmd.Dir = b.dir
		return cmd
	}
	return b, nil
}

// kafkaProperties leaves everything at its default but what one node alone needs, and how long deleted files stay.
func kafkaProperties(address, controller, data string) string {
	_, port, _ := net.SplitHostPort(address)
	return strings.Join([]string{
		"process.roles=broker,controller",
		"node.id=1",
		"listeners=PLAINTEXT://127.0.0.1:" + port + ",CONTROLLER://" + controller,
		"advertised.listeners=PLAINTEXT://127.0.0.1:" + port,
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names=CONTROLLER",
		"controller.quorum.bootstrap.servers=" + controller,
		"log.dirs=" + data,
		"offsets.topic.replication.factor=1",
		"transaction.state.log.replication.factor=1",
		"transaction.state.log.min.isr=1",
		"share.coordinator.state.topic.replication.factor=1",
		"share.coordinator.state.topic.min.isr=1",
		deleteDelay,
	}, "\n") + "\n"
}
