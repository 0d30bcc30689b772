package main

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

func fetch(s *side) {
	id := s.mustCreate("fetch-a", 2)
	for range 3 {
		s.mustProduce("fetch-a", newBatch(rec("k", "v"), rec("l", "w")))
	}
	ask := func(step string, bend func(*kmsg.FetchRequest), topics ...kmsg.FetchRequestTopic) {
		s.each(step, 1, func(v int16) kmsg.Request {
			req := fetchRequest("fetch-a", id, 0)
			req.Version = v
			if topics != nil {
				req.Topics = topics
			}
			bend(req)
			return req
		})
	}
	same := func(*kmsg.FetchRequest) {}
	for _, o := range []int64{0, 1, 2, 5, 6, 7, 1000, -1, -2} {
		ask("offset "+itoa(int(o)), same, fetchTopic("fetch-a", id, 0, o))
	}
	ask("max bytes 0", func(r *kmsg.FetchRequest) { r.MaxBytes = 0 })
	ask("max bytes 1", func(r *kmsg.FetchRequest) { r.MaxBytes = 1 })
	ask("max bytes negative", func(r *kmsg.FetchRequest) { r.MaxBytes = -1 })
	ask("partition bytes 0", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 0 })
	ask("partition bytes 100", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = 100 })
	ask("partition bytes negative", func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].PartitionMaxBytes = -1 })
	ask("negative wait", func(r *kmsg.FetchRequest) { r.MaxWaitMillis, r.MinBytes = -1, 1<<20 })
	ask("committed", func(r *kmsg.FetchRequest) { r.IsolationLevel = 1 })
	ask("isolation 2", func(r *kmsg.FetchRequest) { r.IsolationLevel = 2 })
	ask("committed at the end", func(r *kmsg.FetchRequest) { r.IsolationLevel, r.Topics[0].Partitions[0].FetchOffset = 1, 6 })
	ask("committed out of range", func(r *kmsg.FetchRequest) { r.IsolationLevel, r.Topics[0].Partitions[0].FetchOffset = 1, 60 })
	ask("empty partition", same, fetchTopic("fetch-a", id, 1, 0))
	ask("two partitions", same, fetchTopic("fetch-a", id, 0, 0), fetchTopic("fetch-a", id, 1, 0))
	ask("unknown partition", same, fetchTopic("fetch-a", id, 5, 0))
	ask("negative partition", same, fetchTopic("fetch-a", id, -1, 0))
	ask("unknown topic", same, fetchTopic("fetch-none", [16]byte{5}, 0, 0))
	ask("zero id", same, fetchTopic("", [16]byte{}, 0, 0))
	ask("known and unknown", same, fetchTopic("fetch-a", id, 0, 0), fetchTopic("fetch-none", [16]byte{5}, 0, 0))
	ask("no topics", func(r *kmsg.FetchRequest) { r.Topics = nil })
	ask("partition twice", same, fetchTopic("fetch-a", id, 0, 0), fetchTopic("fetch-a", id, 0, 2))
	for _, e := range []int32{-1, 0, 1, -2} {
		ask("epoch "+itoa(int(e)), func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].CurrentLeaderEpoch = e })
		ask("last fetched epoch "+itoa(int(e)), func(r *kmsg.FetchRequest) { r.Topics[0].Partitions[0].LastFetchedEpoch = e })
		ask("last fetched epoch "+itoa(int(e))+" at the end", func(r *kmsg.FetchRequest) {
			r.Topics[0].Partitions[0].LastFetchedEpoch, r.Topics[0].Partitions[0].FetchOffset = e, 6
		})
	}
	ask("rack", func(r *kmsg.FetchRequest) { r.Rack = "somewhere" })
	for _, replica := range []int32{-2, -3, 2, 1} {
		ask("replica "+itoa(int(replica)), func(r *kmsg.FetchRequest) {
			r.ReplicaID = replica
			if r.Version >= 15 {
				r.ReplicaState.ID, r.ReplicaState.Epoch = replica, -1
			}
		})
	}
	ask("first batch partly, rest in limits", func(r *kmsg.FetchRequest) { r.MaxBytes = 160 })
	ask("second partition without room", func(r *kmsg.FetchRequest) {
		r.MaxBytes = 1
		r.Topics = append(r.Topics, fetchTopic("fetch-a", id, 1, 0))
	})
}

