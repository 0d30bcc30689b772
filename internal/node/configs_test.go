package node

import (
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/fault/raw"
)

// shown is a config as DescribeConfigs shows it.
type shown struct {
	value    string
	source   int8
	readOnly bool
	synonyms []string
}

func describe(t *testing.T, c *raw.Conn, kind kmsg.ConfigResourceType, name string) map[string]shown {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	one := kmsg.NewDescribeConfigsRequestResource()
	one.ResourceType, one.ResourceName = kind, name
	req.Resources = append(req.Resources, one)
	got := request[*kmsg.DescribeConfigsResponse](t, c, 4, req).Resources[0]
	if got.ErrorCode != 0 {
		t.Fatalf("describe %v %q: %v", kind, name, model.ErrorCode(got.ErrorCode))
	}
	out := map[string]shown{}
	for _, e := range got.Configs {
		s := shown{source: int8(e.Source), readOnly: e.ReadOnly}
		if e.Value != nil {
			s.value = *e.Value
		}
		for _, synonym := range e.ConfigSynonyms {
			s.synonyms = append(s.synonyms, synonym.Name)
		}
		out[e.Name] = s
	}
	return out
}

func topicConfig(t *testing.T, c *raw.Conn, topic, key string) shown {
	t.Helper()
	return describe(t, c, kmsg.ConfigResourceTypeTopic, topic)[key]
}

// alter sends one operation on one config and returns the code.
func alter(t *testing.T, c *raw.Conn, kind kmsg.ConfigResourceType, name, key string, op kmsg.IncrementalAlterConfigOp, value *string) int16 {
	t.Helper()
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	one := kmsg.NewIncrementalAlterConfigsRequestResource()
	one.ResourceType, one.ResourceName = kind, name
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op, config.Value = key, op, value
	one.Configs = append(one.Configs, config)
	req.Resources = append(req.Resources, one)
	return request[*kmsg.IncrementalAlterConfigsResponse](t, c, 1, req).Resources[0].ErrorCode
}

func TestConfigsAlterAndDescribe(t *testing.T) {
	c := dial(t, opened(t, "log.retention.ms=5000"))
	createTopic(t, c, "t", 1)
	const topic, broker = kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker
	const set, remove, add, subtract = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	expect := func(what, value string, source int8) {
		t.Helper()
		if got := topicConfig(t, c, "t", "retention.ms"); got.value != value || got.source != source {
			t.Errorf("%s: retention.ms is %s from source %d, want %s from %d", what, got.value, got.source, value, source)
		}
	}
	expect("of the file", "5000", 4)
	code(t, "set for the cluster", alter(t, c, broker, "", "log.retention.ms", set, new("6000")), model.None)
	expect("of the cluster", "6000", 3)
	code(t, "set for the broker", alter(t, c, broker, "1", "log.retention.ms", set, new("7000")), model.None)
	expect("of the broker", "7000", 2)
	code(t, "set for the topic", alter(t, c, topic, "t", "retention.ms", set, new("8000")), model.None)
	expect("of the topic", "8000", 1)
	if got := topicConfig(t, c, "t", "retention.ms").synonyms; len(got) != 5 {
		t.Errorf("synonyms %v: want one for each place and the default", got)
	}
	code(t, "delete from the topic", alter(t, c, topic, "t", "retention.ms", remove, nil), model.None)
	expect("of the broker again", "7000", 2)
	code(t, "delete what is not there", alter(t, c, topic, "t", "retention.ms", remove, nil), model.None)

	code(t, "append", alter(t, c, topic, "t", "cleanup.policy", add, new("compact")), model.None)
	if got := topicConfig(t, c, "t", "cleanup.policy").value; got != "delete,compact" {
		t.Errorf("cleanup.policy after APPEND: %q", got)
	}
	code(t, "subtract", alter(t, c, topic, "t", "cleanup.policy", subtract, new("delete")), model.None)
	if got := topicConfig(t, c, "t", "cleanup.policy").value; got != "compact" {
		t.Errorf("cleanup.policy after SUBTRACT: %q", got)
	}
	for _, x := range []struct {
		what      string
		kind      kmsg.ConfigResourceType
		name, key string
		op        kmsg.IncrementalAlterConfigOp
		value     *string
		want      model.ErrorCode
	}{
		{"unknown key", topic, "t", "no.such.key", set, new("1"), model.InvalidConfig},
		{"bad value", topic, "t", "retention.ms", set, new("soon"), model.InvalidConfig},
		{"out of range", topic, "t", "min.insync.replicas", set, new("0"), model.InvalidConfig},
		{"append to what is no list", topic, "t", "retention.ms", add, new("1"), model.InvalidConfig},
		{"unknown operation", topic, "t", "retention.ms", 9, new("1"), model.InvalidRequest},
		{"unknown topic", topic, "nope", "retention.ms", set, new("1"), model.UnknownTopicOrPartition},
		{"read-only key of the broker", broker, "1", "log.dirs", set, new("/x"), model.InvalidRequest},
		{"read-only key of the cluster", broker, "", "num.partitions", set, new("2"), model.InvalidRequest},
		{"another broker", broker, "99", "log.retention.ms", set, new("1"), model.InvalidRequest},
		{"broker that is no number", broker, "x", "log.retention.ms", set, new("1"), model.InvalidRequest},
		{"unknown resource type", 99, "x", "k", set, new("1"), model.InvalidRequest},
		{"unknown logger level", kmsg.ConfigResourceTypeBrokerLogger, "1", "root", set, new("LOUD"), model.InvalidConfig},
	} {
		code(t, x.what, alter(t, c, x.kind, x.name, x.key, x.op, x.value), x.want)
	}
	expect("after the refusals", "7000", 2)
	if got := describe(t, c, kmsg.ConfigResourceTypeBrokerLogger, "1"); len(got) == 0 {
		t.Error("no loggers are shown")
	}
	old := kmsg.NewPtrAlterConfigsRequest() // replaces everything that was set
	one := kmsg.NewAlterConfigsRequestResource()
	one.ResourceType, one.ResourceName = topic, "t"
	config := kmsg.NewAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "max.message.bytes", new("1234")
	one.Configs = append(one.Configs, config)
	old.Resources = append(old.Resources, one)
	code(t, "AlterConfigs", request[*kmsg.AlterConfigsResponse](t, c, 2, old).Resources[0].ErrorCode, model.None)
	if got := describe(t, c, topic, "t"); got["cleanup.policy"].value != "delete" || got["max.message.bytes"].value != "1234" {
		t.Errorf("after AlterConfigs: %+v, %+v", got["cleanup.policy"], got["max.message.bytes"])
	}
}

