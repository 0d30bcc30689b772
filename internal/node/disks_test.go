package node

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
	"github.com/ottla/ottla/test/transcript"
)

// twoDisks are two log directories, the second of which does what it is told.
type twoDisks struct {
	t             *testing.T
	first, second string
	fs            *vfs.Faulty
	fault         atomic.Pointer[func(vfs.Call) vfs.Fault] // of the second
	n             *Node
	c             *raw.Conn
}

func newTwoDisks(t *testing.T) *twoDisks {
	at := t.TempDir()
	x := &twoDisks{t: t, first: filepath.Join(at, "first"), second: filepath.Join(at, "second")}
	x.fs = vfs.NewFaulty(vfs.OS(), vfs.Hooks{OnBefore: func(c vfs.Call) vfs.Fault {
		if f := x.fault.Load(); f != nil && strings.HasPrefix(c.Path, x.second) {
			return (*f)(c)
		}
		return vfs.Fault{}
	}})
	return x
}

func (x *twoDisks) spoil(f func(vfs.Call) vfs.Fault) { x.fault.Store(&f) }

func (x *twoDisks) start(overrides ...string) {
	x.t.Helper()
	x.n = openWith(x.t, x.first+","+x.second, Options{FS: x.fs}, overrides...)
	x.c = dial(x.t, x.n)
}

// on makes a topic of one partition on a directory: the other one looks full of logs.
func (x *twoDisks) on(path, name string) {
	x.t.Helper()
	crowd := func(by int) {
		x.n.mu.Lock()
		defer x.n.mu.Unlock()
		for _, d := range x.n.dirs {
			if d.Path() != path {
				x.n.mu.counts[d] += by
			}
		}
	}
	crowd(1000)
	createTopic(x.t, x.c, name, 1)
	got := x.partition(name).Dir()
	crowd(-1000)
	if got != path {
		x.t.Fatalf("%s is in %s", name, got)
	}
	eventually(x.t, "the metadata names the directory of "+name, func() bool { return x.assigned(name) == path })
}

func (x *twoDisks) delete(topic string) {
	x.t.Helper()
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &topic
	req.Topics = append(req.Topics, one)
	resp := request[*kmsg.DeleteTopicsResponse](x.t, x.c, 6, req)
	code(x.t, "delete "+topic, resp.Topics[0].ErrorCode, model.None)
}

func (x *twoDisks) partition(topic string) *partition.Partition {
	x.t.Helper()
	var p *partition.Partition
	eventually(x.t, topic+" is there", func() bool {
		p = x.n.partitions.Topic(topic).Partition(0)
		return p != nil
	})
	return p
}

// assigned is the directory that the metadata names for a topic; "" for none that is known.
func (x *twoDisks) assigned(topic string) string {
	id := x.n.image.Load().TopicByName(topic).Partition(0).Directory(x.n.static.Broker.NodeID)
	if d := x.n.dirByID(id); d != nil {
		return d.Path()
	}
	return ""
}

func (x *twoDisks) leader(topic string) int32 {
	return x.n.image.Load().TopicByName(topic).Partition(0).Leader
}

// fail takes a directory offline, as a failed write does.
func (x *twoDisks) fail(path string) {
	for _, d := range x.n.dirs {
		if d.Path() == path {
			d.Offline(syscall.EIO)
		}
	}
}

func (x *twoDisks) produceCode(topic, value string) model.ErrorCode {
	x.t.Helper()
	return model.ErrorCode(produce(x.t, x.c, topic, -1, batchOf(batch.Options{}, value)).ErrorCode)
}

// refused checks that a partition is refused in all ways with KAFKA_STORAGE_ERROR.
func (x *twoDisks) refused(topic string) {
	x.t.Helper()
	if got := x.produceCode(topic, "refused"); got != model.KafkaStorageError {
		x.t.Errorf("produce: %v", got)
	}
	code(x.t, "fetch", fetch(x.t, x.c, topic, 0).ErrorCode, model.KafkaStorageError)
	code(x.t, "list offsets", listOffset(x.t, x.c, 7, topic, -1).ErrorCode, model.KafkaStorageError)
	code(x.t, "delete records", deleteRecords(x.t, x.c, topic, 0).ErrorCode, model.KafkaStorageError)
}

func (x *twoDisks) health() admin.Health {
	x.t.Helper()
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Get("http://" + x.n.Addresses().Admin + "/health")
	if err != nil {
		x.t.Fatal(err)
	}
	defer resp.Body.Close()
	var h admin.Health
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil {
		x.t.Fatal(err)
	}
	return h
}

