package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine describes where and on what a run was made.
type machine struct {
	Date, Commit, CPU, Kernel, Go, Java string
	Cores                               int
	MemoryGiB                           float64
}

func describeMachine(root string) machine {
	m := machine{Date: time.Now().Format("2006-01-02"), Go: runtime.Version(), Cores: runtime.NumCPU(), Kernel: runtime.GOOS, CPU: runtime.GOARCH}
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
