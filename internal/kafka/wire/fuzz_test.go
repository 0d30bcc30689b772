package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/test/cost"
)

const (
	fuzzTime   = 50 * time.Millisecond
	fuzzMemory = 64 << 10 // what the runtime may allocate behind our back
)

// within fails when do takes more memory than that, or more than fuzzTime.
func within(t *testing.T, bytes int, do func()) {
	t.Helper()
	cost.Within(t, cost.Limit{Bytes: bytes + fuzzMemory, Time: fuzzTime}, do)
}

// With -fuzzminimizetime=10x the targets spend their time on new inputs instead of making found ones smaller.

// FuzzCheck is keyed by API and version. What Check accepts, kmsg decodes, within the time and the cost; what it refuses costs nothing.
func FuzzCheck(f *testing.F) {
	for _, a := range APIs() {
		for _, version := range []int16{0, a.FlexibleFrom - 1, a.FlexibleFrom, a.Max} {
			if version < 0 || version > a.Max {
				continue
			}
			for _, seed := range []uint64{1, 2, 4} {
				f.Add(a.Key, version, newFiller(seed).request(a.Key, version).AppendTo(nil))
			}
		}
	}
	f.Add(KeyApiVersions, int16(3), binary.AppendUvarint([]byte{2, 'a', 2, 'b'}, 1<<29))
	f.Add(int16(3), int16(12), binary.AppendUvarint(nil, 1<<31))
	f.Add(int16(35), int16(2), []byte{0, 0xff, 0xff, 0xff, 0xff, 0x0f, 0})
	f.Fuzz(func(t *testing.T, key, version int16, body []byte) {
		if len(body) > 1<<20 {
			return
		}
		// Keys and versions that do not exist are folded into those that do: TestCheckRefusesUnknown has them.
		key = int16(uint16(key) % uint16(MaxKey+1))
		if !defined(key, version) {
			version = int16(uint16(version) % uint16(requests[key].max+1))
		}
		var cost int
		var err error
		within(t, 0, func() { cost, err = Check(key, version, body) })
		if err != nil {
			if _, ok := errors.AsType[*MalformedError](err); !ok || cost != 0 || err.Error() == "" {
				t.Fatalf("cost %d, %v", cost, err)
			}
			return
		}
		var req kmsg.Request
		within(t, cost, func() { req, err = Decode(key, version, body) })
		if err != nil {
			t.Fatalf("%s v%d passes the check, but: %v", Name(key), version, err)
		}
		// What we read, we can send: the re-encoded request passes and is read as the same.
		again, err := Decode(key, version, req.AppendTo(nil))
		if err != nil || !sameRequest(again, req) {
			t.Fatalf("%s v%d: decoded, encoded and decoded again it is another (%v)", Name(key), version, err)
		}
	})
}

// sameRequest compares by encoding: NaN and the order of tags must not count, and kmsg encodes tags in order.
func sameRequest(a, b kmsg.Request) bool {
	return reflect.TypeOf(a) == reflect.TypeOf(b) && bytes.Equal(a.AppendTo(nil), b.AppendTo(nil))
}

// FuzzHeader: any frame is split or refused, and what is split is put together again.
func FuzzHeader(f *testing.F) {
	f.Add([]byte("\x00\x12\x00\x03\x00\x00\x00\x01\x00\x01a\x00\x01\x01\x00"))
	f.Add([]byte("\x00\x12\x7f\xff\x00\x00\x00\x01\x00\x01a"))
	f.Add([]byte("\x00\x03\x00\x09\x00\x00\x00\x05\xff\xff\x02\x00\x01a\x01\x00body"))
	f.Add([]byte("\x00\x07\x00\x00\x00\x00\x00\x05body"))
	f.Add(binary.AppendUvarint([]byte("\x00\x03\x00\x09\x00\x00\x00\x05\xff\xff"), 1<<29))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		var h Header
		var body []byte
		var err error
		within(t, 0, func() { h, body, err = ParseHeader(frame) })
		if err != nil {
			if body != nil || err.Error() == "" {
				t.Fatalf("%x with %v", body, err)
			}
			return
		}
		info, ok := Info(h.Key)
		if !ok || h.Flexible != info.Flexible(h.Version) || !bytes.HasSuffix(frame, body) {
			t.Fatalf("%+v", h)
		}
		if h.Key == KeyApiVersions && h.Version > info.Max {
			return
		}
		again := append(AppendRequestHeader(nil, h.Key, h.Version, h.CorrelationID, h.ClientID), body...)
		h2, body2, err := ParseHeader(again)
		if err != nil || !reflect.DeepEqual(h, h2) || !bytes.Equal(body, body2) {
			t.Fatalf("%+v, put together again %+v (%v)", h, h2, err)
		}
	})
}

