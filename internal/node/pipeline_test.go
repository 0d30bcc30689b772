package node

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// TestPipelinedRequestsSeeEachOther sends requests in one go that depend on each other. Apache Kafka serves one request of a connection at a time (gotcha 12), so each
// finds what the one before it did.
func TestPipelinedRequestsSeeEachOther(t *testing.T) {
	n := opened(t, "auto.create.topics.enable=false")
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	version := func(v int16, req kmsg.Request) kmsg.Request {
		req.SetVersion(v)
		return req
	}
	write := func(topic string, acks int16) kmsg.Request {
		return version(newestProduce, produceRequest(topic, model.TopicID{}, 0, acks, batchOf(batch.Options{}, "v")))
	}
	read := func(offset int64) kmsg.Request {
		return version(newestFetch, fetchRequest("t", model.TopicID{}, 0, offset))
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = "new", 1, 1
	create.Topics, create.TimeoutMillis = append(create.Topics, one), 10_000
	ask := kmsg.NewPtrMetadataRequest()
	ask.Topics = []kmsg.MetadataRequestTopic{{Topic: new("new")}}
	trim := kmsg.NewPtrDeleteRecordsRequest()
	trim.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: -1}}}}
	trim.TimeoutMillis = 10_000

	asked := []kmsg.Request{
		write("t", -1), write("t", -1), read(0), version(7, create), version(12, ask), write("new", -1), version(2, trim), read(0), read(2),
	}
	var all []byte
	for i, req := range asked {
		all = append(all, c.Frame(req, int32(1000+i))...)
	}
	if err := c.SendBytes(all); err != nil {
		t.Fatal(err)
	}
	answers := make([]kmsg.Response, len(asked))
	for i, req := range asked {
		var err error
		if answers[i], err = c.Receive(req, int32(1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	part := func(i int) kmsg.FetchResponseTopicPartition { return fetched1(t, answers[i].(*kmsg.FetchResponse)) }
	if got := records(t, part(2).RecordBatches); len(got) != 2 {
		t.Errorf("a fetch behind two writes sees %v", got)
	}
	code(t, "the new topic's metadata", answers[4].(*kmsg.MetadataResponse).Topics[0].ErrorCode, model.None)
	code(t, "a write to the new topic", answers[5].(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode, model.None)
	code(t, "a fetch of what was deleted", part(7).ErrorCode, model.OffsetOutOfRange)
	if p := part(8); p.ErrorCode != 0 || p.LogStartOffset != 2 {
		t.Errorf("a fetch of what is left: %v, the log starts at %d", model.ErrorCode(p.ErrorCode), p.LogStartOffset)
	}
}
