package node

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/transcript"
)

// rotten makes a topic of several segments, stops the node and flips a bit of the sixth batch in the first of them. It returns the batch's offset.
func rotten(t *testing.T, path string) int64 {
	t.Helper()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "sick", 1, "internal.segment.bytes", "16384")
	for i := range 60 {
		mustProduce(t, c, "sick", fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000)))
	}
	if n.partitions.Topic("sick").Partition(0).Log().SegmentCount() < 3 {
		t.Fatal("too few segments: not a test")
	}
	stop(t, n)
	const bad = 5
	name := filepath.Join(path, "sick-0", plog.FileName(0, plog.LogSuffix))
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, fmt.Appendf(nil, "%d xxx", bad))
	data[at+100] ^= 1
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return bad
}

func get(t *testing.T, n *Node, path string) string {
	t.Helper()
	resp, err := http.Get("http://" + n.Addresses().Admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

// The check in the background finds what has rotted before anybody asks for it: health, metrics, one line of the log and the directory's files say so. Only what has rotted is
// refused. After a restart it is known from the start.
func TestScrubFindsRot(t *testing.T) {
	path := t.TempDir()
	bad := rotten(t, path)
	var logged transcript.Transcript
	n := openWith(t, path, Options{Loggers: NewLoggers(&logged, slog.LevelInfo)}, "ottla.scrub.interval.ms=1", "ottla.scrub.bytes.per.second=100000000")
	health := func() (h admin.Health) {
		if err := json.Unmarshal([]byte(get(t, n, "/health")), &h); err != nil {
			t.Fatal(err)
		}
		return h
	}
	eventually(t, "a whole pass", func() bool { h := health(); return h.Directories[0].LastScrub != nil && len(h.Directories[0].Rot) > 0 })
	h := health()
	rot := h.Directories[0].Rot[0]
	if h.Status != admin.StatusDegraded || len(h.Problems) != 1 || !strings.Contains(h.Problems[0], "partition sick-0 is damaged: offsets 5 to 5 of "+path) {
		t.Errorf("health: %s, %q", h.Status, h.Problems)
	}
	if rot.Topic != "sick" || rot.Partition != 0 || rot.FirstOffset != bad || rot.LastOffset != bad || filepath.Base(rot.File) != "00000000000000000000.log" || rot.Position == 0 {
		t.Errorf("health: %+v", rot)
	}
	metrics := get(t, n, "/metrics")
	for _, want := range []string{fmt.Sprintf("ottla_log_rotten_offsets{dir=%q,partition=\"0\",topic=\"sick\"} 1\n", path), fmt.Sprintf("ottla_scrub_errors_total{dir=%q} 0\n", path)} {
		if !strings.Contains(metrics, want) {
			t.Errorf("no %q among the metrics", want)
		}
	}
	if len(logged.Lines("a log is damaged")) != 1 || len(logged.Lines("first_offset=5")) != 1 {
		t.Errorf("logged:\n%s", &logged)
	}
	c := dial(t, n)
	if got := records(t, fetch(t, c, "sick", 0).RecordBatches); len(got) != int(bad) {
		t.Errorf("%d records before the damage", len(got))
	}
	code(t, "fetch of the damaged offset", fetch(t, c, "sick", bad).ErrorCode, model.CorruptMessage)
	at := bad + 1
	for at < 60 {
		got := records(t, fetch(t, c, "sick", at).RecordBatches)
		if len(got) == 0 || got[0].offset != at {
			t.Fatalf("behind the damage, at %d: %v", at, got)
		}
		at = got[len(got)-1].offset + 1
	}
	if offset := mustProduce(t, c, "sick", "more"); offset != 60 {
		t.Errorf("appended at %d", offset)
	}
	stop(t, n)
	state, err := dir.ReadScrub(vfs.OS(), path)
	if err != nil || state.CompletedMs == 0 || len(state.Rot) != 1 || state.Rot[0].From != bad {
		t.Fatalf("written down: %+v, %v", state, err)
	}
	n = open(t, path)
	eventually(t, "damage known from before", func() bool { return len(health().Directories[0].Rot) == 1 })
	stop(t, n)
}

// A node stops at once, however slow the check is; the next start goes on where it was.
func TestScrubIsInterrupted(t *testing.T) {
	path := t.TempDir()
	rotten(t, path)
	n := open(t, path, "ottla.scrub.interval.ms=1", "ottla.scrub.bytes.per.second=20000")
	eventually(t, "a beginning", func() bool { return (*n.scrubbers.Load())[0].look().Log != "" })
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("stopping took %v", took)
	}
	state, err := dir.ReadScrub(vfs.OS(), path)
	if err != nil || state.Log != "sick-0" || state.CompletedMs != 0 {
		t.Fatalf("written down: %+v, %v", state, err)
	}
	n = open(t, path, "ottla.scrub.interval.ms=3600000", "ottla.scrub.bytes.per.second=100000000")
	defer stop(t, n)
	eventually(t, "the end of the pass", func() bool { return (*n.scrubbers.Load())[0].look().CompletedMs > 0 })
}
