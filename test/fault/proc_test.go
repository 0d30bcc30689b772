//go:build linux

package fault

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// statusWord reads the first word of a field of a /proc status file.
func statusWord(file, field string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Fields(value)[0], nil
		}
	}
	return "", fmt.Errorf("%s has no %s", file, field)
}

// status reads a number.
func status(file, field string) (int64, error) {
	word, err := statusWord(file, field)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(word, 10, 64)
}

// dead tells whether the process has ended, perhaps without having been waited for.
func (p *process) dead() bool {
	state, err := statusWord(p.proc("status"), "State")
	return err != nil || state == "Z" || state == "X"
}

func (p *process) proc(name string) string {
	return filepath.Join("/proc", strconv.Itoa(p.cmd.Process.Pid), name)
}

// resident is the process's resident memory in bytes.
func (p *process) resident() int64 {
	p.t.Helper()
	kib, err := status(p.proc("status"), "VmRSS")
	if err != nil {
		p.t.Fatal(err)
	}
	return kib << 10
}

// wakeUps is how often the system has given a CPU to one of the process's threads: each ended with a voluntary or an involuntary switch.
func (p *process) wakeUps() (n int64) {
	p.t.Helper()
	tasks, err := filepath.Glob(p.proc("task/*/status"))
	if err != nil || len(tasks) == 0 {
		p.t.Fatalf("no threads: %v", err)
	}
	for _, task := range tasks {
		for _, field := range []string{"voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"} {
			k, err := status(task, field)
			if os.IsNotExist(err) {
				continue // the thread has ended
			}
			if err != nil {
				p.t.Fatal(err)
			}
			n += k
		}
	}
	return n
}

// openFiles counts the descriptors of regular files with a suffix.
func (p *process) openFiles(suffix string) (n int) {
	p.t.Helper()
	entries, err := os.ReadDir(p.proc("fd"))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, e := range entries {
		if target, err := os.Readlink(filepath.Join(p.proc("fd"), e.Name())); err == nil && strings.HasSuffix(target, suffix) {
			n++
		}
	}
	return n
}

func mib(bytes int64) string { return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20)) }

// TestStatus guards the reader of /proc itself.
func TestStatus(t *testing.T) {
	if n, err := status("/proc/self/status", "VmRSS"); err != nil || n < 100 {
		t.Errorf("own resident memory: %d KiB, %v", n, err)
	}
	if _, err := status("/proc/self/status", "NoSuchField"); err == nil {
		t.Error("a field that is not there was found")
	}
}
