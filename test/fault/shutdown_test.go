//go:build linux

package fault

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

const (
	manyTopics      = 1000
	partitionsEach  = 10
	topicsAtOnce    = 100
	openFilesCapped = 200
)

func createMany(t *testing.T, c *raw.Conn) {
	t.Helper()
	for from := 0; from < manyTopics; from += topicsAtOnce {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.Version, req.TimeoutMillis = 7, 60_000
		for i := range topicsAtOnce {
			one := kmsg.NewCreateTopicsRequestTopic()
			one.Topic, one.NumPartitions, one.ReplicationFactor = manyName(from+i), partitionsEach, 1
			req.Topics = append(req.Topics, one)
		}
		resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, topic := range resp.Topics {
			if topic.ErrorCode != 0 {
				t.Fatalf("create %s: %v", topic.Topic, model.ErrorCode(topic.ErrorCode))
			}
		}
	}
}

func manyName(i int) string { return fmt.Sprintf("many-%04d", i) }

// TestTenThousandPartitions: a thousand topics with ten partitions each are created quickly, cost little while nothing happens in them, and neither stop nor start
// depends on their number. In the long form all of them have been written to, else a tenth.
func TestTenThousandPartitions(t *testing.T) {
	l := launch{dir: t.TempDir(), port: steadyPort(t), overrides: []string{"ottla.log.open.files=" + strconv.Itoa(openFilesCapped)}}
	p := start(t, l)
	c := p.dial()
	before := p.resident()
	began := time.Now()
	createMany(t, c)
	within(t, "1,000 topics with 10 partitions each", time.Since(began), 10*time.Second)
	t.Logf("resident memory %s before, %s after", mib(before), mib(p.resident()))
	if open := p.openFiles(".log"); open > 10 {
		t.Errorf("%d segments are open, and nothing was written", open)
	}
	written := manyTopics / 10
	if long {
		written = manyTopics
	}
	writeMany(t, c, written)
	if open := p.openFiles(".log"); open > openFilesCapped {
		t.Errorf("%d segments are open, the cap is %d", open, openFilesCapped)
	}
	parked := park(t, p, 20)

	began = time.Now()
	p.signal(syscall.SIGTERM)
	code := p.wait(60 * time.Second)
	within(t, "stop with 10,000 partitions and parked fetches", time.Since(began), 2*time.Second)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.tail())
	}
	p.healthy()
	for _, c := range parked {
		if _, err := c.ReceiveFrame(); err == nil {
			if _, err = c.ReceiveFrame(); err == nil {
				t.Error("a parked fetch was answered twice")
			}
		}
	}

	p = run(t, l)
	within(t, "start after a clean stop with 10,000 partitions", p.serving(), 500*time.Millisecond)
	if log := p.stderr.String(); strings.Contains(log, "log recovered") {
		t.Errorf("a clean start scanned logs:\n%s", p.tail())
	}
	c = p.dial()
	end, err := raw.Ask[*kmsg.ListOffsetsResponse](c, offsetsRequest(manyName(0), 0, -1))
	if err != nil || end.Topics[0].Partitions[0].Offset != 1 {
		t.Errorf("after the restart: %v %+v", err, end)
	}

	p.kill()
	p = run(t, l)
	within(t, "start after a kill with 10,000 partitions", p.serving(), time.Second)
	p.stop()
}

// writeMany writes one record to each partition of the first topics.
func writeMany(t *testing.T, c *raw.Conn, topics int) {
	t.Helper()
	for i := range topics {
		req := produceRequest(manyName(i), 0, -1, batchOf("x"))
		for k := int32(1); k < partitionsEach; k++ {
			part := kmsg.NewProduceRequestTopicPartition()
			part.Partition, part.Records = k, batchOf("x")
			req.Topics[0].Partitions = append(req.Topics[0].Partitions, part)
		}
		resp, err := raw.Ask[*kmsg.ProduceResponse](c, req)
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range resp.Topics[0].Partitions {
			if part.ErrorCode != 0 {
				t.Fatalf("produce to %s-%d: %v", manyName(i), part.Partition, model.ErrorCode(part.ErrorCode))
			}
		}
	}
}

// park leaves connections waiting for records that do not come.
func park(t *testing.T, p *process, connections int) (parked []*raw.Conn) {
	t.Helper()
	for range connections {
		c := p.dial()
		req := fetchRequest(manyName(0), 0, 1)
		req.MaxWaitMillis = 600_000
		for i := 1; i < 50; i++ {
			req.Topics = append(req.Topics, fetchRequest(manyName(i), 0, 1).Topics...)
		}
		if _, err := c.Send(req); err != nil {
			t.Fatal(err)
		}
		parked = append(parked, c)
	}
	served := p.dial() // what came before this answer on other connections need not be parked yet, but is at the node
	if _, err := served.Do(apiVersions()); err != nil {
		t.Fatal(err)
	}
	return parked
}

// TestStopWithClientThatDoesNotRead: a client that asked for much and takes nothing cannot hold the node up.
func TestStopWithClientThatDoesNotRead(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	c := p.dial()
	if resp, err := c.Do(createRequest("t", 1, map[string]string{"max.message.bytes": "20000000"})); err != nil || resp.(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	value := strings.Repeat("x", 4<<20)
	for range 4 {
		if resp, err := c.Do(produceRequest("t", 0, -1, batchOf(value))); err != nil || resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	for range 8 {
		lazy := p.dial()
		for range 4 {
			if _, err := lazy.Send(fetchRequest("t", 0, 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	pause(100 * time.Millisecond) // until the sockets are full
	began := time.Now()
	p.signal(syscall.SIGTERM)
	code := p.wait(60 * time.Second)
	within(t, "stop with clients that do not read", time.Since(began), 2*time.Second)
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, p.tail())
	}
}

// TestSecondSignal: a stop that takes long, because the disk does, is cut short by a second signal.
func TestSecondSignal(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		notRun(t, "strace, which slows the disk down, is not installed (apt install strace)")
	}
	p := start(t, launch{dir: t.TempDir()})
	// From now on every sync takes as long as on a disk that hangs.
	slow := exec.Command(strace, "-f", "-o", "/dev/null", "-e", "trace=fdatasync,fsync", "-e", "inject=fdatasync,fsync:delay_enter=20000000", "-p", strconv.Itoa(p.cmd.Process.Pid))
	if err := slow.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- slow.Wait() }()
	attached := poll(10*time.Second, func() bool {
		tracer, err := status(p.proc("status"), "TracerPid")
		return err == nil && tracer != 0 || len(ended) > 0
	})
	if !attached || len(ended) > 0 {
		notRun(t, "strace may not attach to a process here")
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.exited:
		t.Fatalf("the stop was not slowed down, so there was nothing to cut short\n%s", p.tail())
	case <-time.After(500 * time.Millisecond):
	}
	began := time.Now()
	p.signal(syscall.SIGTERM)
	eventually(t, "the node ends", 15*time.Second, p.dead)
	within(t, "end after a second signal", time.Since(began), 500*time.Millisecond)
	if err := slow.Process.Kill(); err != nil { // the system keeps what has ended until its tracer lets go of it
		t.Fatal(err)
	}
	<-ended
	if code := p.wait(10 * time.Second); code == 0 {
		t.Error("a stop that was cut short ended with exit code 0")
	}
}
