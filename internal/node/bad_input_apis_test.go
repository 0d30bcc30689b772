package node

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/transcript"
)

// TestEveryAPITellsOfBadInput: what an operator wants to know of what was refused stands in the log, with what it was about; what clients try again by themselves
// does not.
func TestEveryAPITellsOfBadInput(t *testing.T) {
	log := &transcript.Transcript{}
	n := openWith(t, t.TempDir(), Options{Loggers: NewLoggers(log, slog.LevelWarn)}, "group.max.size=1", "delete.topic.enable=false")
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	member := join(t, c, "g")
	for _, x := range badInputs(t, member) {
		if _, err := c.Do(x.req); err != nil {
			t.Fatalf("%v: %v", x.line, err)
		}
		if lines := log.Lines(append(x.line, "source=127.0.0.1", "client=raw", "level=WARN")...); len(lines) != 1 {
			t.Errorf("%v: %d lines: %q", x.line, len(lines), lines)
		}
	}
	before := len(log.Lines("refused"))
	for _, req := range ordinary(member) {
		if _, err := c.Do(req); err != nil {
			t.Fatal(err)
		}
	}
	if lines := log.Lines("refused"); len(lines) != before {
		t.Errorf("what is ordinary has lines: %q", lines[before:])
	}
	stop(t, n)
}

type badInput struct {
	req  kmsg.Request
	line []string
}

func at[R kmsg.Request](version int16, req R, change func(R)) kmsg.Request {
	change(req)
	req.SetVersion(version)
	return req
}

func badInputs(t *testing.T, m joined) []badInput {
	t.Helper()
	topics := func(names ...string) (out []kmsg.MetadataRequestTopic) {
		for _, name := range names {
			out = append(out, kmsg.MetadataRequestTopic{Topic: &name})
		}
		return out
	}
	return []badInput{
		{at(12, kmsg.NewPtrMetadataRequest(), func(r *kmsg.MetadataRequest) { r.Topics = topics("a/b", "c/d") }), []string{"Metadata refused: INVALID_TOPIC_EXCEPTION", "topic=a/b"}},
		{at(5, kmsg.NewPtrListOffsetsRequest(), func(r *kmsg.ListOffsetsRequest) {
			r.ReplicaID = -1
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp = -3
			r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "t", Partitions: []kmsg.ListOffsetsRequestTopicPartition{p}}}
		}), []string{"ListOffsets refused: UNSUPPORTED_VERSION", "topic=t", "partition=0"}},
		{at(5, kmsg.NewPtrDeleteTopicsRequest(), func(r *kmsg.DeleteTopicsRequest) { r.TopicNames = []string{"t"} }), []string{"DeleteTopics refused: TOPIC_DELETION_DISABLED", "topic=t"}},
		{at(2, kmsg.NewPtrDeleteRecordsRequest(), func(r *kmsg.DeleteRecordsRequest) {
			r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "t", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 99}}}}
		}), []string{"DeleteRecords refused: OFFSET_OUT_OF_RANGE", "topic=t", "offset=99"}},
		{at(3, kmsg.NewPtrCreatePartitionsRequest(), func(r *kmsg.CreatePartitionsRequest) {
			r.Topics = []kmsg.CreatePartitionsRequestTopic{{Topic: "t", Count: 0}}
		}), []string{"CreatePartitions refused: INVALID_PARTITIONS", "topic=t", "error="}},
		{at(1, kmsg.NewPtrIncrementalAlterConfigsRequest(), func(r *kmsg.IncrementalAlterConfigsRequest) {
			r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
				ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t",
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "retention.ms", Value: new("soon")}},
			}}
		}), []string{"IncrementalAlterConfigs refused: INVALID_CONFIG", "resource=t", "retention.ms"}},
		{at(1, kmsg.NewPtrAlterConfigsRequest(), func(r *kmsg.AlterConfigsRequest) {
			r.Resources = []kmsg.AlterConfigsRequestResource{{
				ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t", Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "no.such.key", Value: new("1")}},
			}}
		}), []string{`msg="AlterConfigs refused: INVALID_CONFIG`, "resource=t", "no.such.key"}},
		{at(4, kmsg.NewPtrInitProducerIDRequest(), func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = new("tx") }), []string{"InitProducerId refused", "transactional_id=tx", "transactions"}},
		{at(3, kmsg.NewPtrFindCoordinatorRequest(), func(r *kmsg.FindCoordinatorRequest) { r.CoordinatorKey, r.CoordinatorType = "tx", 1 }), []string{"FindCoordinator refused", "key=tx", "transactions"}},
		{at(1, kmsg.NewPtrSASLHandshakeRequest(), func(r *kmsg.SASLHandshakeRequest) { r.Mechanism = "PLAIN" }), []string{"SaslHandshake refused", "mechanism=PLAIN", "security.protocol"}},
		{at(5, joinRequest("g", ""), func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1 }), []string{"JoinGroup refused: INVALID_SESSION_TIMEOUT", "group=g"}},
		{at(3, joinRequest("g", ""), func(*kmsg.JoinGroupRequest) {}), []string{"JoinGroup refused: GROUP_MAX_SIZE_REACHED", "group=g"}},
		{at(5, syncRequest("g", "nobody", m.generation), func(*kmsg.SyncGroupRequest) {}), []string{"SyncGroup refused: UNKNOWN_MEMBER_ID", "group=g", "member=nobody"}},
		{at(4, kmsg.NewPtrHeartbeatRequest(), func(r *kmsg.HeartbeatRequest) { r.Group, r.MemberID = "g", "nobody" }), []string{"Heartbeat refused: UNKNOWN_MEMBER_ID", "member=nobody"}},
		{at(4, kmsg.NewPtrHeartbeatRequest(), func(*kmsg.HeartbeatRequest) {}), []string{"Heartbeat refused: INVALID_GROUP_ID"}},
		{at(2, kmsg.NewPtrLeaveGroupRequest(), func(r *kmsg.LeaveGroupRequest) { r.Group, r.MemberID = "g", "nobody" }), []string{"LeaveGroup refused: UNKNOWN_MEMBER_ID", "member=nobody"}},
	}
}

