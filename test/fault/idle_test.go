//go:build linux

package fault

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/test/fault/raw"
)

// TestIdle: a node that has served and has nothing to do wakes at most five times a second, and is small. What wakes this process but not the product (the test
// binary's own runtime) counts too.
func TestIdle(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	c := p.dial()
	if resp, err := c.Do(createRequest("used", 3, nil)); err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	for i := range 30 {
		if resp, err := c.Do(produceRequest("used", int32(i%3), -1, batchOf("x"))); err != nil || resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 3, "g"
	if _, err := c.Do(find); err != nil {
		t.Fatal(err)
	}
	watch, tries := 5*time.Second, 4
	if long {
		watch = 60 * time.Second
	}
	pause(2 * time.Second)
	// What was garbage is given back for some seconds after the last request, and a busy machine adds switches of its own: the quietest of a few windows counts.
	quietest := math.Inf(1)
	for range tries {
		before := p.wakeUps()
		pause(watch)
		if quietest = min(quietest, float64(p.wakeUps()-before)/watch.Seconds()); quietest <= 5 {
			break
		}
	}
	t.Logf("idle: %.1f wake-ups a second (promised: at most 5), resident memory %s (promised of the product: under 25 MiB)", quietest, mib(p.resident()))
	if quietest > 5 {
		t.Errorf("%.1f wake-ups a second", quietest)
	}
	if p.resident() > 40<<20 {
		t.Errorf("resident memory %s", mib(p.resident()))
	}
	p.stop()
}

// TestStartToFirstProduce: from the start of the process over an empty directory to the first record that is on disk. The node is this test binary, which is
// larger than the product and no faster to load.
func TestStartToFirstProduce(t *testing.T) {
	var times []time.Duration
	for range 5 {
		p := run(t, launch{dir: t.TempDir(), port: steadyPort(t)})
		var c *raw.Conn
		eventually(t, "the node takes connections", 20*time.Second, func() bool {
			var err error
			c, err = raw.Dial(p.address)
			return err == nil
		})
		metadata := kmsg.NewPtrMetadataRequest() // makes the topic, as producers do
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = new("first")
		metadata.Version, metadata.AllowAutoTopicCreation, metadata.Topics = 12, true, append(metadata.Topics, one)
		if _, err := c.Do(metadata); err != nil {
			t.Fatal(err)
		}
		if resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest("first", 0, -1, batchOf("x"))); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
		times = append(times, time.Since(p.began))
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		p.stop()
	}
	t.Logf("start to the first acknowledged produce: median %v", median(times).Round(time.Millisecond))
	within(t, "start to the first acknowledged produce, fastest of five", slices.Min(times), 50*time.Millisecond)
}
