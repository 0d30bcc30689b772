package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
)

// machine describes where and on what a run was made.
type machine struct {
	Commit, CPU, Kernel, Go, Java string
	Clients                       string // what is compared, and what drives it
	Cores                         int
	MemoryGiB                     float64
}

func describeMachine(root string) machine {
	m := machine{Go: runtime.Version(), Cores: runtime.NumCPU(), Kernel: runtime.GOOS, CPU: runtime.GOARCH}
	m.Clients = clientVersions(root)
	m.Commit = output(root, "git", "rev-parse", "--short", "HEAD")
	if dirty := output(root, "git", "status", "--porcelain", "--untracked-files=no"); dirty != "" {
		m.Commit += " with changes"
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		m.Kernel = "Linux " + strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		if _, rest, ok := strings.Cut(string(text), "model name"); ok {
			line, _, _ := strings.Cut(rest, "\n")
			m.CPU = strings.Trim(line, "\t :")
		}
	}
	if memory, err := keyed("/proc/meminfo"); err == nil {
		m.MemoryGiB = float64(memory["MemTotal"]) / (1 << 20)
	}
	if out, err := exec.Command("java", "-version").CombinedOutput(); err == nil {
		line, _, _ := strings.Cut(string(out), "\n")
		m.Java = strings.ReplaceAll(strings.TrimSpace(line), `"`, "")
	}
	return m
}

// clientVersions are those of what Ottla is compared with, and of what drives it besides the generator.
func clientVersions(root string) string {
	names := []string{"Apache Kafka " + kafkaVersion, "Kafka's tools " + toolsVersion}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == "github.com/twmb/franz-go" {
				names = append(names, "franz-go "+m.Version)
			}
		}
	}
	if text, err := os.ReadFile(filepath.Join(root, "test/clients/python/confluent-kafka.txt")); err == nil {
		names = append(names, "librdkafka of "+strings.Replace(strings.TrimSpace(string(text)), "==", " ", 1))
	}
	if text, err := os.ReadFile(filepath.Join(root, natsModule, "go.mod")); err == nil {
		if _, rest, ok := strings.Cut(string(text), "github.com/nats-io/nats-server/v2 v"); ok {
			names = append(names, "NATS server "+strings.Fields(rest)[0])
		}
	}
	return strings.Join(names, ", ")
}

func output(dir, name string, args ...string) string {
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	out, err := cmd.Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

func (m machine) String() string {
	s := fmt.Sprintf("%d cores of %s, %.0f GiB, %s, %s", m.Cores, m.CPU, m.MemoryGiB, m.Kernel, m.Go)
	if m.Java != "" {
		s += ", " + m.Java
	}
	return s + "; the load generator runs beside the broker on the same cores."
}
