package node

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// metadataFiles are the names in the metadata log's directory that end in a suffix.
func metadataFiles(t *testing.T, path, suffix string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Join(path, metadataPartition))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), suffix) {
			names = append(names, e.Name())
		}
	}
	return names
}

// figure is the value of a metric without labels.
func figure(t *testing.T, n *Node, f *metric.Family) float64 {
	t.Helper()
	families, err := n.metrics.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range families {
		if x.GetName() == f.Name {
			m := x.GetMetric()[0]
			return m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no metric %s", f.Name)
	return 0
}

// TestSnapshotsByBytes: the metadata log gets a snapshot after so many bytes, what it stands for goes, and the node starts from it.
func TestSnapshotsByBytes(t *testing.T) {
	path := t.TempDir()
	overrides := []string{"metadata.log.max.record.bytes.between.snapshots=4000", "metadata.log.max.snapshot.interval.ms=0", "metadata.max.retention.bytes=0"}
	n := open(t, path, overrides...)
	if n.quorum.Base() != nil || figure(t, n, metric.MetadataSnapshotBytes) != 0 {
		t.Errorf("a new cluster stands on the snapshot %+v", n.quorum.Base())
	}
	c := dial(t, n)
	var want []string
	for i := range 60 {
		name := fmt.Sprintf("topic-%02d", i)
		want = append(want, name)
		createTopic(t, c, name, 3, "retention.ms", fmt.Sprint(1000+i))
	}
	eventually(t, "a snapshot with nearly everything", func() bool { return n.quorum.Growth().Bytes < 4000 })
	eventually(t, "the start of the log", func() bool {
		base := n.quorum.Base()
		return base != nil && figure(t, n, metric.MetadataSnapshotBytes) == float64(base.Bytes) && len(metadataFiles(t, path, ".checkpoint")) == 1
	})
	made := figure(t, n, metric.MetadataSnapshots)
	if made < 1 || figure(t, n, metric.MetadataSnapshotFailures) != 0 || figure(t, n, metric.MetadataSnapshotAge) > 60 {
		t.Errorf("%v snapshots were made, %v failed, the newest is %v s old", made, figure(t, n, metric.MetadataSnapshotFailures), figure(t, n, metric.MetadataSnapshotAge))
	}
	stop(t, n)
	end := n.quorum.Base().End // the stop may have met one more

	n = open(t, path, append(overrides, "metadata.log.max.record.bytes.between.snapshots=1000000")...)
	t.Cleanup(func() { stop(t, n) })
	if base := n.quorum.Base(); base == nil || base.End != end || figure(t, n, metric.MetadataSnapshotBytes) != float64(base.Bytes) {
		t.Errorf("the node stands on %+v, want the snapshot up to %v", base, end)
	}
	var got []string
	for topic := range n.image.Load().Topics() {
		got = append(got, topic.Name)
		if set := n.image.Load().Config(2, topic.Name)["retention.ms"]; set != "10"+strings.TrimPrefix(topic.Name, "topic-") {
			t.Errorf("retention.ms of %s is %s", topic.Name, set)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("topics %q, want %q", got, want)
	}
}

// TestSnapshotsByTime: what is in no snapshot gets into one when it is old, and an idle cluster gets no other.
func TestSnapshotsByTime(t *testing.T) {
	path := t.TempDir()
	n := open(t, path, "metadata.log.max.snapshot.interval.ms=100")
	t.Cleanup(func() { stop(t, n) })
	eventually(t, "a snapshot", func() bool { return figure(t, n, metric.MetadataSnapshots) == 1 })
	if g := n.quorum.Growth(); g.Bytes != 0 {
		t.Errorf("growth %+v", g)
	}
	s := newSnapshots(n) // as it looks at things now
	if wait := s.wait(); wait != math.MaxInt64 {
		t.Errorf("the next look is in %v, although nothing was written", wait)
	}
	createTopic(t, dial(t, n), "more", 1)
	eventually(t, "another snapshot", func() bool { return figure(t, n, metric.MetadataSnapshots) == 2 })
	if got := metadataFiles(t, path, ".checkpoint"); len(got) != 2 { // there is room for both
		t.Errorf("snapshots %q", got)
	}
}

func TestSnapshotsWait(t *testing.T) {
	n := open(t, t.TempDir(), "metadata.log.max.snapshot.interval.ms=3600000")
	t.Cleanup(func() { stop(t, n) })
	s := newSnapshots(n)
	now := time.Now()
	if s.due(now) || s.due(now.Add(59*time.Minute)) || !s.due(now.Add(61*time.Minute)) {
		t.Error("a snapshot is due after an hour, not before")
	}
	if wait := s.wait(); wait < 59*time.Minute || wait > time.Hour {
		t.Errorf("the next look is in %v", wait)
	}
	s.retry = now.Add(2 * time.Hour)
	if s.due(now.Add(61*time.Minute)) || s.wait() < 119*time.Minute {
		t.Errorf("after a failure, the next look is in %v", s.wait())
	}
	s.held = true
	if s.due(now.Add(4*time.Hour)) || s.wait() != math.MaxInt64 {
		t.Errorf("with an image that is no place for a snapshot, the next look is in %v", s.wait())
	}
	s.remove = now.Add(10 * time.Minute)
	if wait := s.wait(); wait < 9*time.Minute || wait > 10*time.Minute {
		t.Errorf("the oldest snapshot goes in %v", wait)
	}
}

func TestMetadataSegmentBytes(t *testing.T) {
	n := open(t, t.TempDir())
	b := n.static.Broker
	stop(t, n)
	for _, x := range []struct{ retention, segment, want int64 }{
		{100 << 20, 1 << 30, 25 << 20}, {-1, 1 << 30, 1 << 30}, {0, 1 << 30, 8 << 20}, {100 << 20, 9 << 20, 9 << 20},
	} {
		b.MetadataRetentionBytes, b.MetadataLogSegmentBytes = x.retention, x.segment
		if got := metadataSegmentBytes(&b); got != x.want {
			t.Errorf("with %+v a segment has %d bytes", x, got)
		}
	}
}
