//go:build linux

package fault

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// tracedCalls are the system calls that make, write, sync, name and answer.
const tracedCalls = "write,writev,pwrite64,pwritev,pwritev2,sendto,sendmsg,sendfile,fdatasync,fsync,sync_file_range,openat,mkdirat,rename,renameat,renameat2"

// call is one system call of the trace. Begin and end number all beginnings and ends together.
type call struct {
	name       string
	path       string // of the descriptor, or the file named
	to         string // new name of a rename
	data       string // first bytes that were written
	args       string
	ok         bool
	begin, end int
}

// trace is what a process did.
type trace []call

var (
	tracedLine  = regexp.MustCompile(`^(\d+) +(.*)$`)
	resumedLine = regexp.MustCompile(`^<\.\.\. (\w+) resumed>(.*)$`)
	firstFD     = regexp.MustCompile(`^\d+<(TCP:\[[^\]]*\]|[^>]*)>`)
	quoted      = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
)

// readTrace parses the output of strace -f -yy -xx.
func readTrace(file string) (trace, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var out trace
	open := map[string]int{} // thread → its unfinished call
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 64<<20)
	for n := 1; lines.Scan(); n++ {
		m := tracedLine.FindStringSubmatch(lines.Text())
		if m == nil {
			return nil, fmt.Errorf("line %d of the trace: %.200q", n, lines.Text())
		}
		thread, text := m[1], m[2]
		if strings.HasPrefix(text, "+++") || strings.HasPrefix(text, "---") {
			continue
		}
		if r := resumedLine.FindStringSubmatch(text); r != nil {
			i, ok := open[thread]
			if !ok || out[i].name != r[1] {
				return nil, fmt.Errorf("line %d of the trace resumes nothing: %.200q", n, text)
			}
			delete(open, thread)
			out[i].end, out[i].ok = n, succeeded(r[2])
			continue
		}
		c, finished, err := parseCall(text)
		if err != nil {
			return nil, fmt.Errorf("line %d of the trace: %w", n, err)
		}
		c.begin, c.end = n, n
		if !finished {
			c.end = 1 << 60 // until it is resumed
			open[thread] = len(out)
		}
		out = append(out, c)
	}
	return out, lines.Err()
}

func succeeded(tail string) bool {
	_, result, ok := cutLast(tail, " = ")
	return ok && !strings.HasPrefix(result, "-") && !strings.HasPrefix(result, "?")
}

func cutLast(s, sep string) (before, after string, ok bool) {
	i := strings.LastIndex(s, sep)
	if i < 0 {
		return s, "", false
	}
	return s[:i], s[i+len(sep):], true
}

func parseCall(text string) (c call, finished bool, err error) {
	name, args, ok := strings.Cut(text, "(")
	if !ok {
		return call{}, false, fmt.Errorf("no call: %.200q", text)
	}
	c.name, c.args = name, args
	if rest, unfinished := strings.CutSuffix(args, "<unfinished ...>"); unfinished {
		c.args = rest
	} else {
		finished, c.ok = true, succeeded(args)
	}
	var strs []string
	for _, q := range quoted.FindAllStringSubmatch(c.args, 3) {
		s, err := unhex(q[1])
		if err != nil {
			return call{}, false, err
		}
		strs = append(strs, s)
	}
	switch c.name {
	case "openat", "mkdirat":
		if len(strs) < 1 {
			return call{}, false, fmt.Errorf("no name: %.200q", text)
		}
		c.path = strs[0]
	case "rename", "renameat", "renameat2":
		if len(strs) < 2 {
			return call{}, false, fmt.Errorf("no names: %.200q", text)
		}
		c.path, c.to = strs[0], strs[1]
	default:
		fd := firstFD.FindStringSubmatch(c.args)
		if fd == nil {
			return c, finished, nil // an eventfd and the like
		}
		if c.path = fd[1]; strings.HasPrefix(c.path, `\x`) {
			if c.path, err = unhex(strings.TrimSuffix(fd[1], "(deleted)")); err != nil {
				return call{}, false, err
			}
		}
		c.data = strings.Join(strs, "")
	}
	return c, finished, nil
}

func unhex(s string) (string, error) {
	out := make([]byte, 0, len(s)/4)
	for len(s) > 0 {
		if len(s) < 4 || s[:2] != `\x` {
			return "", fmt.Errorf("not in hex: %.100q", s)
		}
		b, err := strconv.ParseUint(s[2:4], 16, 8)
		if err != nil {
			return "", err
		}
		out, s = append(out, byte(b)), s[4:]
	}
	return string(out), nil
}

// promise is an answer and what must be on disk before it leaves.
type promise struct {
	what        string
	port        int   // of the client's end of the connection
	correlation int32 // of the answer
	marker      string
}

