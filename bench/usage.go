package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what a process has used so far, from /proc. Where there is no /proc it cannot be had and known is false.
type usage struct {
	known   bool
	cpu     time.Duration // all threads and ended children
	rss     int64         // bytes
	peak    int64         // bytes
	written int64         // bytes that were sent, or are due to be sent, to the disk
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
	u.rss, u.peak, u.threads = status["VmRSS"]<<10, status["VmHWM"]<<10, int(status["Threads"])
	io, err := keyed(root + "io")
	if err != nil {
		return u, err
	}
	u.written = io["write_bytes"]
	return u, nil
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

// machineUse is how much CPU time the whole machine has spent, and how much there was.
type machineUse struct{ busy, all time.Duration }

func readMachineUse() machineUse {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return machineUse{}
	}
	line, _, _ := strings.Cut(string(text), "\n")
	var m machineUse
	for i, f := range strings.Fields(line) {
		n, err := strconv.ParseInt(f, 10, 64)
		if i == 0 || i > 8 || err != nil { // guests are counted as users already
			continue
		}
		d := time.Duration(n) * tick
		m.all += d
		if i != 4 && i != 5 { // idle, waiting for the disk
			m.busy += d
		}
	}
	return m
}
