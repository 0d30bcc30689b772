//go:build linux

package fault

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// hexed writes words in double quotes as strace -xx does, and paths in angle brackets too.
func hexed(s string) string {
	var out strings.Builder
	for _, b := range []byte(s) {
		out.WriteString(`\x` + hex.EncodeToString([]byte{b}))
	}
	return out.String()
}

// traceOf builds a trace from lines in which "…" and <…> are plain; sockets stay as they are.
func traceOf(t *testing.T, lines ...string) trace {
	t.Helper()
	var text strings.Builder
	for _, line := range lines {
		parts := strings.Split(line, `"`)
		for i := 1; i < len(parts); i += 2 {
			parts[i] = hexed(strings.NewReplacer(`\1`, "\x00\x00\x00\x05\x00\x00\x00\x07").Replace(parts[i]))
		}
		line = strings.Join(parts, `"`)
		if before, rest, ok := strings.Cut(line, "</"); ok {
			path, after, _ := strings.Cut(rest, ">")
			line = before + "<" + hexed("/"+path) + ">" + after
		}
		text.WriteString(line + "\n")
	}
	file := filepath.Join(t.TempDir(), "trace")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := readTrace(file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestTraceIsJudged: the trace that is right, and each way in which it can be wrong.
func TestTraceIsJudged(t *testing.T) {
	const (
		mkdir   = `1 mkdirat(AT_FDCWD</tmp>, "/d/t-0", 0750) = 0`
		create  = `1 openat(AT_FDCWD</tmp>, "/d/t-0/0.log", O_RDWR|O_CREAT|O_EXCL, 0640) = 5</d/t-0/0.log>`
		write   = `1 pwrite64(5</d/t-0/0.log>, "head MARK tail", 14, 0) = 14`
		sync    = `1 fdatasync(5</d/t-0/0.log>) = 0`
		failed  = `1 fdatasync(5</d/t-0/0.log>) = -1 EIO (Input/output error)`
		syncDir = `1 fsync(6</d/t-0>) = 0`
		syncTop = `1 fsync(6</d>) = 0`
		answer  = `2 write(7<TCP:[127.0.0.1:9092->127.0.0.1:4000]>, "\1rest", 12) = 12`
		begins  = `1 fdatasync(5</d/t-0/0.log> <unfinished ...>`
		ends    = `1 <... fdatasync resumed>) = 0`
	)
	p := promise{what: "record", port: 4000, correlation: 7, marker: "MARK"}
	for _, x := range []struct {
		what  string
		lines []string
		word  string // "" is right
	}{
		{"right", []string{mkdir, create, write, sync, syncDir, syncTop, answer}, ""},
		{"right, an old file", []string{write, sync, answer}, ""},
		{"right, another thread between", []string{write, begins, `2 write(1</x>, "log", 3) = 3`, ends, answer}, ""},
		{"no sync", []string{write, answer, sync}, "was not synced after the write"},
		{"sync before the write", []string{sync, write, answer}, "was not synced after the write"},
		{"sync failed", []string{write, failed, answer}, "was not synced after the write"},
		{"sync not ended", []string{write, begins, answer, ends}, "was not synced after the write"},
		{"another file synced", []string{write, `1 fdatasync(5</d/t-1/0.log>) = 0`, answer}, "was not synced after the write"},
		{"not written", []string{sync, answer}, "not written"},
		{"no answer", []string{write, sync}, "no answer"},
		{"file's directory not synced", []string{create, write, sync, answer, syncDir}, "after /d/t-0/0.log was made"},
		{"directory synced before the file was made", []string{syncDir, create, write, sync, answer}, "after /d/t-0/0.log was made"},
		{"directory's directory not synced", []string{mkdir, create, write, sync, syncDir, answer}, "after /d/t-0 was made"},
		{"renamed before its sync", []string{`1 pwrite64(5</d/a.tmp>, "x", 1, 0) = 1`, `1 renameat(AT_FDCWD</tmp>, "/d/a.tmp", AT_FDCWD</tmp>, "/d/a") = 0`, write, sync, answer}, "before its contents were synced"},
	} {
		wrong := strings.Join(traceOf(t, x.lines...).judge("/d", []promise{p}), "; ")
		if x.word == "" && wrong != "" || !strings.Contains(wrong, x.word) {
			t.Errorf("%s: %q", x.what, wrong)
		}
	}
}
