//go:build unix

package turns

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestSnapshotsTakeTurns: both write snapshots of the metadata all the time, and Ottla cuts the log behind them. Each starts from the other's, and what neither acts on survives.
func TestSnapshotsTakeTurns(t *testing.T) {
	longForm(t)
	for name, killed := range map[string]bool{"stopped": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t, 2, "metadata.log.max.record.bytes.between.snapshots=1500", "metadata.max.retention.bytes=1")
			p.format()
			l := newLedger()
			l.scram = true
			var start int64
			for round := range 2 {
				turn(t, p, l, kafka, round, killed)
				before := p.checkpoints()
				if slices.Max(before) <= start {
					t.Errorf("round %d: Kafka's newest snapshot is at offset %d, the log begins at %d", round, slices.Max(before), start)
				}
				turn(t, p, l, ottla, round, killed)
				after := p.checkpoints()
				if slices.Max(after) <= slices.Max(before) {
					t.Errorf("round %d: Ottla's newest snapshot is at offset %d, Kafka's was at %d", round, slices.Max(after), slices.Max(before))
				}
				now := p.startOffset()
				if now <= start || !slices.Contains(after, now) {
					t.Errorf("round %d: the metadata log begins at offset %d, after %d; the snapshots are at %v", round, now, start, after)
				}
				start = now
				p.dumped()
			}
			l.closing(t, p)
		})
	}
}

// TestSnapshotsAtAnOlderLevel: snapshots have records that the level allows, and name no voters where those stand in the configuration.
func TestSnapshotsAtAnOlderLevel(t *testing.T) {
	longForm(t)
	p := newPlaceOf(t, 1, "3.3-IV3", "metadata.log.max.record.bytes.between.snapshots=1500", "metadata.max.retention.bytes=1")
	p.format()
	l := newLedger()
	l.level = 7
	for i, who := range []string{ottla, kafka, ottla} {
		turn(t, p, l, who, i, i == 1)
	}
	if at := p.startOffset(); at == 0 || !slices.Contains(p.checkpoints(), at) {
		t.Errorf("the metadata log begins at offset %d, the snapshots are at %v", at, p.checkpoints())
	}
	l.closing(t, p)
}

// metadata is the directory of the metadata log.
func (p *place) metadata() string { return filepath.Join(p.data[0], "__cluster_metadata-0") }

// checkpoints are the offsets of the snapshots that are there.
func (p *place) checkpoints() (offsets []int64) {
	p.t.Helper()
	names, err := filepath.Glob(filepath.Join(p.metadata(), "*.checkpoint"))
	if err != nil || len(names) == 0 {
		p.t.Fatalf("no snapshots: %v", err)
	}
	for _, name := range names {
		offset, err := strconv.ParseInt(filepath.Base(name)[:20], 10, 64)
		if err != nil {
			p.t.Fatal(err)
		}
		offsets = append(offsets, offset)
	}
	return offsets
}

// startOffset is where the metadata log begins, by the checkpoint of starts.
func (p *place) startOffset() int64 {
	p.t.Helper()
	data, err := os.ReadFile(filepath.Join(p.data[0], "log-start-offset-checkpoint"))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		var offset int64
		if _, err := fmt.Sscanf(line, "__cluster_metadata 0 %d", &offset); err == nil {
			return offset
		}
	}
	return 0
}

// dumped has Kafka's own tool decode the newest snapshot, which is Ottla's.
func (p *place) dumped() {
	p.t.Helper()
	names, err := filepath.Glob(filepath.Join(p.metadata(), "*.checkpoint"))
	if err != nil || len(names) == 0 {
		p.t.Fatalf("no snapshots: %v", err)
	}
	slices.Sort(names)
	out, err := p.java("org.apache.kafka.tools.DumpLogSegments", "--cluster-metadata-decoder", "--files", names[len(names)-1]).CombinedOutput()
	out, _, closing := bytes.Cut(out, []byte("Exception in thread \"main\" java.lang.NoSuchMethodError: 'void org.apache.kafka.common.record.internal.FileRecords.closeHandlers()'"))
	if err != nil && !closing { // all is shown by then; the method was renamed between the tool's release and the server's
		p.t.Fatalf("dump: %v\n%s", err, out)
	}
	for _, want := range []string{
		"SnapshotHeader", "lastContainedLogTimestamp", "KRaftVersion", `"kRaftVersion":1`, "KRaftVoters", "SnapshotFooter", "isvalid: true",
		`"type":"FEATURE_LEVEL_RECORD"`, `"type":"REGISTER_BROKER_RECORD"`, `"type":"REGISTER_CONTROLLER_RECORD"`, `"type":"TOPIC_RECORD"`, `"type":"PARTITION_RECORD"`,
		`"type":"CONFIG_RECORD"`, `"type":"PRODUCER_IDS_RECORD"`, `"type":"USER_SCRAM_CREDENTIAL_RECORD"`, `"type":"CLIENT_QUOTA_RECORD"`,
	} {
		if !strings.Contains(string(out), want) {
			p.t.Errorf("Kafka's dump of %s has no %s:\n%.3000s", names[len(names)-1], want, out)
			break
		}
	}
	if strings.Contains(string(out), "isvalid: false") || strings.Contains(string(out), "rror") {
		p.t.Errorf("Kafka's dump of %s finds something wrong:\n%.3000s", names[len(names)-1], out)
	}
}
