package record

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/cost"
)

type golden struct {
	name    string
	version int16
	value   []byte
}

func kafkas(t testing.TB) []golden {
	t.Helper()
	f, err := os.Open("testdata/kafka-4.4.0.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var out []golden
	for s := bufio.NewScanner(f); s.Scan(); {
		words := strings.Fields(s.Text())
		if words[0] == "#" {
			continue
		}
		version, err := strconv.Atoi(words[1])
		if err != nil {
			t.Fatal(err)
		}
		value, err := hex.DecodeString(words[2])
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, golden{words[0], int16(version), value})
	}
	return out
}

func TestKafkasOwnBytes(t *testing.T) { // I1
	seen := map[string]map[int16]bool{}
	for _, g := range kafkas(t) {
		m, version, err := Decode(g.value)
		if err != nil {
			t.Errorf("%s version %d: %v", g.name, g.version, err)
			continue
		}
		want := map[string]string{"ZkMigrationRecord": "ZkMigrationStateRecord"}[g.name]
		if want == "" {
			want = g.name
		}
		if m.TypeName() != want || version != g.version {
			t.Errorf("%s version %d was read as %s version %d", g.name, g.version, m.TypeName(), version)
		}
		if again := Append(nil, m, version); !bytes.Equal(again, g.value) {
			t.Errorf("%s version %d:\nKafka wrote %x\nwe write    %x", g.name, g.version, g.value, again)
		}
		if seen[m.TypeName()] == nil {
			seen[m.TypeName()] = map[int16]bool{}
		}
		seen[m.TypeName()][version] = true
	}
	types := 0
	for key := int16(0); key < 200; key++ {
		m := New(key)
		if m == nil {
			continue
		}
		types++
		lowest, highest := m.Versions()
		for v := lowest; v <= highest; v++ {
			if !seen[m.TypeName()][v] {
				t.Errorf("no bytes of Kafka for %s version %d", m.TypeName(), v)
			}
		}
	}
	if types != 27 {
		t.Errorf("%d record types, Kafka 4.4 has 27", types)
	}
}

// The values were read from the metadata log of a fresh Apache Kafka 4.4.0, and their meaning from its kafka-dump-log.
func TestFieldsMeanWhatKafkaMeans(t *testing.T) {
	uuid := func(s string) model.TopicID {
		id, err := model.ParseTopicID(s)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	change := NewPartitionChangeRecord()
	for _, c := range []struct {
		hex     string
		version int16
		want    Message
	}{
		{"01170001001212426f6f747374726170207265636f726473", 0, &BeginTransactionRecord{Name: new("Bootstrap records")}},
		{"010c00116d657461646174612e76657273696f6e002100", 0, &FeatureLevelRecord{Name: "metadata.version", FeatureLevel: 33}},
		{"0104000401146d696e2e696e73796e632e7265706c696361730231" + "00", 0, &ConfigRecord{ResourceType: 4, Name: "min.insync.replicas", Value: new("1")}},
		{"01180000", 0, &EndTransactionRecord{}},
		{"01140000", 0, &NoOpRecord{}},
		{"011100" + "00000001" + "000000000000000f" + "01" + "0001ff", 0, &BrokerRegistrationChangeRecord{BrokerID: 1, BrokerEpoch: 15, Fenced: -1}},
		{"011103" + "00000001" + "000000000000000f" + "01" + "030101", 3, &BrokerRegistrationChangeRecord{BrokerID: 1, BrokerEpoch: 15, CordonedLogDirs: []model.TopicID{}}},
		{"010502" + "00000007" + "00000000000000000000000000000009" + "00", 2, func() Message { change.PartitionID, change.TopicID = 7, model.TopicID{15: 9}; return change }()},
		{"010004" + "00000001" + "00" + "5025626ee0dc46c08fd7d5b5141fc4a6" + "000000000000000f" +
			"020a504c41494e544558540a3132372e302e302e3171a4000000" + "020e6b726166742e76657273696f6e0000000100" + "00" + "01" + "00" +
			"01001102875f640a74d244108dd4c20776304bac", 4,
			&RegisterBrokerRecord{
				BrokerID: 1, IncarnationID: uuid("UCVibuDcRsCP19W1FB_Epg"), BrokerEpoch: 15, EndPoints: []Endpoint{{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 29092}},
				Features: []Feature{{Name: "kraft.version", MaxSupportedVersion: 1}}, Fenced: true, LogDirs: []model.TopicID{uuid("h19kCnTSRBCN1MIHdjBLrA")},
			}},
	} {
		value, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		m, version, err := Decode(value)
		if err != nil || version != c.version || !reflect.DeepEqual(m, c.want) {
			t.Errorf("%s:\nread %+v version %d, %v\nwant %+v", c.hex, m, version, err, c.want)
		}
		if again := Append(nil, c.want, c.version); !bytes.Equal(again, value) {
			t.Errorf("%s was written as %x", c.hex, again)
		}
	}
}

func TestUnknownRecordsAreKept(t *testing.T) { // I1
	for name, value := range map[string][]byte{
		"type":    {1, 0x80, 1, 3, 'a', 'b'},
		"version": append([]byte{1, 2, 9}, "whatever a later Kafka writes"...),
		"tag":     append(append([]byte{1, 9, 0}, make([]byte, 16)...), 1, 77, 3, 'x', 'y', 'z'),
	} {
		m, version, err := Decode(value)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if again := Append(nil, m, version); !bytes.Equal(again, value) {
			t.Errorf("%s: %x came back as %x", name, value, again)
		}
	}
}

func TestMalformed(t *testing.T) {
	topic := Append(nil, &TopicRecord{Name: "t"}, 0)
	many := []byte{1, 2, 0, 2, 't'}
	many = append(many, make([]byte, 16)...)
	for name, value := range map[string][]byte{
		"empty":                {},
		"frame version":        {2, 2, 0},
		"huge key":             {1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0},
		"long varint":          {1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0},
		"short":                topic[:len(topic)-3],
		"garbage after":        append(bytes.Clone(topic), 0),
		"null string":          {1, 2, 0, 0},
		"lying string":         {1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f},
		"lying tags":           append(bytes.Clone(many), 0xff, 0xff, 0xff, 0xff, 0x0f),
		"lying tag size":       append(bytes.Clone(many), 1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f),
		"tag with a remainder": {1, 23, 0, 1, 0, 3, 2, 'a', 'b'},
	} {
		if m, _, err := Decode(value); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v, %v", name, m, err)
		}
	}
}

