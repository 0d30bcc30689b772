//go:build linux

package fault

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/test/fault/raw"
)

// heaps is the topic whose partitions are filled.
const heaps = "heaps"

// tailBytes is how much a start after a crash may read whatever the logs hold: what is synced between two checkpoints, the journal and what it has to be compared with,
// indexes, manifest, metadata, and the program itself.
const tailBytes = 400 << 20

// TestRecoveryReadsOnlyTheTail kills the node under load when its partitions hold much, and again when they hold four times as much: what the next start reads, and how long it
// takes to the first acknowledgement, must not depend on that. The long form has 1,000 partitions with 10 and 40 GiB.
func TestRecoveryReadsOnlyTheTail(t *testing.T) {
	partitions, sizes := int32(100), []int64{512 << 20, 2 << 30}
	if long {
		partitions, sizes = 1000, []int64{10 << 30, 40 << 30}
	}
	admin := "127.0.0.1:" + strconv.Itoa(steadyPort(t))
	l := launch{dir: t.TempDir(), port: steadyPort(t), overrides: []string{"log.segment.bytes=16777216", "ottla.admin.listener=" + admin}}
	p := start(t, l)
	c := p.dial()
	mustCreateHeaps(t, c, partitions)
	h := &heap{ends: make([]int64, partitions)}
	var took []time.Duration
	for _, size := range sizes {
		if free := freeBytes(t, l.dir); free < size-h.bytes+8<<30 {
			notRun(t, fmt.Sprintf("the recovery of %d GiB: the disk has only %d GiB free", size>>30, free>>30))
		}
		h.fill(t, p, size)
		h.load(t, p)
		p.kill()
		p.healthy()
		p = run(t, l)
		seen := watchHealth(admin)
		first, err := h.firstAck(p)
		if err != nil {
			t.Fatalf("the first record after a kill: %v\n%s", err, p.tail())
		}
		read := p.bytesRead()
		phases := seen()
		took = append(took, first)
		t.Logf("%d partitions with %s: killed, first acknowledged produce %v after exec, %s read; %s", partitions, mib(h.bytes), first.Round(time.Millisecond), mib(read), phases)
		within(t, "first acknowledged produce after a kill", first, time.Second)
		if read > tailBytes {
			t.Errorf("%s were read, of %s", mib(read), mib(h.bytes))
		}
		phases.check(t, int(partitions))
		h.check(t, p)
	}
	if took[1] > limit(took[0]+250*time.Millisecond) {
		t.Errorf("with four times as much the start took %v, not %v", took[1], took[0])
	}
	p.stop()
}

func mustCreateHeaps(t *testing.T, c *raw.Conn, partitions int32) {
	t.Helper()
	resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, createRequest(heaps, partitions, nil))
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create: %v %+v", err, resp)
	}
}

func freeBytes(t *testing.T, path string) int64 {
	t.Helper()
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * s.Bsize
}

// heap is what the partitions hold.
type heap struct {
	mu    sync.Mutex
	ends  []int64 // the offset after the last acknowledged record of each
	bytes int64
}

func (h *heap) acknowledged(partition int32, base int64, records, bytes int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends[partition] = max(h.ends[partition], base+int64(records))
	h.bytes += int64(bytes)
}

// send writes one batch of one record to each of some partitions.
func (h *heap) send(c *raw.Conn, from, n int32, value string) error {
	var req *kmsg.ProduceRequest
	records := batchOf(value)
	for i := from; i < from+n; i++ {
		one := produceRequest(heaps, i, -1, records)
		if req == nil {
			req = one
		} else {
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, one.Topics[0].Partitions...)
		}
	}
	resp, err := raw.Ask[*kmsg.ProduceResponse](c, req)
	if err != nil {
		return err
	}
	for _, p := range resp.Topics[0].Partitions {
		if p.ErrorCode != 0 {
			return fmt.Errorf("partition %d: %w", p.Partition, model.ErrorCode(p.ErrorCode))
		}
		h.acknowledged(p.Partition, p.BaseOffset, 1, len(records))
	}
	return nil
}