// shows tells whether /metrics has a line.
func (x *twoDisks) shows(line string) bool {
	x.t.Helper()
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + x.n.Addresses().Admin + "/metrics")
	if err != nil {
		x.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		x.t.Fatal(err)
	}
	return bytes.Contains(text, []byte(line))
}

func (x *twoDisks) describe() map[string]kmsg.DescribeLogDirsResponseDir {
	out := map[string]kmsg.DescribeLogDirsResponseDir{}
	for _, d := range request[*kmsg.DescribeLogDirsResponse](x.t, x.c, 4, kmsg.NewPtrDescribeLogDirsRequest()).Dirs {
		out[d.Dir] = d
	}
	return out
}

func values(t *testing.T, c *raw.Conn, topic string) (out []string) {
	t.Helper()
	p := fetch(t, c, topic, 0)
	code(t, "fetch "+topic, p.ErrorCode, model.None)
	for _, r := range records(t, p.RecordBatches) {
		out = append(out, r.value)
	}
	return out
}

// One of two directories fails while the node runs: its partitions answer KAFKA_STORAGE_ERROR and lose their leader, everything else goes on, new topics go elsewhere, and after
// the repair all of it is there again.
func TestOneOfTwoDirectoriesFails(t *testing.T) {
	x := newTwoDisks(t)
	x.start()
	x.on(x.first, "sound")
	x.on(x.second, "broken")
	mustProduce(t, x.c, "sound", "s1")
	mustProduce(t, x.c, "broken", "b1", "b2")
	if d := x.describe(); len(d) != 2 || d[x.second].ErrorCode != 0 || len(d[x.second].Topics) != 1 || d[x.second].Topics[0].Partitions[0].Size != x.partition("broken").Log().Size() || d[x.second].TotalBytes <= 0 || d[x.second].UsableBytes <= 0 {
		t.Errorf("before: %+v", d)
	}
	x.spoil(func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpSync {
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	})
	if got := x.produceCode("broken", "lost"); got != model.KafkaStorageError {
		t.Fatalf("the produce whose sync failed: %v", got)
	}
	eventually(t, "the partition has no leader", func() bool { return x.leader("broken") == -1 })
	x.refused("broken")
	if x.leader("sound") != x.n.static.Broker.NodeID || mustProduce(t, x.c, "sound", "s2") != 1 {
		t.Error("the other directory is touched")
	}
	if b := x.n.image.Load().Broker(x.n.static.Broker.NodeID); len(b.Directories) != 1 || b.Directories[0] != x.n.dirs[0].ID() {
		t.Errorf("the broker is registered with %v", b.Directories)
	}
	for _, name := range []string{"new-1", "new-2"} {
		createTopic(t, x.c, name, 1)
		mustProduce(t, x.c, name, "n")
		if got := x.partition(name).Dir(); got != x.first {
			t.Errorf("%s is in %s", name, got)
		}
	}
	if d := x.describe(); d[x.second].ErrorCode != int16(model.KafkaStorageError) || len(d[x.second].Topics) != 0 || d[x.first].ErrorCode != 0 || len(d[x.first].Topics) != 3 {
		t.Errorf("afterwards: %+v", d)
	}
	h := x.health()
	if h.Status != admin.StatusDegraded || h.Partitions.Offline != 1 || h.Directories[1].Online || !strings.Contains(strings.Join(h.Problems, "\n"), x.second) {
		t.Errorf("health: %+v", h)
	}
	if !x.shows(`ottla_dir_online{dir="`+x.second+`"} 0`) || !x.shows(`ottla_dir_online{dir="`+x.first+`"} 1`) {
		t.Error("the metrics do not tell the directories apart")
	}
	select {
	case err := <-x.n.Failed():
		t.Errorf("the node gave up: %v", err)
	default:
	}
	if err := x.n.Close(t.Context()); err == nil || !strings.Contains(err.Error(), x.second) {
		t.Errorf("the stop says %v", err)
	}
	x.fault.Store(nil)
	x.start()
	defer stop(t, x.n)
	if got := values(t, x.c, "broken"); !slices.Equal(got[:2], []string{"b1", "b2"}) {
		t.Errorf("after the repair: %q", got)
	}
	if got := values(t, x.c, "sound"); !slices.Equal(got, []string{"s1", "s2"}) {
		t.Errorf("after the repair: %q", got)
	}
	mustProduce(t, x.c, "broken", "b3")
	if h := x.health(); h.Status != admin.StatusOK {
		t.Errorf("health: %+v", h)
	}
}