func TestVersionsCannotLoseFields(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a field was dropped without a word")
		}
	}()
	Append(nil, &RegisterBrokerRecord{LogDirs: []model.TopicID{{1}}}, 2)
}

func TestDecodedRecordsShareNothing(t *testing.T) { // I3
	for _, g := range kafkas(t) {
		value := bytes.Clone(g.value)
		m, version, err := Decode(value)
		if err != nil {
			t.Fatal(err)
		}
		clear(value)
		if !bytes.Equal(Append(nil, m, version), g.value) {
			t.Errorf("%s changed with the bytes it was read from", g.name)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	ids := rapid.Custom(func(t *rapid.T) model.TopicID {
		return model.TopicID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
	})
	ints := func(t *rapid.T, name string, nullable bool) []int32 {
		if nullable && rapid.Bool().Draw(t, name+" null") {
			return nil
		}
		return rapid.SliceOfN(rapid.Int32(), 0, 5).Draw(t, name)
	}
	rapid.Check(t, func(t *rapid.T) {
		c := &PartitionChangeRecord{
			PartitionID: rapid.Int32().Draw(t, "partition"), TopicID: ids.Draw(t, "topic"), Leader: rapid.Int32().Draw(t, "leader"),
			ISR: ints(t, "isr", true), Replicas: ints(t, "replicas", true), RemovingReplicas: ints(t, "removing", true), AddingReplicas: ints(t, "adding", true),
			EligibleLeaderReplicas: ints(t, "elr", true), LastKnownELR: ints(t, "last elr", true), LeaderRecoveryState: rapid.Int8().Draw(t, "recovery"),
			Directories: rapid.SliceOfN(ids, 0, 3).Draw(t, "directories"),
		}
		m, version, err := Decode(Append([]byte{}, c, 2))
		if err != nil || version != 2 || !reflect.DeepEqual(m, c) {
			t.Fatalf("%+v came back as %+v, %v", c, m, err)
		}
	})
}

// FuzzDecode proves I1 and I2: what decodes is written so that it decodes to the same again, and hostile bytes cost no more than honest ones.
func FuzzDecode(f *testing.F) {
	for _, g := range kafkas(f) {
		f.Add(g.value)
	}
	f.Add([]byte{1, 2, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, value []byte) {
		var m Message
		var version int16
		var err error
		cost.Within(t, cost.Limit{Bytes: 64<<10 + 128*len(value), Time: 50 * time.Millisecond}, func() { m, version, err = Decode(value) })
		if err != nil {
			return
		}
		written := Append(nil, m, version)
		again, _, err := Decode(written)
		if err != nil {
			t.Fatalf("%x decodes to %+v, but what is written of it does not: %v", value, m, err)
		}
		if !bytes.Equal(Append(nil, again, version), written) {
			t.Fatalf("%x is not stable: %x", value, written)
		}
	})
}
