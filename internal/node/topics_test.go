package node

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

// wanted is a topic of a CreateTopics request.
func wanted(name string, partitions int32, replicas int16, change ...func(*kmsg.CreateTopicsRequestTopic)) kmsg.CreateTopicsRequestTopic {
	out := kmsg.NewCreateTopicsRequestTopic()
	out.Topic, out.NumPartitions, out.ReplicationFactor = name, partitions, replicas
	for _, f := range change {
		f(&out)
	}
	return out
}

func assigned(partition int32, replicas ...int32) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		a.Partition, a.Replicas = partition, replicas
		t.ReplicaAssignment = append(t.ReplicaAssignment, a)
	}
}

func configured(name, value string) func(*kmsg.CreateTopicsRequestTopic) {
	return func(t *kmsg.CreateTopicsRequestTopic) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		t.Configs = append(t.Configs, c)
	}
}

func creation1(t *testing.T, c *raw.Conn, version int16, topic kmsg.CreateTopicsRequestTopic) kmsg.CreateTopicsResponseTopic {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.Topics = 10_000, []kmsg.CreateTopicsRequestTopic{topic}
	resp := request[*kmsg.CreateTopicsResponse](t, c, version, req)
	if len(resp.Topics) != 1 {
		t.Fatalf("%d topics in the answer", len(resp.Topics))
	}
	return resp.Topics[0]
}

// exists asks whether a topic is there, without making it.
func exists(t *testing.T, c *raw.Conn, name string) bool {
	t.Helper()
	return metadata1(t, c, 12, name).ErrorCode == 0
}

func metadata1(t *testing.T, c *raw.Conn, version int16, name string) kmsg.MetadataResponseTopic {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &name
	req.Topics = append(req.Topics, one)
	return request[*kmsg.MetadataResponse](t, c, version, req).Topics[0]
}

func TestCreateTopicsErrors(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "old.name", 1)
	self := metadata1(t, c, 12, "old.name").Partitions[0].Leader
	long := strings.Repeat("n", 249)
	for _, x := range []struct {
		what  string
		topic kmsg.CreateTopicsRequestTopic
		want  model.ErrorCode
	}{
		{"exists", wanted("old.name", 1, 1), model.TopicAlreadyExists},
		{"same metric name", wanted("old_name", 1, 1), model.InvalidTopicException},
		{"empty name", wanted("", 1, 1), model.InvalidTopicException},
		{"one dot", wanted(".", 1, 1), model.InvalidTopicException},
		{"two dots", wanted("..", 1, 1), model.InvalidTopicException},
		{"slash", wanted("../../etc/passwd", 1, 1), model.InvalidTopicException},
		{"backslash", wanted(`a\b`, 1, 1), model.InvalidTopicException},
		{"zero byte", wanted("a\x00b", 1, 1), model.InvalidTopicException},
		{"not ASCII", wanted("größe", 1, 1), model.InvalidTopicException},
		{"250 characters", wanted(long+"n", 1, 1), model.InvalidTopicException},
		{"249 characters", wanted(long, 1, 1), model.None},
		{"no partitions", wanted("t", 0, 1), model.InvalidPartitions},
		{"-2 partitions", wanted("t", -2, 1), model.InvalidPartitions},
		{"no replicas", wanted("t", 1, 0), model.InvalidReplicationFactor},
		{"more replicas than brokers", wanted("t", 1, 2), model.InvalidReplicationFactor},
		{"assignment and number", wanted("t", 1, 1, assigned(0, self)), model.InvalidRequest},
		{"assignment to nobody", wanted("t", -1, -1, assigned(0, self+100)), model.InvalidReplicaAssignment},
		{"assignment with a hole", wanted("t", -1, -1, assigned(0, self), assigned(2, self)), model.InvalidReplicaAssignment},
		{"assigned twice to one", wanted("t", -1, -1, assigned(0, self, self)), model.InvalidReplicaAssignment},
		{"unknown config", wanted("t", 1, 1, configured("no.such.key", "1")), model.InvalidConfig},
		{"bad value", wanted("t", 1, 1, configured("retention.ms", "soon")), model.InvalidConfig},
		{"value out of range", wanted("t", 1, 1, configured("segment.bytes", "1")), model.InvalidConfig},
		{"metadata topic", wanted(model.MetadataTopic, 1, 1), model.InvalidRequest},
		{"defaults", wanted("by-default", -1, -1), model.None},
		{"assigned", wanted("by-hand", -1, -1, assigned(0, self), assigned(1, self)), model.None},
	} {
		got := creation1(t, c, 7, x.topic)
		code(t, x.what, got.ErrorCode, x.want)
		if x.want != model.None && (got.ErrorMessage == nil || *got.ErrorMessage == "") {
			t.Errorf("%s: no message", x.what)
		}
	}
	if exists(t, c, "t") {
		t.Error("a refused topic exists")
	}
	if n := len(metadata1(t, c, 12, "by-hand").Partitions); n != 2 {
		t.Errorf("by-hand has %d partitions", n)
	}
}

