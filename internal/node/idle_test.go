package node

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
)

// manyTopics makes topics with ten partitions each.
func manyTopics(t *testing.T, c *raw.Conn, prefix string, count int) {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 30_000
	for i := range count {
		one := kmsg.NewCreateTopicsRequestTopic()
		one.Topic, one.NumPartitions, one.ReplicationFactor = fmt.Sprintf("%s-%04d", prefix, i), 10, 1
		req.Topics = append(req.Topics, one)
	}
	for _, topic := range request[*kmsg.CreateTopicsResponse](t, c, 7, req).Topics {
		code(t, "create "+topic.Topic, topic.ErrorCode, model.None)
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestIdlePartitionIsSmall: a partition in which nothing happens costs at most 4 KiB of heap, all of the node's tables about it included.
func TestIdlePartitionIsSmall(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	manyTopics(t, c, "first", 1)
	before := heap()
	manyTopics(t, c, "idle", 200)
	each := (heap() - before) / 2000
	runtime.KeepAlive(n)
	t.Logf("an idle partition costs %d bytes of heap (promised: at most 4096)", each)
	if each > 4096 {
		t.Errorf("an idle partition costs %d bytes", each)
	}
}

// TestCleanStartReadsNoRecords: after an orderly stop no log is scanned. What is read is what machines are loaded from: the metadata and the committed offsets.
func TestCleanStartReadsNoRecords(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	manyTopics(t, c, "idle", 50)
	for i := range 20 {
		for range 20 {
			mustProduce(t, c, fmt.Sprintf("idle-%04d", i), strings.Repeat("x", 1000))
		}
	}
	stop(t, n)
	fs := vfs.NewFaulty(vfs.OS(), nil)
	n = openWith(t, path, Options{FS: fs})
	defer stop(t, n)
	perPartition := 0
	for _, call := range fs.Log() {
		if !strings.Contains(call.Path, "/idle-") {
			continue
		}
		perPartition++
		if call.Op == vfs.OpRead {
			t.Errorf("%s was read at %d, %d bytes", call.Path, call.Offset, call.Len)
		}
	}
	t.Logf("%d calls about 500 partitions, 20 of them with records", perPartition)
	if perPartition > 20*10 {
		t.Errorf("%d calls about partitions at a clean start", perPartition)
	}
	if got := len(records(t, fetch(t, dial(t, n), "idle-0000", 0).RecordBatches)); got != 20 {
		t.Errorf("%d records after the restart", got)
	}
}
