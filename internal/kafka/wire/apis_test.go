package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestTableAgreesWithKmsg: every key, its newest version, and where it turns flexible, request and response alike.
func TestTableAgreesWithKmsg(t *testing.T) {
	for key := range MaxKey + 1 {
		a, ok := Info(key)
		req := kmsg.RequestForKey(key)
		if !ok || req == nil || a.Key != key || a.Name == "" {
			t.Fatalf("key %d: %v in the table, %v in kmsg", key, a, req)
		}
		if a.Min != 0 || a.Max != req.MaxVersion() || requests[key].max != a.Max {
			t.Errorf("%s: versions %d to %d, kmsg knows %d", a.Name, a.Min, a.Max, req.MaxVersion())
		}
		for v := a.Min; v <= a.Max; v++ {
			req.SetVersion(v)
			resp := req.ResponseKind()
			if a.Flexible(v) != req.IsFlexible() || a.Flexible(v) != resp.IsFlexible() || a.Flexible(v) != (v >= requests[key].flexible) {
				t.Errorf("%s v%d: flexible %v, kmsg says %v and %v", a.Name, v, a.Flexible(v), req.IsFlexible(), resp.IsFlexible())
			}
			if want := resp.IsFlexible() && key != 18; ResponseHeaderFlexible(key, v) != want {
				t.Errorf("%s v%d: the response header's version is wrong", a.Name, v)
			}
		}
		if a.AdvertisedMax > a.Max || (a.AdvertisedMin < 0) != (a.AdvertisedMax < 0) {
			t.Errorf("%s: advertises %d to %d, knows up to %d", a.Name, a.AdvertisedMin, a.AdvertisedMax, a.Max)
		}
	}
	for _, key := range []int16{-1, MaxKey + 1, 32767, -32768} {
		if _, ok := Info(key); ok || Name(key) != "" || kmsg.RequestForKey(key) != nil {
			t.Errorf("key %d is known", key)
		}
	}
}

// TestAdvertised pins what was seen of Apache Kafka 4.4: 77 APIs, and the ranges that clients are known to depend on.
func TestAdvertised(t *testing.T) {
	n := 0
	for _, a := range APIs() {
		if a.Advertised() {
			n++
		}
	}
	if n != 77 {
		t.Errorf("%d APIs are advertised", n)
	}
	for _, c := range []struct{ key, low, high int16 }{
		{0, 0, 13},  // old librdkafka does not compress unless Produce starts at 0 (KAFKA-18659)
		{1, 4, 18},  // no down-conversion
		{11, 0, 9},  // librdkafka gates groups on JoinGroup 0 (KAFKA-19444)
		{18, 0, 5},  // KIP-1242
		{4, -1, -1}, // gone with ZooKeeper
		{71, -1, -1},
		{94, 0, 0},
	} {
		if a, _ := Info(c.key); a.AdvertisedMin != c.low || a.AdvertisedMax != c.high {
			t.Errorf("%s: %d to %d", a.Name, a.AdvertisedMin, a.AdvertisedMax)
		}
	}
}
