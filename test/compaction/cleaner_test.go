//go:build unix

package compaction

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const logName = "changes-0"

var topicID = model.TopicID{7, 7, 7}

// settings are those of the log, for both.
func settings(segmentBytes int64) *plog.Config {
	c := plog.DefaultConfig()
	c.SegmentBytes, c.CleanupDelete, c.CleanupCompact, c.DeleteRetentionMs, c.FileDeleteDelayMs = segmentBytes, false, true, 1000, 0
	return c
}

// open opens the log in a directory of ours.
func open(t *testing.T, path string, c *plog.Config) (*dir.Dir, *plog.Log) {
	t.Helper()
	d, err := dir.Open(vfs.OS(), path, dir.Options{Meta: dir.Meta{ClusterID: "compaction", NodeID: 1}})
	if err != nil {
		t.Fatal(err)
	}
	l, err := plog.Open(d, logName, topicID, c)
	if err == nil {
		err = l.Err()
	}
	if err != nil {
		t.Fatal(err)
	}
	return d, l
}

func shut(t *testing.T, d *dir.Dir) {
	t.Helper()
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
}

// until waits for what the committer brings about.
func until(t *testing.T, l *plog.Log, what string, done func() bool) {
	t.Helper()
	moved := make(chan struct{}, 1)
	l.OnProgress(func() {
		select {
		case moved <- struct{}{}:
		default:
		}
	})
	tick, deadline := time.NewTicker(5*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for !done() {
		if err := l.Err(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		select {
		case <-moved:
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s: waited for too long", what)
		}
	}
}

// round is one cleaning: at a time, up to an offset at which a segment begins.
type round struct{ nowMs, upTo int64 }

// ours cleans with Ottla, and returns the processor time that it took.
func ours(t *testing.T, path string, c *plog.Config, rounds []round, mapBytes int64, load float64) time.Duration {
	t.Helper()
	d, l := open(t, path, c)
	until(t, l, "sync of what another left", func() bool { return l.SyncedOffset() == l.EndOffset() })
	var spent time.Duration
	for _, r := range rounds {
		for {
			before := processTime(t)
			stats, err := l.Clean(t.Context(), plog.CleanOptions{
				Now: time.UnixMilli(r.nowMs), UpTo: r.upTo, HighWatermark: l.EndOffset(), Keys: plog.NewKeyMap(mapBytes, load), BufferBytes: 256 << 10, MaxBatchBytes: 64 << 20,
				Serial: func(f func() error) error { return f() },
			})
			if err != nil {
				t.Fatalf("Ottla: %v", err)
			}
			if stats.To == 0 {
				break
			}
			until(t, l, "cleaning up to "+strconv.FormatInt(stats.To, 10), func() bool { return l.CleanedOffset() >= stats.To })
			spent += processTime(t) - before
		}
	}
	shut(t, d)
	return spent
}

func processTime(t *testing.T) time.Duration {
	t.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// kafkas cleans with Apache Kafka, and returns the processor time of its cleaning thread. Before, Kafka reads the whole log, and makes indexes and snapshots anew.
func kafkas(t *testing.T, path string, c *plog.Config, rounds []round, mapBytes int64, load float64) time.Duration {
	t.Helper()
	args := []string{"-Xmx600m", "-XX:+UseSerialGC", "-cp", filepath.Join(jars(t), "*"), filepath.Join("testdata", "Clean.java"), filepath.Join(path, logName),
		fmt.Sprint(c.SegmentBytes), fmt.Sprint(c.DeleteRetentionMs), fmt.Sprint(mapBytes), fmt.Sprint(load)}
	for _, r := range rounds {
		args = append(args, fmt.Sprintf("%d:%d", r.nowMs, r.upTo))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "java", args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("Apache Kafka's cleaner: %v\n%s\n%s", err, stdout.String(), stderr.String())
	}
	var spent time.Duration
	sound := 0
	for line := range strings.Lines(stdout.String()) {
		words := strings.Fields(line)
		switch words[0] {
		case "cleaned":
			n, err := strconv.ParseInt(words[4], 10, 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			spent += time.Duration(n)
		case "sound":
			sound++
		}
	}
	if sound == 0 {
		t.Fatalf("Apache Kafka read no segment:\n%s", stdout.String())
	}
	return spent
}

func jars(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs("../../.clients/java/kafka-4.4.0")
	if err != nil {
		t.Fatal(err)
	}
	if found, _ := filepath.Glob(filepath.Join(path, "kafka-storage-*.jar")); len(found) == 0 {
		t.Skip("not run: no Apache Kafka: run `make clients` first")
	}
	return path
}

// copied copies a directory to a new place; without hints only what nobody could make anew.
func copied(t *testing.T, from string, hints bool) string {
	t.Helper()
	to := t.TempDir()
	err := filepath.WalkDir(from, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if e.IsDir() {
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		}
		if _, suffix, ok := plog.ParseFileName(e.Name()); !hints && (ok && suffix != plog.LogSuffix || !strings.Contains(name, "/") && name != "meta.properties") {
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), data, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return to
}

// bases are the base offsets of the log's segments.
func bases(t *testing.T, path string) []int64 {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, logName))
	if err != nil {
		t.Fatal(err)
	}
	var out []int64
	for _, e := range entries {
		if base, suffix, ok := plog.ParseFileName(e.Name()); ok && suffix == plog.LogSuffix {
			out = append(out, base)
		}
	}
	return out
}

// What of a log is compared.
type depth int

const (
	onlyRecords depth = iota
	withBatches       // and segments, and which transactions were aborted
	withIndexes       // and all that a transaction index says of them
)

// contents are a log's segments, batches, records and aborted transactions, a line each.
func contents(t *testing.T, path string, what depth) []string {
	t.Helper()
	batches := what >= withBatches
	var out []string
	for _, base := range bases(t, path) {
		if batches {
			out = append(out, fmt.Sprintf("segment %d", base))
		}
		stem := filepath.Join(path, logName, plog.FileName(base, ""))
		data, err := os.ReadFile(stem + plog.LogSuffix)
		if err != nil {
			t.Fatal(err)
		}
		for len(data) > 0 {
			b, rest, err := batch.Next(data)
			if err == nil {
				err = b.Check()
			}
			if err != nil {
				t.Fatalf("%s%s, %d bytes before its end: %v", stem, plog.LogSuffix, len(data), err)
			}
			data = rest
			if batches {
				out = append(out, fmt.Sprintf("  batch %d-%d of %d: producer %d/%d from %d, epoch %d, attributes %08b, greatest time %d, horizon %d", b.BaseOffset(), b.LastOffset(), b.RecordCount(),
					b.ProducerID(), b.ProducerEpoch(), b.BaseSequence(), b.PartitionLeaderEpoch(), b.Attributes(), b.MaxTimestamp(), b.DeleteHorizon()))
			}
			out = append(out, records(t, b)...)
		}
		index, err := os.ReadFile(stem + plog.TxnIndexSuffix)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			t.Fatal(err)
		}
		for ; len(index) > 0 && batches; index = index[34:] {
			entry := index[:34]
			if what < withIndexes { // its producer and marker
				entry = slices.Concat(entry[2:10], entry[18:26])
			}
			out = append(out, fmt.Sprintf("  aborted %x", entry))
		}
	}
	return out
}

// withoutAborted leaves out the transaction indexes. When Kafka recovers a log it makes them anew, without the transactions of which only the marker is left.
func withoutAborted(lines []string) []string {
	return slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "  aborted") })
}

