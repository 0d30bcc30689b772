package gotchas

import (
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Null topics are all and empty topics none, but in version 0 empty is all; a topic is made only if the request allows it.
func TestGotcha14MetadataTopics(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "metadata", 1)
	has := func(m *kmsg.MetadataResponse) bool {
		return slices.ContainsFunc(m.Topics, func(each kmsg.MetadataResponseTopic) bool { return each.Topic != nil && *each.Topic == topic })
	}
	if !has(metadata(c, 0, false)) {
		t.Error("version 0 with no topics does not list all")
	}
	for _, v := range []int16{1, 4, 9, 12} {
		if m := metadata(c, v, false); len(m.Topics) != 0 {
			t.Errorf("version %d with no topics lists %d", v, len(m.Topics))
		}
		all := at(kmsg.NewPtrMetadataRequest(), v)
		if !has(Do[*kmsg.MetadataResponse](c, all)) {
			t.Errorf("version %d with null topics does not list all", v)
		}
	}
	absent := name("absent")
	code(t, "an unknown topic", metadata(c, 9, false, absent).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	code(t, "the same again", metadata(c, 9, false, absent).Topics[0].ErrorCode, kerr.UnknownTopicOrPartition)
	Until(t, "auto-creation", func() bool { return metadata(c, 9, true, absent).Topics[0].ErrorCode == 0 })
}

func TestGotcha15InvalidTopicName(t *testing.T) {
	c := dial(t)
	for _, bad := range []string{"bad/name", ".", "..", "", strings.Repeat("x", 250), "blank space", "ü"} {
		if bad != "" {
			code(t, "metadata of "+bad, metadata(c, 9, true, bad).Topics[0].ErrorCode, kerr.InvalidTopicException)
		}
		resp := Do[*kmsg.CreateTopicsResponse](c, createRequest(bad, 1))
		code(t, "creation of "+bad, resp.Topics[0].ErrorCode, kerr.InvalidTopicException)
		if resp.Topics[0].ErrorMessage == nil || *resp.Topics[0].ErrorMessage == "" {
			t.Errorf("creation of %q has no message", bad)
		}
	}
	all := Do[*kmsg.MetadataResponse](c, at(kmsg.NewPtrMetadataRequest(), 9))
	for _, each := range all.Topics {
		if strings.ContainsAny(*each.Topic, "/ ü") {
			t.Errorf("%q exists", *each.Topic)
		}
	}
}

// -1 partitions and -1 replicas are the broker's defaults.
func TestGotcha16CreateWithDefaults(t *testing.T) {
	c := dial(t)
	for v := int16(4); v <= 7; v++ {
		req := createRequest(name("defaults"), -1)
		req.SetVersion(v)
		req.Topics[0].ReplicationFactor = -1
		resp := Do[*kmsg.CreateTopicsResponse](c, req).Topics[0]
		code(t, "creation with -1", resp.ErrorCode, nil)
		if v >= 5 && (resp.NumPartitions != 1 || resp.ReplicationFactor != 1) {
			t.Errorf("v%d answers %d partitions, %d replicas", v, resp.NumPartitions, resp.ReplicationFactor)
		}
	}
}

// The answer to CreateTopics carries every config of the topic, each with a source, and never a null list.
func TestGotcha17CreateAnswersConfigs(t *testing.T) {
	c := dial(t)
	for v := int16(5); v <= 7; v++ {
		req := createRequest(name("configs"), 1, "retention.ms", "7200000")
		req.SetVersion(v)
		resp := Do[*kmsg.CreateTopicsResponse](c, req).Topics[0]
		code(t, "creation", resp.ErrorCode, nil)
		if len(resp.Configs) < 30 {
			t.Errorf("v%d: %d configs", v, len(resp.Configs))
		}
		for _, each := range resp.Configs {
			if each.Source <= 0 {
				t.Errorf("v%d: %s has source %d", v, each.Name, each.Source)
			}
			if each.Name == "retention.ms" && (each.Source != 1 || each.Value == nil || *each.Value != "7200000") {
				t.Errorf("v%d: retention.ms is %v", v, each)
			}
		}
	}
	// With an error the list is empty or null, but the topic is there.
	bad := Do[*kmsg.CreateTopicsResponse](c, createRequest("bad/name", 1)).Topics
	if len(bad) != 1 || bad[0].Topic != "bad/name" {
		t.Errorf("the failed topic is answered as %v", bad)
	}
}

// The nullable lists of DescribeTopicPartitions must not be null.
func TestGotcha18EligibleLeaders(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "elr", 2)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	rt := kmsg.NewDescribeTopicPartitionsRequestTopic()
	rt.Topic = topic
	req.Topics, req.ResponsePartitionLimit = append(req.Topics, rt), 2000
	resp := Do[*kmsg.DescribeTopicPartitionsResponse](c, req)
	if len(resp.Topics) != 1 || len(resp.Topics[0].Partitions) != 2 {
		t.Fatalf("answered %v", resp.Topics)
	}
	for _, p := range resp.Topics[0].Partitions {
		if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
			t.Errorf("partition %d: eligible %v, last known %v", p.Partition, p.EligibleLeaderReplicas, p.LastKnownELR)
		}
	}
}

