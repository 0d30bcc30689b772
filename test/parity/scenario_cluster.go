package main

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func apiVersions(s *side) {
	request := func(name, version string) *kmsg.ApiVersionsRequest {
		req := kmsg.NewPtrApiVersionsRequest()
		req.ClientSoftwareName, req.ClientSoftwareVersion = name, version
		return req
	}
	s.each("usual", 18, func(int16) kmsg.Request { return request("parity", "1.0") })
	for _, name := range []string{"", "-a", "a-", "a b", "a", "a.b-c", "a_b", "é", "a\n"} {
		s.each("name "+name, 18, func(int16) kmsg.Request { return request(name, "1") })
		s.each("version "+name, 18, func(int16) kmsg.Request { return request("x", name) })
	}
	for i, id := range []*string{nil, ptr("other"), ptr("")} {
		for _, node := range []int32{-2, -1, 0, 1, 2} {
			req := request("parity", "1")
			req.ClusterID, req.NodeID = id, node
			s.at(5, []string{"null", "other", "empty"}[i]+" cluster and node "+string(rune('0'+node+2)), req)
		}
	}
	req := request("parity", "1")
	for made, name := range s.names {
		if name == "<cluster>" {
			req.ClusterID = &made
		}
	}
	s.at(5, "right cluster", req)
	req.NodeID = 1
	s.at(5, "right cluster and node", req)
	req.NodeID = 7
	s.at(5, "right cluster, wrong node", req)
}

func connections(s *side) {
	s.raw("version 99 of ApiVersions", 18, 99, true, nil)
	s.raw("version 6 of ApiVersions", 18, 6, true, []byte{1, 2, 3})
	s.raw("version -1 of ApiVersions", 18, -1, false, nil)
	s.raw("version 32767 of ApiVersions", 18, 32767, true, nil)
	s.raw("version 99 of Metadata", 3, 99, true, nil)
	s.raw("version 2 of Produce", 0, 2, false, nil)
	s.raw("version 0 of Produce", 0, 0, false, nil)
	s.raw("version 3 of Fetch", 1, 3, false, nil)
	s.raw("key 200", 200, 0, false, nil)
	s.raw("key -1", -1, 0, false, nil)
	s.raw("key 4", 4, 0, false, nil)
	s.raw("key 52, of a controller", 52, 0, true, nil)
	s.raw("key 59, FetchSnapshot, of a controller", 59, 0, true, nil)
	s.raw("key 73, AssignReplicasToDirs, of a controller", 73, 0, true, nil)
	s.raw("empty Metadata body", 3, 9, true, nil)
	s.raw("cut Metadata body", 3, 1, false, []byte{0, 0, 0, 5, 0})
	s.raw("Metadata with too many topics", 3, 1, false, []byte{127, 255, 255, 255, 0})
	s.raw("Metadata with bytes left over", 3, 1, false, []byte{255, 255, 255, 255, 1, 2, 3})
	s.raw("Metadata with a negative count", 3, 1, false, []byte{255, 255, 255, 254})
	s.raw("Metadata topic name null in version 1", 3, 1, false, []byte{0, 0, 0, 1, 255, 255})
	s.raw("empty Produce body", 0, 9, true, nil)
	s.raw("empty Fetch body", 1, 12, true, nil)
	s.raw("empty ApiVersions body", 18, 3, true, nil)
	s.raw("ApiVersions version 3 with null name", 18, 3, true, []byte{0, 0, 0})
	s.raw("Heartbeat with null group", 12, 0, false, []byte{255, 255, 0, 0, 0, 0, 0, 0})
	s.raw("FindCoordinator v4 with null keys", 10, 4, true, []byte{0, 0, 0})
	s.raw("CreateTopics v5 with null topics", 19, 5, true, []byte{0, 0, 0, 0, 0, 0, 0})
	s.raw("InitProducerId v2 with a wrong tag section", 22, 2, true, []byte{0, 0, 0, 0, 0, 5})
}