// A node starts without a directory that cannot be read, also when that shows only in a log, and serves the rest; with the directory of its metadata it does not.
func TestStartWithoutADirectory(t *testing.T) {
	for name, dead := range map[string]func(vfs.Call) bool{
		"nothing works": func(vfs.Call) bool { return true },
		"a file cannot be read": func(c vfs.Call) bool {
			return strings.HasSuffix(c.Path, "partition.metadata") || c.Op == vfs.OpRead && strings.HasSuffix(c.Path, ".log")
		},
	} {
		t.Run(name, func(t *testing.T) {
			x := newTwoDisks(t)
			x.start()
			x.on(x.first, "sound")
			x.on(x.second, "broken")
			mustProduce(t, x.c, "sound", "s1")
			mustProduce(t, x.c, "broken", "b1")
			stop(t, x.n)
			for _, file := range []string{".kafka_cleanshutdown", "ottla.manifest"} { // so that logs are opened
				if err := os.Remove(filepath.Join(x.second, file)); err != nil {
					t.Fatal(err)
				}
			}
			x.spoil(func(c vfs.Call) vfs.Fault {
				if dead(c) {
					return vfs.Fault{Err: syscall.EIO}
				}
				return vfs.Fault{}
			})
			x.start()
			eventually(t, "the partition has no leader", func() bool { return x.leader("broken") == -1 })
			x.refused("broken")
			if got := values(t, x.c, "sound"); !slices.Equal(got, []string{"s1"}) {
				t.Errorf("of the other directory: %q", got)
			}
			if h := x.health(); h.Status != admin.StatusDegraded || !strings.Contains(strings.Join(h.Problems, "\n"), x.second) {
				t.Errorf("health: %+v", h)
			}
			if d := x.describe(); d[x.second].ErrorCode != int16(model.KafkaStorageError) {
				t.Errorf("log directories: %+v", d)
			}
			if err := x.n.Close(t.Context()); err == nil {
				t.Error("the stop says that it was clean")
			}
			x.fault.Store(nil)
			x.start()
			defer stop(t, x.n)
			if got := values(t, x.c, "broken"); !slices.Equal(got, []string{"b1"}) {
				t.Errorf("after the repair: %q", got)
			}
		})
	}
}

// A disk that was replaced by an empty one: what lived there is offline, not silently empty, and can be deleted and made anew.
func TestReplacedDisk(t *testing.T) {
	x := newTwoDisks(t)
	x.start()
	x.on(x.first, "sound")
	x.on(x.second, "lost")
	mustProduce(t, x.c, "sound", "s1")
	mustProduce(t, x.c, "lost", "l1")
	stop(t, x.n)
	if err := os.RemoveAll(x.second); err != nil {
		t.Fatal(err)
	}
	x.start()
	defer func() { stop(t, x.n) }()
	x.refused("lost")
	if got := values(t, x.c, "sound"); !slices.Equal(got, []string{"s1"}) {
		t.Errorf("of the other directory: %q", got)
	}
	x.delete("lost")
	x.on(x.second, "lost")
	mustProduce(t, x.c, "lost", "anew")
	stop(t, x.n)
	x.start()
	if got := values(t, x.c, "lost"); !slices.Equal(got, []string{"anew"}) {
		t.Errorf("after the deletion: %q", got)
	}
}

// A log that was moved to another directory by hand, while the node was stopped, is used from there.
func TestLogMovedByHand(t *testing.T) {
	x := newTwoDisks(t)
	x.start()
	x.on(x.second, "moved")
	mustProduce(t, x.c, "moved", "m1")
	stop(t, x.n)
	if err := os.Rename(filepath.Join(x.second, "moved-0"), filepath.Join(x.first, "moved-0")); err != nil {
		t.Fatal(err)
	}
	x.start()
	defer func() { stop(t, x.n) }()
	if got := values(t, x.c, "moved"); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("got %q", got)
	}
	eventually(t, "the metadata names its directory", func() bool { return x.assigned("moved") == x.first })
	mustProduce(t, x.c, "moved", "m2")
	stop(t, x.n)
	x.start()
	if got := values(t, x.c, "moved"); !slices.Equal(got, []string{"m1", "m2"}) {
		t.Errorf("got %q", got)
	}
}

