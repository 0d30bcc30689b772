package group

import (
	"bytes"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/test/cost"
)

// TestKafkaRecords reads what Kafka's own code wrote and writes it again: the same bytes, where the version is the one that is written.
func TestKafkaRecords(t *testing.T) {
	data, err := os.ReadFile("golden/kafka-4.4-records.txt")
	if err != nil {
		t.Fatal(err)
	}
	again := 0
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Fields(line)
		want := machine.Record{Key: unhex(t, f[0]), Value: unhex(t, f[1])}
		if got, ok := rewrite(t, want); ok {
			again++
			if !bytes.Equal(got.Key, want.Key) || !bytes.Equal(got.Value, want.Value) {
				t.Errorf("wrote key %x value %x\nKafka  key %x value %x", got.Key, got.Value, want.Key, want.Value)
			}
		}
	}
	if again != 7 {
		t.Errorf("%d records were written again, want 7", again)
	}
}

// rewrite decodes a record and encodes it, unless it is of a version that is only read.
func rewrite(t *testing.T, r machine.Record) (machine.Record, bool) {
	key, err := decodeKey(r.Key)
	if err != nil || key.kind == legacyOffsetKey {
		return r, false
	}
	group, topic := string(key.group), string(key.topic)
	switch {
	case key.kind == metadataKey && r.Value == nil:
		return metadataTombstone(group, 0), true
	case key.kind == metadataKey:
		md, err := decodeMetadata(r.Value)
		if err != nil {
			t.Fatal(err)
		}
		return metadataRecord(group, md, 0), r.Value[1] == metadataValueVersion
	case r.Value == nil:
		return offsetTombstone(group, topic, key.partition, 0), true
	}
	o, metadata, err := decodeOffset(r.Value)
	if err != nil {
		t.Fatal(err)
	}
	o.metadata = string(metadata)
	return offsetRecord(group, topic, key.partition, &o, 0), r.Value[1] == offsetValueVersion || o.expireMs >= 0
}

// TestRecordsAgreeWithKmsg compares both directions with an independent codec, in every version of the values.
func TestRecordsAgreeWithKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.StringN(0, 20, 40)
		v := kmsg.NewOffsetCommitValue()
		v.Version = int16(rapid.IntRange(0, 4).Draw(t, "version"))
		v.Offset, v.Metadata, v.CommitTimestamp = rapid.Int64().Draw(t, "offset"), str.Draw(t, "metadata"), rapid.Int64().Draw(t, "commit")
		if v.Version == 1 {
			v.ExpireTimestamp = rapid.Int64Range(0, 1<<50).Draw(t, "expire")
		}
		if v.Version >= 3 {
			v.LeaderEpoch = rapid.Int32Min(-1).Draw(t, "epoch")
		}
		if v.Version >= 4 {
			copy(v.TopicID[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		}
		o, metadata, err := decodeOffset(v.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		o.metadata = string(metadata)
		want := offset{offset: v.Offset, metadata: v.Metadata, commitMs: v.CommitTimestamp, expireMs: -1, leaderEpoch: -1, topicID: v.TopicID}
		if v.Version == 1 {
			want.expireMs = v.ExpireTimestamp
		}
		if v.Version >= 3 {
			want.leaderEpoch = v.LeaderEpoch
		}
		if o != want {
			t.Fatalf("read %+v of %+v", o, v)
		}
		group, topic, partition := str.Draw(t, "group"), str.Draw(t, "topic"), rapid.Int32().Draw(t, "partition")
		checkOffsetRecord(t, group, topic, partition, &o)
	})
}

func checkOffsetRecord(t *rapid.T, group, topic string, partition int32, o *offset) {
	r := offsetRecord(group, topic, partition, o, 0)
	var key kmsg.OffsetCommitKey
	var value kmsg.OffsetCommitValue
	if err := key.ReadFrom(r.Key); err != nil {
		t.Fatal(err)
	}
	if err := value.ReadFrom(r.Value); err != nil {
		t.Fatal(err)
	}
	if key.Version != 1 || key.Group != group || key.Topic != topic || key.Partition != partition {
		t.Fatalf("wrote key %+v of %s %s-%d", key, group, topic, partition)
	}
	if value.Offset != o.offset || value.Metadata != o.metadata || value.CommitTimestamp != o.commitMs {
		t.Fatalf("wrote %+v of %+v", value, o)
	}
	if o.expireMs >= 0 {
		if value.Version != 1 || value.ExpireTimestamp != o.expireMs {
			t.Fatalf("wrote %+v of %+v", value, o)
		}
	} else if value.Version != 4 || value.LeaderEpoch != o.leaderEpoch || value.TopicID != o.topicID {
		t.Fatalf("wrote %+v of %+v", value, o)
	}
}