// TestRetentionIsLive: records older than retention.ms go soon after the setting has changed.
func TestRetentionIsLive(t *testing.T) {
	c := dial(t, opened(t, "log.retention.check.interval.ms=50"))
	createTopic(t, c, "t", 1)
	var b batch.Builder
	b.Append(time.Now().Add(-time.Hour).UnixMilli(), nil, []byte("old"))
	code(t, "produce", produce(t, c, "t", -1, b.Build()).ErrorCode, model.None)
	if got := len(records(t, fetch(t, c, "t", 0).RecordBatches)); got != 1 {
		t.Fatalf("%d records before", got)
	}
	alterTopic(t, c, "t", "retention.ms", "60000")
	eventually(t, "the old record is gone", func() bool { return listOffset(t, c, 11, "t", -2).Offset == 1 })
	if offset := mustProduce(t, c, "t", "new"); offset != 1 {
		t.Errorf("the next record is at %d", offset)
	}
}

// TestDurabilityIsLive holds every sync of the topic's files: with ottla.durability=cache acks=all is answered all the same, with sync it is not.
func TestDurabilityIsLive(t *testing.T) {
	fs, n, c := openFaulty(t)
	defer stop(t, n)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "makes the files")
	for i, mode := range []string{"cache", "sync", "cache"} {
		alterTopic(t, c, "t", "ottla.durability", mode)
		gate := vfs.NewGate()
		defer gate.Open() // should the test end early
		fs.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*", Fault: vfs.Fault{Gate: gate}}})
		req := produceRequest("t", model.TopicID{}, 0, -1, batchOf(batch.Options{}, fmt.Sprint(i)))
		req.Version = newestProduce
		id, err := c.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		answered := make(chan error, 1)
		go func() {
			resp, err := c.Receive(req, id)
			if err == nil && resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode != 0 {
				err = fmt.Errorf("%+v", resp)
			}
			answered <- err
		}()
		if mode == "sync" {
			<-gate.Reached()
			select {
			case err := <-answered:
				t.Fatalf("durability sync: answered before the sync ended (%v)", err)
			case <-time.After(200 * time.Millisecond):
			}
			if got := len(records(t, fetch(t, dial(t, n), "t", int64(1+i)).RecordBatches)); got != 0 {
				t.Errorf("durability sync: %d records are visible before they are synced", got)
			}
			gate.Open()
		}
		if err := <-answered; err != nil {
			t.Fatalf("durability %s: %v", mode, err)
		}
		if got := len(records(t, fetch(t, dial(t, n), "t", int64(1+i)).RecordBatches)); got != 1 {
			t.Errorf("durability %s: %d records are visible", mode, got)
		}
		gate.Open()
		fs.SetInjector(nil)
	}
}
