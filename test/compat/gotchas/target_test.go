package gotchas

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// address is the node under test; see doc.go.
var address = os.Getenv("OTTLA_GOTCHAS")

func TestMain(m *testing.M) {
	if address != "" {
		os.Exit(m.Run())
	}
	code, err := withNode(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotchas:", err)
		code = 1
	}
	os.Exit(code)
}

// withNode builds Ottla, runs it on ports of its own and stops it again.
func withNode(run func() int) (code int, err error) {
	dir, err := os.MkdirTemp("", "ottla-gotchas-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	binary, data := filepath.Join(dir, "ottla"), filepath.Join(dir, "data")
	if out, err := exec.Command("go", "build", "-o", binary, "github.com/ottla/ottla/cmd/ottla").CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build: %w\n%s", err, out)
	}
	cmd := exec.Command(binary, "serve", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs="+data,
		"--override", "ottla.admin.listener=127.0.0.1:0", "--override", "group.initial.rebalance.delay.ms=0")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	address, err = readAddress(filepath.Join(data, "ottla.addresses"), ended)
	if err == nil {
		code = run()
	}
	if stop := cmd.Process.Signal(syscall.SIGTERM); stop == nil {
		select {
		case end := <-ended:
			if err == nil && end != nil {
				err = fmt.Errorf("the node ended with %w", end)
			}
		case <-time.After(10 * time.Second):
			cmd.Process.Kill()
			err = fmt.Errorf("the node ignored SIGTERM for 10 s")
		}
	}
	return code, err
}

func readAddress(file string, ended <-chan error) (string, error) {
	deadline, tick := time.After(30*time.Second), time.NewTicker(10*time.Millisecond)
	defer tick.Stop()
	for {
		var found struct{ Listeners map[string]string }
		text, err := os.ReadFile(file)
		if err == nil && json.Unmarshal(text, &found) == nil && found.Listeners["PLAINTEXT"] != "" {
			return found.Listeners["PLAINTEXT"], nil
		}
		select {
		case err := <-ended:
			return "", fmt.Errorf("the node ended while starting: %w", err)
		case <-deadline:
			return "", fmt.Errorf("no addresses in %s after 30 s: %w", file, err)
		case <-tick.C:
		}
	}
}

// dial also marks the test as parallel: each has its own topics and groups.
func dial(t *testing.T) *Conn {
	t.Helper()
	t.Parallel()
	return Dial(t, address)
}

func name(what string) string { return fmt.Sprintf("gotcha-%s-%x", what, rand.Uint64()) }

func at[R kmsg.Request](req R, version int16) R {
	req.SetVersion(version)
	return req
}

func code(t *testing.T, what string, got int16, want *kerr.Error) {
	t.Helper()
	switch {
	case want == nil && got != 0:
		t.Fatalf("%s: error %d (%v)", what, got, kerr.ErrorForCode(got))
	case want != nil && got != want.Code:
		t.Fatalf("%s: error %d (%v), want %d (%s)", what, got, kerr.ErrorForCode(got), want.Code, want.Message)
	}
}

// advertised is the range of an API, and whether it is there at all.
func advertised(c *Conn, key int16) (low, high int16, ok bool) {
	c.t.Helper()
	resp := Do[*kmsg.ApiVersionsResponse](c, at(kmsg.NewPtrApiVersionsRequest(), 2))
	for _, k := range resp.ApiKeys {
		if k.ApiKey == key {
			return k.MinVersion, k.MaxVersion, true
		}
	}
	return 0, 0, false
}

func createRequest(topic string, partitions int32, configs ...string) *kmsg.CreateTopicsRequest {
	req := at(kmsg.NewPtrCreateTopicsRequest(), 7)
	req.TimeoutMillis = 10000
	rt := kmsg.NewCreateTopicsRequestTopic()
	rt.Topic, rt.NumPartitions, rt.ReplicationFactor = topic, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = configs[i], kmsg.StringPtr(configs[i+1])
		rt.Configs = append(rt.Configs, c)
	}
	req.Topics = append(req.Topics, rt)
	return req
}

