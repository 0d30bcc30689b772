package node

import (
	"fmt"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
	"github.com/ottla/ottla/test/fault/raw"
)

// served asks a node what it serves; Produce is advertised from 0 and served from 3 (KAFKA-18659).
func served(t *testing.T, c *raw.Conn) []kmsg.ApiVersionsResponseApiKey {
	t.Helper()
	resp := request[*kmsg.ApiVersionsResponse](t, c, 4, sampleApiVersions())
	code(t, "ApiVersions", resp.ErrorCode, model.None)
	return resp.ApiKeys
}

func sampleApiVersions() *kmsg.ApiVersionsRequest {
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "test", "1.0"
	req.NodeID = -1
	return req
}

func TestAdvertisesWhatKafkaDoes(t *testing.T) {
	n := opened(t)
	for _, k := range served(t, dial(t, n)) {
		info, ok := wire.Info(k.ApiKey)
		if !ok {
			t.Fatalf("unknown key %d is advertised", k.ApiKey)
		}
		if k.MinVersion != info.AdvertisedMin || k.MaxVersion != info.AdvertisedMax {
			t.Errorf("%s: versions %d to %d, Kafka 4.4 has %d to %d", info.Name, k.MinVersion, k.MaxVersion, info.AdvertisedMin, info.AdvertisedMax)
		}
	}
}

// TestEveryVersionAnswers sends each API at each version three requests: all defaults, one that asks about what there is, and one about what there is not.
// Each must be answered, decode with kmsg to the last byte, and leave the connection usable.
func TestEveryVersionAnswers(t *testing.T) {
	n := opened(t, "auto.create.topics.enable=false")
	c := dial(t, n)
	id := createTopic(t, c, "there", 2)
	mustProduce(t, c, "there", "one", "two")
	warmCoordinator(t, c, "group")
	asked := 0
	for _, k := range served(t, c) {
		low := k.MinVersion
		if k.ApiKey == wire.KeyProduce {
			low = 3
		}
		for version := low; version <= k.MaxVersion; version++ {
			t.Run(fmt.Sprintf("%s_v%d", wire.Name(k.ApiKey), version), func(t *testing.T) {
				c := dial(t, n)
				for i, req := range samples(k.ApiKey, version, id) {
					req.SetVersion(version)
					resp, err := c.Do(req)
					if err != nil {
						t.Fatalf("request %d %+v: %v", i, req, err)
					}
					if v, ok := resp.(interface{ GetVersion() int16 }); ok && v.GetVersion() != version {
						t.Fatalf("request %d: answer of version %d", i, v.GetVersion())
					}
					asked++
				}
				served(t, c)
			})
		}
	}
	if asked < 400 {
		t.Fatalf("only %d requests were sent", asked)
	}
}

// warmCoordinator makes the offsets topic and waits until a group's coordinator answers.
func warmCoordinator(t *testing.T, c *raw.Conn, group string) {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = group
	resp := request[*kmsg.FindCoordinatorResponse](t, c, 3, req)
	code(t, "FindCoordinator", resp.ErrorCode, model.None)
	eventually(t, "the coordinator answers", func() bool {
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.MemberID = group, "nobody"
		answer := request[*kmsg.HeartbeatResponse](t, c, 4, beat)
		return model.ErrorCode(answer.ErrorCode) == model.UnknownMemberID
	})
}

// samples are requests of one API: defaults, things that exist, things that do not.
func samples(key, version int16, id model.TopicID) []kmsg.Request {
	unknown := model.TopicID{1, 2, 3}
	byDefault := func() kmsg.Request {
		r := kmsg.RequestForKey(key)
		if p, ok := r.(*kmsg.ProduceRequest); ok {
			p.Acks = 1 // acks=0 has no answer
		}
		if p, ok := r.(*kmsg.DescribeACLsRequest); ok { // what is unknown closes the connection, as in Kafka
			p.ResourceType, p.ResourcePatternType, p.Operation, p.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		}
		return r
	}
	names := []string{"there", "not-there"}
	ids := []model.TopicID{id, unknown}
	out := []kmsg.Request{byDefault()}
	for i, name := range names {
		out = append(out, sample(key, version, name, ids[i]))
	}
	return slices.DeleteFunc(out, func(r kmsg.Request) bool { return r == nil })
}

