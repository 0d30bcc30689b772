//go:build unix

package fault

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// snapshot is every file below a directory with its contents and time.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		content := ""
		if d.Type().IsRegular() {
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			content = string(data)
		}
		out[path] = fmt.Sprintf("%v %v %q", info.Mode(), info.ModTime().UnixNano(), content)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused runs a node that must not start, and returns what it says.
func refused(t *testing.T, l launch) string {
	t.Helper()
	l.port = steadyPort(t)
	p := run(t, l)
	if code := p.wait(30 * time.Second); code == 0 {
		t.Errorf("exit code 0\n%s", p.tail())
	}
	return p.stderr.String()
}

// says fails when words are missing.
func says(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is not said:\n%s", w, text)
		}
	}
}

// used is a directory that a node has used and left in order.
func used(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	start(t, launch{dir: dir}).stop()
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o640); err != nil {
		t.Fatal(err)
	}
}

// change rewrites a line of a file.
func change(t *testing.T, name, from, to string) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(data), from, to, 1)
	if changed == string(data) {
		t.Fatalf("%s has no %q:\n%s", name, from, data)
	}
	write(t, name, changed)
}

// TestForeignDirectoriesAreRefused: each with what to do, and untouched to the last byte and time.
func TestForeignDirectoriesAreRefused(t *testing.T) {
	for _, x := range []struct {
		name    string
		prepare func(t *testing.T) launch
		words   []string
	}{
		{"a newer format", func(t *testing.T) launch {
			dir := used(t)
			change(t, filepath.Join(dir, "ottla.format"), "1", "99")
			return launch{dir: dir}
		}, []string{"ottla.format", "99"}},
		{"a newer meta.properties", func(t *testing.T) launch {
			dir := used(t)
			change(t, filepath.Join(dir, "meta.properties"), "version=1", "version=7")
			change(t, filepath.Join(dir, "meta.properties"), "#ottla.crc32c=", "#") // a newer one has a checksum of its own
			return launch{dir: dir}
		}, []string{"meta.properties", `version "7"`}},
		{"another node", func(t *testing.T) launch {
			return launch{dir: used(t), overrides: []string{"node.id=77"}}
		}, []string{"node.id", "77"}},
		{"another cluster beside ours", func(t *testing.T) launch {
			return launch{dir: used(t) + "," + used(t)}
		}, []string{"cluster", "log.dirs"}},
		{"logs without an identity", func(t *testing.T) launch {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, "topic-0"), 0o750); err != nil {
				t.Fatal(err)
			}
			write(t, filepath.Join(dir, "topic-0", "00000000000000000000.log"), "records of somebody")
			return launch{dir: dir}
		}, []string{"meta.properties"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			l := x.prepare(t)
			before := map[string]map[string]string{}
			for dir := range strings.SplitSeq(l.dir, ",") {
				before[dir] = snapshot(t, dir)
			}
			text := refused(t, l)
			says(t, text, x.words...)
			for dir, was := range before {
				now := snapshot(t, dir)
				for name := range now {
					if now[name] != was[name] {
						t.Errorf("%s was %s, and is %s", name, was[name], now[name])
					}
				}
				if len(now) != len(was) {
					t.Errorf("%s had %d files, and has %d", dir, len(was), len(now))
				}
			}
		})
	}
}

// TestSecondProcessIsRefused: whoever comes second to a data directory is told so, and the first does not notice.
func TestSecondProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	first := start(t, launch{dir: dir})
	w := newWitness(t, first)
	w.lap(5)
	text := refused(t, launch{dir: dir})
	says(t, text, dir, "lock")
	w.lap(5)
	w.end()
	first.healthy()
	first.stop()
	start(t, launch{dir: dir}).stop() // the lock ends with its holder
}