// create makes a topic and waits until this broker leads its partitions.
func create(c *Conn, what string, partitions int32, configs ...string) (topic string, id [16]byte) {
	c.t.Helper()
	topic = name(what)
	resp := Do[*kmsg.CreateTopicsResponse](c, createRequest(topic, partitions, configs...))
	if resp.Topics[0].ErrorCode != 0 {
		c.t.Fatalf("create %s: error %d", topic, resp.Topics[0].ErrorCode)
	}
	Until(c.t, "a leader for "+topic, func() bool {
		m := metadata(c, 12, false, topic)
		return m.Topics[0].ErrorCode == 0 && len(m.Topics[0].Partitions) == int(partitions) && m.Topics[0].Partitions[0].ErrorCode == 0
	})
	Until(c.t, "the log of "+topic, func() bool { return listOffset(c, topic, -2).ErrorCode == 0 })
	return topic, resp.Topics[0].TopicID
}

func metadata(c *Conn, version int16, autoCreate bool, topics ...string) *kmsg.MetadataResponse {
	c.t.Helper()
	req := at(kmsg.NewPtrMetadataRequest(), version)
	req.AllowAutoTopicCreation = autoCreate
	req.Topics = []kmsg.MetadataRequestTopic{}
	for _, topic := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(topic)
		req.Topics = append(req.Topics, rt)
	}
	return Do[*kmsg.MetadataResponse](c, req)
}

func produceRequest(topic string, acks int16, batch []byte) *kmsg.ProduceRequest {
	req := at(kmsg.NewPtrProduceRequest(), 9)
	req.Acks, req.TimeoutMillis = acks, 10000
	rt := kmsg.NewProduceRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func produce(c *Conn, topic string, batch []byte) kmsg.ProduceResponseTopicPartition {
	c.t.Helper()
	return Do[*kmsg.ProduceResponse](c, produceRequest(topic, -1, batch)).Topics[0].Partitions[0]
}

// filled is a topic with these numbers of records per batch.
func filled(c *Conn, what string, batches ...int) (topic string, id [16]byte) {
	c.t.Helper()
	topic, id = create(c, what, 1)
	for _, n := range batches {
		var records []Record
		for i := range n {
			records = append(records, Record{Value: fmt.Append(nil, "value ", i), Timestamp: 1700000000000 + int64(i)})
		}
		if p := produce(c, topic, Batch(BatchOptions{}, records...)); p.ErrorCode != 0 {
			c.t.Fatalf("produce: error %d", p.ErrorCode)
		}
	}
	return topic, id
}

func fetchRequest(version int16, topic string, id [16]byte, offset int64) *kmsg.FetchRequest {
	req := at(kmsg.NewPtrFetchRequest(), version)
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes, req.SessionEpoch = 0, 1, 1<<20, -1
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.FetchOffset, rp.PartitionMaxBytes = offset, 1<<20
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return req
}

func fetch(c *Conn, topic string, offset int64) kmsg.FetchResponseTopicPartition {
	c.t.Helper()
	return Do[*kmsg.FetchResponse](c, fetchRequest(11, topic, [16]byte{}, offset)).Topics[0].Partitions[0]
}

func listOffset(c *Conn, topic string, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	return listOffsetAt(c, 10, topic, timestamp)
}

func listOffsetAt(c *Conn, version int16, topic string, timestamp int64) kmsg.ListOffsetsResponseTopicPartition {
	c.t.Helper()
	req := at(kmsg.NewPtrListOffsetsRequest(), version)
	req.ReplicaID = -1
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewListOffsetsRequestTopicPartition()
	rp.Timestamp, rp.CurrentLeaderEpoch = timestamp, -1
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return Do[*kmsg.ListOffsetsResponse](c, req).Topics[0].Partitions[0]
}

// coordinated waits until this node coordinates the group: the first group of a node makes the offsets topic.
func coordinated(c *Conn, group string) string {
	c.t.Helper()
	Until(c.t, "a coordinator", func() bool {
		req := at(kmsg.NewPtrFindCoordinatorRequest(), 3)
		req.CoordinatorKey = group
		if Do[*kmsg.FindCoordinatorResponse](c, req).ErrorCode != 0 {
			return false
		}
		list := at(kmsg.NewPtrOffsetFetchRequest(), 7)
		list.Group = group
		return Do[*kmsg.OffsetFetchResponse](c, list).ErrorCode == 0
	})
	return group
}