// ordinary requests get an error code that is part of the protocol's course.
func ordinary(m joined) []kmsg.Request {
	return []kmsg.Request{
		at(12, kmsg.NewPtrMetadataRequest(), func(r *kmsg.MetadataRequest) {
			r.Topics, r.AllowAutoTopicCreation = []kmsg.MetadataRequestTopic{{Topic: new("none")}}, false
		}),
		at(4, kmsg.NewPtrHeartbeatRequest(), func(r *kmsg.HeartbeatRequest) { r.Group, r.MemberID, r.Generation = "g", m.member, m.generation+1 }),
		at(9, joinRequest("fresh", ""), func(*kmsg.JoinGroupRequest) {}),
		at(newestFetch, fetchRequest("none", model.TopicID{}, 0, 0), func(*kmsg.FetchRequest) {}),
		at(7, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
			one := kmsg.NewCreateTopicsRequestTopic()
			one.Topic, one.NumPartitions, one.ReplicationFactor = "t", 1, 1
			r.Topics = append(r.Topics, one)
		}),
	}
}

// TestHostileNamesInTheLog: a name of 32 KB takes no such line, and a line break in it none of its own.
func TestHostileNamesInTheLog(t *testing.T) {
	log := &transcript.Transcript{}
	n := openWith(t, t.TempDir(), Options{Loggers: NewLoggers(log, slog.LevelWarn)})
	defer stop(t, n)
	c := dial(t, n)
	hostile := "a\nlevel=ERROR msg=forged" + strings.Repeat("x", 30_000)
	for _, req := range []kmsg.Request{
		at(3, kmsg.NewPtrFindCoordinatorRequest(), func(r *kmsg.FindCoordinatorRequest) { r.CoordinatorKey, r.CoordinatorType = hostile, 1 }),
		at(4, kmsg.NewPtrInitProducerIDRequest(), func(r *kmsg.InitProducerIDRequest) { r.TransactionalID = &hostile }),
		at(1, kmsg.NewPtrSASLHandshakeRequest(), func(r *kmsg.SASLHandshakeRequest) { r.Mechanism = hostile }),
		at(12, kmsg.NewPtrMetadataRequest(), func(r *kmsg.MetadataRequest) { r.Topics = []kmsg.MetadataRequestTopic{{Topic: &hostile}} }),
		at(7, kmsg.NewPtrCreateTopicsRequest(), func(r *kmsg.CreateTopicsRequest) {
			one := kmsg.NewCreateTopicsRequestTopic()
			one.Topic, one.NumPartitions, one.ReplicationFactor = hostile, 1, 1
			r.Topics = append(r.Topics, one)
		}),
		at(1, kmsg.NewPtrIncrementalAlterConfigsRequest(), func(r *kmsg.IncrementalAlterConfigsRequest) {
			r.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
				ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: hostile,
				Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: hostile, Value: &hostile}},
			}}
		}),
	} {
		c.ClientID = &hostile
		if _, err := c.Do(req); err != nil {
			t.Fatal(err)
		}
	}
	wrong := dial(t, n)
	wrong.ClientID = &hostile
	if _, err := wrong.SendBody(200, 0, false, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := wrong.ReceiveFrame(); err == nil {
		t.Error("an unknown API is answered")
	}
	lines := log.Lines("")
	if len(lines) < 7 {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		if len(line) > 3000 || strings.HasPrefix(line, "level=ERROR") {
			t.Errorf("a line of %d bytes: %.200s", len(line), line)
		}
	}
}