// sample is a request of one API about a topic (and a group of its name); nil where the API names none.
//
//arch:long one case for each API
func sample(key, version int16, topic string, id model.TopicID) kmsg.Request {
	switch key {
	case 0:
		return produceRequest(topic, id, 0, -1, batchOf(batch.Options{}, "v"))
	case 1:
		return fetchRequest(topic, id, 0, 0)
	case 2:
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		one := kmsg.NewListOffsetsRequestTopic()
		one.Topic = topic
		for i := int32(0); i < 3; i++ {
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Partition, p.Timestamp = i, int64(-1-i)
			one.Partitions = append(one.Partitions, p)
		}
		req.Topics = append(req.Topics, one)
		return req
	case 3:
		req := kmsg.NewPtrMetadataRequest()
		one := kmsg.NewMetadataRequestTopic()
		one.Topic = &topic
		req.Topics = append(req.Topics, one)
		if version >= 12 {
			byID := kmsg.NewMetadataRequestTopic()
			byID.TopicID = id
			req.Topics = append(req.Topics, byID)
		}
		req.IncludeClusterAuthorizedOperations, req.IncludeTopicAuthorizedOperations = true, true
		return req
	case 8:
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Group, req.Generation = "group-"+topic, -1
		p := kmsg.NewOffsetCommitRequestTopicPartition()
		p.Offset, p.Metadata = 1, new("m")
		one := kmsg.NewOffsetCommitRequestTopic()
		one.Topic, one.TopicID, one.Partitions = topic, id, []kmsg.OffsetCommitRequestTopicPartition{p}
		req.Topics = append(req.Topics, one)
		return req
	case 9:
		req := kmsg.NewPtrOffsetFetchRequest()
		req.Group = "group-" + topic
		if version >= 8 {
			g := kmsg.NewOffsetFetchRequestGroup()
			g.Group = "group-" + topic
			one := kmsg.NewOffsetFetchRequestGroupTopic()
			one.Topic, one.TopicID, one.Partitions = topic, id, []int32{0, 7}
			g.Topics = append(g.Topics, one)
			all := kmsg.NewOffsetFetchRequestGroup()
			all.Group = "group-" + topic
			req.Groups = append(req.Groups, g, all)
			return req
		}
		one := kmsg.NewOffsetFetchRequestTopic()
		one.Topic, one.Partitions = topic, []int32{0, 7}
		req.Topics = append(req.Topics, one)
		return req
	case 10:
		req := kmsg.NewPtrFindCoordinatorRequest()
		req.CoordinatorKey, req.CoordinatorKeys = "group", []string{"group", topic}
		return req
	case 11:
		req := kmsg.NewPtrJoinGroupRequest()
		req.Group, req.MemberID, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = "group-"+topic, "stranger", 10_000, 10_000, "consumer"
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = "range", []byte{0}
		req.Protocols = append(req.Protocols, p)
		return req
	case 12:
		req := kmsg.NewPtrHeartbeatRequest()
		req.Group, req.MemberID = "group", "stranger"
		return req
	case 13:
		req := kmsg.NewPtrLeaveGroupRequest()
		req.Group, req.MemberID = "group", "stranger"
		m := kmsg.NewLeaveGroupRequestMember()
		m.MemberID, m.InstanceID = "stranger", new("instance")
		req.Members = append(req.Members, m)
		return req
	case 14:
		req := kmsg.NewPtrSyncGroupRequest()
		req.Group, req.MemberID, req.ProtocolType, req.Protocol = "group", "stranger", new("consumer"), new("range")
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = "stranger", []byte{1}
		req.GroupAssignment = append(req.GroupAssignment, a)
		return req
	case 15:
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups, req.IncludeAuthorizedOperations = []string{"group-there", topic}, true
		return req
	case 16:
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = []string{"Empty"}, []string{"classic"}
		return req
	case 17:
		req := kmsg.NewPtrSASLHandshakeRequest()
		req.Mechanism = "PLAIN"
		return req
	case 18:
		return sampleApiVersions()
	}
	return adminSample(key, version, topic, id)
}