// judge returns what is wrong: answers that left too early, and names that were given to files before their contents were safe. dir is the log directory.
func (t trace) judge(dir string, promises []promise) (wrong []string) {
	for _, p := range promises {
		answer := t.answer(p)
		if answer < 0 {
			wrong = append(wrong, fmt.Sprintf("%s: no answer in the trace", p.what))
		} else if why := t.safe(dir, p.marker, t[answer].begin); why != "" {
			wrong = append(wrong, fmt.Sprintf("%s was answered before it was safe: %s", p.what, why))
		}
	}
	return append(wrong, t.renames(dir)...)
}

// answer finds the write that begins the answer to a promise.
func (t trace) answer(p promise) int {
	peer := "->127.0.0.1:" + strconv.Itoa(p.port) + "]"
	for i := range t {
		c := &t[i]
		if strings.HasPrefix(c.path, "TCP") && strings.HasSuffix(c.path, peer) && len(c.data) >= 8 && int32(binary.BigEndian.Uint32([]byte(c.data[4:8]))) == p.correlation {
			return i
		}
	}
	return -1
}

func isSync(c *call) bool { return c.ok && (c.name == "fdatasync" || c.name == "fsync") }

func isWrite(c *call) bool {
	return c.name == "pwrite64" || c.name == "pwritev" || c.name == "write" || c.name == "writev"
}

// safe says why a marker is not safe at a point of the trace, "" when it is: it was written to a file in the directory, that file was synced afterwards, and the
// file's name too.
func (t trace) safe(dir, marker string, at int) string {
	why := "it was not written to any file"
	for i := range t {
		w := &t[i]
		if !isWrite(w) || !w.ok || w.end >= at || !strings.HasPrefix(w.path, dir+"/") || !strings.Contains(w.data, marker) {
			continue
		}
		synced := t.syncedBetween(w.path, w.end, at)
		if synced < 0 {
			why = fmt.Sprintf("%s was not synced after the write", w.path)
			continue
		}
		if missing := t.nameless(dir, w.path, synced, at); missing != "" {
			why = missing
			continue
		}
		return ""
	}
	return why
}

// syncedBetween returns the end of the first sync of a path that lies between two points, -1 when there is none.
func (t trace) syncedBetween(path string, after, before int) int {
	for i := range t {
		if c := &t[i]; isSync(c) && c.path == path && c.begin > after && c.end < before {
			return c.end
		}
	}
	return -1
}

// nameless says which directory was not synced, so that a file whose contents are synced cannot be found after a power cut: the one that the file was made in or
// renamed into, or one above that was made in this run.
func (t trace) nameless(dir, path string, synced, at int) string {
	for i := range t {
		if c := &t[i]; c.ok && strings.HasPrefix(c.name, "rename") && c.path == path && c.begin > synced && c.end < at {
			if t.syncedBetween(filepath.Dir(c.to), c.end, at) < 0 {
				return fmt.Sprintf("%s was not synced after %s got its name", filepath.Dir(c.to), c.to)
			}
			return ""
		}
	}
	for name := path; name != dir && strings.HasPrefix(name, dir); name = filepath.Dir(name) {
		made := -1
		for i := range t {
			c := &t[i]
			if c.ok && c.path == name && c.end < at && (c.name == "mkdirat" || c.name == "openat" && strings.Contains(c.args, "O_CREAT")) {
				made = c.end
			}
		}
		if made >= 0 && t.syncedBetween(filepath.Dir(name), made, at) < 0 {
			return fmt.Sprintf("%s was not synced after %s was made in it", filepath.Dir(name), name)
		}
	}
	return ""
}

// isHint tells whether a file may be torn after a power cut: the log makes it anew from its batches, which carry checksums. The addresses are not kept at all.
func isHint(name string) bool {
	base := filepath.Base(name)
	return base == "leader-epoch-checkpoint" || base == "ottla.addresses" || filepath.Ext(base) == ".snapshot"
}

// renames finds files that got a name that others rely on before their contents were synced.
func (t trace) renames(dir string) (wrong []string) {
	for i := range t {
		r := &t[i]
		if !r.ok || !strings.HasPrefix(r.name, "rename") || !strings.HasPrefix(r.path, dir+"/") || isHint(r.to) {
			continue
		}
		last, synced := -1, -1
		for j := range t {
			c := &t[j]
			switch {
			case c.path != r.path || c.end >= r.begin:
			case isWrite(c):
				last = c.end
			case isSync(c):
				synced = c.begin
			}
		}
		if last >= 0 && synced < last && !strings.HasSuffix(r.to, ".deleted") { // what is on its way out need not be safe
			wrong = append(wrong, fmt.Sprintf("%s became %s before its contents were synced", r.path, r.to))
		}
	}
	return wrong
}
