package gotchas

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersionsRequest(version int16) *kmsg.ApiVersionsRequest {
	req := at(kmsg.NewPtrApiVersionsRequest(), version)
	req.ClientSoftwareName, req.ClientSoftwareVersion = "gotcha", "1.0"
	return req
}

// The ApiVersions answer has the header without tags even when its body is flexible; every other flexible answer has them.
func TestGotcha01ApiVersionsHeader(t *testing.T) {
	c := dial(t)
	c.Send(apiVersionsRequest(3))
	_, body, err := c.Frame()
	if err != nil {
		t.Fatal(err)
	}
	if len(body) < 3 || binary.BigEndian.Uint16(body) != 0 {
		t.Fatalf("the body begins with %x, want the error code 0 at once", body[:3])
	}
	if body[2] < 2 {
		t.Fatalf("no API keys after the error code: %x", body[:3])
	}
	// Decode wants the tag section of any other flexible answer.
	Do[*kmsg.MetadataResponse](c, at(kmsg.NewPtrMetadataRequest(), 9))
}

// ApiVersions above what is known: version 0, error 35, its own range in it, and the connection goes on.
func TestGotcha02ApiVersionsFallback(t *testing.T) {
	c := dial(t)
	for _, garbage := range [][]byte{nil, {1, 2, 3}, make([]byte, 300)} {
		c.SendRaw(18, 99, true, garbage)
		_, body, err := c.Frame()
		if err != nil {
			t.Fatalf("the connection ended: %v", err)
		}
		resp := kmsg.NewPtrApiVersionsResponse()
		if err := Decode(resp, body); err != nil {
			t.Fatalf("not a version 0 answer: %v", err)
		}
		code(t, "ApiVersions v99", resp.ErrorCode, kerr.UnsupportedVersion)
		found := false
		for _, k := range resp.ApiKeys {
			found = found || k.ApiKey == 18 && k.MinVersion == 0 && k.MaxVersion >= 4
		}
		if !found {
			t.Fatalf("ApiVersions' own range is missing in %v", resp.ApiKeys)
		}
	}
	Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(3))
}

// Every version of the ApiVersions answer is well formed to its last byte.
func TestGotcha03ApiVersionsWellFormed(t *testing.T) {
	c := dial(t)
	for v := range int16(5) {
		resp := Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(v))
		code(t, fmt.Sprintf("ApiVersions v%d", v), resp.ErrorCode, nil)
		if len(resp.ApiKeys) < 30 {
			t.Fatalf("v%d lists %d keys", v, len(resp.ApiKeys))
		}
	}
}

// Produce is advertised from 0, though 0 to 2 are refused: librdkafka up to 2.8 sends uncompressed otherwise.
func TestGotcha04ProduceRange(t *testing.T) {
	c := dial(t)
	if low, high, ok := advertised(c, 0); !ok || low != 0 || high != 13 {
		t.Fatalf("Produce is advertised as %d-%d", low, high)
	}
	for v := range int16(3) {
		old := Dial(t, address)
		old.SendRaw(0, v, false, []byte{0, 1, 0, 0, 0, 100, 0, 0, 0, 0})
		old.Closed()
	}
}

func TestGotcha05JoinGroupRange(t *testing.T) {
	c := dial(t)
	if low, high, ok := advertised(c, 11); !ok || low != 0 || high != 9 {
		t.Fatalf("JoinGroup is advertised as %d-%d", low, high)
	}
}

// An unknown key or version closes the connection and harms nobody else.
func TestGotcha06UnknownKeyOrVersion(t *testing.T) {
	good := dial(t)
	for _, each := range [][2]int16{{200, 0}, {-1, 0}, {32767, 32767}, {3, 99}, {3, -1}, {0, 99}, {4, 0}} {
		c := Dial(t, address)
		c.SendRaw(each[0], each[1], false, nil)
		c.Closed()
		metadata(good, 9, false)
	}
}

// Up to version 3 supported features whose minimum is 0 are left out; a finalised feature at level 0 is never listed.
func TestGotcha07Features(t *testing.T) {
	c := dial(t)
	for v := int16(3); v <= 4; v++ {
		resp := Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(v))
		seen := map[string]bool{}
		for _, f := range resp.SupportedFeatures {
			seen[f.Name] = true
			if v == 3 && f.MinVersion == 0 {
				t.Errorf("v3 lists %s with minimum 0", f.Name)
			}
		}
		if !seen["metadata.version"] {
			t.Errorf("v%d does not list metadata.version", v)
		}
		for _, f := range resp.FinalizedFeatures {
			if f.MaxVersionLevel == 0 {
				t.Errorf("v%d lists %s, finalised at 0", v, f.Name)
			}
		}
		if resp.FinalizedFeaturesEpoch < 0 {
			t.Errorf("v%d has no epoch of finalised features", v)
		}
	}
}