func records(t *testing.T, b batch.Batch) []string {
	t.Helper()
	var r batch.Reader
	if err := r.Reset(b, 64<<20); err != nil {
		t.Fatal(err)
	}
	var out []string
	for r.Next() {
		x := r.Record()
		line := fmt.Sprintf("    record %d at %d: %s=%s", x.Offset, x.Timestamp, quoted(x.Key), quoted(x.Value))
		for key, value := range x.Headers() {
			line += fmt.Sprintf(" [%s=%s]", quoted(key), quoted(value))
		}
		out = append(out, line)
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

func quoted(p []byte) string {
	if p == nil {
		return "null"
	}
	return strconv.Quote(string(p))
}

// same compares what the two left.
func same(t *testing.T, what string, kafka, ottla []string) {
	t.Helper()
	if slices.Equal(kafka, ottla) {
		return
	}
	at := 0
	for at < min(len(kafka), len(ottla)) && kafka[at] == ottla[at] {
		at++
	}
	around := func(lines []string) string {
		return strings.Join(lines[max(0, min(at, len(lines))-4):min(len(lines), at+4)], "\n")
	}
	t.Errorf("%s: Apache Kafka left %d lines, Ottla %d; they differ from line %d on\nKafka:\n%s\nOttla:\n%s", what, len(kafka), len(ottla), at, around(kafka), around(ottla))
}

// TestSameAsKafka: what both leave of one log, cleaned in four steps with the clock going on, is the same, and each can go on where the other ended. The log is Ottla's own, or comes
// from Kafka, with its transaction indexes.
func TestSameAsKafka(t *testing.T) {
	jars(t)
	for seed, from := range []string{"kafka", "ottla"} {
		t.Run("a log of "+from, func(t *testing.T) {
			t.Parallel()
			c := settings(48 << 10)
			source := t.TempDir()
			nowMs := generate(t, source, c, uint64(seed), 2000)
			all := bases(t, source)
			if len(all) < 9 {
				t.Fatalf("%d segments: not a test", len(all))
			}
			what := withBatches
			if from == "kafka" {
				source, what = copied(t, source, false), withIndexes
				kafkas(t, source, c, nil, 1<<20, 0.9)
			}
			rounds := []round{{nowMs, all[len(all)/3]}, {nowMs + 600, all[len(all)/2]}, {nowMs + 1200, all[2*len(all)/3]}, {nowMs + 5000, all[len(all)-1]}}
			before := contents(t, source, onlyRecords)
			atKafka, atOttla := copied(t, source, false), copied(t, source, true)
			kafkas(t, atKafka, c, rounds, 1<<20, 0.9)
			ours(t, atOttla, c, rounds, 1<<20, 0.9)
			left := contents(t, atOttla, what)
			same(t, "four cleanings", contents(t, atKafka, what), left)
			if n := len(contents(t, atOttla, onlyRecords)); n == 0 || n > len(before)/2 {
				t.Errorf("%d of %d records are left: not a test", n, len(before))
			}
			for _, need := range []string{"null", "aborted ", " of 0: producer"} {
				if !slices.ContainsFunc(left, func(line string) bool { return strings.Contains(line, need) }) {
					t.Errorf("nothing of %q is left: not a test", need)
				}
			}

			// Each goes on with what the other left.
			later := []round{{nowMs + 9000, all[len(all)-1]}}
			turned, returned := copied(t, atKafka, true), copied(t, atOttla, false)
			ours(t, turned, c, later, 1<<20, 0.9)
			kafkas(t, returned, c, later, 1<<20, 0.9)
			same(t, "after turns", withoutAborted(contents(t, returned, withBatches)), withoutAborted(contents(t, turned, withBatches)))
		})
	}
}

// TestSameAsKafkaWithLittleMemory: a map of keys that takes many passes leaves the same records.
func TestSameAsKafkaWithLittleMemory(t *testing.T) {
	jars(t)
	t.Parallel()
	c := settings(48 << 10)
	source := t.TempDir()
	nowMs := generate(t, source, c, 99, 1200)
	all := bases(t, source)
	rounds := []round{{nowMs, all[len(all)-1]}}
	atKafka, atOttla, atOnce := copied(t, source, false), copied(t, source, true), copied(t, source, true)
	const mapBytes, load = 24 << 10, 0.1 // room for a hundred of three hundred keys
	kafkas(t, atKafka, c, rounds, mapBytes, load)
	ours(t, atOttla, c, rounds, mapBytes, load)
	ours(t, atOnce, c, rounds, 1<<20, 0.9)
	same(t, "many passes", contents(t, atKafka, onlyRecords), contents(t, atOttla, onlyRecords))
	same(t, "many passes and one", contents(t, atOnce, onlyRecords), contents(t, atOttla, onlyRecords))
}

// TestDumpLog: Apache Kafka's own tool finds no fault with the files of a cleaned log, indexes among them.
func TestDumpLog(t *testing.T) {
	path := jars(t)
	t.Parallel()
	c := settings(48 << 10)
	source := t.TempDir()
	nowMs := generate(t, source, c, 5, 1500)
	all := bases(t, source)
	ours(t, source, c, []round{{nowMs, all[len(all)/2]}, {nowMs + 2000, all[len(all)-1]}}, 1<<20, 0.9)
	var files []string
	for _, base := range bases(t, source) {
		for _, suffix := range []string{plog.LogSuffix, plog.IndexSuffix, plog.TimeIndexSuffix, plog.TxnIndexSuffix} {
			name := filepath.Join(source, logName, plog.FileName(base, suffix))
			if info, err := os.Stat(name); err == nil && info.Size() > 0 {
				files = append(files, name)
			}
		}
	}
	records := len(contents(t, source, onlyRecords))
	out, err := exec.CommandContext(t.Context(), "java", "-Xmx300m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", filepath.Join(path, "../tools-4.3.1", "*"),
		"org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", strings.Join(files, ",")).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out[max(0, len(out)-2000):])
	}
	if n := strings.Count(string(out), "| offset:"); n != records {
		t.Errorf("the tool found %d records, we %d", n, records)
	}
	for _, complaint := range []string{"Mismatches", "isvalid: false", "Found timestamp mismatch", "Found out of order timestamp", "Exception", "indexed offsets"} {
		if i := strings.Index(string(out), complaint); i >= 0 {
			t.Errorf("the tool complains: %s", out[max(0, i-300):min(len(out), i+500)])
		}
	}
}