// FuzzProduce: our decoder accepts what Check accepts and reads what kmsg reads.
func FuzzProduce(f *testing.F) {
	for version := ProduceMin; version <= ProduceMax; version++ {
		for seed := range uint64(4) {
			f.Add(version, newFiller(seed).request(KeyProduce, version).AppendTo(nil))
		}
	}
	var q ProduceRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < ProduceMin || version > ProduceMax || len(body) > 1<<20 {
			return
		}
		cost, check := CheckProduce(version, body)
		var err error
		if check != nil {
			cost = 64 * len(body) // what is refused is decoded up to where it is wrong
		}
		within(t, cost, func() { q = ProduceRequest{}; err = q.Decode(version, body) })
		if !reflect.DeepEqual(err, check) {
			t.Fatalf("decoding says %v, Check says %v", err, check)
		}
		if err != nil {
			return
		}
		want := kmsg.NewPtrProduceRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		if diff := sameProduce(&q, want); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzFetch: our decoder accepts what Check accepts and reads what kmsg reads.
func FuzzFetch(f *testing.F) {
	for version := FetchMin; version <= FetchMax; version++ {
		for seed := range uint64(4) {
			f.Add(version, newFiller(seed).request(KeyFetch, version).AppendTo(nil))
		}
	}
	var q FetchRequest
	f.Fuzz(func(t *testing.T, version int16, body []byte) {
		if version < FetchMin || version > FetchMax || len(body) > 1<<20 {
			return
		}
		cost, check := CheckFetch(version, body)
		var err error
		if check != nil {
			cost = 64 * len(body)
		}
		within(t, cost, func() { q = FetchRequest{}; err = q.Decode(version, body) })
		if check != nil {
			// Only a tag before its time may pass the one and not the other.
			if err == nil && (version < 12 || version > 17) {
				t.Fatalf("decoding accepts what Check refuses: %v", check)
			}
			return
		}
		if err != nil {
			t.Fatalf("decoding refuses what Check accepts: %v", err)
		}
		want := kmsg.NewPtrFetchRequest()
		want.Version = version
		if err := want.ReadFrom(body); err != nil {
			t.Fatal(err)
		}
		if diff := sameFetch(&q, want); diff != "" {
			t.Fatal(diff)
		}
	})
}

// FuzzEmbedded: what consumers put into JoinGroup and SyncGroup.
func FuzzEmbedded(f *testing.F) {
	for version := range int16(5) {
		for seed := range uint64(4) {
			s, a := kmsg.NewConsumerMemberMetadata(), kmsg.NewConsumerMemberAssignment()
			newFiller(seed).fill(reflect.ValueOf(&s).Elem())
			newFiller(seed).fill(reflect.ValueOf(&a).Elem())
			s.Version, a.Version = version, version
			f.Add(s.AppendTo(nil))
			f.Add(a.AppendTo(nil))
		}
	}
	f.Fuzz(func(t *testing.T, blob []byte) {
		if len(blob) > 1<<20 {
			return
		}
		if cost, err := CheckSubscription(blob); err == nil {
			if within(t, cost, func() { _, err = DecodeSubscription(blob) }); err != nil {
				t.Fatalf("what the check of a subscription accepts is refused: %v", err)
			}
		}
		if cost, err := CheckAssignment(blob); err == nil {
			if within(t, cost, func() { _, err = DecodeAssignment(blob) }); err != nil {
				t.Fatalf("what the check of an assignment accepts is refused: %v", err)
			}
		}
	})
}
