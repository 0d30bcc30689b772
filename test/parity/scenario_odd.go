package main

import "github.com/twmb/franz-go/pkg/kmsg"

// oddRequests are what a random walk through all requests found to be answered differently: lists within lists that are empty, things named twice across them, and
// two mistakes in one request.
func oddRequests(s *side) {
	id := s.mustCreate("odd-a", 2)
	s.mustProduce("odd-a", newBatch(rec("k", "v"), rec("l", "w")))
	s.each("list offsets of a topic without partitions", 2, func(int16) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic("odd-none"), listTopic("odd-a", -1), listTopic("odd-a")}
		return req
	})
	s.each("commit for topics without partitions", 8, func(int16) kmsg.Request {
		req := commitRequest("odd-group", "", -1, "odd-a", 0, 1)
		req.Topics[0].TopicID = id
		empty, none := req.Topics[0], req.Topics[0]
		empty.Partitions = nil
		none.Topic, none.TopicID, none.Partitions = "odd-none", [16]byte{7}, nil
		req.Topics = append(req.Topics, empty, none)
		return req
	})
	s.each("delete offsets of topics without partitions", 47, func(int16) kmsg.Request {
		req := offsetDeleteRequest("odd-group", "odd-none")
		req.Topics = append(req.Topics, offsetDeleteRequest("", "odd-a").Topics...)
		return req
	})
	s.each("delete records", 21, func(int16) kmsg.Request {
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.TimeoutMillis = 5000
		topic := func(name string, offsets ...int64) {
			t := kmsg.NewDeleteRecordsRequestTopic()
			t.Topic = name
			for _, o := range offsets {
				p := kmsg.NewDeleteRecordsRequestTopicPartition()
				p.Offset = o
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
		}
		topic("odd-a")
		topic("odd-none")
		topic("odd-a", 0)
		topic("odd-a", 1)
		return req
	})
	s.each("produce with wrong acks", 0, func(v int16) kmsg.Request {
		req := kmsg.NewPtrProduceRequest()
		req.Acks, req.TimeoutMillis = 2, 5000
		for name, topicID := range map[string][16]byte{"odd-a": id, "odd-none": {9}} {
			t := kmsg.NewProduceRequestTopic()
			t.Topic, t.TopicID = name, topicID
			for _, index := range []int32{0, 9} {
				p := kmsg.NewProduceRequestTopicPartition()
				p.Partition, p.Records = index, newBatch(rec("k", "v")).seal()
				t.Partitions = append(t.Partitions, p)
			}
			req.Topics = append(req.Topics, t)
		}
		return req
	})
	s.oddConfigs()
	for _, match := range []int8{-1, 0, 3} {
		s.each("quota of what has none, match type "+itoa(int(match)), 48, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			c := kmsg.NewDescribeClientQuotasRequestComponent()
			c.EntityType, c.MatchType = "shoe-size", kmsg.QuotasMatchType(match)
			req.Components = append(req.Components, c)
			return req
		})
	}
}

func (s *side) oddConfigs() {
	s.each("describe with an unknown type", 32, func(int16) kmsg.Request {
		req := kmsg.NewPtrDescribeConfigsRequest()
		for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeTopic, 3, kmsg.ConfigResourceTypeClientMetrics} {
			r := kmsg.NewDescribeConfigsRequestResource()
			r.ResourceType, r.ResourceName = kind, "odd-a"
			req.Resources = append(req.Resources, r)
		}
		return req
	})
	for _, c := range [][2]string{{"retention.ms", "soon"}, {"no.such.key", "1"}, {"retention.ms", "1000"}} {
		s.each("alter "+c[0]+"="+c[1]+" of an unknown topic", 33, func(int16) kmsg.Request {
			req := kmsg.NewPtrAlterConfigsRequest()
			r := kmsg.NewAlterConfigsRequestResource()
			r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "odd-none"
			r.Configs = []kmsg.AlterConfigsRequestResourceConfig{{Name: c[0], Value: &c[1]}}
			req.Resources = append(req.Resources, r)
			return req
		})
		for op := range kmsg.IncrementalAlterConfigOp(4) {
			s.each("alter "+c[0]+"="+c[1]+" of an unknown topic, operation "+itoa(int(op)), 44, func(int16) kmsg.Request {
				req := kmsg.NewPtrIncrementalAlterConfigsRequest()
				r := kmsg.NewIncrementalAlterConfigsRequestResource()
				r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeTopic, "odd-none"
				r.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: c[0], Op: op, Value: &c[1]}}
				req.Resources = append(req.Resources, r)
				return req
			})
		}
	}
}