func fetchSessions(s *side) {
	id := s.mustCreate("session-a", 3)
	s.mustProduce("session-a", newBatch(rec("k", "v")))
	for _, v := range []int16{7, 11, 12, 13, 17, 18} {
		s.fetchSession(v, id)
	}
}

// fetchSession goes through the life of a session at one version.
func (s *side) fetchSession(v int16, id [16]byte) {
	ask := func(step string, session, epoch int32, forget bool, topics ...kmsg.FetchRequestTopic) *kmsg.FetchResponse {
		req := fetchRequest("", id, 0)
		req.SessionID, req.SessionEpoch, req.Topics = session, epoch, topics
		if forget {
			f := kmsg.NewFetchRequestForgottenTopic()
			f.Topic, f.TopicID, f.Partitions = "session-a", id, []int32{0}
			req.ForgottenTopics = append(req.ForgottenTopics, f)
		}
		return s.at(v, step, req).(*kmsg.FetchResponse)
	}
	topic := func(p int32, o int64) kmsg.FetchRequestTopic { return fetchTopic("session-a", id, p, o) }
	first := ask("new", 0, 0, false, topic(0, 0), topic(1, 0)).SessionID
	ask("first increment, nothing new", first, 1, false)
	ask("moved on", first, 2, false, topic(0, 1))
	ask("nothing", first, 3, false)
	ask("back", first, 4, false, topic(0, 0))
	ask("one more partition", first, 5, false, topic(2, 0))
	ask("one forgotten", first, 6, true)
	ask("nothing again", first, 7, false)
	ask("out of range", first, 8, false, topic(1, 77))
	ask("still out of range", first, 9, false)
	ask("unknown partition", first, 10, false, topic(9, 0))
	ask("unknown topic", first, 11, false, fetchTopic("session-none", [16]byte{9}, 0, 0))
	ask("still unknown", first, 12, false)
	ask("wrong epoch", first, 99, false)
	ask("right epoch after a wrong one", first, 13, false)
	ask("old epoch", first, 2, false)
	ask("unknown session", first^1, 1, false)
	ask("session 0 with epoch 1", 0, 1, false)
	ask("final of an unknown session", first^1, -1, false, topic(0, 0))
	ask("new over an old one", first, 0, false, topic(0, 0))
	ask("the old one is gone", first, 14, false)
	second := ask("another", 0, 0, false, topic(0, 0)).SessionID
	ask("final", second, -1, false, topic(0, 0))
	ask("after the final", second, 1, false)
	ask("empty session", 0, 0, false)
	ask("negative epoch", second, -2, false, topic(0, 0))
	third := ask("with errors only", 0, 0, false, topic(9, 0)).SessionID
	ask("errors again", third, 1, false)
}