func TestCreateTopicsAnswers(t *testing.T) {
	c := dial(t, opened(t, "num.partitions=3"))
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis, req.ValidateOnly = 10_000, true
	req.Topics = append(req.Topics, wanted("only-asked", 2, 1), wanted("twice", 1, 1), wanted("twice", 1, 1))
	resp := request[*kmsg.CreateTopicsResponse](t, c, 7, req)
	answered := map[string]model.ErrorCode{}
	for _, topic := range resp.Topics {
		answered[topic.Topic] = model.ErrorCode(topic.ErrorCode)
	}
	if len(answered) != 2 || answered["only-asked"] != model.None || answered["twice"] != model.InvalidRequest {
		t.Errorf("validate only: %v", answered)
	}
	if exists(t, c, "only-asked") {
		t.Error("validate only made a topic")
	}
	got := creation1(t, c, 7, wanted("t", -1, -1, configured("retention.ms", "12345")))
	if got.NumPartitions != 3 || got.ReplicationFactor != 1 || got.TopicID == ([16]byte{}) || len(got.Configs) < 33 {
		t.Errorf("%d partitions, %d replicas, id %v, %d configs (gotcha 17: all of them)", got.NumPartitions, got.ReplicationFactor, got.TopicID, len(got.Configs))
	}
	for _, config := range got.Configs {
		if config.Source <= 0 {
			t.Errorf("%s has source %d (gotcha 17)", config.Name, config.Source)
		}
		if config.Name == "retention.ms" && (config.Source != 1 || *config.Value != "12345") {
			t.Errorf("retention.ms: %+v", config)
		}
	}
	if id := metadata1(t, c, 12, "t").TopicID; id != got.TopicID {
		t.Errorf("the id is %v, and in the metadata %v", got.TopicID, id)
	}
}

func TestMetadataCreatesTopicsWhereAllowed(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	ask := func(version int16, name string, allow bool) kmsg.MetadataResponseTopic {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = allow
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = &name
		req.Topics = append(req.Topics, one)
		return request[*kmsg.MetadataResponse](t, c, version, req).Topics[0]
	}
	code(t, "not allowed by the request", ask(12, "a", false).ErrorCode, model.UnknownTopicOrPartition)
	if got := ask(12, "a", true); got.ErrorCode != 0 || len(got.Partitions) != 1 || got.Partitions[0].Leader < 0 {
		t.Errorf("allowed: %+v", got)
	}
	code(t, "allowed, version 3", ask(3, "b", false).ErrorCode, model.None)
	code(t, "bad name", ask(12, "a/b", true).ErrorCode, model.InvalidTopicException)
	if exists(t, c, "a/b") {
		t.Error("a bad name exists (gotcha 15)")
	}
	mustProduce(t, c, "a", "at once")

	off := dial(t, opened(t, "auto.create.topics.enable=false"))
	code(t, "not allowed by the broker", metadata1(t, off, 3, "a").ErrorCode, model.UnknownTopicOrPartition)

	count := func(version int16, topics []kmsg.MetadataRequestTopic) int {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = topics
		return len(request[*kmsg.MetadataResponse](t, c, version, req).Topics)
	}
	for version := int16(0); version <= 13; version++ { // gotcha 14
		if version > 0 && count(version, nil) != 2 {
			t.Errorf("version %d, null: not all topics", version)
		}
		want := 0
		if version == 0 {
			want = 2
		}
		if got := count(version, []kmsg.MetadataRequestTopic{}); got != want {
			t.Errorf("version %d, empty: %d topics, want %d", version, got, want)
		}
	}
	unknown := kmsg.NewMetadataRequestTopic()
	unknown.TopicID = [16]byte{3}
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{unknown}
	code(t, "unknown id", request[*kmsg.MetadataResponse](t, c, 12, req).Topics[0].ErrorCode, model.UnknownTopicID)
}

