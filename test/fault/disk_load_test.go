//go:build linux

package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/service/admin"
)

// diskLoad is clients that go on while a disk fills: producers that wait for acks=all, one for each partition, and a group that commits.
type diskLoad struct {
	address string
	ctx     context.Context
	wait    sync.WaitGroup

	mu      sync.Mutex
	acked   []map[int64]string // by partition: offset → value
	faults  []string
	slowest time.Duration // of the refusals

	taken, refused, commits, commitsRefused, lastCommit atomic.Int64
}

const (
	loadTopic = "load"
	loadGroup = "load-group"
)

// retriable are the answers after which Kafka's clients try again by themselves.
var retriable = map[model.ErrorCode]bool{
	model.KafkaStorageError: true, model.RequestTimedOut: true, model.NotLeaderForPartition: true,
	model.CoordinatorNotAvailable: true, model.NotCoordinator: true, model.CoordinatorLoadInProgress: true,
}

func (l *diskLoad) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// start runs the clients until ctx ends.
func (l *diskLoad) start(partitions int) {
	l.acked = make([]map[int64]string, partitions)
	for i := range partitions {
		l.acked[i] = map[int64]string{}
		l.wait.Go(func() { l.produce(int32(i)) })
	}
	l.wait.Go(l.commit)
}

// rest is the pause of a client that was refused.
func (l *diskLoad) rest() {
	select {
	case <-time.After(20 * time.Millisecond):
	case <-l.ctx.Done():
	}
}

func (l *diskLoad) produce(partition int32) {
	c := caller{address: l.address}
	defer c.close()
	filling := strings.Repeat("x", 2_000) // little beside the disk, which others fill
	for n := 0; l.ctx.Err() == nil; n++ {
		value := fmt.Sprintf("%d/%d/", partition, n)
		began := time.Now()
		resp, err := do[*kmsg.ProduceResponse](l.ctx, &c, 9, produceRequest(loadTopic, partition, -1, batchOf(value+filling)))
		if err != nil {
			continue // nobody knows
		}
		p := resp.Topics[0].Partitions[0]
		switch code := model.ErrorCode(p.ErrorCode); {
		case code == model.None:
			l.mu.Lock()
			l.acked[partition][p.BaseOffset] = value
			l.mu.Unlock()
			l.taken.Add(1)
		case retriable[code]:
			l.refused.Add(1)
			l.mu.Lock()
			l.slowest = max(l.slowest, time.Since(began))
			l.mu.Unlock()
			l.rest()
		default:
			l.fault("produce to partition %d: %v", partition, code)
			l.rest()
		}
	}
}

func (l *diskLoad) commit() {
	c := caller{address: l.address}
	defer c.close()
	for n := int64(1); l.ctx.Err() == nil; n++ {
		resp, err := do[*kmsg.OffsetCommitResponse](l.ctx, &c, 9, commitRequest(loadGroup, loadTopic, n, strings.Repeat("m", 1000)))
		if err != nil {
			continue
		}
		switch code := model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode); {
		case code == model.None:
			l.lastCommit.Store(n)
			l.commits.Add(1)
		case retriable[code]:
			l.commitsRefused.Add(1)
			l.rest()
		default:
			l.fault("commit: %v", code)
			l.rest()
		}
	}
}

