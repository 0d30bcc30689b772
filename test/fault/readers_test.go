//go:build linux

package fault

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/test/fault/raw"
)

// socketMemory is what the system holds in all its TCP sockets, in bytes.
func socketMemory(t *testing.T) int64 {
	t.Helper()
	stat, err := os.ReadFile("/proc/net/sockstat")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`TCP: .* mem (\d+)`).FindSubmatch(stat)
	if found == nil {
		t.Fatalf("no TCP memory in %s", stat)
	}
	pages, err := strconv.ParseInt(string(found[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return pages * int64(os.Getpagesize())
}

// TestStoppedReaders: a thousand connections that ask for records which are only on disk, and never read the answers. They take up neither the node's memory nor the
// system's, and a good client goes on.
func TestStoppedReaders(t *testing.T) {
	l := launch{dir: t.TempDir()}
	p := start(t, l)
	c := p.dial()
	if resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, createRequest("large", 1, nil)); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	for range 8 {
		resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest("large", 0, -1, batchOf(strings.Repeat("x", 1_000_000))))
		if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	p.stop()
	p = start(t, l) // nothing of the log is in memory now
	w := newWitness(t, p)
	calm := percentile99(w.lap(300))
	before, sockets := p.resident(), socketMemory(t)
	req := fetchRequest("large", 0, 0)
	req.MaxBytes, req.Topics[0].Partitions[0].PartitionMaxBytes = 8<<20, 8<<20
	for range 1200 {
		if _, err := p.dial().Send(req); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "memory is short", time.Minute, func() bool { return strings.Contains(p.stderr.String(), "held request memory without making progress") })
	attacked := percentile99(w.lap(600))
	grown, inSockets := p.resident()-before, socketMemory(t)-sockets
	t.Logf("1,200 stopped readers: %s more resident memory, %s more in sockets; 99 of 100 turns of the good client took at most %v before and %v then",
		mib(grown), mib(inSockets), calm, attacked)
	if grown > 400<<20 { // the budget, and a stack and a page for each connection
		t.Errorf("resident memory grew by %s", mib(grown))
	}
	if inSockets > 1<<30 {
		t.Errorf("the system's sockets hold %s more", mib(inSockets))
	}
	within(t, "99 of 100 turns of the good client", attacked, time.Second)
	w.end()
	p.healthy()
	p.stop()
}
