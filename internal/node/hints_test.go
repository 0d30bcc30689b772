package node

import (
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/logfile"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
)

// indexed is a topic of several segments with an idempotent producer, whose batches are a second apart.
type indexed struct {
	producer int64
	batches  int
	first    int64 // timestamp
	commits  joined
}

// spaced is a batch of the topic.
func (x indexed) batch(i int) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{HasProducer: true, ProducerID: x.producer, BaseSequence: int32(i)})
	b.Append(x.at(i), []byte("k"), []byte(strconv.Itoa(i)+strings.Repeat(" ", 20_000)))
	return b.Build()
}

func (x indexed) at(i int) int64 { return x.first + int64(i)*1000 }

func makeIndexed(t *testing.T, path string) indexed {
	t.Helper()
	n := open(t, path, "log.segment.bytes=1048576")
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	x := indexed{producer: producerID(t, c), batches: 220, first: time.Now().Add(-time.Hour).UnixMilli(), commits: lone("g")}
	for i := range x.batches {
		if p := produce(t, c, "t", -1, x.batch(i)); p.ErrorCode != 0 || p.BaseOffset != int64(i) {
			t.Fatalf("batch %d: %v at %d", i, model.ErrorCode(p.ErrorCode), p.BaseOffset)
		}
	}
	warmCoordinator(t, c, x.commits.group)
	code(t, "commit", commit(t, c, x.commits, "t", 7, ""), model.None)
	stop(t, n)
	return x
}

// check asks for every batch by offset and by time, and sends the last one again.
func (x indexed) check(t *testing.T, c *raw.Conn) {
	t.Helper()
	for i := 0; i < x.batches; i += 13 {
		if got := records(t, fetch(t, c, "t", int64(i)).RecordBatches); len(got) == 0 || got[0].offset != int64(i) || strings.TrimSpace(got[0].value) != strconv.Itoa(i) {
			t.Fatalf("fetch from %d: %d records", i, len(got))
		}
		if got := listOffset(t, c, 7, "t", x.at(i)-1); got.ErrorCode != 0 || got.Offset != int64(i) || got.Timestamp != x.at(i) {
			t.Fatalf("the offset for the time of batch %d: %+v", i, got)
		}
	}
	if got := listOffset(t, c, 7, "t", -3); got.Offset != int64(x.batches-1) {
		t.Errorf("the greatest timestamp is said to be at %d", got.Offset)
	}
	if got := listOffset(t, c, 7, "t", x.at(x.batches)); got.Offset != -1 {
		t.Errorf("a time after all records is said to be at %d", got.Offset)
	}
	if p := produce(t, c, "t", -1, x.batch(x.batches-1)); p.ErrorCode != 0 || p.BaseOffset != int64(x.batches-1) {
		t.Errorf("the last batch sent again: %v at %d", model.ErrorCode(p.ErrorCode), p.BaseOffset)
	}
	if p := produce(t, c, "t", -1, x.batch(x.batches+1)); p.ErrorCode != int16(model.OutOfOrderSequenceNumber) {
		t.Errorf("a gap in the sequence: %v", model.ErrorCode(p.ErrorCode))
	}
	warmCoordinator(t, c, x.commits.group)
	if got := committed(t, c, x.commits.group, "t"); got.Offset != 7 {
		t.Errorf("the committed offset is %d", got.Offset)
	}
}

// hintSuffixes are the kinds of file that tell nothing but what the segments tell.
var hintSuffixes = []string{".index", ".timeindex", ".txnindex", ".snapshot"}

// spoilHints changes every such file in a directory, and adds a transaction index of noise to every segment; nil removes files.
func spoilHints(t *testing.T, path string, change func([]byte) []byte) (changed int) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if segment, ok := strings.CutSuffix(name, ".log"); ok {
			if data := change(make([]byte, 34*5)); data != nil {
				must(os.WriteFile(segment+".txnindex", data, 0o600))
			}
		}
		if !slices.Contains(hintSuffixes, filepath.Ext(name)) {
			return nil
		}
		data, err := os.ReadFile(name)
		must(err)
		if changed++; change(data) == nil {
			return os.Remove(name)
		}
		return os.WriteFile(name, change(data), 0o600)
	}))
	return changed
}

// TestHintsOfAStoppedNode: indexes and snapshots of a stopped node are removed or spoilt, with and without the manifest, after an orderly stop and after a kill: the node starts and
// answers as before, and so does the next one with what was made anew.
func TestHintsOfAStoppedNode(t *testing.T) {
	original := t.TempDir()
	x := makeIndexed(t, original)
	rng := rand.NewChaCha8([32]byte{7})
	noise := func(p []byte) []byte {
		p = slices.Clone(p)
		_, _ = rng.Read(p) // never fails
		return p
	}
	for name, change := range map[string]func([]byte) []byte{
		"removed": func([]byte) []byte { return nil },
		"emptied": func([]byte) []byte { return []byte{} },
		"noise":   noise,
		"longer":  func(p []byte) []byte { return append(slices.Clone(p), noise(make([]byte, 101))...) },
		"halved":  func(p []byte) []byte { return p[:len(p)/2] },
	} {
		for variant, spoilMore := range map[string]func(path string) error{
			"as it stopped":        func(string) error { return nil },
			"without the manifest": func(path string) error { return os.Remove(filepath.Join(path, dir.ManifestFile)) },
			"as if it was killed": func(path string) error {
				return os.Rename(filepath.Join(path, dir.CleanFile), filepath.Join(path, dir.TurnFile))
			},
		} {
			t.Run(name+" "+variant, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "data")
				if err := os.CopyFS(path, os.DirFS(original)); err != nil {
					t.Fatal(err)
				}
				if n := spoilHints(t, path, change); n < 10 {
					t.Fatalf("%d files changed: not a test", n)
				}
				if err := spoilMore(path); err != nil {
					t.Fatal(err)
				}
				for range 2 {
					n := open(t, path)
					x.check(t, dial(t, n))
					stop(t, n)
				}
			})
		}
	}
}

// TestRecoverDoesNothingToWhatNeedsNothing: names, bytes and times of all files stay as they are.
func TestRecoverDoesNothingToWhatNeedsNothing(t *testing.T) {
	path := t.TempDir()
	makeIndexed(t, path)
	state := func() (out []string) {
		if err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := e.Info()
			if err != nil {
				return err
			}
			line := name + " " + info.ModTime().String()
			if !e.IsDir() {
				data, err := os.ReadFile(name)
				if err != nil {
					return err
				}
				line += " " + string(data)
			}
			out = append(out, line)
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		return out
	}
	before := state()
	r, err := logfile.Recover(vfs.OS(), path, slog.New(slog.DiscardHandler))
	if err != nil || r.Needed {
		t.Fatalf("%+v, %v", r, err)
	}
	if !slices.Equal(state(), before) {
		t.Error("a directory that needed nothing was changed")
	}
}