// Without the directory of its metadata, or any directory, a node cannot go on, and says why.
func TestLastDirectoryFails(t *testing.T) {
	for _, metadata := range []string{"first", "second"} {
		x := newTwoDisks(t)
		x.start("metadata.log.dir=" + map[string]string{"first": x.first, "second": x.second}[metadata])
		x.spoil(func(c vfs.Call) vfs.Fault { return vfs.Fault{Err: syscall.EIO} })
		x.fail(x.second)
		if metadata == "first" {
			x.fail(x.first)
		}
		err := <-x.n.Failed()
		if !strings.Contains(err.Error(), "FATAL") || !strings.Contains(err.Error(), map[string]string{"first": x.first, "second": x.second}[metadata]) {
			t.Errorf("the node failed with %v", err)
		}
		if err := x.n.Close(t.Context()); err == nil {
			t.Error("the stop says that it was clean")
		}
	}
}

// A disk that hangs stops its own partitions, and nobody else: the others, the metadata, health and metrics go on, and name the directory; when it answers again so do they,
// and nothing is lost.
func TestHungDirectory(t *testing.T) {
	for _, durability := range []string{"sync", "cache"} {
		t.Run(durability, func(t *testing.T) { hungDirectory(t, durability) })
	}
}

func hungDirectory(t *testing.T, durability string) {
	x := newTwoDisks(t)
	x.start("ottla.log.stall.ms=400", "ottla.durability="+durability)
	x.on(x.first, "sound")
	x.on(x.second, "hung")
	mustProduce(t, x.c, "sound", "s1")
	mustProduce(t, x.c, "hung", "h1")
	gate := vfs.NewGate()
	defer gate.Open()
	x.spoil(func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpSync || c.Op == vfs.OpWrite || c.Op == vfs.OpRead {
			return vfs.Fault{Gate: gate}
		}
		return vfs.Fault{}
	})
	waiting := make(chan model.ErrorCode, 1)
	other := dial(t, x.n)
	go func() { // taken before anybody knew; it hears when the disk is given up
		resp, err := raw.Ask[*kmsg.ProduceResponse](other, func() kmsg.Request {
			req := produceRequest("hung", model.TopicID{}, 0, -1, batchOf(batch.Options{}, "h2"))
			req.SetVersion(newestProduce)
			return req
		}())
		if err != nil {
			waiting <- model.UnknownServerError
			return
		}
		waiting <- model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
	}()
	<-gate.Reached()
	mustProduce(t, x.c, "sound", "s2") // nobody waits for the other disk
	eventually(t, "health names the directory", func() bool {
		h := x.health()
		return h.Status == admin.StatusDegraded && h.Directories[1].Stalled && !h.Directories[0].Stalled && strings.Contains(strings.Join(h.Problems, "\n"), x.second)
	})
	if got := <-waiting; got != model.KafkaStorageError {
		t.Errorf("what waited for the disk: %v", got)
	}
	mustProduce(t, other, "sound", "s3") // neither does who had asked the one that hangs
	began := time.Now()
	if got := x.produceCode("hung", "refused"); got != model.KafkaStorageError {
		t.Errorf("produce: %v", got)
	}
	code(t, "fetch of what is on the disk", fetch(t, x.c, "hung", 0).ErrorCode, model.None) // its end is in memory
	for _, name := range []string{"new-1", "new-2"} {
		createTopic(t, x.c, name, 1)
		mustProduce(t, x.c, name, "n")
		if got := x.partition(name).Dir(); got != x.first {
			t.Errorf("%s is in %s", name, got)
		}
	}
	warmCoordinator(t, x.c, "g")
	if d := x.describe(); len(d) != 2 || d[x.second].ErrorCode != 0 || d[x.second].TotalBytes <= 0 {
		t.Errorf("log directories: %+v", d)
	}
	if !x.shows(`ottla_dir_stalled{dir="`+x.second+`"} 1`) || !x.shows(`ottla_dir_stalled{dir="`+x.first+`"} 0`) || x.shows(`ottla_dir_stalled_seconds{dir="`+x.second+`"} 0`+"\n") {
		t.Error("the metrics do not name the directory")
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("beside a hung disk everything took %v", took)
	}
	gate.Open()
	eventually(t, "produce is taken again", func() bool { return x.produceCode("hung", "h3") == model.None })
	got := values(t, x.c, "hung")
	if len(got) != 3 || got[0] != "h1" || got[1] != "h2" || got[2] != "h3" {
		t.Errorf("afterwards: %q", got)
	}
	eventually(t, "health is well", func() bool { return x.health().Status == admin.StatusOK })
	stop(t, x.n)
}