func TestCreatePartitionsErrors(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 3)
	self := metadata1(t, c, 12, "t").Partitions[0].Leader
	grow := func(count int32, only bool, assignments [][]int32, names ...string) []kmsg.CreatePartitionsResponseTopic {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = 10_000, only
		for _, name := range names {
			one := kmsg.NewCreatePartitionsRequestTopic()
			one.Topic, one.Count = name, count
			for _, replicas := range assignments {
				a := kmsg.NewCreatePartitionsRequestTopicAssignment()
				a.Replicas = replicas
				one.Assignment = append(one.Assignment, a)
			}
			req.Topics = append(req.Topics, one)
		}
		return request[*kmsg.CreatePartitionsResponse](t, c, 3, req).Topics
	}
	one := func(topics []kmsg.CreatePartitionsResponseTopic) int16 {
		if len(topics) != 1 {
			t.Fatalf("%d topics in the answer", len(topics))
		}
		return topics[0].ErrorCode
	}
	code(t, "fewer", one(grow(2, false, nil, "t")), model.InvalidPartitions)
	code(t, "as many", one(grow(3, false, nil, "t")), model.InvalidPartitions)
	code(t, "unknown", one(grow(5, false, nil, "nope")), model.UnknownTopicOrPartition)
	code(t, "assigned to nobody", one(grow(4, false, [][]int32{{self + 100}}, "t")), model.InvalidReplicaAssignment)
	code(t, "too few assignments", one(grow(5, false, [][]int32{{self}}, "t")), model.InvalidReplicaAssignment)
	code(t, "only asked", one(grow(5, true, nil, "t")), model.None)
	if n := len(metadata1(t, c, 12, "t").Partitions); n != 3 {
		t.Errorf("%d partitions after refusals and a question", n)
	}
	if twice := grow(5, false, nil, "t", "t", "nope"); len(twice) != 2 {
		t.Errorf("a topic named twice: %+v (gotcha 19: each once)", twice)
	}
	code(t, "more", one(grow(4, false, [][]int32{{self}}, "t")), model.None)
	if n := len(metadata1(t, c, 12, "t").Partitions); n != 4 {
		t.Errorf("%d partitions at the end", n)
	}
	p := request[*kmsg.ProduceResponse](t, c, 12, produceRequest("t", model.TopicID{}, 3, -1, batchOf(batch.Options{}, "v")))
	code(t, "produce to the new partition", p.Topics[0].Partitions[0].ErrorCode, model.None)
}

