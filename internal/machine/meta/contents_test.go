package meta

import (
	"encoding/hex"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// showContents is everything in an image but its position and the count of what was not understood on the way.
func showContents(i *Image) string {
	_, rest, _ := strings.Cut(showImage(i), "\n")
	var b strings.Builder
	fmt.Fprintf(&b, "%d topics, %d partitions, next producer id %d\n%s", i.TopicCount(), i.PartitionCount(), i.NextProducerID(), rest)
	for it := i.kept.Iterator(); !it.Done(); {
		key, r, _ := it.Next()
		fmt.Fprintf(&b, "kept %d %q: %s%s\n", key.kind, key.id, r.TypeName(), show(reflect.ValueOf(r)))
	}
	for it := i.opaque.Iterator(); !it.Done(); {
		_, value := it.Next()
		fmt.Fprintf(&b, "opaque %x\n", value)
	}
	return b.String()
}

// reloaded applies the records of an image to an empty one.
func reloaded(i *Image) *Machine {
	m := New(Options{NodeID: 1})
	at := machine.Position{Epoch: i.position.Epoch, Offset: i.position.Offset - 1}
	for r := range i.Records() {
		m.Apply(at, r)
	}
	return m
}

// fill gives a field a value from a small domain, so that records meet.
func fill(rt *rapid.T, v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[model.TopicID]():
		v.Set(reflect.ValueOf(id(rapid.IntRange(1, 3).Draw(rt, "id"))))
		return
	case reflect.TypeFor[[]byte]():
		v.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 2).Draw(rt, "bytes"))
		return
	case reflect.TypeFor[[]record.Tag]():
		return
	}
	switch v.Kind() {
	case reflect.Bool:
		v.SetBool(rapid.Bool().Draw(rt, "bool"))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rapid.IntRange(-2, 2).Draw(rt, "int")))
	case reflect.Uint16:
		v.SetUint(uint64(rapid.IntRange(0, 3).Draw(rt, "uint")))
	case reflect.Float64:
		v.SetFloat(rapid.SampledFrom([]float64{0, 1.5, -1, math.MaxFloat64}).Draw(rt, "float"))
	case reflect.String:
		v.SetString(rapid.SampledFrom([]string{"", "a", "b.c", "b_c", "user"}).Draw(rt, "string"))
	case reflect.Pointer:
		if rapid.Bool().Draw(rt, "set") {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rt, v.Elem())
		}
	case reflect.Slice:
		if n := rapid.IntRange(-1, 2).Draw(rt, "length"); n >= 0 {
			v.Set(reflect.MakeSlice(v.Type(), n, n))
			for i := range n {
				fill(rt, v.Index(i))
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			fill(rt, v.Field(i))
		}
	default:
		rt.Fatalf("a field of type %s", v.Type())
	}
}

// anyRecord makes a record of any type, one that is not known, or no record at all.
func anyRecord(rt *rapid.T) []byte {
	key := int16(rapid.IntRange(-1, 32).Draw(rt, "key"))
	if rapid.Bool().Draw(rt, "partition") {
		key = rapid.SampledFrom([]int16{2, 3, 3, 5}).Draw(rt, "of a topic")
	}
	m := record.New(key)
	switch {
	case key < 0:
		return []byte{0xff, byte(rapid.IntRange(0, 9).Draw(rt, "garbage"))}
	case m == nil:
		return record.Append(nil, &record.Unknown{Key: key, Version: 7, Body: []byte{byte(rapid.IntRange(0, 9).Draw(rt, "body"))}}, 7)
	}
	fill(rt, reflect.ValueOf(m).Elem())
	_, version := m.Versions()
	return record.Append(nil, m, version)
}

// TestContentsMakeTheImage: whatever was applied, the records of the image make an equal one, also when more follows on both (I7).
func TestContentsMakeTheImage(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		lived := New(Options{NodeID: 1})
		lived.Committed(machine.Position{Epoch: 1})
		lived.Apply(machine.Position{Epoch: 1}, machine.Record{Value: record.Append(nil, &record.FeatureLevelRecord{Name: MetadataVersion, FeatureLevel: MetadataVersion44}, 0)})
		var again *Machine
		for n := range rapid.IntRange(1, 120).Draw(rt, "records") {
			value := anyRecord(rt)
			at := machine.Position{Epoch: 1, Offset: int64(n + 1)}
			lived.Apply(at, machine.Record{Value: value})
			if again != nil {
				again.Apply(at, machine.Record{Value: value})
				continue
			}
			lived.Committed(machine.Position{Epoch: 1, Offset: int64(n + 2)})
			if lived.ahead.begun != nil || rapid.IntRange(0, 20).Draw(rt, "snapshot") != 0 {
				continue
			}
			image := lived.base
			again = reloaded(image)
			if got, want := showContents(again.Image()), showContents(image); got != want {
				rt.Fatalf("the records make\n%s\nthe image is\n%s", got, want)
			}
			if got := again.Image().Position(); got.Offset != 0 && got != image.Position() { // without any record, the shard's first Committed tells
				rt.Fatalf("the records make an image at %v of one at %v", got, image.Position())
			}
			if err := sameDeltas(again, image); err != nil {
				rt.Fatal(err)
			}
		}
		if again == nil {
			return
		}
		if got, want := showContents(again.Image()), showContents(lived.Image()); got != want {
			rt.Fatalf("with what followed, the records make\n%s\nthe image is\n%s", got, want)
		}
	})
}