// An answer to many topics names them all, the failed ones too.
func TestGotcha19EveryTopicAnswered(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "grow", 1)
	grow := at(kmsg.NewPtrCreatePartitionsRequest(), 3)
	grow.TimeoutMillis = 10000
	for _, each := range []string{topic, "nobody", "bad/name"} {
		rt := kmsg.NewCreatePartitionsRequestTopic()
		rt.Topic, rt.Count = each, 3
		grow.Topics = append(grow.Topics, rt)
	}
	got := map[string]int16{}
	for _, each := range Do[*kmsg.CreatePartitionsResponse](c, grow).Topics {
		got[each.Topic] = each.ErrorCode
	}
	if len(got) != 3 {
		t.Fatalf("CreatePartitions answers %v", got)
	}
	code(t, "a topic", got[topic], nil)
	code(t, "an unknown topic", got["nobody"], kerr.UnknownTopicOrPartition)

	remove := at(kmsg.NewPtrDeleteTopicsRequest(), 5)
	remove.TimeoutMillis, remove.TopicNames = 10000, []string{topic, "nobody"}
	if resp := Do[*kmsg.DeleteTopicsResponse](c, remove); len(resp.Topics) != 2 {
		t.Fatalf("DeleteTopics answers %v", resp.Topics)
	}
}

func describeConfigs(c *Conn, kind kmsg.ConfigResourceType, resource string) kmsg.DescribeConfigsResponseResource {
	c.t.Helper()
	req := at(kmsg.NewPtrDescribeConfigsRequest(), 4)
	req.IncludeSynonyms, req.IncludeDocumentation = true, true
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kind, resource
	req.Resources = append(req.Resources, rr)
	return Do[*kmsg.DescribeConfigsResponse](c, req).Resources[0]
}

// DescribeConfigs shows every config with value, source, type, synonyms and documentation.
func TestGotcha20DescribeConfigs(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "describe", 1, "retention.ms", "7200000")
	resp := describeConfigs(c, kmsg.ConfigResourceTypeTopic, topic)
	code(t, "describe", resp.ErrorCode, nil)
	if len(resp.Configs) < 30 {
		t.Fatalf("%d configs", len(resp.Configs))
	}
	for _, each := range resp.Configs {
		if each.Source <= 0 || each.ConfigType == 0 || each.Documentation == nil || *each.Documentation == "" {
			t.Errorf("%s: source %d, type %d", each.Name, each.Source, each.ConfigType)
		}
		switch each.Name {
		case "retention.ms":
			if *each.Value != "7200000" || each.Source != 1 || len(each.ConfigSynonyms) == 0 || each.ConfigSynonyms[0].Source != 1 {
				t.Errorf("retention.ms: %v", each)
			}
		case "segment.bytes":
			if *each.Value != "1073741824" || each.Source != 5 || len(each.ConfigSynonyms) != 1 || each.ConfigSynonyms[0].Name != "log.segment.bytes" {
				t.Errorf("segment.bytes: %v", each)
			}
		}
	}
	node := metadata(c, 9, false).Brokers[0].NodeID
	broker := describeConfigs(c, kmsg.ConfigResourceTypeBroker, string(rune('0'+node)))
	if node > 9 {
		t.Fatalf("this test wants a node id below 10, not %d", node)
	}
	found := false
	for _, each := range broker.Configs {
		found = found || each.Name == "num.partitions" && each.Value != nil && *each.Value == "1"
	}
	if !found || len(broker.Configs) < 100 {
		t.Errorf("the broker has %d configs, num.partitions=1 found: %v", len(broker.Configs), found)
	}
	code(t, "an unknown topic", describeConfigs(c, kmsg.ConfigResourceTypeTopic, "nobody").ErrorCode, kerr.UnknownTopicOrPartition)
}

