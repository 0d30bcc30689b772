package session

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"github.com/ottla/ottla/internal/kafka/model"
)

// TestScripts runs testdata: see the head of each file. Regenerate with -rewrite.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return // what a fuzzer found
		}
		var h harness
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string { return h.run(t, d) })
	})
}

// harness drives a cache from a script and prints what a client would see.
type harness struct {
	cache *Cache
	nowMs int64
	open  Context
}

func (h *harness) run(t *testing.T, d *datadriven.TestData) string {
	switch d.Cmd {
	case "new":
		h.cache, h.nowMs = New(arg(t, d, "slots", 10), int64(arg(t, d, "eviction", 1000))), 0
		h.cache.maxPartitions = arg(t, d, "partitions", MaxPartitions)
		return ""
	case "wait":
		h.nowMs += int64(arg(t, d, "ms", 0))
		return ""
	case "epoch":
		h.cache.sessions[int32(arg(t, d, "session", 0))].epoch = int32(arg(t, d, "to", 0))
		return ""
	case "begin":
		return h.begin(t, d)
	case "overtake": // a begin whose answer nobody waits for
		first := h.open
		out := h.begin(t, d)
		h.open = first
		return out
	case "finish":
		return h.finish(t, d)
	case "fetch": // begin and finish; the input is that of finish after that of begin
		out := h.begin(t, d)
		if strings.HasPrefix(out, "error") {
			return out
		}
		return out + h.finish(t, d)
	case "size":
		s, p := h.cache.Size()
		return fmt.Sprintf("sessions=%d partitions=%d slots=%d evictions=%d\n", s, p, h.cache.partitions, h.cache.Evictions())
	}
	t.Fatalf("unknown command %s", d.Cmd)
	return ""
}

// begin reads lines "want TOPIC-PARTITION OFFSET" and "forget TOPIC-PARTITION".
func (h *harness) begin(t *testing.T, d *datadriven.TestData) string {
	r := Request{SessionID: int32(arg(t, d, "session", 0)), Epoch: int32(arg(t, d, "epoch", 0)), ByID: d.HasArg("ids"), Follower: d.HasArg("follower")}
	for _, line := range lines(d.Input) {
		f := strings.Fields(line)
		switch f[0] {
		case "want":
			topic, p := h.partition(t, f[1], r.ByID)
			var offset int64
			if len(f) > 2 {
				mustScan(t, f[2], &offset)
			}
			r.Partitions = append(r.Partitions, Partition{Topic: topic, Partition: p, Fetch: Fetch{Offset: offset, MaxBytes: 1 << 20}})
		case "forget":
			topic, p := h.partition(t, f[1], r.ByID)
			r.Forgotten = append(r.Forgotten, Forgotten{Topic: topic, Partition: p})
		}
	}
	var code model.ErrorCode
	h.open, code = h.cache.Begin(h.nowMs, &r, nil)
	if code != model.None {
		return "error " + code.String() + "\n"
	}
	var out strings.Builder
	for _, p := range h.open.Partitions {
		fmt.Fprintf(&out, "read %s at %d\n", show(p), p.Fetch.Offset)
	}
	return out.String()
}

// finish reads lines "found TOPIC-PARTITION [hw=N] [start=N] [records] [preferred] [diverging] [error=N]"; what is not named has hw 0 and start 0.
func (h *harness) finish(t *testing.T, d *datadriven.TestData) string {
	found := map[string]Result{}
	for _, line := range lines(d.Input) {
		f := strings.Fields(line)
		if f[0] != "found" {
			continue
		}
		var r Result
		for _, w := range f[2:] {
			switch name, value, _ := strings.Cut(w, "="); name {
			case "hw":
				mustScan(t, value, &r.HighWatermark)
			case "start":
				mustScan(t, value, &r.LogStartOffset)
			case "error":
				mustScan(t, value, &r.Code)
			case "records":
				r.Records = true
			case "preferred":
				r.PreferredReplica = true
			case "diverging":
				r.Diverging = true
			default:
				t.Fatalf("unknown word %q", w)
			}
		}
		found[f[1]] = r
	}
	results := make([]Result, len(h.open.Partitions))
	for i, p := range h.open.Partitions {
		results[i] = found[show(p)]
	}
	shown := make([]bool, len(results))
	id, code := h.cache.Finish(h.nowMs, &h.open, results, shown, int32(arg(t, d, "fresh", 0)))
	var out strings.Builder
	fmt.Fprintf(&out, "session=%d %s:", id, code)
	for i, p := range h.open.Partitions {
		if shown[i] {
			out.WriteString(" " + show(p))
		}
	}
	return out.String() + "\n"
}