// sameDeltas tells whether a complete comparison finds the two images different.
func sameDeltas(m *Machine, image *Image) error {
	if d := Changes(image, m.Image()); len(d.Created)+len(d.Changed)+len(d.Deleted)+len(d.Configs)+len(d.Brokers) > 0 || d.Controllers || d.Features {
		return fmt.Errorf("the image of the records differs: %+v", d)
	}
	return nil
}

// TestContentsOfKafka: what a cluster of Kafka's keeps and Ottla does not act on is in the snapshot, the newest of each key only.
func TestContentsOfKafka(t *testing.T) {
	r := rigWithBroker(t)
	entity := func(names ...string) (out []record.QuotaEntity) {
		for n := 0; n < len(names); n += 2 {
			e := record.QuotaEntity{EntityType: names[n]}
			if names[n+1] != "default" {
				e.EntityName = &names[n+1]
			}
			out = append(out, e)
		}
		return out
	}
	stays := []record.Message{
		&record.ClientQuotaRecord{Entity: entity("user", "default"), Key: "producer_byte_rate", Value: 3},
		&record.ClientQuotaRecord{Entity: entity("user", "default"), Key: "consumer_byte_rate", Value: 4},
		&record.ClientQuotaRecord{Entity: entity("client-id", "c", "user", "u"), Key: "producer_byte_rate", Value: 2},
		&record.AccessControlEntryRecord{ID: id(1), ResourceType: 2, ResourceName: "t", PatternType: 3, Principal: "User:a", Host: "*", Operation: 3, PermissionType: 3},
		&record.UserScramCredentialRecord{Name: "alice", Mechanism: 1, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}, Iterations: 4096},
		&record.UserScramCredentialRecord{Name: "alice", Mechanism: 2, Salt: []byte{1}, StoredKey: []byte{2}, ServerKey: []byte{3}, Iterations: 8192},
		&record.DelegationTokenRecord{Owner: "User:a", Requester: "User:b", Renewers: []string{"User:c"}, TokenID: "one", ExpirationTimestamp: 7},
	}
	goes := []record.Message{
		&record.ClientQuotaRecord{Entity: entity("user", "u", "client-id", "c"), Key: "producer_byte_rate", Value: 1}, // the same entity, in another order
		&record.ClientQuotaRecord{Entity: entity("user", "gone"), Key: "producer_byte_rate", Value: 1},
		&record.ClientQuotaRecord{Entity: entity("user", "gone"), Key: "producer_byte_rate", Remove: true},
		&record.AccessControlEntryRecord{ID: id(2), Principal: "User:a"},
		&record.RemoveAccessControlEntryRecord{ID: id(2)},
		&record.UserScramCredentialRecord{Name: "bob", Mechanism: 1},
		&record.RemoveUserScramCredentialRecord{Name: "bob", Mechanism: 1},
		&record.DelegationTokenRecord{TokenID: "two"},
		&record.RemoveDelegationTokenRecord{TokenID: "two"},
		&record.NoOpRecord{},
	}
	for _, m := range slices.Concat(goes, stays) {
		value := record.Append(nil, m, 0)
		r.m.Apply(machine.Position{Epoch: 1, Offset: r.end}, machine.Record{Value: value})
		r.end++
	}
	later := []byte{1, 99, 0, 'x'}
	r.m.Apply(machine.Position{Epoch: 1, Offset: r.end}, machine.Record{Value: later})
	r.end++
	r.commit()
	image := r.m.Image()
	if image.UnknownRecords() != 1 {
		t.Errorf("%d records were not understood", image.UnknownRecords())
	}
	var got []string
	for rec := range image.Records() {
		got = append(got, hex.EncodeToString(rec.Value))
	}
	for _, m := range stays {
		if value := hex.EncodeToString(record.Append(nil, m, 0)); !slices.Contains(got, value) {
			t.Errorf("%s %+v is not in the snapshot", m.TypeName(), m)
		}
	}
	for _, m := range goes {
		if value := hex.EncodeToString(record.Append(nil, m, 0)); slices.Contains(got, value) {
			t.Errorf("%s %+v is still in the snapshot", m.TypeName(), m)
		}
	}
	if got[len(got)-1] != hex.EncodeToString(later) {
		t.Errorf("the last record is %s, want the one that is not known, %x", got[len(got)-1], later)
	}
	if first := hex.EncodeToString(record.Append(nil, &record.FeatureLevelRecord{Name: MetadataVersion, FeatureLevel: MetadataVersion44}, 0)); got[0] != first {
		t.Errorf("the first record is %s, want metadata.version", got[0])
	}
	for range image.Records() {
		break // an early end must not panic
	}
}