// fill brings the partitions to a size, in batches of a million bytes.
func (h *heap) fill(t *testing.T, p *process, size int64) {
	t.Helper()
	const atOnce = 10
	value := strings.Repeat("x", 1_000_000)
	partitions := int32(len(h.ends))
	var next int32
	var failed error
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 2 {
		c := p.dial()
		workers.Go(func() {
			for {
				mu.Lock()
				h.mu.Lock()
				done := h.bytes >= size || failed != nil
				h.mu.Unlock()
				from := next
				next = (next + atOnce) % partitions
				mu.Unlock()
				if done {
					return
				}
				if err := h.send(c, from, atOnce, value); err != nil {
					mu.Lock()
					failed = err
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if failed != nil {
		t.Fatalf("fill: %v\n%s", failed, p.tail())
	}
}

// load writes batches of all sizes to all partitions, several requests at a time, and returns in the middle of it; it goes on until the node is gone.
func (h *heap) load(t *testing.T, p *process) {
	t.Helper()
	const writers = 16
	enough := make(chan struct{}, writers)
	ended := make(chan struct{}, writers)
	for w := range writers {
		c := p.dial()
		rng := rand.New(rand.NewPCG(uint64(w), uint64(len(h.ends))))
		go func() {
			defer func() { ended <- struct{}{} }()
			for i := 0; ; i++ {
				if i == 3*len(h.ends)/writers {
					enough <- struct{}{}
				}
				value := strings.Repeat("y", 1+rng.IntN(100)*rng.IntN(600))
				if err := h.send(c, int32(rng.IntN(len(h.ends))), 1, value); err != nil {
					return // it was killed
				}
			}
		}()
	}
	for range writers {
		select {
		case <-enough:
		case <-ended:
			t.Fatalf("a writer under load ended\n%s", p.tail())
		case <-time.After(2 * time.Minute):
			t.Fatalf("the load makes no progress\n%s", p.tail())
		}
	}
}

// firstAck produces one record as soon as the node takes it and returns how long that took from its start.
func (h *heap) firstAck(p *process) (time.Duration, error) {
	var err error
	poll(60*time.Second, func() bool {
		var c *raw.Conn
		if c, err = raw.Dial(p.address); err != nil {
			return false
		}
		defer c.Close()
		err = h.send(c, 0, 1, "first")
		return err == nil
	})
	return time.Since(p.began), err
}

// check asks every partition for its end: nothing that was acknowledged may be missing.
func (h *heap) check(t *testing.T, p *process) {
	t.Helper()
	c := p.dial()
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, want := range h.ends {
		resp, err := raw.Ask[*kmsg.ListOffsetsResponse](c, offsetsRequest(heaps, int32(i), -1))
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Topics[0].Partitions[0]; got.ErrorCode != 0 || got.Offset < want {
			t.Fatalf("partition %d ends at %d (%v), and %d was acknowledged", i, got.Offset, model.ErrorCode(got.ErrorCode), want)
		}
	}
}

// bytesRead is what the process has read from files and sockets.
func (p *process) bytesRead() int64 {
	p.t.Helper()
	n, err := status(p.proc("io"), "rchar")
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}

// phases is what /health said while a node started.
type phases struct {
	answers, starting int
	directories       int // the most that were being opened
	most, total       int // logs done and to be done, while starting
	failed            error
}

func (p phases) String() string {
	return fmt.Sprintf("/health answered %d times, %d of them while starting, %d of %d logs done at the last of those", p.answers, p.starting, p.most, p.total)
}

// check fails when /health was silent, or told nothing of the progress.
func (p phases) check(t *testing.T, logs int) {
	t.Helper()
	switch {
	case p.failed != nil:
		t.Errorf("/health: %v", p.failed)
	case p.starting == 0:
		t.Error("/health did not answer during the recovery")
	case p.directories == 0:
		t.Error("/health named no directory during the recovery")
	case p.total < logs:
		t.Errorf("/health told of %d logs to be recovered, there are %d", p.total, logs)
	}
}

// watchHealth asks /health again and again until the function that it returns is called.
func watchHealth(address string) func() phases {
	stop, done := make(chan struct{}), make(chan phases)
	go func() {
		var out phases
		client := http.Client{Timeout: 5 * time.Second}
		ticker := time.NewTicker(2 * time.Millisecond)
		defer ticker.Stop()
		for {
			select {
			case <-stop:
				done <- out
				return
			case <-ticker.C:
			}
			resp, err := client.Get("http://" + address + "/health")
			if err != nil {
				continue // it does not listen yet
			}
			var h admin.Health
			err = json.NewDecoder(resp.Body).Decode(&h)
			if closed := resp.Body.Close(); err == nil {
				err = closed
			}
			if err != nil && out.failed == nil {
				out.failed = err
			}
			out.answers++
			if h.Status == admin.StatusStarting {
				out.starting++
				out.directories = max(out.directories, len(h.Directories))
				out.most, out.total = max(out.most, h.Recovery.LogsDone), max(out.total, h.Recovery.LogsTotal)
			}
		}
	}()
	return func() phases { close(stop); return <-done }
}
