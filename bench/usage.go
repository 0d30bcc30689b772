package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// usage is what a process has used so far, from /proc. Where there is no /proc it cannot be had and known is false.
type usage struct {
	known   bool
	cpu     time.Duration // all threads and ended children
	rss     int64         // bytes
	threads int
}

// tick is the unit of CPU time in /proc: USER_HZ is 100 on every Linux.
const tick = 10 * time.Millisecond

func usageOf(pid int) (usage, error) {
	root := fmt.Sprintf("/proc/%d/", pid)
	if _, err := os.Stat("/proc/self/stat"); err != nil {
		return usage{}, nil
	}
	u := usage{known: true}
	stat, err := os.ReadFile(root + "stat")
	if err != nil {
		return u, fmt.Errorf("read what process %d uses: %w", pid, err)
	}
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 15 {
		return u, fmt.Errorf("%sstat has %d fields behind the name", root, len(fields))
	}
	for _, f := range fields[11:15] { // user, system, and both of the children that ended
		n, err := strconv.ParseInt(f, 10, 64)
		if err != nil {
			return u, fmt.Errorf("%sstat: %w", root, err)
		}
		u.cpu += time.Duration(n) * tick
	}
	status, err := keyed(root + "status")
	if err != nil {
		return u, err
	}
	u.rss, u.threads = status["VmRSS"]<<10, int(status["Threads"])
	return u, nil
}

// runTime is how long the threads of a process have run so far, to the nanosecond: ticks are too coarse for a process at rest.
func runTime(pid int) (d time.Duration, known bool) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		if err != nil { // the thread has ended
			continue
		}
		first, _, _ := strings.Cut(string(text), " ")
		n, err := strconv.ParseInt(first, 10, 64)
		if err != nil {
			return 0, false
		}
		d, known = d+time.Duration(n), true
	}
	return d, known && err == nil
}

// wakeups is how often the threads of a process have begun to wait so far: each is followed by a wake-up.
func wakeups(pid int) (n int64, err error) {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	for _, task := range tasks {
		status, err := keyed(task)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ESRCH) { // the thread has ended
			continue
		}
		if err != nil {
			return 0, err
		}
		n += status["voluntary_ctxt_switches"]
	}
	return n, err
}

// disk is the counter of a block device.
type disk struct{ stat string }

// diskOf finds the device that a directory lies on. Where that cannot be told, nothing is known of it.
func diskOf(dir string) disk {
	dir, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return disk{}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return disk{}
	}
	var best, device string
	for line := range strings.Lines(string(mounts)) {
		f := strings.Fields(line)
		if len(f) < 5 || len(f[4]) < len(best) {
			continue
		}
		if at := f[4]; at == "/" || dir == at || strings.HasPrefix(dir, at+"/") {
			best, device = at, f[2]
		}
	}
	stat := "/sys/dev/block/" + device + "/stat"
	if _, err := os.Stat(stat); err != nil {
		return disk{}
	}
	return disk{stat}
}

// deviceUse is what a device was asked for so far. The counters of a process will not do: they count the whole of a large page of the page cache when one byte of
// it changes.
type deviceUse struct {
	known   bool
	written int64 // bytes
	flushes int64 // of its write cache
}

func (d disk) use() (u deviceUse) {
	text, err := os.ReadFile(d.stat)
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 16 {
		return u
	}
	sectors, err := strconv.ParseInt(fields[6], 10, 64)
	if err != nil {
		return u
	}
	u.flushes, err = strconv.ParseInt(fields[15], 10, 64)
	u.known, u.written = err == nil, sectors*512
	return u
}

// keyed reads the numbers of a file of "key: number" lines.
func keyed(path string) (map[string]int64, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	out := map[string]int64{}
	for line := range strings.Lines(string(text)) {
		key, rest, ok := strings.Cut(line, ":")
		if fields := strings.Fields(rest); ok && len(fields) > 0 {
			if n, err := strconv.ParseInt(fields[0], 10, 64); err == nil {
				out[key] = n
			}
		}
	}
	return out, nil
}

// machineUse is how much CPU time the machine has spent so far on whom.
type machineUse struct {
	all    time.Duration         // of all cores, idle or not
	steal  time.Duration         // given to other machines by the host
	kernel map[int]time.Duration // the kernel's own threads, which come and go: most of it writes back what brokers wrote
	others time.Duration         // processes that are neither this one nor its descendants
}

// kernelSince is what kernel threads have used since then. One that has ended meanwhile has taken its time with it.
func (m *machineUse) kernelSince(before *machineUse) (d time.Duration) {
	for pid, used := range m.kernel {
		if was := before.kernel[pid]; was <= used { // else another thread has the number now
			used -= was
		}
		d += used
	}
	return d
}

// kernelThread is a flag in /proc/PID/stat.
const kernelThread = 0x00200000

func readMachineUse() (m machineUse) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return m
	}
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseInt(f, 10, 64)
		if i == 0 || i > 8 || err != nil { // guests are counted as users already
			continue
		}
		d := time.Duration(n) * tick
		m.all += d
		if i == 8 {
			m.steal = d
		}
	}
	m.kernel, m.others = processesUse(os.Getpid())
	return m
}

// processesUse is what each kernel thread has used, and the sum of what all processes have that do not descend from one of them. What ended processes used is their parents'.
func processesUse(own int) (kernel map[int]time.Duration, others time.Duration) {
	kernel = map[int]time.Duration{}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return kernel, 0
	}
	parents, used := map[int]int{}, map[int]time.Duration{}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil { // it has ended
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		if err != nil || len(f) < 15 {
			continue
		}
		var spent time.Duration
		for _, ticks := range f[11:15] {
			n, _ := strconv.ParseInt(ticks, 10, 64)
			spent += time.Duration(n) * tick
		}
		if flags, _ := strconv.ParseInt(f[6], 10, 64); flags&kernelThread != 0 {
			kernel[pid] = spent
			continue
		}
		parents[pid], _ = strconv.Atoi(f[1])
		used[pid] = spent
	}
	for pid, spent := range used {
		at := pid
		for at != own && at > 1 {
			at = parents[at]
		}
		if at != own {
			others += spent
		}
	}
	return kernel, others
}