func describeCluster(s *side) {
	for _, endpoint := range []int8{1, 2, 0, 3, -1} {
		for _, ops := range []bool{false, true} {
			s.each("endpoint type "+itoa(int(endpoint))+onOff(" with operations", ops), 60, func(v int16) kmsg.Request {
				req := kmsg.NewPtrDescribeClusterRequest()
				req.EndpointType, req.IncludeClusterAuthorizedOperations = endpoint, ops
				if v == 0 && endpoint != 1 {
					return nil
				}
				return req
			})
		}
	}
	req := kmsg.NewPtrDescribeClusterRequest()
	req.EndpointType, req.IncludeFencedBrokers = 1, true
	s.at(2, "fenced brokers", req)
}

func metadata(s *side) {
	id := s.mustCreate("metadata-a", 3)
	s.mustCreate("metadata-b", 1)
	topics := map[string][]kmsg.MetadataRequestTopic{
		"empty":      {},
		"known":      {{Topic: ptr("metadata-a")}, {Topic: ptr("metadata-b")}},
		"twice":      {{Topic: ptr("metadata-a")}, {Topic: ptr("metadata-a")}},
		"unknown":    {{Topic: ptr("metadata-missing")}},
		"invalid":    {{Topic: ptr("a/b")}, {Topic: ptr("")}, {Topic: ptr(".")}, {Topic: ptr("..")}, {Topic: ptr(long(249))}, {Topic: ptr(long(250))}, {Topic: ptr("é")}},
		"internal":   {{Topic: ptr("__transaction_state")}, {Topic: ptr("__share_group_state")}, {Topic: ptr("__cluster_metadata")}},
		"null name":  {{}},
		"id":         {{TopicID: id}},
		"unknown id": {{TopicID: [16]byte{1, 2, 3}}},
		"both":       {{TopicID: id, Topic: ptr("metadata-a")}},
		"both wrong": {{TopicID: id, Topic: ptr("metadata-b")}},
		"mixed ids":  {{TopicID: id}, {Topic: ptr("metadata-b")}, {TopicID: [16]byte{9}}, {Topic: ptr("metadata-missing")}},
		"reserved":   {{TopicID: [16]byte{15: 1}}},
	}
	for _, name := range sortedKeys(topics) {
		for _, ops := range []bool{false, true} {
			s.each(name+onOff(" with operations", ops), 3, func(v int16) kmsg.Request {
				req := kmsg.NewPtrMetadataRequest()
				req.Topics, req.AllowAutoTopicCreation = topics[name], false
				req.IncludeTopicAuthorizedOperations, req.IncludeClusterAuthorizedOperations = ops, ops
				switch {
				case v < 4 && (name == "unknown" || name == "invalid" || name == "internal"):
					return nil // creates
				case v == 0 && name == "empty", v < 10 && (name == "null name" || name == "id" || name == "unknown id" || name == "mixed ids" || name == "reserved"):
					return nil
				}
				return req
			})
		}
	}
	autoCreate(s)
}

func autoCreate(s *side) {
	s.each("auto-create invalid", 3, func(v int16) kmsg.Request {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr("a b")}, {Topic: ptr("")}, {Topic: ptr("..")}}
		return req
	})
	// Kafka answers the first request before the topic is there; what is compared is what comes of it.
	for _, name := range []string{"metadata-auto", "metadata.auto_2"} {
		req := kmsg.NewPtrMetadataRequest()
		req.AllowAutoTopicCreation = true
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr(name)}}
		s.at(4, "", req)
		s.awaitTopic(name, 2)
		s.at(12, "auto-created "+name, req)
	}
	collide := kmsg.NewPtrMetadataRequest()
	collide.AllowAutoTopicCreation = true
	collide.Topics = []kmsg.MetadataRequestTopic{{Topic: ptr("metadata_auto.2")}}
	s.at(9, "auto-create a colliding name", collide)
	s.at(9, "auto-create a colliding name again", collide)
	byID := kmsg.NewPtrMetadataRequest()
	byID.AllowAutoTopicCreation = true
	byID.Topics = []kmsg.MetadataRequestTopic{{TopicID: [16]byte{4, 4}}}
	s.at(12, "auto-create an id", byID)
}

