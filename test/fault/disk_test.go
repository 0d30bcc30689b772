//go:build linux

package fault

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

// smallDisk mounts a file system of so many MiB that only the processes run with the returned command see, and which outlives them.
func smallDisk(t *testing.T, mebibytes int) (dir string, enter []string) {
	t.Helper()
	for _, tool := range []string{"unshare", "nsenter", "mount"} {
		if _, err := exec.LookPath(tool); err != nil {
			notRun(t, tool+" is not installed")
		}
	}
	// Who is not root is made root of a name space of his own, where the system allows that.
	own, join := []string{"-m"}, []string{"-m"}
	if os.Geteuid() != 0 {
		own, join = []string{"-Urm"}, []string{"-U", "-m", "--preserve-credentials"}
	}
	dir = t.TempDir()
	holder := exec.Command("unshare", append(own, "sh", "-c", fmt.Sprintf("mount -t tmpfs -o size=%dm tmpfs %s && echo mounted && exec cat", mebibytes, dir))...)
	in, err := holder.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = in.Close() // ends cat, and with it the last who sees the disk
		_ = holder.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || strings.TrimSpace(line) != "mounted" {
		notRun(t, "a small file system cannot be mounted here, neither by root nor in a name space of one's own; TestFullDisk of internal/node and TestReserve of internal/storage/dir run everywhere")
	}
	return dir, append(append([]string{"nsenter", "-t", strconv.Itoa(holder.Process.Pid)}, join...), "--")
}

// produceCode sends one value and returns the code and how long that took.
func produceCode(t *testing.T, c *raw.Conn, topic, value string) (model.ErrorCode, time.Duration) {
	t.Helper()
	req := produceRequest(topic, 0, -1, batchOf(value))
	req.TimeoutMillis = 2000
	began := time.Now()
	resp, err := raw.Ask[*kmsg.ProduceResponse](c, req)
	if err != nil {
		t.Fatal(err)
	}
	return model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode), time.Since(began)
}

// TestFullDisk fills a small disk: produce is refused with what clients try again, everything else goes on, also over a crash, and when space returns so does produce.
func TestFullDisk(t *testing.T) {
	t.Run("up to the reserve", func(t *testing.T) { fillDisk(t, 128<<20) })
	t.Run("to the last byte", func(t *testing.T) { fillDisk(t, 1) })
}