// A finalised transaction.version of 2 turns the new transactions on in clients: it stands there exactly if they work.
func TestGotcha08TransactionVersion(t *testing.T) {
	c := dial(t)
	_, endTxn, ok := advertised(c, 26)
	level := int16(0)
	for _, f := range Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(3)).FinalizedFeatures {
		if f.Name == "transaction.version" {
			level = f.MaxVersionLevel
		}
	}
	if (level >= 2) != (ok && endTxn >= 5) {
		t.Fatalf("transaction.version is finalised at %d, EndTxn is advertised up to %d (%v)", level, endTxn, ok)
	}
}

// Correlation ids come back as they are, also odd ones; acks=0 has no answer and the next request its own.
func TestGotcha09CorrelationAndAcksZero(t *testing.T) {
	c := dial(t)
	for _, id := range []int32{-2147483648, -1, 0, 2147483646} {
		c.correlation = id
		metadata(c, 9, false)
	}
	topic, _ := create(c, "acks0", 1)
	for range 3 {
		c.Send(produceRequest(topic, 0, Batch(BatchOptions{}, Record{Value: []byte("x")})))
	}
	metadata(c, 9, false)
	Until(t, "three records", func() bool { return listOffset(c, topic, -1).Offset == 3 })
}

func TestGotcha10ClientSoftwareName(t *testing.T) {
	c := dial(t)
	for _, bad := range []string{"", "-lib", "lib name", "lib/1", "lib-"} {
		req := apiVersionsRequest(3)
		req.ClientSoftwareName = bad
		code(t, "client software name "+bad, Do[*kmsg.ApiVersionsResponse](c, req).ErrorCode, kerr.InvalidRequest)
	}
	code(t, "a good name", Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(3)).ErrorCode, nil)
}

// The address in Metadata is the one that was asked: no name that resolves to another address first.
func TestGotcha11AdvertisedAddress(t *testing.T) {
	c := dial(t)
	brokers := metadata(c, 9, false).Brokers
	if len(brokers) != 1 || fmt.Sprintf("%s:%d", brokers[0].Host, brokers[0].Port) != address {
		t.Fatalf("metadata of %s says %v", address, brokers)
	}
}

// Answers keep the order of requests, also behind a long poll.
func TestGotcha12Order(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "order", 1)
	long := fetchRequest(11, topic, [16]byte{}, 0)
	long.MaxWaitMillis = 700
	next := at(kmsg.NewPtrMetadataRequest(), 9)
	first, second := c.Send(long), c.Send(next)
	Answer[*kmsg.FetchResponse](c, long, first)
	Answer[*kmsg.MetadataResponse](c, next, second)
}

// Whatever is advertised answers: a client that pins a release asks for any minor version without asking first.
func TestGotcha13EveryAdvertisedVersion(t *testing.T) {
	c := dial(t)
	for _, k := range Do[*kmsg.ApiVersionsResponse](c, apiVersionsRequest(3)).ApiKeys {
		for v := k.MinVersion; v <= k.MaxVersion; v++ {
			req := kmsg.RequestForKey(k.ApiKey)
			if req == nil || v > req.MaxVersion() {
				continue // newer than the library knows; the node's own tests walk its table
			}
			req.SetVersion(v)
			switch r := req.(type) {
			case *kmsg.ProduceRequest:
				if v < 3 {
					continue // advertised on purpose, see 4
				}
				r.Acks = 1
			case *kmsg.ApiVersionsRequest:
				r.ClientSoftwareName, r.ClientSoftwareVersion = "gotcha", "1.0"
			case *kmsg.FetchRequest:
				r.SessionEpoch = -1
			case *kmsg.FindCoordinatorRequest:
				r.CoordinatorKey, r.CoordinatorKeys = "a", []string{"a"}
			case *kmsg.DescribeACLsRequest:
				r.ResourceType, r.ResourcePatternType, r.Operation, r.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
			case *kmsg.AddPartitionsToTxnRequest:
				txn := kmsg.NewAddPartitionsToTxnRequestTransaction() // without one Kafka never answers
				txn.TransactionalID = "a"
				r.Transactions = append(r.Transactions, txn)
			}
			one := Dial(t, address)
			one.Send(req)
			correlation, body, err := one.Frame()
			if err != nil {
				t.Errorf("%s v%d: %v", kmsg.NameForKey(k.ApiKey), v, err)
				continue
			}
			if err := Decode(req.ResponseKind(), body); err != nil || correlation != one.correlation {
				t.Errorf("%s v%d: %v", kmsg.NameForKey(k.ApiKey), v, err)
			}
			one.Close()
		}
	}
}
