package cli

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// logMasks hide what differs from run to run in the files of a directory.
var logMasks = []struct {
	what *regexp.Regexp
	by   string
}{
	{regexp.MustCompile(`(made |time=)20[2-9]\d-\S+`), "${1}TIME"},
}

// workshop is a log directory that a script works on.
type workshop struct {
	path string
	open *dir.Dir
	log  *plog.Log
}

// TestLogVerbs runs scripts of ottla log on a directory of one log, orders-0, of ten batches of two records in segments of three or four batches. DIR is its path.
//
//	make                   the directory, closed cleanly
//	open                   opens it, as a node does, and leaves it open
//	close, kill            ends that
//	flip FILE BYTE         flips a bit
//	truncate FILE BYTE
//	scrub                  the node's own check has ended; only while it is open
//	tear FILE              writes the beginning of a batch to a file's end
//	ottla                  runs the command line in the input
func TestLogVerbs(t *testing.T) {
	datadriven.Walk(t, "testdata/log", func(t *testing.T, path string) {
		w := &workshop{path: filepath.Join(t.TempDir(), "DIR")}
		t.Cleanup(func() { w.end(t) })
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			if d.Cmd != "ottla" {
				return w.do(t, d)
			}
			got := run(t, "", "", splitArguments(strings.ReplaceAll(d.Input, "DIR", w.path))...)
			text := got.out
			for line := range strings.Lines(got.err) {
				text += "stderr: " + line
			}
			text = strings.ReplaceAll(text, w.path, "DIR")
			for _, m := range logMasks {
				text = m.what.ReplaceAllString(text, m.by)
			}
			return fmt.Sprintf("%sexit %d\n", unpadded(text), got.code)
		})
	})
}

// unpadded takes the blanks from the ends of lines, and shortens those of tables, whose width depends on where the test runs.
func unpadded(text string) string {
	var out strings.Builder
	for line := range strings.Lines(text) {
		out.WriteString(regexp.MustCompile(`  +`).ReplaceAllString(strings.TrimRight(line, " \n"), "  ") + "\n")
	}
	return out.String()
}

func (w *workshop) do(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	arg := func(i int) string {
		if i >= len(d.CmdArgs) {
			t.Fatalf("%s: %s needs more arguments", d.Pos, d.Cmd)
		}
		return d.CmdArgs[i].Key
	}
	number := func(i int) int64 {
		n, err := strconv.ParseInt(arg(i), 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	switch d.Cmd {
	case "make":
		w.make(t)
	case "open":
		w.start(t)
	case "close", "kill":
		w.stop(t, d.Cmd == "close")
	case "flip":
		w.change(t, arg(0), func(p []byte) []byte {
			p[number(1)] ^= 4
			return p
		})
	case "truncate":
		w.change(t, arg(0), func(p []byte) []byte { return p[:number(1)] })
	case "tear":
		w.change(t, arg(0), func(p []byte) []byte { return append(p, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0, 99) })
	case "scrub":
		if err := w.open.WriteScrub(dir.Scrub{BeganMs: 1_700_000_000_000, CompletedMs: 1_700_000_060_000}); err != nil {
			t.Fatal(err)
		}
	default:
		t.Fatalf("%s: no %s", d.Pos, d.Cmd)
	}
	return ""
}

func (w *workshop) change(t *testing.T, name string, f func([]byte) []byte) {
	t.Helper()
	name = filepath.Join(w.path, name)
	data, err := os.ReadFile(name)
	if err == nil {
		err = os.WriteFile(name, f(data), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) start(t *testing.T) {
	t.Helper()
	var err error
	w.open, err = dir.Open(vfs.OS(), w.path, dir.Options{
		Meta: dir.Meta{ClusterID: "AAAAAAAAAAAAAAAAAAAAAA", NodeID: 1, DirectoryID: model.TopicID{9, 9, 9}}, JournalBytes: -1, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	c := plog.DefaultConfig()
	c.SegmentBytes, c.IndexIntervalBytes = 1024, 256
	if w.log, err = plog.Open(w.open, "orders-0", model.TopicID{1, 2, 3}, c); err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) stop(t *testing.T, clean bool) {
	t.Helper()
	var err error
	if clean {
		err = w.open.Close(5)
	} else {
		err = w.open.Abandon()
	}
	if w.open = nil; err != nil {
		t.Fatal(err)
	}
}

func (w *workshop) end(t *testing.T) {
	if w.open != nil {
		w.stop(t, false)
	}
}

func (w *workshop) make(t *testing.T) {
	t.Helper()
	w.start(t)
	for i := range 10 {
		var b batch.Builder
		b.Reset(batch.Options{HasProducer: true, ProducerID: 7, BaseSequence: int32(2 * i)})
		for j := range 2 {
			b.Append(1_700_000_000_000+int64(2*i+j), fmt.Appendf(nil, "key %d", 2*i+j), bytes.Repeat([]byte{byte('a' + i)}, 80), batch.Header{Key: []byte("h"), Value: []byte{0xff}})
		}
		if _, err := w.log.Append(bytes.Clone(b.Build()), int32(i/5), time.UnixMilli(1_700_000_000_000), plog.Client); err != nil {
			t.Fatal(err)
		}
	}
	deadline := time.Now().Add(patience)
	moved := make(chan struct{}, 1)
	w.log.OnProgress(func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	for w.log.SyncedOffset() < w.log.EndOffset() {
		select {
		case <-moved:
		case <-time.After(10 * time.Millisecond): // it may have come before the callback was set
		}
		if err := w.log.Err(); err != nil || time.Now().After(deadline) {
			t.Fatal(errors.Join(errors.New("nothing is synced"), err))
		}
	}
	w.stop(t, true)
}