func (h *harness) partition(t *testing.T, s string, byID bool) (Topic, int32) {
	name, number, _ := strings.Cut(s, "-")
	var p int32
	mustScan(t, number, &p)
	if !byID {
		return Topic{Name: name}, p
	}
	var id model.TopicID
	copy(id[:], name)
	return Topic{ID: id}, p
}

func show(p Partition) string {
	name := p.Topic.Name
	if name == "" {
		name = strings.TrimRight(string(p.Topic.ID[:]), "\x00")
	}
	return fmt.Sprintf("%s-%d", name, p.Partition)
}

func arg(t *testing.T, d *datadriven.TestData, key string, value int) int {
	if d.HasArg(key) {
		d.ScanArgs(t, key, &value)
	}
	return value
}

func lines(s string) []string {
	return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' })
}

func mustScan(t *testing.T, s string, to any) {
	t.Helper()
	if _, err := fmt.Sscan(s, to); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
}

func TestNextEpoch(t *testing.T) {
	for from, to := range map[int32]int32{1: 2, math.MaxInt32 - 1: math.MaxInt32, math.MaxInt32: 1} {
		if got := nextEpoch(from); got != to {
			t.Errorf("after epoch %d comes %d, want %d", from, got, to)
		}
	}
}

// TestPartitionMemory keeps what a partition of a session costs small: a broker may hold a million of them.
func TestPartitionMemory(t *testing.T) {
	const n = 100_000
	partitions := make([]Partition, n)
	for i := range partitions {
		partitions[i] = Partition{Topic: Topic{Name: []string{"a", "b", "c"}[i%3]}, Partition: int32(i / 3)}
	}
	results := make([]Result, n)
	c := New(1, 1000)
	before := heapInUse()
	ctx, _ := c.Begin(0, &Request{Partitions: partitions}, nil)
	if id, code := c.Finish(0, &ctx, results, nil, 7); id != 7 || code != model.None {
		t.Fatalf("session %d, %v", id, code)
	}
	perPartition := float64(heapInUse()-before) / n
	t.Logf("%.0f bytes a partition", perPartition)
	if perPartition > 150 {
		t.Errorf("a partition costs %.0f bytes", perPartition)
	}
	runtime.KeepAlive(c)
	runtime.KeepAlive(partitions)
	runtime.KeepAlive(results)
}

func heapInUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIncrementalFetchAllocatesNothing: a fetch without changes works in the caller's buffers.
func TestIncrementalFetchAllocatesNothing(t *testing.T) {
	c := New(1, 1000)
	partitions := make([]Partition, 100)
	for i := range partitions {
		partitions[i] = Partition{Topic: Topic{Name: "a"}, Partition: int32(i)}
	}
	results, shown, buffer := make([]Result, 100), make([]bool, 100), make([]Partition, 0, 100)
	ctx, _ := c.Begin(0, &Request{Partitions: partitions}, nil)
	c.Finish(0, &ctx, results, nil, 7)
	epoch := int32(1)
	if n := testing.AllocsPerRun(1000, func() {
		r := Request{SessionID: 7, Epoch: epoch}
		ctx, code := c.Begin(0, &r, buffer)
		if code != model.None {
			t.Fatal(code)
		}
		c.Finish(0, &ctx, results, shown, 0)
		epoch++
	}); n > 0 {
		t.Errorf("%.1f allocations", n)
	}
}
