package wire

import (
	"errors"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestSubscription(t *testing.T) {
	for version := range int16(6) { // 4 and 5 do not exist yet and are read as 3
		for seed := range uint64(50) {
			m := kmsg.NewConsumerMemberMetadata()
			newFiller(seed).fill(reflect.ValueOf(&m).Elem())
			m.Version = version
			blob := m.AppendTo(nil)
			var want kmsg.ConsumerMemberMetadata
			if err := want.ReadFrom(blob); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeSubscription(blob)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("v%d, seed %d: %+v %v", version, seed, got, err)
			}
			cost, _ := CheckSubscription(blob)
			if used := allocated(int64(cost), func() { _, err = DecodeSubscription(blob) }); used > int64(cost) {
				t.Errorf("v%d, seed %d: the check says %d bytes, decoding took %d", version, seed, cost, used)
			}
			for n := range blob {
				if _, err := DecodeSubscription(blob[:n:n]); err == nil {
					t.Fatalf("v%d, seed %d: %d of %d bytes are accepted", version, seed, n, len(blob))
				}
			}
		}
	}
}

func TestAssignment(t *testing.T) {
	for version := range int16(4) {
		for seed := range uint64(50) {
			m := kmsg.NewConsumerMemberAssignment()
			newFiller(seed).fill(reflect.ValueOf(&m).Elem())
			m.Version = version
			blob := m.AppendTo(nil)
			var want kmsg.ConsumerMemberAssignment
			if err := want.ReadFrom(blob); err != nil {
				t.Fatal(err)
			}
			got, err := DecodeAssignment(blob)
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("v%d, seed %d: %+v %v", version, seed, got, err)
			}
			for n := range blob {
				if _, err := DecodeAssignment(blob[:n:n]); err == nil {
					t.Fatalf("v%d, seed %d: %d of %d bytes are accepted", version, seed, n, len(blob))
				}
			}
		}
	}
}

func TestEmbeddedRefusals(t *testing.T) {
	for name, blob := range map[string]string{
		"empty":            "",
		"negative version": "\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff",
		"null topics":      "\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff",
		"2^31-1 topics":    "\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff",
	} {
		var m *MalformedError
		if _, err := DecodeSubscription([]byte(blob)); !errors.As(err, &m) {
			t.Errorf("subscription, %s: %v", name, err)
		}
		if _, err := DecodeAssignment([]byte(blob)); !errors.As(err, &m) {
			t.Errorf("assignment, %s: %v", name, err)
		}
	}
}