func TestDeleteTopicsErrorsAndReturn(t *testing.T) {
	c := dial(t, opened(t))
	id := createTopic(t, c, "t", 2)
	mustProduce(t, c, "t", "of the first life")
	remove := func(version int16, name *string, id model.TopicID) kmsg.DeleteTopicsResponseTopic {
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 10_000
		if version < 6 {
			req.TopicNames = []string{*name}
		}
		one := kmsg.NewDeleteTopicsRequestTopic()
		one.Topic, one.TopicID = name, id
		req.Topics = append(req.Topics, one)
		return request[*kmsg.DeleteTopicsResponse](t, c, version, req).Topics[0]
	}
	code(t, "unknown name", remove(6, new("nope"), model.TopicID{}).ErrorCode, model.UnknownTopicOrPartition)
	code(t, "unknown id", remove(6, nil, model.TopicID{5}).ErrorCode, model.UnknownTopicID)
	code(t, "name and id", remove(6, new("t"), id).ErrorCode, model.InvalidRequest)
	code(t, "neither", remove(6, nil, model.TopicID{}).ErrorCode, model.InvalidRequest)
	if got := remove(6, nil, id); got.ErrorCode != 0 || got.TopicID != id {
		t.Errorf("by id: %+v", got)
	}
	code(t, "again", remove(5, new("t"), model.TopicID{}).ErrorCode, model.UnknownTopicOrPartition)
	code(t, "produce to a deleted topic", produce(t, c, "t", -1, batchOf(batch.Options{}, "v")).ErrorCode, model.UnknownTopicOrPartition)
	code(t, "fetch by the old id", fetched1(t, request[*kmsg.FetchResponse](t, c, 13, fetchRequest("", id, 0, 0))).ErrorCode, model.UnknownTopicID)
	again := createTopic(t, c, "t", 1)
	if again == id {
		t.Error("the id is used twice")
	}
	eventually(t, "the new topic takes records", func() bool {
		return produce(t, c, "t", -1, batchOf(batch.Options{}, "of the second life")).ErrorCode == 0
	})
	if got := records(t, fetch(t, c, "t", 0).RecordBatches); len(got) != 1 || got[0].value != "of the second life" {
		t.Errorf("the new topic has %v", got)
	}
	off := dial(t, opened(t, "delete.topic.enable=false"))
	createTopic(t, off, "t", 1)
	c = off
	code(t, "disabled", remove(6, new("t"), model.TopicID{}).ErrorCode, model.TopicDeletionDisabled)
	code(t, "disabled, old version", remove(2, new("t"), model.TopicID{}).ErrorCode, model.InvalidRequest)
}

func TestInternalTopicsAreReadOnly(t *testing.T) {
	c := dial(t, opened(t))
	warmCoordinator(t, c, "g")
	internal := model.ConsumerOffsetsTopic
	code(t, "produce", produce(t, c, internal, -1, batchOf(batch.Options{}, "v")).ErrorCode, model.InvalidTopicException)
	code(t, "delete records", deleteRecords(t, c, internal, 0).ErrorCode, model.InvalidTopicException)
	if got := metadata1(t, c, 12, internal); got.ErrorCode != 0 || !got.IsInternal || len(got.Partitions) != 50 {
		t.Errorf("metadata: %v, internal %v, %d partitions", model.ErrorCode(got.ErrorCode), got.IsInternal, len(got.Partitions))
	}
	code(t, "fetch", fetch(t, c, internal, 0).ErrorCode, model.None)
	if got := listOffset(t, c, 11, internal, -1); got.ErrorCode != 0 {
		t.Errorf("list offsets: %v", model.ErrorCode(got.ErrorCode))
	}
	c.ClientID = new("__admin_client") // which Kafka exempts
	code(t, "produce as the admin client", produce(t, c, internal, -1, batchOf(batch.Options{}, "v")).ErrorCode, model.None)
}

// TestTopicsAcrossARestart: names, ids, partitions, configs and records are there again.
func TestTopicsAcrossARestart(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	id := createTopic(t, c, "kept", 3, "retention.ms", "777")
	createTopic(t, c, "gone", 1)
	mustProduce(t, c, "kept", "v")
	deleteTopic(t, c, "gone")
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	got := metadata1(t, c, 12, "kept")
	if got.ErrorCode != 0 || got.TopicID != id || len(got.Partitions) != 3 {
		t.Errorf("%+v", got)
	}
	if v := topicConfig(t, c, "kept", "retention.ms"); v.value != "777" || v.source != 1 {
		t.Errorf("retention.ms: %+v", v)
	}
	if exists(t, c, "gone") {
		t.Error("a deleted topic is back")
	}
	if got := records(t, fetch(t, c, "kept", 0).RecordBatches); len(got) != 1 || got[0].value != "v" {
		t.Errorf("records: %v", got)
	}
}