func TestGotcha21InvalidConfig(t *testing.T) {
	c := dial(t)
	for _, bad := range [][2]string{{"no.such.key", "1"}, {"retention.ms", "soon"}, {"cleanup.policy", "burn"}, {"segment.bytes", "10"}, {"max.message.bytes", "-5"}} {
		resp := Do[*kmsg.CreateTopicsResponse](c, createRequest(name("bad"), 1, bad[0], bad[1])).Topics[0]
		code(t, bad[0]+"="+bad[1], resp.ErrorCode, kerr.InvalidConfig)
		if resp.ErrorMessage == nil || !strings.Contains(*resp.ErrorMessage, bad[0]) {
			t.Errorf("the message for %s does not name it: %v", bad[0], resp.ErrorMessage)
		}
	}
}

// Lists can be appended to and subtracted from; deleting what is not there is no error.
func TestGotcha22IncrementalAlter(t *testing.T) {
	c := dial(t)
	topic, _ := create(c, "alter", 1)
	alter := func(op kmsg.IncrementalAlterConfigOp, key string, value *string) int16 {
		req := at(kmsg.NewPtrIncrementalAlterConfigsRequest(), 1)
		rr := kmsg.NewIncrementalAlterConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
		rc := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		rc.Name, rc.Op, rc.Value = key, op, value
		rr.Configs = append(rr.Configs, rc)
		req.Resources = append(req.Resources, rr)
		return Do[*kmsg.IncrementalAlterConfigsResponse](c, req).Resources[0].ErrorCode
	}
	policy := func(want string) {
		t.Helper()
		Until(t, "cleanup.policy="+want, func() bool {
			for _, each := range describeConfigs(c, kmsg.ConfigResourceTypeTopic, topic).Configs {
				if each.Name == "cleanup.policy" {
					return *each.Value == want
				}
			}
			return false
		})
	}
	code(t, "append", alter(kmsg.IncrementalAlterConfigOpAppend, "cleanup.policy", kmsg.StringPtr("compact")), nil)
	policy("delete,compact")
	code(t, "append again", alter(kmsg.IncrementalAlterConfigOpAppend, "cleanup.policy", kmsg.StringPtr("compact")), nil)
	policy("delete,compact")
	code(t, "subtract", alter(kmsg.IncrementalAlterConfigOpSubtract, "cleanup.policy", kmsg.StringPtr("delete")), nil)
	policy("compact")
	code(t, "delete", alter(kmsg.IncrementalAlterConfigOpDelete, "cleanup.policy", nil), nil)
	policy("delete")
	code(t, "delete what is not set", alter(kmsg.IncrementalAlterConfigOpDelete, "flush.ms", nil), nil)
	code(t, "append to a number", alter(kmsg.IncrementalAlterConfigOpAppend, "retention.ms", kmsg.StringPtr("1")), kerr.InvalidConfig)
}