//arch:long one case for each API
func adminSample(key, version int16, topic string, id model.TopicID) kmsg.Request {
	switch key {
	case 19:
		req := kmsg.NewPtrCreateTopicsRequest()
		req.TimeoutMillis = 10_000
		one := kmsg.NewCreateTopicsRequestTopic()
		one.Topic, one.NumPartitions, one.ReplicationFactor = fmt.Sprintf("made-%s-%d", topic, version), 1, 1
		old := kmsg.NewCreateTopicsRequestTopic()
		old.Topic, old.NumPartitions, old.ReplicationFactor = "there", 1, 1
		req.Topics = append(req.Topics, one, old)
		return req
	case 20:
		req := kmsg.NewPtrDeleteTopicsRequest()
		req.TimeoutMillis = 10_000
		req.TopicNames = []string{"gone"}
		byName := kmsg.NewDeleteTopicsRequestTopic()
		byName.Topic = new("gone")
		byID := kmsg.NewDeleteTopicsRequestTopic()
		byID.TopicID = model.TopicID{9}
		req.Topics = append(req.Topics, byName, byID)
		return req
	case 21:
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 10_000
		one := kmsg.NewDeleteRecordsRequestTopic()
		one.Topic = topic
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = 1
		far := kmsg.NewDeleteRecordsRequestTopicPartition()
		far.Partition, far.Offset = 1, 99
		one.Partitions = append(one.Partitions, p, far)
		req.Topics = append(req.Topics, one)
		return req
	case 22:
		return kmsg.NewPtrInitProducerIDRequest()
	case 23:
		req := kmsg.NewPtrOffsetForLeaderEpochRequest()
		req.ReplicaID = -1
		one := kmsg.NewOffsetForLeaderEpochRequestTopic()
		one.Topic = topic
		p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
		p.LeaderEpoch = 0
		one.Partitions = append(one.Partitions, p)
		req.Topics = append(req.Topics, one)
		return req
	case 30:
		req := kmsg.NewPtrCreateACLsRequest()
		one := kmsg.NewCreateACLsRequestCreation()
		one.Operation, one.PermissionType = kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
		one.ResourceType, one.ResourceName, one.Principal, one.Host = kmsg.ACLResourceTypeTopic, topic, "User:a", "*"
		req.Creations = append(req.Creations, one)
		return req
	case 31:
		req := kmsg.NewPtrDeleteACLsRequest()
		one := kmsg.NewDeleteACLsRequestFilter()
		one.ResourceType, one.ResourcePatternType, one.Operation, one.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
		req.Filters = append(req.Filters, one)
		return req
	case 32:
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.IncludeSynonyms, req.IncludeDocumentation = true, true
		for _, r := range configResources(topic) {
			one := kmsg.NewDescribeConfigsRequestResource()
			one.ResourceType, one.ResourceName = r.kind, r.name
			req.Resources = append(req.Resources, one)
		}
		return req
	case 33:
		req := kmsg.NewPtrAlterConfigsRequest()
		req.ValidateOnly = true
		for _, r := range configResources(topic) {
			one := kmsg.NewAlterConfigsRequestResource()
			one.ResourceType, one.ResourceName = r.kind, r.name
			req.Resources = append(req.Resources, one)
		}
		return req
	case 35:
		req := kmsg.NewPtrDescribeLogDirsRequest()
		one := kmsg.NewDescribeLogDirsRequestTopic()
		one.Topic, one.Partitions = topic, []int32{0, 9}
		req.Topics = append(req.Topics, one)
		return req
	case 37:
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.TimeoutMillis, req.ValidateOnly = 10_000, true
		one := kmsg.NewCreatePartitionsRequestTopic()
		one.Topic, one.Count = topic, 3
		req.Topics = append(req.Topics, one)
		return req
	case 42:
		req := kmsg.NewPtrDeleteGroupsRequest()
		req.Groups = []string{"no-such-group"}
		return req
	case 43:
		req := kmsg.NewPtrElectLeadersRequest()
		one := kmsg.NewElectLeadersRequestTopic()
		one.Topic, one.Partitions = topic, []int32{0, 9}
		req.Topics = append(req.Topics, one)
		return req
	case 44:
		req := kmsg.NewPtrIncrementalAlterConfigsRequest()
		req.ValidateOnly = true
		for _, r := range configResources(topic) {
			one := kmsg.NewIncrementalAlterConfigsRequestResource()
			one.ResourceType, one.ResourceName = r.kind, r.name
			req.Resources = append(req.Resources, one)
		}
		return req
	case 46:
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		one := kmsg.NewListPartitionReassignmentsRequestTopic()
		one.Topic, one.Partitions = topic, []int32{0}
		req.Topics = append(req.Topics, one)
		return req
	case 47:
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = "group-there"
		one := kmsg.NewOffsetDeleteRequestTopic()
		one.Topic = topic
		one.Partitions = append(one.Partitions, kmsg.NewOffsetDeleteRequestTopicPartition())
		req.Topics = append(req.Topics, one)
		return req
	case 48:
		req := kmsg.NewPtrDescribeClientQuotasRequest()
		one := kmsg.NewDescribeClientQuotasRequestComponent()
		one.EntityType, one.MatchType = "user", 2
		req.Components = append(req.Components, one)
		return req
	case 50:
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		one := kmsg.NewDescribeUserSCRAMCredentialsRequestUser()
		one.Name = topic
		req.Users = append(req.Users, one)
		return req
	case 55:
		req := kmsg.NewPtrDescribeQuorumRequest()
		for _, name := range []string{model.MetadataTopic, topic} {
			one := kmsg.NewDescribeQuorumRequestTopic()
			one.Topic = name
			one.Partitions = append(one.Partitions, kmsg.NewDescribeQuorumRequestTopicPartition())
			req.Topics = append(req.Topics, one)
		}
		return req
	case 60:
		req := kmsg.NewPtrDescribeClusterRequest()
		req.IncludeClusterAuthorizedOperations, req.IncludeFencedBrokers, req.EndpointType = true, true, 1
		return req
	case 61:
		req := kmsg.NewPtrDescribeProducersRequest()
		one := kmsg.NewDescribeProducersRequestTopic()
		one.Topic, one.Partitions = topic, []int32{0, 9}
		req.Topics = append(req.Topics, one)
		return req
	case 74:
		req := kmsg.NewPtrListConfigResourcesRequest()
		req.ResourceTypes = []int8{2, 4, 8, 16, 32}
		return req
	case 75:
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit = 1
		one := kmsg.NewDescribeTopicPartitionsRequestTopic()
		one.Topic = topic
		req.Topics = append(req.Topics, one)
		return req
	}
	return nil
}

type resource struct {
	kind kmsg.ConfigResourceType
	name string
}

// configResources are resources of every type, one of them unknown.
func configResources(topic string) []resource {
	return []resource{
		{kmsg.ConfigResourceTypeTopic, topic}, {kmsg.ConfigResourceTypeBroker, "1"}, {kmsg.ConfigResourceTypeBroker, ""}, {kmsg.ConfigResourceTypeBroker, "99"},
		{kmsg.ConfigResourceTypeBrokerLogger, "1"}, {kmsg.ConfigResourceTypeClientMetrics, "m"}, {kmsg.ConfigResourceTypeGroupConfig, "g"}, {kmsg.ConfigResourceType(99), "x"},
	}
}
