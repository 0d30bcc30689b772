package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

// Stranger is one client of the matrix, at one version.
type Stranger struct {
	Name    string
	Prefix  string   // of its topics and groups
	Needs   []string // below .clients
	Command []string // before the driver's own arguments; filled by prepare
	prepare func(ctx context.Context, t *targets) ([]string, error)
}

func strangers() []*Stranger {
	return []*Stranger{
		python("kafka-python-2.3", "kp23", "kafka-python-2.3", "kafkapython"),
		python("kafka-python-3.0", "kp30", "kafka-python-3.0", "kafkapython"),
		python("confluent", "confluent", "confluent-kafka", "confluent"),
		python("aiokafka", "aiokafka", "aiokafka", "aiokafka"),
		java("java-4.4", "4.4.0"),
		java("java-3.9", "3.9.1"),
		java("java-2.8", "2.8.2"),
		{Name: "kafkajs", Prefix: "kafkajs", Needs: []string{"node/node_modules/kafkajs"}, prepare: prepareNode},
		golang("franz-go", "franz"),
		golang("sarama", "sarama"),
		golang("kafka-go", "segmentio"),
		python("kcat", "kcat", "confluent-kafka", "kcat"),
	}
}

func python(name, prefix, venv, library string) *Stranger {
	s := &Stranger{Name: name, Prefix: prefix, Needs: []string{"python/" + venv}}
	s.prepare = func(_ context.Context, t *targets) ([]string, error) {
		if library == "kcat" {
			if _, err := exec.LookPath("kcat"); err != nil {
				return nil, fmt.Errorf("kcat is not installed: run `make clients` first: %w", err)
			}
		}
		return []string{filepath.Join(t.clients, "python", venv, "bin", "python"), filepath.Join(t.root, "test/compat/drivers/python/driver.py"), library}, nil
	}
	return s
}

// javaFlags keep a JVM that lives for a minute cheap.
var javaFlags = []string{"-XX:TieredStopAtLevel=1", "-Xshare:auto", "-XX:+UseSerialGC", "-Xmx256m"}

func java(name, version string) *Stranger {
	jars := "java/clients-" + version
	s := &Stranger{Name: name, Prefix: name, Needs: []string{jars}}
	s.prepare = func(ctx context.Context, t *targets) ([]string, error) {
		path, err := t.compileJava(ctx, filepath.Join(t.root, "test/compat/drivers/java/Driver.java"), jars, "driver-"+version)
		if err != nil {
			return nil, err
		}
		return append(append([]string{"java"}, javaFlags...), "-cp", path, "Driver"), nil
	}
	return s
}

// compileJava returns the class path of the compiled source and its jars.
func (t *targets) compileJava(ctx context.Context, source, jars, name string) (string, error) {
	classes, jarPath := filepath.Join(t.scratch, name), filepath.Join(t.clients, jars, "*")
	if err := os.MkdirAll(classes, 0o755); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "javac", "-nowarn", "-cp", jarPath, "-d", classes, source)
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile %s with %s: %w\n%s", filepath.Base(source), jars, err, out)
	}
	return classes + string(os.PathListSeparator) + jarPath, nil
}

func prepareNode(_ context.Context, t *targets) ([]string, error) {
	return []string{"node", filepath.Join(t.root, "test/compat/drivers/node/driver.js")}, nil
}

func golang(name, library string) *Stranger {
	s := &Stranger{Name: name, Prefix: library}
	s.prepare = func(ctx context.Context, t *targets) ([]string, error) {
		binary, err := t.goclients(ctx)
		return []string{binary, library}, err
	}
	return s
}

func (t *targets) goclients(ctx context.Context) (string, error) {
	binary := filepath.Join(t.scratch, "goclients")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	if _, err := os.Stat(binary); err == nil {
		return binary, nil
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, ".")
	cmd.Dir = filepath.Join(t.root, "test/compat/goclients")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the Go clients: %w\n%s", err, out)
	}
	return binary, nil
}