func listOffsets(s *side) {
	s.mustCreate("list-a", 2)
	s.mustCreate("list-empty", 1)
	b := newBatch(record{key: []byte("a"), value: []byte("1")}, record{key: []byte("b"), value: []byte("2"), delta: 100}, record{key: []byte("c"), value: []byte("3"), delta: 50})
	s.mustProduce("list-a", b)
	s.mustProduce("list-a", newBatch(record{key: []byte("d"), value: []byte("4"), delta: 70}))
	ask := func(step, topic string, isolation int8, bend func(*kmsg.ListOffsetsRequestTopicPartition), timestamp int64) {
		s.each(step, 2, func(v int16) kmsg.Request {
			req := kmsg.NewPtrListOffsetsRequest()
			req.ReplicaID, req.IsolationLevel, req.TimeoutMillis = -1, isolation, 1000
			req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic(topic, timestamp)}
			bend(&req.Topics[0].Partitions[0])
			return req
		})
	}
	same := func(*kmsg.ListOffsetsRequestTopicPartition) {}
	stamps := []int64{-1, -2, -3, -4, -5, -6, -7, -100, 0, 1, epochMs - 1, epochMs, epochMs + 1, epochMs + 50, epochMs + 51, epochMs + 71, epochMs + 100, epochMs + 101, 1 << 62}
	for _, isolation := range []int8{0, 1} {
		for _, ts := range stamps {
			step := "timestamp " + itoa(int(ts)) + onOff(" committed", isolation == 1)
			ask(step, "list-a", isolation, same, ts)
			ask(step+", empty", "list-empty", isolation, same, ts)
		}
	}
	for _, ts := range []int64{-1, -2, -3, 0} {
		for _, e := range []int32{0, 1, -2} {
			ask("epoch "+itoa(int(e))+" timestamp "+itoa(int(ts)), "list-a", 0, func(p *kmsg.ListOffsetsRequestTopicPartition) { p.CurrentLeaderEpoch = e }, ts)
		}
		ask("unknown topic", "list-none", 0, same, ts)
		ask("invalid topic", "a/b", 0, same, ts)
		ask("unknown partition", "list-a", 0, func(p *kmsg.ListOffsetsRequestTopicPartition) { p.Partition = 9 }, ts)
		ask("negative partition", "list-a", 0, func(p *kmsg.ListOffsetsRequestTopicPartition) { p.Partition = -1 }, ts)
	}
	for _, replica := range []int32{-2, -3, 1, 5} {
		s.each("replica "+itoa(int(replica)), 2, func(v int16) kmsg.Request {
			req := kmsg.NewPtrListOffsetsRequest()
			req.ReplicaID = replica
			req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic("list-a", -1)}
			return req
		})
	}
	s.each("partition twice", 2, func(v int16) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic("list-a", -1, -2)}
		return req
	})
	s.each("topic twice", 2, func(v int16) kmsg.Request {
		req := kmsg.NewPtrListOffsetsRequest()
		req.ReplicaID = -1
		req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic("list-a", -1), listTopic("list-a", -2)}
		return req
	})
	s.each("nothing", 2, func(v int16) kmsg.Request { return kmsg.NewPtrListOffsetsRequest() })
}