// TestCostBesideKafka, in the long form: of a large log the cleaning costs at most half of the processor time that Kafka's cleaning thread needs.
func TestCostBesideKafka(t *testing.T) {
	jars(t)
	if os.Getenv("OTTLA_LONG") == "" {
		t.Skip("not run: takes a minute; set OTTLA_LONG=1")
	}
	c := settings(32 << 20)
	source := t.TempDir()
	nowMs := overwritten(t, source, c, 300<<20)
	all := bases(t, source)
	rounds := []round{{nowMs, all[len(all)/2]}, {nowMs + 100, all[len(all)-1]}}
	atKafka, atOttla := copied(t, source, false), copied(t, source, true)
	kafka := kafkas(t, atKafka, c, rounds, 64<<20, 0.9)
	ottla := ours(t, atOttla, c, rounds, 64<<20, 0.9)
	t.Logf("processor time: Apache Kafka's cleaning thread %v, all of Ottla %v: %.2f", kafka.Round(time.Millisecond), ottla.Round(time.Millisecond), ottla.Seconds()/kafka.Seconds())
	if ottla > kafka/2 {
		t.Errorf("cleaning costs more than half of what Kafka's does")
	}
	same(t, "a large log", contents(t, atKafka, onlyRecords), contents(t, atOttla, onlyRecords))
}
