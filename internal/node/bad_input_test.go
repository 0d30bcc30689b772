package node

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
	"github.com/ottla/ottla/test/transcript"
)

// TestBadInputIsLoggedOncePerSource: what is refused with an error code has one line in the log that names its source and what it was about, however often it is
// sent, and when the source is silent, or the node stops, a line with the number of those left out.
func TestBadInputIsLoggedOncePerSource(t *testing.T) {
	log := &transcript.Transcript{}
	n := openWith(t, t.TempDir(), Options{Loggers: NewLoggers(log, slog.LevelWarn)})
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "v")
	warmCoordinator(t, c, "g")
	corrupt := batchOf(batch.Options{}, "v")
	corrupt[70] ^= 1
	noCodec := batchOf(batch.Options{}, "v")
	noCodec[22] |= 5
	noCodec.SealCRC()
	const times = 4
	for _, x := range []struct {
		send func() int16
		want model.ErrorCode
		line []string
	}{
		{func() int16 { return produce(t, c, "t", -1, corrupt).ErrorCode }, model.CorruptMessage, []string{"Produce", "topic=t", "partition=0", "error="}},
		{func() int16 { return produce(t, c, "t", -1, noCodec).ErrorCode }, model.UnsupportedCompressionType, []string{"Produce", "topic=t"}},
		{func() int16 {
			return produce(t, c, model.ConsumerOffsetsTopic, -1, batchOf(batch.Options{}, "v")).ErrorCode
		}, model.InvalidTopicException, []string{"Produce", "topic=" + model.ConsumerOffsetsTopic}},
		{func() int16 { return fetch(t, c, "t", 99).ErrorCode }, model.OffsetOutOfRange, []string{"Fetch", "topic=t", "offset=99"}},
		{func() int16 {
			return fetched1(t, request[*kmsg.FetchResponse](t, c, 17, fetchRequest("", model.TopicID{7}, 0, 0))).ErrorCode
		}, model.UnknownTopicID, []string{"Fetch", "topic_id="}},
		{func() int16 { return createCode(t, c, "a/b") }, model.InvalidTopicException, []string{"CreateTopics", "topic=a/b"}},
		{func() int16 { return createCode(t, c, "..") }, model.InvalidTopicException, []string{"CreateTopics"}},
		{func() int16 { return createCode(t, c, strings.Repeat("x", 250)) }, model.InvalidTopicException, []string{"CreateTopics"}},
		{func() int16 { return commitAs(t, c, "g", "stranger", 5) }, model.GroupIDNotFound, []string{"OffsetCommit", "group=g", "member=stranger", "generation=5"}},
	} {
		for range times {
			code(t, strings.Join(x.line, " "), x.send(), x.want)
		}
		if lines := log.Lines(append(x.line, x.want.String(), "source=127.0.0.1", "level=WARN")...); len(lines) != 1 {
			t.Errorf("%v: %d lines, want one: %q", x.line, len(lines), lines)
		}
	}
	quiet := dial(t, n)
	if _, err := quiet.Send(func() kmsg.Request {
		req := produceRequest("t", model.TopicID{}, 0, 0, corrupt)
		req.SetVersion(12)
		return req
	}()); err != nil {
		t.Fatal(err)
	}
	if _, err := quiet.ReceiveFrame(); err == nil {
		t.Error("refused records without acks do not end the connection")
	}
	if lines := log.Lines("acks=0", "source=127.0.0.1"); len(lines) != 1 {
		t.Errorf("acks=0: %q", lines)
	}
	stop(t, n)
	for _, kind := range []string{"Produce refused: CORRUPT_MESSAGE", "Fetch refused: OFFSET_OUT_OF_RANGE", "OffsetCommit refused: GROUP_ID_NOT_FOUND"} {
		if len(log.Lines(kind, "suppressed=")) != 1 {
			t.Errorf("%s: nothing says how many were left out", kind)
		}
	}
}

func createCode(t *testing.T, c *raw.Conn, name string) int16 {
	t.Helper()
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = 10_000
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = name, 1, 1
	req.Topics = append(req.Topics, one)
	return request[*kmsg.CreateTopicsResponse](t, c, 7, req).Topics[0].ErrorCode
}

// commitAs commits as a member that there is none of.
func commitAs(t *testing.T, c *raw.Conn, group, member string, generation int32) int16 {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 1
	one := kmsg.NewOffsetCommitRequestTopic()
	one.Topic, one.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, one)
	return request[*kmsg.OffsetCommitResponse](t, c, 9, req).Topics[0].Partitions[0].ErrorCode
}
