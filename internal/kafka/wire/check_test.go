package wire

import (
	"encoding/binary"
	"errors"
	"math"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// allocated is how many bytes do allocates on the heap. As the runtime allocates behind our back, what is over the limit is measured
// again, and the least of three counts.
func allocated(limit int64, do func()) int64 {
	least := int64(math.MaxInt64)
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		if least = min(least, int64(after.TotalAlloc-before.TotalAlloc)); least <= limit {
			break
		}
	}
	return least
}

// TestCheckAcceptsWhatKafkaSends: invariant 1, over every request, every version, with and without nulls and unknown tags.
func TestCheckAcceptsWhatKafkaSends(t *testing.T) {
	versions(func(key, version int16) {
		for seed := range uint64(24) {
			body := newFiller(seed).request(key, version).AppendTo(nil)
			cost, err := Check(key, version, body)
			if err != nil {
				t.Fatalf("%s v%d, seed %d: %v\n%x", Name(key), version, seed, err, body)
			}
			got, err := Decode(key, version, body)
			if err != nil {
				t.Fatalf("%s v%d, seed %d: %v", Name(key), version, seed, err)
			}
			want := kmsg.RequestForKey(key)
			want.SetVersion(version)
			if err := want.ReadFrom(body); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%s v%d, seed %d: Decode differs from kmsg", Name(key), version, seed)
			}
			if used := allocated(int64(cost), func() { _, err = Decode(key, version, body) }); used > int64(cost) {
				t.Errorf("%s v%d, seed %d: Check says %d bytes, decoding took %d", Name(key), version, seed, cost, used)
			}
		}
	})
}

// TestCheckRefusesEveryTruncation: a body that ends early is refused, wherever it ends; bytes behind it are ignored.
func TestCheckRefusesEveryTruncation(t *testing.T) {
	versions(func(key, version int16) {
		for seed := range uint64(3) {
			body := newFiller(seed).request(key, version).AppendTo(nil)
			for n := range body {
				if _, err := Check(key, version, body[:n:n]); err == nil {
					t.Fatalf("%s v%d, seed %d: %d of %d bytes are accepted", Name(key), version, seed, n, len(body))
				}
			}
			if _, err := Check(key, version, append(body, 1, 2, 3)); err != nil {
				t.Fatalf("%s v%d: bytes behind the message: %v", Name(key), version, err)
			}
		}
	})
}

// TestCheckImpliesKmsgReads: what survives random damage and Check is read by kmsg, within the cost.
func TestCheckImpliesKmsgReads(t *testing.T) {
	refused, accepted := 0, 0
	versions(func(key, version int16) {
		f := newFiller(uint64(key)*100 + uint64(version))
		for range 40 {
			body := f.request(key, version).AppendTo(nil)
			if len(body) == 0 {
				continue
			}
			for range 1 + f.rng.IntN(3) {
				body[f.rng.IntN(len(body))] = byte(f.rng.Uint32()) >> f.rng.IntN(8)
			}
			if _, err := Check(key, version, body); err != nil {
				refused++
				continue
			}
			accepted++
			if _, err := Decode(key, version, body); err != nil {
				t.Fatalf("%s v%d: %v\n%x", Name(key), version, err, body)
			}
		}
	})
	if refused == 0 || accepted == 0 {
		t.Fatalf("the damage did not bite: %d refused, %d accepted", refused, accepted)
	}
}

func TestCheckRefusesLies(t *testing.T) {
	uvarint := func(n uint64) string { return string(binary.AppendUvarint(nil, n)) }
	for _, c := range []struct {
		name         string
		key, version int16
		body         string
		reason       string
	}{
		{"tag flood", 18, 3, "\x01\x01" + uvarint(1<<29), reasonTags},
		{"65 tags", 18, 3, "\x01\x01\x41" + strings.Repeat("\x05\x00", 65), reasonTags},
		{"tags beyond the end", 18, 3, "\x01\x01\x02\x05\x00", reasonTags},
		{"a tag longer than the rest", 18, 3, "\x01\x01\x01\x05\x02a", reasonLength},
		{"a tag count without end", 18, 3, "\x01\x01\xff\xff\xff\xff\xff\xff", reasonShort},
		{"compact string beyond the end", 18, 3, "\x09abc", reasonLength},
		{"compact string of 2^32-2 bytes", 18, 3, uvarint(1<<32-1) + "abc", reasonLongString},
		{"compact string longer than any", 18, 3, uvarint(1<<15+1) + strings.Repeat("a", 1<<15), reasonLongString},
		{"null for a compact string", 18, 3, "\x00\x01\x00", reasonNull},
		{"null for a string", 10, 0, "\xff\xff", reasonNull},
		{"a string beyond the end", 10, 0, "\x00\x05abcd", reasonLength},
		{"metadata v0 with null topics", 3, 0, "\xff\xff\xff\xff", reasonNull},
		{"more topics than bytes", 3, 1, "\x00\x00\x00\x03\x00\x00\x00\x00", reasonCount},
		{"2^31-1 topics", 3, 1, "\x7f\xff\xff\xff", reasonCount},
		{"one topic too many for its smallest size", 3, 12, uvarint(3) + strings.Repeat("\x00", 16+2+16+1), reasonCount},
		{"null for the topics of a produce", 0, 3, "\xff\xff\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff", reasonNull},
		{"presence that is neither", 75, 0, "\x01\x00\x00\x00\x01\x02", reasonPresence},
		{"a known tag that is longer than its field", 1, 12, strings.Repeat("\x00", 29-4) + "\x01\x01\x01" + "\x01\x00\x03\x02ab", reasonTagSize},
		{"a known tag that is shorter than its field", 1, 15, strings.Repeat("\x00", 21) + "\x01\x01\x01" + "\x01\x01\x03\x00\x00\x00", reasonShort},
	} {
		_, err := Check(c.key, c.version, []byte(c.body))
		var m *MalformedError
		if !errors.As(err, &m) || m.Reason != c.reason {
			t.Errorf("%s: %v, want %q", c.name, err, c.reason)
			continue
		}
		if text := err.Error(); !strings.Contains(text, Name(c.key)) || !strings.Contains(text, c.reason) {
			t.Errorf("%s: the message does not name what failed: %s", c.name, text)
		}
	}
}

