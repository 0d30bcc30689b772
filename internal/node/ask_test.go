package node

import (
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
)

// opened starts a node that is stopped when the test ends.
func opened(t *testing.T, overrides ...string) *Node {
	t.Helper()
	n := open(t, t.TempDir(), overrides...)
	t.Cleanup(func() { stop(t, n) })
	return n
}

// openWith is open with options of the test's own.
func openWith(t *testing.T, path string, o Options, overrides ...string) *Node {
	t.Helper()
	n, err := tryOpenWith(t, path, o, overrides...)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func tryOpenWith(t *testing.T, path string, o Options, overrides ...string) (*Node, error) {
	t.Helper()
	settings, err := config.ParseOverrides(append([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + path, "ottla.admin.listener=127.0.0.1:0", "group.initial.rebalance.delay.ms=0"}, overrides...))
	if err != nil {
		t.Fatal(err)
	}
	if o.Static, err = config.Load(config.Options{}, settings); err != nil {
		t.Fatal(err)
	}
	if o.Loggers == nil {
		o.Loggers = NewLoggers(testWriter(t), slog.LevelWarn)
	}
	return Open(t.Context(), o)
}

// openFaulty starts a node whose file system does what it is told, and a connection to it.
func openFaulty(t *testing.T) (*vfs.Faulty, *Node, *raw.Conn) {
	t.Helper()
	fs := vfs.NewFaulty(vfs.OS(), nil)
	n := openWith(t, t.TempDir(), Options{FS: fs})
	return fs, n, dial(t, n)
}

// dial opens a plain connection to a node.
func dial(t *testing.T, n *Node) *raw.Conn {
	t.Helper()
	c, err := raw.Dial(n.Addresses().Listeners["PLAINTEXT"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the node may have closed it first
	return c
}

// request sends a request at a version and returns the answer, strictly decoded.
func request[R kmsg.Response](t *testing.T, c *raw.Conn, version int16, req kmsg.Request) R {
	t.Helper()
	req.SetVersion(version)
	resp, err := raw.Ask[R](c, req)
	if err != nil {
		t.Fatal(err)
	}
	return resp
}

// code compares an error code of a response.
func code(t *testing.T, what string, got int16, want model.ErrorCode) {
	t.Helper()
	if model.ErrorCode(got) != want {
		t.Errorf("%s: %v, want %v", what, model.ErrorCode(got), want)
	}
}

// eventually polls until ok or the deadline.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(20 * time.Second)
	for !ok() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// createTopic makes a topic; configs are key, value, key, value…
func createTopic(t *testing.T, c *raw.Conn, name string, partitions int32, configs ...string) model.TopicID {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = configs[i], &configs[i+1]
		topic.Configs = append(topic.Configs, config)
	}
	req.Topics = append(req.Topics, topic)
	resp := request[*kmsg.CreateTopicsResponse](t, c, 7, req)
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: %+v", name, resp.Topics)
	}
	return resp.Topics[0].TopicID
}

// alterTopic sets configs of a topic: key, value, key, value…
func alterTopic(t *testing.T, c *raw.Conn, name string, configs ...string) {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, name
	for i := 0; i < len(configs); i += 2 {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = configs[i], &configs[i+1]
		resource.Configs = append(resource.Configs, config)
	}
	req.Resources = append(req.Resources, resource)
	resp := request[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, req)
	if len(resp.Resources) != 1 || resp.Resources[0].ErrorCode != 0 {
		t.Fatalf("alter %s: %+v", name, resp.Resources)
	}
}

// batchOf builds a batch of values; producer state is added by the options.
func batchOf(o batch.Options, values ...string) batch.Batch {
	var b batch.Builder
	b.Reset(o)
	now := time.Now().UnixMilli()
	for i, v := range values {
		b.Append(now, []byte("k"+strconv.Itoa(i)), []byte(v))
	}
	return b.Build()
}

// produceRequest makes a request for one partition.
func produceRequest(topic string, id model.TopicID, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = acks, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, records
	one := kmsg.NewProduceRequestTopic()
	one.Topic, one.TopicID, one.Partitions = topic, id, []kmsg.ProduceRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

// newestProduce is the newest version that names topics.
const newestProduce = 12

// produce sends one batch to partition 0 and returns the answer for it.
func produce(t *testing.T, c *raw.Conn, topic string, acks int16, records []byte) kmsg.ProduceResponseTopicPartition {
	t.Helper()
	resp := request[*kmsg.ProduceResponse](t, c, newestProduce, produceRequest(topic, model.TopicID{}, 0, acks, records))
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("answer to a produce of one partition: %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}

// mustProduce is produce of values with acks=all; it returns the base offset.
func mustProduce(t *testing.T, c *raw.Conn, topic string, values ...string) int64 {
	t.Helper()
	p := produce(t, c, topic, -1, batchOf(batch.Options{}, values...))
	if p.ErrorCode != 0 {
		t.Fatalf("produce to %s: %v %v", topic, model.ErrorCode(p.ErrorCode), p.ErrorMessage)
	}
	return p.BaseOffset
}

// fetchRequest makes a request for one partition, outside of any session.
func fetchRequest(topic string, id model.TopicID, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1, 1<<20, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 1<<20
	one := kmsg.NewFetchRequestTopic()
	one.Topic, one.TopicID, one.Partitions = topic, id, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

// newestFetch is the newest version that names topics.
const newestFetch = 12

// fetch reads partition 0 from an offset.
func fetch(t *testing.T, c *raw.Conn, topic string, offset int64) kmsg.FetchResponseTopicPartition {
	t.Helper()
	return fetched1(t, request[*kmsg.FetchResponse](t, c, newestFetch, fetchRequest(topic, model.TopicID{}, 0, offset)))
}

func fetched1(t *testing.T, resp *kmsg.FetchResponse) kmsg.FetchResponseTopicPartition {
	t.Helper()
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("answer to a fetch of one partition: %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}

// got is a record as a consumer sees it.
type got struct {
	offset int64
	value  string
}

// records decodes what a fetch returned; a batch that is cut at the end is left out.
func records(t *testing.T, data []byte) []got {
	t.Helper()
	var out []got
	for _, b := range batches(t, data) {
		var r batch.Reader
		if err := r.Reset(b, 1<<26); err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			rec := r.Record()
			out = append(out, got{rec.Offset, string(rec.Value)})
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func batches(t *testing.T, data []byte) []batch.Batch {
	t.Helper()
	var out []batch.Batch
	for len(data) > 0 {
		b, rest, err := batch.Next(data)
		if err == batch.ErrTruncated {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Check(); err != nil {
			t.Fatal(err)
		}
		out, data = append(out, b), rest
	}
	return out
}

// listOffset asks for one offset of partition 0 by timestamp.
func listOffset(t *testing.T, c *raw.Conn, version int16, topic string, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrListOffsetsRequest()
	req.ReplicaID = -1
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp, part.CurrentLeaderEpoch = 0, timestamp, -1
	one := kmsg.NewListOffsetsRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	resp := request[*kmsg.ListOffsetsResponse](t, c, version, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 1 {
		t.Fatalf("answer to a question for one offset: %+v", resp)
	}
	return resp.Topics[0].Partitions[0]
}