func describeTopicPartitions(s *side) {
	s.mustCreate("dtp-a", 3)
	s.mustCreate("dtp-b", 2)
	s.mustCreate("dtp-c", 1)
	ask := func(step string, limit int32, cursor *kmsg.DescribeTopicPartitionsRequestCursor, topics ...string) {
		req := kmsg.NewPtrDescribeTopicPartitionsRequest()
		req.ResponsePartitionLimit, req.Cursor = limit, cursor
		for _, t := range topics {
			req.Topics = append(req.Topics, kmsg.DescribeTopicPartitionsRequestTopic{Topic: t})
		}
		s.at(0, step, req)
	}
	at := func(topic string, partition int32) *kmsg.DescribeTopicPartitionsRequestCursor {
		c := kmsg.NewDescribeTopicPartitionsRequestCursor()
		c.Topic, c.Partition = topic, partition
		return &c
	}
	for _, limit := range []int32{2000, 1, 2, 3, 4, 5, 6, 7, 0, -1} {
		ask("limit "+itoa(int(limit)), limit, nil, "dtp-a", "dtp-b", "dtp-c")
	}
	ask("unsorted and twice", 2000, nil, "dtp-c", "dtp-a", "dtp-c")
	ask("unknown", 2000, nil, "dtp-none", "dtp-a")
	ask("invalid", 2000, nil, "a/b", "dtp-a")
	ask("empty name", 2000, nil, "", "dtp-a")
	ask("unknown with limit 1", 1, nil, "dtp-a0", "dtp-b", "aaa")
	ask("cursor", 2, at("dtp-a", 1), "dtp-a", "dtp-b", "dtp-c")
	ask("cursor behind the last partition", 2, at("dtp-a", 3), "dtp-a", "dtp-b", "dtp-c")
	ask("cursor far behind", 2, at("dtp-a", 30), "dtp-a", "dtp-b")
	ask("cursor at a missing topic", 3, at("dtp-aa", 1), "dtp-a", "dtp-b", "dtp-c")
	ask("cursor at a missing topic that is asked for", 3, at("dtp-aa", 1), "dtp-a", "dtp-aa", "dtp-b", "dtp-c")
	ask("cursor at a topic that is not asked for", 3, at("dtp-b", 1), "dtp-a", "dtp-c")
	ask("cursor behind everything", 3, at("dtp-z", 0), "dtp-a", "dtp-c")
	ask("negative cursor", 3, at("dtp-a", -1), "dtp-a", "dtp-c")
	ask("cursor with an empty name", 3, at("", 0), "dtp-a", "dtp-c")
	ask("all topics from a cursor", 3, at("dtp-a", 0))
}

func sasl(s *side) {
	for _, m := range []string{"PLAIN", "", "NONE"} {
		for _, v := range s.versions(17) {
			req := kmsg.NewPtrSASLHandshakeRequest()
			req.Mechanism = m
			s.at(v, "handshake "+m, req)
		}
	}
}

func describeQuorum(s *side) {
	ask := func(step, topic string, partitions ...int32) {
		s.each(step, 55, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeQuorumRequest()
			t := kmsg.NewDescribeQuorumRequestTopic()
			t.Topic = topic
			for _, p := range partitions {
				t.Partitions = append(t.Partitions, kmsg.DescribeQuorumRequestTopicPartition{Partition: p})
			}
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	ask("metadata", "__cluster_metadata", 0)
	ask("other partition", "__cluster_metadata", 1)
	ask("two partitions", "__cluster_metadata", 0, 1)
	ask("twice", "__cluster_metadata", 0, 0)
	ask("no partition", "__cluster_metadata")
	ask("other topic", "metadata-a", 0)
	ask("empty topic", "", 0)
	s.each("no topic", 55, func(int16) kmsg.Request { return kmsg.NewPtrDescribeQuorumRequest() })
}