// A topic deleted twice is unknown the second time, also when a group has read it.
func TestGotcha24DeleteTwice(t *testing.T) {
	c := dial(t)
	topic, id := filled(c, "twice", 3)
	group := coordinated(c, name("g"))
	code(t, "commit", commit(c, 7, group, topic, [16]byte{}, 2, "").ErrorCode, nil)
	remove := func() int16 {
		req := at(kmsg.NewPtrDeleteTopicsRequest(), 5)
		req.TimeoutMillis, req.TopicNames = 10000, []string{topic}
		return Do[*kmsg.DeleteTopicsResponse](c, req).Topics[0].ErrorCode
	}
	code(t, "delete", remove(), nil)
	Until(t, "the end of "+topic, func() bool {
		return metadata(c, 9, false, topic).Topics[0].ErrorCode == kerr.UnknownTopicOrPartition.Code
	})
	code(t, "delete again", remove(), kerr.UnknownTopicOrPartition)
	byID := at(kmsg.NewPtrDeleteTopicsRequest(), 6)
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.TopicID = id
	byID.TimeoutMillis, byID.Topics = 10000, append(byID.Topics, rt)
	code(t, "delete by id", Do[*kmsg.DeleteTopicsResponse](c, byID).Topics[0].ErrorCode, kerr.UnknownTopicID)
	Until(t, "the end of its commits", func() bool {
		return committed(c, 7, group, topic).Offset == -1
	})
}

// Compacted topics refuse DeleteRecords; what one broker has no use for is answered truthfully, not refused.
func TestGotcha50AdminOnOneBroker(t *testing.T) {
	c := dial(t)
	compacted, _ := create(c, "compacted", 1, "cleanup.policy", "compact")
	code(t, "DeleteRecords of a compacted topic", deleteRecords(c, compacted, 0).ErrorCode, kerr.PolicyViolation)

	topic, _ := filled(c, "admin", 5)
	code(t, "DeleteRecords past the end", deleteRecords(c, topic, 6).ErrorCode, kerr.OffsetOutOfRange)
	if p := deleteRecords(c, topic, -1); p.ErrorCode != 0 || p.LowWatermark != 5 {
		t.Errorf("DeleteRecords of all: %v", p)
	}
	elect := at(kmsg.NewPtrElectLeadersRequest(), 2)
	elect.TimeoutMillis = 10000
	rt := kmsg.NewElectLeadersRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	elect.Topics = append(elect.Topics, rt)
	code(t, "ElectLeaders", Do[*kmsg.ElectLeadersResponse](c, elect).Topics[0].Partitions[0].ErrorCode, kerr.ElectionNotNeeded)
	moves := kmsg.NewPtrListPartitionReassignmentsRequest()
	moves.TimeoutMillis = 10000
	if resp := Do[*kmsg.ListPartitionReassignmentsResponse](c, moves); resp.ErrorCode != 0 || len(resp.Topics) != 0 {
		t.Errorf("ListPartitionReassignments: error %d, %v", resp.ErrorCode, resp.Topics)
	}
	quorum := at(kmsg.NewPtrDescribeQuorumRequest(), 2)
	qt := kmsg.NewDescribeQuorumRequestTopic()
	qt.Topic = "__cluster_metadata"
	qt.Partitions = append(qt.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
	quorum.Topics = append(quorum.Topics, qt)
	resp := Do[*kmsg.DescribeQuorumResponse](c, quorum)
	if resp.ErrorCode != 0 || len(resp.Topics) != 1 || len(resp.Topics[0].Partitions[0].CurrentVoters) != 1 {
		t.Errorf("DescribeQuorum: error %d, %v", resp.ErrorCode, resp.Topics)
	}
	acls := at(kmsg.NewPtrDescribeACLsRequest(), 3)
	acls.ResourceType, acls.ResourcePatternType, acls.Operation, acls.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	code(t, "DescribeAcls", Do[*kmsg.DescribeACLsResponse](c, acls).ErrorCode, kerr.SecurityDisabled)
}

func deleteRecords(c *Conn, topic string, before int64) kmsg.DeleteRecordsResponseTopicPartition {
	c.t.Helper()
	req := at(kmsg.NewPtrDeleteRecordsRequest(), 2)
	req.TimeoutMillis = 10000
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return Do[*kmsg.DeleteRecordsResponse](c, req).Topics[0].Partitions[0]
}