func TestMetadataRecordsAgreeWithKmsg(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		str := rapid.StringN(0, 10, 20)
		maybe := func(label string) *string {
			if !rapid.Bool().Draw(t, label+"?") {
				return nil
			}
			return new(str.Draw(t, label))
		}
		v := kmsg.NewGroupMetadataValue()
		v.Version = int16(rapid.IntRange(0, 4).Draw(t, "version"))
		v.ProtocolType, v.Generation, v.Protocol, v.Leader = str.Draw(t, "type"), rapid.Int32().Draw(t, "generation"), maybe("protocol"), maybe("leader")
		v.CurrentStateTimestamp = rapid.Int64Min(-1).Draw(t, "since")
		for _, id := range rapid.SliceOfNDistinct(str, 0, 5, rapid.ID).Draw(t, "members") {
			m := kmsg.NewGroupMetadataValueMember()
			m.MemberID, m.ClientID, m.ClientHost = id, str.Draw(t, "client"), str.Draw(t, "host")
			if v.Version >= 3 && rapid.Bool().Draw(t, "static") {
				m.InstanceID = new("i" + id)
			}
			m.RebalanceTimeoutMillis, m.SessionTimeoutMillis = rapid.Int32Min(0).Draw(t, "rebalance"), rapid.Int32().Draw(t, "session")
			m.Subscription, m.Assignment = rapid.SliceOf(rapid.Byte()).Draw(t, "subscription"), rapid.SliceOf(rapid.Byte()).Draw(t, "assignment")
			v.Members = append(v.Members, m)
		}
		md, err := decodeMetadata(v.AppendTo(nil))
		if err != nil {
			t.Fatal(err)
		}
		var back kmsg.GroupMetadataValue
		if err := back.ReadFrom(metadataRecord("g", md, 0).Value); err != nil {
			t.Fatal(err)
		}
		want := v
		want.Version = 3
		want.UnknownTags = back.UnknownTags
		if v.Version < 2 {
			want.CurrentStateTimestamp = -1
		}
		for i := range want.Members {
			m := &want.Members[i]
			if v.Version < 1 {
				m.RebalanceTimeoutMillis = m.SessionTimeoutMillis
			}
			m.Subscription, m.Assignment = append([]byte{}, m.Subscription...), append([]byte{}, m.Assignment...)
			m.UnknownTags = back.Members[i].UnknownTags
		}
		if len(want.Members) == 0 {
			want.Members = back.Members
		}
		if !reflect.DeepEqual(back, want) {
			t.Fatalf("read and wrote\n%+v\nof\n%+v", back, want)
		}
	})
}

// FuzzApply gives a machine any record: it must return soon, hold little memory, serve afterwards, and do the same with what it wrote itself.
func FuzzApply(f *testing.F) {
	data, err := os.ReadFile("golden/kafka-4.4-records.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if field := strings.Fields(line); len(field) == 2 {
			f.Add(decodeHex(field[0]), decodeHex(field[1]))
		}
	}
	f.Add([]byte{0, 2, 0, 0}, []byte{0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if len(value) == 0 {
			value = nil
		}
		opts := DefaultOptions()
		opts.RetentionCheckInterval = 1000 * 24 * time.Hour // longer than any session
		var m *Machine
		cost.Within(t, cost.Limit{Bytes: 64<<10 + 100*(len(key)+len(value)), Time: 50 * time.Millisecond}, func() {
			m = New(opts)
			m.Apply(machine.Position{}, machine.Record{Key: key, Value: value})
			m.Step(start, 0, machine.Loaded{})
		})
		other := New(DefaultOptions())
		for _, r := range rewriteAll(m) {
			other.Apply(machine.Position{}, r)
		}
		if got, want := dump(other), dump(m); got != want {
			t.Errorf("written again:\n%s\nread:\n%s", got, want)
		}
		drain(t, m)
	})
}

// rewriteAll gives the hard state as records.
func rewriteAll(m *Machine) []machine.Record {
	var all []machine.Record
	for _, g := range m.sorted() {
		if g.metadata != nil {
			all = append(all, metadataRecord(g.id, g.metadata, 0))
		}
		for _, topic := range g.topics() {
			for _, p := range g.partitions(topic) {
				all = append(all, offsetRecord(g.id, topic, p, g.offset(topic, p), 0))
			}
		}
	}
	return all
}

// drain lets all sessions end.
func drain(t *testing.T, m *Machine) {
	now := start
	for range 10_000 {
		at := m.Deadline()
		if at.After(now) {
			now = at
		}
		out := m.Step(now, 0, nil)
		for _, r := range out.Records {
			m.Apply(machine.Position{}, r)
		}
		if len(m.timers.heap) == 1 {
			return // what is left is the check of retention
		}
	}
	t.Errorf("sessions did not end: %d timers", len(m.timers.heap))
}

func decodeHex(s string) []byte {
	var b []byte
	for i := 0; i+1 < len(s); i += 2 {
		b = append(b, nibble(s[i])<<4|nibble(s[i+1]))
	}
	return b
}

func nibble(c byte) byte {
	if c >= 'a' {
		return c - 'a' + 10
	}
	return c - '0'
}
