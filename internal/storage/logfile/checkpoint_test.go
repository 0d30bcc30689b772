package logfile

import (
	"bytes"
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	metadataLog    = model.MetadataTopic + "-0"
	checkpointName = "00000000000000000004-0000000001.checkpoint"
)

// checkpointBytes is a snapshot: header, version and voters; a configuration; footer.
func checkpointBytes(t *testing.T) []byte {
	t.Helper()
	key := func(kind byte) []byte { return []byte{0, 0, 0, kind} }
	header := binary.BigEndian.AppendUint64([]byte{0, 0}, 1_700_000_000_000)
	header = binary.AppendUvarint(append(header, 1), raftIndexTag)
	header = binary.BigEndian.AppendUint64(append(header, 8), 3)
	voters := append([]byte{0, 0, 2, 0, 0, 0, 1}, bytes.Repeat([]byte{7}, 16)...)
	voters = append(voters, 2, 2, 'C', 2, 'h', 0x23, 0x85, 0, 0, 0, 0, 1, 0, 0, 0)
	var out []byte
	var b batch.Builder
	b.Reset(batch.Options{Control: true, PartitionLeaderEpoch: 1})
	b.Append(1_700_000_000_000, key(3), header)
	b.Append(1_700_000_000_000, key(5), []byte{0, 0, 0, 1, 0})
	b.Append(1_700_000_000_000, key(6), voters)
	out = append(out, b.Build()...)
	b.Reset(batch.Options{BaseOffset: 3, PartitionLeaderEpoch: 1})
	b.Append(1_700_000_000_000, nil, record.Append(nil, &record.ConfigRecord{ResourceType: 2, ResourceName: "changes", Name: "cleanup.policy", Value: new("compact")}, 0))
	out = append(out, b.Build()...)
	b.Reset(batch.Options{Control: true, BaseOffset: 4, PartitionLeaderEpoch: 1})
	b.Append(1_700_000_000_000, key(4), []byte{0, 0, 0})
	return append(out, b.Build()...)
}

// withMetadata has a directory with a metadata log of four records that begins at an offset, and a snapshot beside it.
func withMetadata(t *testing.T, start int64) *vfs.Mem {
	t.Helper()
	mem := vfs.NewMem()
	d, err := dir.Open(mem, testDir, dir.Options{Meta: dir.Meta{ClusterID: "cluster", NodeID: 1}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	l, err := plog.Open(d, metadataLog, model.MetadataTopicID, plog.DefaultConfig())
	if err != nil {
		t.Fatal(err)
	}
	for range 6 {
		var b batch.Builder
		b.Reset(batch.Options{})
		b.Append(1_700_000_000_000, nil, record.Append(nil, &record.NoOpRecord{}, 0))
		if _, err := l.Append(bytes.Clone(b.Build()), 1, time.UnixMilli(1_700_000_000_000), plog.Client); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.SetStartOffset(start); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(5); err != nil {
		t.Fatal(err)
	}
	write(t, mem, filepath.Join(testDir, metadataLog, checkpointName), checkpointBytes(t))
	return mem
}

func write(t *testing.T, fsys vfs.FS, name string, data []byte) {
	t.Helper()
	f, err := fsys.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDumpCheckpoint(t *testing.T) {
	mem := vfs.NewMem()
	if err := mem.MkdirAll("/elsewhere"); err != nil {
		t.Fatal(err)
	}
	write(t, mem, "/elsewhere/"+checkpointName, checkpointBytes(t))
	entries, err := entriesOf(t, mem, "/elsewhere/"+checkpointName, all())
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if r, ok := e.(RecordEntry); ok {
			got = append(got, r.Decoded.Text())
		}
	}
	want := []string{
		`SnapshotHeader v0 {"last_contained_log_timestamp":1700000000000,"ottla_raft_index":3}`,
		`KRaftVersion v0 {"kraft_version":1}`,
		`KRaftVoters v0 {"voters":[{"voter_id":1,"voter_directory_id":"BwcHBwcHBwcHBwcHBwcHBw","endpoints":[{"name":"C","host":"h","port":9093}],"min_supported_version":0,"max_supported_version":1}]}`,
		`ConfigRecord v0 {"ResourceType":2,"ResourceName":"changes","Name":"cleanup.policy","Value":"compact","UnknownTags":null}`,
		`SnapshotFooter v0 {}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("shown as\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestKRaftRecordsCutShort: nothing that ends early is shown as if it were whole.
func TestKRaftRecordsCutShort(t *testing.T) {
	var r batch.Reader
	b, _, err := batch.Next(checkpointBytes(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Reset(b, 1<<20); err != nil {
		t.Fatal(err)
	}
	for r.Next() {
		rec := r.Record()
		kind := int16(rec.Key[3])
		if _, problem := decodeKRaft(kind, rec.Value[2:]); problem != "" {
			t.Errorf("control record %d: %s", kind, problem)
		}
		for n := range rec.Value[2:] {
			if body, problem := decodeKRaft(kind, rec.Value[2:2+n]); problem == "" {
				t.Errorf("%d bytes of control record %d are %+v", n, kind, body)
			}
		}
		if _, problem := decodeKRaft(kind, append(slices.Clone(rec.Value[2:]), 0)); problem == "" {
			t.Errorf("control record %d with a byte more is shown", kind)
		}
	}
}

func TestVerifyCheckpoints(t *testing.T) {
	name := filepath.Join(testDir, metadataLog, checkpointName)
	for _, x := range []struct {
		what     string
		start    int64
		spoil    func(mem *vfs.Mem)
		severity Severity // "" for none
		text     string
	}{
		{"whole", 4, func(*vfs.Mem) {}, "", ""},
		{"damaged and needed", 4, func(mem *vfs.Mem) { change(t, mem, name, flip(150)) }, SeverityDamage, "stored CRC"},
		{"damaged, and the log has all", 0, func(mem *vfs.Mem) { change(t, mem, name, flip(150)) }, SeverityHint, "stored CRC"},
		{"without its footer", 4, func(mem *vfs.Mem) {
			change(t, mem, name, func(f vfs.File) error {
				size, err := f.Size()
				if err != nil {
					return err
				}
				return f.Truncate(size - batch.HeaderSize - 14) // the last batch has one record of 14 bytes
			})
		}, SeverityDamage, "no footer"},
		{"gone", 4, func(mem *vfs.Mem) { remove(t, mem, name) }, SeverityDamage, "no snapshot"},
		{"too old", 5, func(*vfs.Mem) {}, SeverityDamage, "no snapshot"},
	} {
		mem := withMetadata(t, x.start)
		x.spoil(mem)
		r, err := Verify(mem, testDir, false)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case x.severity == "" && len(r.Findings) > 0:
			t.Errorf("%s: %+v", x.what, r.Findings)
		case x.severity != "" && (len(r.Findings) != 1 || r.Findings[0].Severity != x.severity || !strings.Contains(r.Findings[0].Problem, x.text)):
			t.Errorf("%s: %+v", x.what, r.Findings)
		}
	}
}

// TestCompactedTopicsOfTheSnapshot: what only the snapshot tells is known.
func TestCompactedTopicsOfTheSnapshot(t *testing.T) {
	mem := withMetadata(t, 4)
	compacted, err := compactedTopics(mem, testDir)
	if err != nil || !compacted("changes") || compacted("orders") {
		t.Errorf("changes %v, orders %v, %v", compacted("changes"), compacted("orders"), err)
	}
}