func fillDisk(t *testing.T, reserve int) {
	dir, enter := smallDisk(t, 48)
	l := launch{dir: dir, port: steadyPort(t), wrap: enter, overrides: []string{"ottla.log.min.free.bytes=" + strconv.Itoa(reserve), "log.segment.bytes=4194304", "log.segment.delete.delay.ms=100", "offsets.topic.num.partitions=1"}}
	p := start(t, l)
	c := p.dial()
	for _, topic := range []string{"keep", "bulk"} {
		if resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, createRequest(topic, 1, nil)); err != nil || resp.Topics[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	for i := range 50 {
		if code, _ := produceCode(t, c, "keep", strconv.Itoa(i)); code != 0 {
			t.Fatal(code)
		}
	}
	value := strings.Repeat("x", 400_000)
	taken, refused := 0, model.None
	for taken < 200 && refused == model.None {
		if refused, _ = produceCode(t, c, "bulk", value); refused == model.None {
			taken++
		}
	}
	if refused != model.KafkaStorageError && refused != model.RequestTimedOut {
		t.Fatalf("test not valid: after %d batches of 400 kB the disk of 48 MiB answers %v\n%s", taken, refused, p.tail())
	}
	t.Logf("%d batches of 400 kB were taken, then came %v", taken, refused)
	eventually(t, "the node knows that its disk is full", 10*time.Second, func() bool {
		code, _ := produceCode(t, c, "bulk", value)
		return code == model.KafkaStorageError
	})
	serves := func(c *raw.Conn) {
		t.Helper()
		code, took := produceCode(t, c, "keep", "not now")
		if code != model.KafkaStorageError || took > limit(time.Second) {
			t.Errorf("produce to a full disk: %v after %v", code, took)
		}
		if got := readValues(t, c, "keep", 0); len(got) != 50 || got[49] != "49" {
			t.Errorf("of 50 records %d can be read", len(got))
		}
		if got := readValues(t, c, "bulk", 0); len(got) < taken {
			t.Errorf("of %d large records %d can be read", taken, len(got))
		}
	}
	serves(c)
	p.healthy()
	p.kill()
	if reserve > 1 {
		p = start(t, l) // the reserve is for this: a full disk does not keep a node from starting
	} else {
		p = run(t, l) // without a byte left it can write nothing, so it waits and says why
		eventually(t, "the starting node says that it has no space\n"+p.tail(), 20*time.Second, func() bool { return strings.Contains(p.stderr.String(), "space") })
		remount := exec.Command(enter[0], append(enter[1:], "mount", "-o", "remount,size=50m", dir)...)
		if out, err := remount.CombinedOutput(); err != nil {
			t.Fatalf("make the disk larger: %v %s", err, out)
		}
		p.serving()
	}
	c = p.dial()
	if reserve > 1 {
		serves(c)
	}

	remove := kmsg.NewPtrDeleteTopicsRequest()
	remove.Version, remove.TimeoutMillis = 6, 10_000
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = new("bulk")
	remove.Topics = append(remove.Topics, one)
	if resp, err := raw.Ask[*kmsg.DeleteTopicsResponse](c, remove); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("delete on a full disk: %v %+v\n%s", err, resp, p.tail())
	}
	began := time.Now()
	eventually(t, "produce is taken again once there is space", 20*time.Second, func() bool {
		code, _ := produceCode(t, c, "keep", "again")
		return code == model.None
	})
	t.Logf("produce is taken again %v after the deletion", time.Since(began).Round(time.Millisecond))
	if got := readValues(t, c, "keep", 0); len(got) < 51 || got[49] != "49" || got[50] != "again" {
		t.Errorf("afterwards %d records: %q", len(got), got[max(0, len(got)-3):])
	}
	p.healthy()
	p.stop()
}

// readValues reads partition 0 from an offset to its end.
func readValues(t *testing.T, c *raw.Conn, topic string, from int64) (values []string) {
	t.Helper()
	for {
		resp, err := raw.Ask[*kmsg.FetchResponse](c, fetchRequest(topic, 0, from))
		if err != nil {
			t.Fatal(err)
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			t.Fatalf("fetch %s at %d: %v", topic, from, model.ErrorCode(p.ErrorCode))
		}
		got, next := valuesOf(t, p.RecordBatches)
		if len(got) == 0 {
			return values
		}
		values, from = append(values, got...), next
	}
}

// TestOutOfDescriptors: when no more files and connections can be opened, accepting pauses; those who are connected go on, also where that takes new files, and
// when descriptors are there again so are new connections.
func TestOutOfDescriptors(t *testing.T) {
	p := start(t, launch{dir: t.TempDir(), wrap: []string{"sh", "-c", `ulimit -n 120; exec "$@"`, "sh"}, overrides: []string{"ottla.log.open.files=16", "log.segment.bytes=1048576"}})
	w := newWitness(t, p)
	c := p.dial()
	if resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, createRequest("fresh", 40, nil)); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	w.lap(5)
	var crowd []*raw.Conn
	for range 300 { // those beyond the node's limit wait in the system's queue
		crowd = append(crowd, p.dial())
	}
	eventually(t, "the node says that it is out of descriptors\n"+p.tail(), 20*time.Second, func() bool {
		return strings.Contains(p.stderr.String(), "descriptors")
	})
	for i := range 40 { // each partition's first record needs files of its own
		resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest("fresh", int32(i), -1, batchOf("x")))
		if err != nil {
			t.Fatalf("%v\n%s", err, p.tail())
		}
		if code := model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode); code != 0 {
			t.Fatalf("produce to a new partition without descriptors: %v\n%s", code, p.tail())
		}
	}
	w.lap(20)
	for _, c := range crowd {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "new connections are served again", 20*time.Second, func() bool { return answers(p.address) })
	w.end()
	p.healthy()
	p.stop()
}