// check compares what is in the log with what was acknowledged.
func (l *diskLoad) check(t *testing.T, p *process, when string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.faults {
		t.Errorf("%s: %s", when, f)
	}
	c := p.dial()
	for partition, want := range l.acked {
		left := maps.Clone(want)
		for at := int64(0); ; {
			resp, err := do[*kmsg.FetchResponse](t.Context(), &caller{address: l.address, conn: c}, 12, fetchRequest(loadTopic, int32(partition), at))
			if err != nil {
				t.Fatal(err)
			}
			got := resp.Topics[0].Partitions[0]
			if got.ErrorCode != 0 {
				t.Fatalf("%s: fetch of partition %d at %d: %v", when, partition, at, model.ErrorCode(got.ErrorCode))
			}
			next, err := eachRecord(got.RecordBatches, func(r batch.Record) error {
				if value, ok := left[r.Offset]; ok && !strings.HasPrefix(string(r.Value), value) {
					t.Errorf("%s: partition %d, offset %d is not what was acknowledged", when, partition, r.Offset)
				}
				delete(left, r.Offset)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if next < 0 {
				break
			}
			at = next
		}
		if len(left) > 0 {
			t.Errorf("%s: of partition %d %d of %d acknowledged records are lost", when, partition, len(left), len(want))
		}
	}
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = loadGroup
	req.Groups = append(req.Groups, g)
	resp, err := read[*kmsg.OffsetFetchResponse](t.Context(), &caller{address: l.address}, 8, req)
	if err != nil || len(resp.Groups[0].Topics) != 1 {
		t.Fatalf("%s: committed offsets: %+v, %v", when, resp, err)
	}
	if got := resp.Groups[0].Topics[0].Partitions[0].Offset; got < l.lastCommit.Load() {
		t.Errorf("%s: offset %d is committed, %d was acknowledged", when, got, l.lastCommit.Load())
	}
}

// TestDiskFillsUnderLoad fills the file system of a node to its last byte while clients produce and commit, and frees it again: whatever was acknowledged stays, produce is refused
// at once with what clients try again, commits and deletions go on, and without a restart so does produce.
func TestDiskFillsUnderLoad(t *testing.T) {
	dir, enter := smallDisk(t, 192)
	httpPort := steadyPort(t)
	node := launch{dir: dir, port: steadyPort(t), wrap: enter, overrides: []string{
		"log.segment.bytes=4194304", "log.segment.delete.delay.ms=60000", "offsets.topic.num.partitions=1", "ottla.admin.listener=127.0.0.1:" + strconv.Itoa(httpPort),
	}}
	p := start(t, node)
	c := p.dial()
	for topic, partitions := range map[string]int32{loadTopic: 4, "bulk": 1} {
		if resp, err := do[*kmsg.CreateTopicsResponse](t.Context(), &caller{address: p.address}, 7, createRequest(topic, partitions, nil)); err != nil || resp.Topics[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	for range 20 { // something to delete
		if code, _ := produceCode(t, c, "bulk", strings.Repeat("b", 500_000)); code != model.None {
			t.Fatal(code)
		}
	}
	inside := func(command ...string) {
		t.Helper()
		if out, err := exec.Command(enter[0], append(append([]string{}, enter[1:]...), command...)...).CombinedOutput(); err != nil && command[0] != "dd" {
			t.Fatalf("%v: %v %s", command, err, out)
		}
	}
	find := kmsg.NewPtrFindCoordinatorRequest() // makes the offsets topic
	find.CoordinatorKeys = []string{loadGroup}
	if resp, err := read[*kmsg.FindCoordinatorResponse](t.Context(), &caller{address: p.address}, 4, find); err != nil || resp.Coordinators[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}

	ctx, cancel := context.WithCancel(t.Context())
	l := &diskLoad{address: p.address, ctx: ctx}
	defer func() { cancel(); l.wait.Wait() }()
	l.start(4)
	rounds := 2
	if long {
		rounds = 10
	}
	for round := range rounds {
		l.round(t, fmt.Sprintf("round %d", round), node, p, httpPort, inside)
		if round == 0 {
			remove := kmsg.NewPtrDeleteTopicsRequest()
			remove.TimeoutMillis = 10_000
			one := kmsg.NewDeleteTopicsRequestTopic()
			one.Topic = new("bulk")
			remove.Topics = append(remove.Topics, one)
			if resp, err := do[*kmsg.DeleteTopicsResponse](t.Context(), &caller{address: p.address}, 6, remove); err != nil || resp.Topics[0].ErrorCode != 0 {
				t.Fatalf("delete beside the load: %v %+v", err, resp)
			}
		}
	}
	cancel()
	l.wait.Wait()
	if !strings.Contains(p.stderr.String(), "full to the last byte") {
		t.Errorf("test not valid: the last byte was never used\n%s", p.tail())
	}
	p.healthy()
	l.check(t, p, "at the end")
	p.kill()
	p = start(t, node)
	l.check(t, p, "after a crash")
	p.stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	t.Logf("%d records taken, %d refused, the slowest refusal took %v; %d commits taken, %d refused", l.taken.Load(), l.refused.Load(), l.slowest.Round(time.Millisecond), l.commits.Load(), l.commitsRefused.Load())
}

// round fills the disk, looks, and frees it.
func (l *diskLoad) round(t *testing.T, when string, node launch, p *process, httpPort int, inside func(...string)) {
	t.Helper()
	taken := l.taken.Load()
	eventually(t, when+": produce is taken", 20*time.Second, func() bool { return l.taken.Load() > taken+20 && l.commits.Load() > 20 })
	eventually(t, when+": the node has a reserve\n"+p.tail(), 20*time.Second, func() bool {
		return exec.Command(node.wrap[0], append(append([]string{}, node.wrap[1:]...), "test", "-s", filepath.Join(node.dir, "ottla.reserve"))...).Run() == nil
	})
	refused := l.refused.Load()
	others := filepath.Join(node.dir, "others")
	inside("dd", "if=/dev/zero", "of="+others, "bs=64k", "status=none") // until there is no space left
	began := time.Now()
	eventually(t, when+": produce is refused\n"+p.tail(), 20*time.Second, func() bool { return l.refused.Load() > refused })
	took := time.Since(began)
	if took > limit(time.Second) {
		t.Errorf("%s: the first refusal came %v after the disk was full", when, took)
	}
	taken = l.taken.Load()
	commits := l.commits.Load()
	eventually(t, when+": commits go on\n"+p.tail(), 20*time.Second, func() bool { return l.commits.Load() > commits+200 })
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://127.0.0.1:" + strconv.Itoa(httpPort) + "/health")
	if err != nil {
		t.Fatal(err)
	}
	var h admin.Health
	err = json.NewDecoder(resp.Body).Decode(&h)
	resp.Body.Close()
	if err != nil || h.Status != admin.StatusDegraded || !h.Directories[0].Full || !strings.Contains(strings.Join(h.Problems, "\n"), node.dir) {
		t.Errorf("%s: health %+v, %v", when, h, err)
	}
	if code, slow := produceCode(t, p.dial(), loadTopic, "not now"); code != model.KafkaStorageError || slow > limit(time.Second) {
		t.Errorf("%s: produce to a full disk: %v after %v", when, code, slow)
	}
	if more := l.taken.Load() - taken; more > 0 {
		t.Logf("%s: %d records were taken after the first refusal", when, more)
	}
	inside("rm", others)
	began = time.Now()
	taken = l.taken.Load()
	eventually(t, when+": produce is taken again\n"+p.tail(), 20*time.Second, func() bool { return l.taken.Load() > taken+20 })
	t.Logf("%s: refused %v after the disk was full, taken again %v after it was not", when, took.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if _, err := os.Stat("/proc/" + strconv.Itoa(p.cmd.Process.Pid)); err != nil {
		t.Errorf("%s: the node is gone: %v", when, err)
	}
}