func TestCheckRefusesUnknown(t *testing.T) {
	for _, c := range [][2]int16{{-1, 0}, {95, 0}, {200, 3}, {32767, 0}, {0, 14}, {0, -1}, {18, 6}, {18, 32767}, {22, 6}} {
		_, err := Check(c[0], c[1], make([]byte, 100))
		var u *UnsupportedError
		if !errors.As(err, &u) || u.Key != c[0] || u.Version != c[1] {
			t.Errorf("key %d version %d: %v", c[0], c[1], err)
		}
	}
}

// TestTagFloodIsCheap: nine bytes that keep a trusting decoder busy for a minute and a half.
func TestTagFloodIsCheap(t *testing.T) {
	body := binary.AppendUvarint([]byte{2, 'a', 2, 'b'}, 1<<29)
	if len(body) != 9 {
		t.Fatalf("%d bytes", len(body))
	}
	start := time.Now()
	_, err := Check(KeyApiVersions, 3, body)
	if took := time.Since(start); took > time.Millisecond {
		t.Errorf("took %v", took)
	}
	if err == nil {
		t.Error("accepted")
	}
}

// TestAmplificationIsPriced: the densest bodies of some requests cost what Check says, and Check says it before anything is allocated.
func TestAmplificationIsPriced(t *testing.T) {
	const n = 100_000
	count := binary.AppendUvarint(nil, n+1)
	for _, c := range []struct {
		name         string
		key, version int16
		head, elem   string
		tail         string
	}{
		{"metadata topics", 3, 9, "", "\x01\x00", "\x00\x00\x00\x00"},
		{"describe group ids", 15, 5, "", "\x01", "\x00\x00"},
		{"create topics", 19, 5, "", "\x01\x00\x00\x00\x01\x00\x01\x01\x01\x00", "\x00\x00\x00\x01\x00\x00"},
		{"unknown tags in each topic", 3, 9, "", "\x01\x09\x70\x00\x71\x00\x72\x00\x73\x00\x74\x00\x75\x00\x76\x00\x77\x00\x78\x00", "\x00\x00\x00\x00"},
	} {
		body := []byte(c.head)
		body = append(body, count...)
		body = append(body, strings.Repeat(c.elem, n)...)
		body = append(body, c.tail...)
		cost, err := Check(c.key, c.version, body)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		used := allocated(int64(cost), func() { _, err = Decode(c.key, c.version, body) })
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if used > int64(cost)+4096 || int64(cost) > 4*used {
			t.Errorf("%s: %d bytes cost %d by Check, %d in fact", c.name, len(body), cost, used)
		}
	}
}

// TestUnknownTagsArePriced: invariant 1 for every number of unknown tags in one section.
func TestUnknownTagsArePriced(t *testing.T) {
	for n := range MaxTags + 1 {
		req := kmsg.NewPtrHeartbeatRequest()
		req.Version = 4
		for i := range n {
			req.UnknownTags.Set(uint32(100+i), make([]byte, i))
		}
		body := req.AppendTo(nil)
		cost, err := Check(12, 4, body)
		if err != nil {
			t.Fatal(err)
		}
		if used := allocated(int64(cost), func() { _, err = Decode(12, 4, body) }); used > int64(cost) || err != nil {
			t.Errorf("%d tags: Check says %d bytes, decoding took %d (%v)", n, cost, used, err)
		}
	}
}

// TestCheckAllocatesNothing: invariant 3.
func TestCheckAllocatesNothing(t *testing.T) {
	for _, a := range APIs() {
		body := newFiller(5).request(a.Key, a.Max).AppendTo(nil)
		if n := testing.AllocsPerRun(100, func() { _, _ = Check(a.Key, a.Max, body) }); n != 0 {
			t.Errorf("%s: %v allocations", a.Name, n)
		}
	}
	flood := binary.AppendUvarint([]byte{1, 1}, 1<<29)
	if n := testing.AllocsPerRun(100, func() { _, _ = Check(KeyApiVersions, 3, flood) }); n > 1 {
		t.Errorf("a refusal: %v allocations", n)
	}
}

func TestDecodeSharesNothing(t *testing.T) {
	versions(func(key, version int16) {
		body := newFiller(4).request(key, version).AppendTo(nil)
		got, err := Decode(key, version, body)
		if err != nil {
			t.Fatal(err)
		}
		want, err := Decode(key, version, append([]byte(nil), body...))
		if err != nil {
			t.Fatal(err)
		}
		for i := range body {
			body[i] = 0xee
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%s v%d: the request changed with the body it was decoded from", Name(key), version)
		}
	})
}