// A node that is told to stop while a disk hangs closes the others cleanly, and does not wait for that one.
func TestStopBesideAHungDisk(t *testing.T) {
	x := newTwoDisks(t)
	x.start("ottla.log.stall.ms=200")
	x.on(x.first, "sound")
	x.on(x.second, "hung")
	mustProduce(t, x.c, "sound", "s1")
	mustProduce(t, x.c, "hung", "h1")
	gate := vfs.NewGate()
	defer gate.Open()
	x.spoil(func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpSync {
			return vfs.Fault{Gate: gate}
		}
		return vfs.Fault{}
	})
	eventually(t, "the canary notices", func() bool { return x.health().Directories[1].Stalled })
	err := x.n.Close(t.Context())
	if err == nil || !strings.Contains(err.Error(), x.second) || strings.Contains(err.Error(), x.first+" ") {
		t.Errorf("the stop says %v", err)
	}
	if _, err := os.Stat(filepath.Join(x.first, ".kafka_cleanshutdown")); err != nil {
		t.Errorf("the other directory was not closed cleanly: %v", err)
	}
}

// A disk that fails a read is told apart from a client that went away: another count, another line, and KAFKA_STORAGE_ERROR when the client comes back.
func TestReadErrorsAreNotTheClients(t *testing.T) {
	fs := vfs.NewFaulty(vfs.OS(), nil)
	at := t.TempDir()
	n := openWith(t, at, Options{FS: fs})
	c := dial(t, n)
	createTopic(t, c, "cold", 1)
	big := strings.Repeat("x", 50_000)
	for range 12 {
		mustProduce(t, c, "cold", big)
	}
	stop(t, n)
	text := &transcript.Transcript{}
	n = openWith(t, at, Options{FS: fs, Loggers: NewLoggers(text, slog.LevelWarn)})
	x := &twoDisks{t: t, n: n}
	c = dial(t, n)
	rule := &vfs.Rule{Op: vfs.OpRead, Path: "cold-0/*.log", Fault: vfs.Fault{Err: syscall.EIO}}
	fs.SetInjector(vfs.Rules{rule})
	closed := 0
	eventually(t, "KAFKA_STORAGE_ERROR", func() bool {
		req := fetchRequest("cold", model.TopicID{}, 0, 0)
		req.SetVersion(newestFetch)
		resp, err := raw.Ask[*kmsg.FetchResponse](c, req)
		if err != nil { // the answer had begun
			closed++
			c = dial(t, n)
			return false
		}
		got := model.ErrorCode(fetched1(t, resp).ErrorCode)
		if got != model.KafkaStorageError {
			t.Fatalf("fetch from a disk that cannot be read: %v", got)
		}
		return true
	})
	if closed > 1 || rule.Bitten() == 0 {
		t.Errorf("%d connections were closed, %d reads failed", closed, rule.Bitten())
	}
	if closed == 1 && !x.shows(`ottla_connections_closed_total{reason="disk_error"} 1`) {
		t.Error("the closed connection is not counted as the disk's")
	}
	if x.shows(`ottla_connections_closed_total{reason="broken_body"} 1`) || x.shows(`ottla_dir_read_errors_total{dir="`+at+`"} 0`) {
		t.Error("read errors are not counted, or as something else")
	}
	if !strings.Contains(text.String(), "its disk fails reads") || !strings.Contains(text.String(), "cold-0") {
		t.Errorf("the log does not say which log cannot be read:\n%s", text.String())
	}
	if h := x.health(); h.Status != admin.StatusDegraded || !strings.Contains(strings.Join(h.Problems, "\n"), "reads") {
		t.Errorf("health: %+v", h)
	}
	code(t, "produce goes on", produce(t, c, "cold", -1, batchOf(batch.Options{}, "new")).ErrorCode, model.None)
	fs.SetInjector(nil)
	if got := records(t, fetch(t, c, "cold", 0).RecordBatches); len(got) != 13 {
		t.Errorf("when the disk reads again: %d records", len(got))
	}
	before := text.String()
	gone := dial(t, n)
	req := fetchRequest("cold", model.TopicID{}, 0, 13)
	req.SetVersion(newestFetch)
	req.MaxWaitMillis = 200
	if _, err := gone.Send(req); err != nil {
		t.Fatal(err)
	}
	if err := gone.Close(); err != nil { // a client that goes away in the middle is nobody's fault
		t.Fatal(err)
	}
	eventually(t, "the client that went away is counted", func() bool { return !x.shows(`ottla_connections_closed_total{reason="peer"} 0`) })
	if strings.Contains(strings.TrimPrefix(text.String(), before), "disk") {
		t.Errorf("a client that went away is taken for the disk:\n%s", strings.TrimPrefix(text.String(), before))
	}
	stop(t, n)
}