func TestClearELR(t *testing.T) {
	published := &publisher{}
	r := newRig(t, Options{Publish: func(i *Image, d *Delta) {
		published.images = append(published.images, i)
		published.looks = append(published.looks, showDelta(i, d))
	}})
	apply := func(m record.Message, version int16) {
		r.m.Apply(machine.Position{Epoch: 1, Offset: r.end}, machine.Record{Value: record.Append(nil, m, version)})
		r.end++
	}
	for n, name := range []string{"a", "b"} {
		apply(&record.TopicRecord{Name: name, TopicID: id(n + 1)}, 0)
		apply(&record.PartitionRecord{TopicID: id(n + 1), PartitionID: 0, Replicas: []int32{1, 2}, Leader: -1, EligibleLeaderReplicas: []int32{1}, LastKnownELR: []int32{2}}, 2)
	}
	r.commit()
	elr := func(name string) []int32 { return r.m.Image().TopicByName(name).Partition(0).EligibleLeaderReplicas }
	apply(&record.ClearElrRecord{TopicName: "a"}, 0)
	r.commit()
	if elr("a") != nil || elr("b") == nil || r.m.Image().TopicByName("a").Partition(0).PartitionEpoch != 1 {
		t.Errorf("after clearing a: %v, %v", elr("a"), elr("b"))
	}
	if last := published.looks[len(published.looks)-1]; !strings.Contains(last, "changed a") || strings.Contains(last, "changed b") {
		t.Errorf("published %s", last)
	}
	apply(&record.ClearElrRecord{}, 0)
	r.commit()
	if elr("b") != nil {
		t.Errorf("after clearing all: %v", elr("b"))
	}
	if last := published.looks[len(published.looks)-1]; !strings.Contains(last, "changed b") {
		t.Errorf("published %s", last)
	}
	apply(&record.ClearElrRecord{TopicName: "nobody"}, 0)
	if n := r.m.Image().UnknownRecords(); n != 1 {
		t.Errorf("%d records were not understood", n)
	}
}

// TestContentsAtEveryLevel: the records are of the newest version that the level allows, and what it has no place for is not there.
func TestContentsAtEveryLevel(t *testing.T) {
	for level := LowestMetadataVersion; level <= MetadataVersion44; level++ {
		m := New(Options{NodeID: 1})
		m.Committed(machine.Position{Epoch: 1})
		for n, r := range []record.Message{
			&record.FeatureLevelRecord{Name: MetadataVersion, FeatureLevel: MetadataVersion44},
			&record.RegisterBrokerRecord{BrokerID: 1, LogDirs: []model.TopicID{id(11)}, CordonedLogDirs: []model.TopicID{id(11)}},
			&record.RegisterControllerRecord{ControllerID: 1},
			&record.TopicRecord{Name: "t", TopicID: id(1)},
			&record.PartitionRecord{TopicID: id(1), Replicas: []int32{1}, ISR: []int32{1}, Leader: 1, Directories: []model.TopicID{id(11)}, EligibleLeaderReplicas: []int32{2}, LastKnownELR: []int32{3}},
			&record.FeatureLevelRecord{Name: MetadataVersion, FeatureLevel: level}, // lowered
		} {
			_, version := r.Versions()
			m.Apply(machine.Position{Epoch: 1, Offset: int64(n)}, machine.Record{Value: record.Append(nil, r, version)})
		}
		again := reloaded(m.Image())
		b, p := again.Image().Broker(1), again.Image().TopicByName("t").Partition(0)
		if (b.Directories != nil) != (level >= 17) || (b.CordonedDirectories != nil) != (level >= 30) || (p.Directories != nil) != (level >= 17) ||
			(p.EligibleLeaderReplicas != nil) != (level >= 23) || (p.LastKnownELR != nil) != (level >= 23) || (len(again.Image().Controllers()) == 1) != (level >= 15) {
			t.Errorf("at level %d: broker %+v, partition %+v, controllers %v", level, b, p, again.Image().Controllers())
		}
		for r := range m.Image().Records() {
			decoded, version, err := record.Decode(r.Value)
			if err != nil {
				t.Fatal(err)
			}
			want := int16(0)
			switch decoded.(type) {
			case *record.RegisterBrokerRecord:
				want = versionsAt(level).registerBroker
			case *record.PartitionRecord:
				want = versionsAt(level).partition
			}
			if version != want {
				t.Errorf("at level %d: %s has version %d, want %d", level, decoded.TypeName(), version, want)
			}
		}
	}
}
