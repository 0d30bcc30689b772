//go:build linux

package fault

import (
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/test/fault/raw"
)

// TestSyncBeforeAnswer traces the real process: no answer to acks=all, to a commit of offsets, to a new topic or to deleted records leaves before the bytes that it
// promises are synced, and the names of their files.
func TestSyncBeforeAnswer(t *testing.T) {
	calls, wrong := traced(t, "node")
	for _, w := range wrong {
		t.Error(w)
	}
	syncs := 0
	for i := range calls {
		if isSync(&calls[i]) {
			syncs++
		}
	}
	t.Logf("%d system calls traced, %d of them syncs", len(calls), syncs)
	if syncs < 50 {
		t.Errorf("test not valid: only %d syncs", syncs)
	}
}

// TestSyncBeforeAnswerFindsMutants: the same run over a node whose sync does nothing must fail.
func TestSyncBeforeAnswerFindsMutants(t *testing.T) {
	for bug, word := range map[string]string{noSync: "was not synced after the write", noDirSync: "was made in it"} {
		t.Run(bug, func(t *testing.T) {
			_, wrong := traced(t, bug)
			for _, what := range []string{"record ", "commit ", "new topic "} { // each kind of promise by itself
				if what == "new topic " && bug == noDirSync {
					continue // goes to a log that was made, and told of, long before
				}
				if !slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, what) && strings.Contains(w, word) }) {
					t.Errorf("%sis not found; what was found: %q", what, wrong)
				}
			}
		})
	}
}

// notRun says loudly that a test needs something that is not here. In the long form that is a failure.
func notRun(t *testing.T, why string) {
	t.Helper()
	if long {
		t.Fatalf("NOT RUN: %s", why)
	}
	t.Skipf("NOT RUN: %s", why)
}

// traced runs a node under strace, makes it promise things, and judges.
func traced(t *testing.T, child string) (trace, []string) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		notRun(t, "strace is not installed (apt install strace)")
	}
	if out, err := exec.Command(strace, "-f", "-o", "/dev/null", "true").CombinedOutput(); err != nil {
		notRun(t, fmt.Sprintf("strace may not trace here: %v %s", err, out))
	}
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	log := filepath.Join(t.TempDir(), "trace")
	data := filepath.Join(dir, "data")
	p := start(t, launch{
		dir: data, child: child, overrides: append([]string{"num.partitions=1"}, killOverrides...),
		wrap: []string{strace, "-D", "-f", "-yy", "-xx", "-s", "20000", "-o", log, "-e", "trace=" + tracedCalls},
	})
	promises := makePromises(t, p)
	p.stop()
	var calls trace
	if !poll(limit(10*time.Second), func() bool { // the tracer ends after the node
		calls, err = readTrace(log)
		return err == nil && calls.answer(promises[len(promises)-1]) >= 0
	}) {
		t.Fatalf("no complete trace: %d calls, %v", len(calls), err)
	}
	return calls, calls.judge(data, promises)
}

func portOf(c *raw.Conn) int { return c.LocalAddr().(*net.TCPAddr).Port }

// makePromises asks for everything that is durable once it is answered.
func makePromises(t *testing.T, p *process) []promise {
	t.Helper()
	var mu sync.Mutex
	var promises []promise
	ask := func(c *raw.Conn, what, marker string, req kmsg.Request, good func(kmsg.Response) bool) {
		id, err := c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Receive(req, id)
		if err != nil {
			t.Fatalf("%v\n%s", err, p.tail())
		}
		if !good(resp) {
			t.Fatalf("%s: %+v", what, resp)
		}
		mu.Lock()
		defer mu.Unlock()
		promises = append(promises, promise{what, portOf(c), id, marker})
	}
	created := func(r kmsg.Response) bool { return r.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode == 0 }
	produced := func(r kmsg.Response) bool { return r.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode == 0 }

	c := p.dial()
	ask(c, "new topic", "marked-topic", createRequest("marked-topic", 2, nil), created)
	for i := range 12 { // large, so that segments are rolled
		marker := fmt.Sprintf("large-%03d.", i)
		ask(c, "record "+marker, marker, produceRequest("marked-topic", 0, -1, batchOf(marker+strings.Repeat("x", 300_000))), produced)
	}
	var clients sync.WaitGroup
	for k := range 4 { // several at once, so that they share their syncs
		c := p.dial()
		clients.Go(func() {
			for i := range 15 {
				marker := fmt.Sprintf("small-%d-%03d.", k, i)
				ask(c, "record "+marker, marker, produceRequest("marked-topic", int32(k%2), -1, batchOf(marker)), produced)
			}
		})
	}
	clients.Wait()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.Version, find.CoordinatorKey = 3, "marked-group"
	if _, err := c.Do(find); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		marker := fmt.Sprintf("commit-%03d.", i)
		req := commitRequest("marked-group", "marked-topic", int64(i), marker)
		eventually(t, "the coordinator is there", 20*time.Second, func() bool { // loading is answered without a promise
			resp, err := c.Do(commitRequest("warm-up", "marked-topic", 0, ""))
			return err == nil && resp.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode == 0
		})
		ask(c, "commit "+marker, marker, req, func(r kmsg.Response) bool {
			return r.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode == 0
		})
	}
	ask(c, "deleted records", "marked-topic 0 7", deleteRecordsRequest("marked-topic", 0, 7), func(r kmsg.Response) bool {
		return r.(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0].ErrorCode == 0
	})
	ask(c, "the last new topic", "another-topic", createRequest("another-topic", 1, nil), created)
	return promises
}