func deleteRecords(s *side) {
	s.mustCreate("trim-a", 2)
	s.mustCreate("trim-compacted", 1, "cleanup.policy", "compact")
	s.mustCreate("trim-both", 1, "cleanup.policy", "compact,delete")
	for _, t := range []string{"trim-a", "trim-compacted", "trim-both"} {
		for range 4 {
			s.mustProduce(t, newBatch(rec("a", "1"), rec("b", "2"), rec("c", "3")))
		}
	}
	ask := func(step, topic string, partition int32, offset int64) {
		s.each(step, 21, func(v int16) kmsg.Request {
			req := kmsg.NewPtrDeleteRecordsRequest()
			req.TimeoutMillis = 5000
			t := kmsg.NewDeleteRecordsRequestTopic()
			p := kmsg.NewDeleteRecordsRequestTopicPartition()
			p.Partition, p.Offset = partition, offset
			t.Topic, t.Partitions = topic, append(t.Partitions, p)
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	ask("inside a batch", "trim-a", 0, 4)
	ask("backwards", "trim-a", 0, 1)
	ask("too far", "trim-a", 0, 13)
	ask("negative", "trim-a", 0, -2)
	ask("unknown topic", "trim-none", 0, 0)
	ask("unknown partition", "trim-a", 7, 0)
	ask("negative partition", "trim-a", -1, 0)
	ask("empty partition", "trim-a", 1, 0)
	ask("empty partition, all", "trim-a", 1, -1)
	ask("compacted", "trim-compacted", 0, 2)
	ask("compacted and deleted", "trim-both", 0, 2)
	ask("internal", "__cluster_metadata", 0, 2)
	s.each("fetch below the start", 1, func(v int16) kmsg.Request {
		if v >= 13 {
			return nil
		}
		return fetchRequest("trim-a", [16]byte{}, 1)
	})
	s.at(11, "fetch from the start", fetchRequest("trim-a", [16]byte{}, 4))
	ask("all", "trim-a", 0, -1)
	ask("all again", "trim-a", 0, -1)
	for _, ts := range []int64{-1, -2, -3, -4, 0} {
		list := kmsg.NewPtrListOffsetsRequest()
		list.ReplicaID = -1
		list.Topics = append(list.Topics, listTopic("trim-a", ts))
		s.at(10, "offsets of the empty log, timestamp "+itoa(int(ts)), list)
	}
	two := kmsg.NewPtrDeleteRecordsRequest()
	t := kmsg.NewDeleteRecordsRequestTopic()
	t.Topic = "trim-both"
	for _, o := range []int64{3, 5} {
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = o
		t.Partitions = append(t.Partitions, p)
	}
	two.Topics, two.TimeoutMillis = append(two.Topics, t), 5000
	s.at(2, "partition twice", two)
	s.each("nothing", 21, func(int16) kmsg.Request { return kmsg.NewPtrDeleteRecordsRequest() })
}

func offsetForLeaderEpoch(s *side) {
	s.mustCreate("epochs-a", 2)
	s.mustProduce("epochs-a", newBatch(rec("a", "1"), rec("b", "2")))
	ask := func(step, topic string, partition, current, epoch int32) {
		s.each(step, 23, func(v int16) kmsg.Request {
			req := kmsg.NewPtrOffsetForLeaderEpochRequest()
			req.ReplicaID = -1
			t := kmsg.NewOffsetForLeaderEpochRequestTopic()
			p := kmsg.NewOffsetForLeaderEpochRequestTopicPartition()
			p.Partition, p.CurrentLeaderEpoch, p.LeaderEpoch = partition, current, epoch
			t.Topic, t.Partitions = topic, append(t.Partitions, p)
			req.Topics = append(req.Topics, t)
			return req
		})
	}
	for _, partition := range []int32{0, 1, 9, -1} {
		for _, current := range []int32{-1, 0, 1, -2} {
			for _, epoch := range []int32{-2, -1, 0, 1, 7} {
				ask("partition "+itoa(int(partition))+" current "+itoa(int(current))+" epoch "+itoa(int(epoch)), "epochs-a", partition, current, epoch)
			}
		}
	}
	ask("unknown topic", "epochs-none", 0, -1, 0)
	ask("invalid topic", "a/b", 0, -1, 0)
	s.each("nothing", 23, func(int16) kmsg.Request { return kmsg.NewPtrOffsetForLeaderEpochRequest() })
}

func describeProducers(s *side) {
	s.mustCreate("producers-a", 1)
	for i, epoch := range []int16{0, 2} {
		b := newBatch(rec("a", "1"), rec("b", "2"))
		b.ProducerID, b.ProducerEpoch, b.FirstSequence = int64(8000+i), epoch, 0
		s.mustProduce("producers-a", b)
	}
	ask := func(step, topic string, partitions ...int32) {
		req := kmsg.NewPtrDescribeProducersRequest()
		t := kmsg.NewDescribeProducersRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
		s.at(0, step, req)
	}
	ask("known", "producers-a", 0)
	ask("known and unknown", "producers-a", 0, 4, -1)
	ask("twice", "producers-a", 0, 0)
	ask("unknown topic", "producers-none", 0)
	ask("invalid topic", "a/b", 0)
	ask("empty topic", "", 0)
	ask("no partition", "producers-a")
	s.at(0, "nothing", kmsg.NewPtrDescribeProducersRequest())
}

func describeLogDirs(s *side) {
	s.mustCreate("dirs-a", 2)
	s.mustProduce("dirs-a", newBatch(rec("a", "1")))
	ask := func(step string, topics map[string][]int32) {
		for _, v := range s.versions(35) {
			req := kmsg.NewPtrDescribeLogDirsRequest()
			if topics != nil {
				req.Topics = []kmsg.DescribeLogDirsRequestTopic{}
			}
			for _, name := range sortedKeys(topics) {
				t := kmsg.NewDescribeLogDirsRequestTopic()
				t.Topic, t.Partitions = name, topics[name]
				req.Topics = append(req.Topics, t)
			}
			req.SetVersion(v)
			resp := s.ask("", req).(*kmsg.DescribeLogDirsResponse)
			for i := range resp.Dirs {
				resp.Dirs[i].Dir = "<dir>"
			}
			s.record(step, v, s.render(35, resp))
		}
	}
	ask("one", map[string][]int32{"dirs-a": {0}})
	ask("two", map[string][]int32{"dirs-a": {0, 1}})
	ask("unknown", map[string][]int32{"dirs-none": {0}, "dirs-a": {7}})
	ask("no partition", map[string][]int32{"dirs-a": {}})
	ask("empty", map[string][]int32{})
}
