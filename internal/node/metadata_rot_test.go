package node

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/cluster/quorum"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/test/transcript"
)

// The metadata log is checked in the background like any other. What the node knows in memory is sound: a snapshot of it stands for what has rotted, and the next start does not need that.
func TestRotInTheMetadataLogIsReplacedByASnapshot(t *testing.T) {
	path := t.TempDir()
	var logged transcript.Transcript
	settings := []string{"metadata.log.segment.ms=1", "metadata.log.max.snapshot.interval.ms=0", "ottla.scrub.interval.ms=1", "ottla.scrub.bytes.per.second=100000000"}
	n := openWith(t, path, Options{Loggers: NewLoggers(&logged, slog.LevelInfo)}, settings...)
	c := dial(t, n)
	for i := range 10 {
		createTopic(t, c, fmt.Sprintf("topic-%d", i), 1)
	}
	if n.metadata.Load().SegmentCount() < 3 {
		t.Fatal("too few segments: not a test")
	}
	if base := n.quorum.Base(); base != nil {
		t.Fatalf("there is a snapshot already: %+v", base)
	}
	name := filepath.Join(path, metadataPartition, plog.FileName(0, plog.LogSuffix))
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	var p [1]byte
	if _, err := f.ReadAt(p[:], 70); err != nil {
		t.Fatal(err)
	}
	p[0] ^= 4
	if _, err := f.WriteAt(p[:], 70); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "damage is found", func() bool { return strings.Contains(logged.String(), "a log is damaged") }) // what has it may be gone the next moment
	createTopic(t, c, "one-more", 1)                                                                               // something that no snapshot can stand for yet, should there be nothing else
	var base *quorum.Checkpoint
	eventually(t, "a snapshot stands for it", func() bool { base = n.quorum.Base(); return base != nil })
	if len(n.metadata.Load().rot()) > 0 {
		t.Errorf("the snapshot is %+v, the damage %v", base, n.metadata.Load().rot())
	}
	var h admin.Health
	if err := json.Unmarshal([]byte(get(t, n, "/health")), &h); err != nil || len(h.Problems) > 0 {
		t.Errorf("health: %q, %v", h.Problems, err)
	}
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	for _, name := range []string{"topic-0", "topic-9", "one-more"} {
		if n.image.Load().TopicByName(name) == nil {
			t.Errorf("%s is gone", name)
		}
	}
}
