package main

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// createAt asks at every version with names of its own, only to validate or for real.
func createEach(s *side, step string, validate bool, topics ...kmsg.CreateTopicsRequestTopic) {
	s.each(step+onOff(", validated only", validate), 19, func(v int16) kmsg.Request {
		req := kmsg.NewPtrCreateTopicsRequest()
		req.ValidateOnly, req.TimeoutMillis = validate, 5000
		req.Topics = topics
		return req
	})
}

// learnCreated names the ids of new topics.
func (s *side) create(version int16, step string, validate bool, topics ...kmsg.CreateTopicsRequestTopic) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.ValidateOnly, req.TimeoutMillis, req.Topics = validate, 5000, topics
	req.SetVersion(version)
	resp := s.ask("", req).(*kmsg.CreateTopicsResponse)
	for _, t := range resp.Topics {
		if t.TopicID != ([16]byte{}) {
			s.learn(idText(t.TopicID), "<id of "+t.Topic+">")
		}
	}
	s.record(step, version, s.render(19, resp))
}

func createTopics(s *side) {
	for _, v := range s.versions(19) {
		n := "create-v" + itoa(int(v))
		s.create(v, "one", false, newTopic(n, 1, 1))
		s.create(v, "two", false, newTopic(n+"-b", 2, 1), newTopic(n+"-c", 3, 1))
		s.create(v, "defaults", false, newTopic(n+"-d", -1, -1))
		s.create(v, "mixed", false, newTopic(n+"-e", 2, 1), newTopic(n+"/f", 2, 1), newTopic(n, 1, 1))
		s.create(v, "validated", true, newTopic(n+"-g", 2, 1))
		s.create(v, "validated defaults", true, newTopic(n+"-g", -1, -1))
	}
	for _, validate := range []bool{false, true} {
		createEach(s, "exists", validate, newTopic("create-v2", 1, 1))
		createEach(s, "exists and wrong", validate, newTopic("create-v2", 0, 7))
		createEach(s, "twice", validate, newTopic("create-twice", 1, 1), newTopic("create-twice", 1, 1))
		createEach(s, "thrice and one", validate, newTopic("create-twice", 1, 1), newTopic("create-twice", 1, 1), newTopic("create-twice", 1, 1), newTopic("create-v2", 1, 1))
		createEach(s, "no partitions", validate, newTopic("create-bad", 0, 1))
		createEach(s, "negative partitions", validate, newTopic("create-bad", -2, 1))
		createEach(s, "no replicas", validate, newTopic("create-bad", 1, 0))
		createEach(s, "negative replicas", validate, newTopic("create-bad", 1, -2))
		createEach(s, "too many replicas", validate, newTopic("create-bad", 1, 2))
		createEach(s, "too many partitions", validate, newTopic("create-bad", 100_000, 1))
		createEach(s, "both wrong", validate, newTopic("create-bad", 0, 0))
		createEach(s, "colliding", validate, newTopic("create.v2", 1, 1), newTopic("create_v2", 1, 1))
		createEach(s, "nothing", validate)
	}
	for _, name := range []string{"", ".", "..", "a/b", "a b", long(250), "é", "a\x00b", "__cluster_metadata"} {
		createEach(s, "name "+name[:min(9, len(name))], false, newTopic(name, 1, 1))
	}
	s.create(7, "249 characters", true, newTopic(long(249), 1, 1))
	s.create(7, "new names collide", false, newTopic("create.coll_a", 1, 1), newTopic("create_coll.a", 1, 1))
	s.create(7, "internal topic", true, newTopic("__transaction_state", 1, 1))
}

func createTopicsConfigs(s *side) {
	good := [][]string{
		{"retention.ms", "1000"},
		{"cleanup.policy", "compact"},
		{"cleanup.policy", "compact,delete"},
		{"cleanup.policy", ""},
		{"max.message.bytes", "2000", "compression.type", "lz4"},
		{"segment.bytes", "1048576"},
		{"message.timestamp.type", "LogAppendTime"},
		{"min.insync.replicas", "2"},
		{"retention.ms", " 5000 "},
		{"leader.replication.throttled.replicas", "*"},
		{"remote.storage.enable", "false"},
	}
	for i, c := range good {
		s.create(7, "configs "+c[0]+" "+c[1], false, newTopic("create-configs-"+itoa(i), 1, 1, c...))
	}
	bad := [][]string{
		{"no.such.config", "1"}, {"", "x"}, {"retention.ms", "x"}, {"retention.ms", ""}, {"retention.ms", "-2"}, {"segment.bytes", "1"}, {"cleanup.policy", "burn"},
		{"cleanup.policy", "delete,delete"}, {"cleanup.policy", "delete,"}, {"min.insync.replicas", "0"}, {"compression.type", "LZ4"}, {"compression.type", "uncompressed"},
		{"max.message.bytes", "-1"}, {"max.message.bytes", "2147483648"}, {"unclean.leader.election.enable", "maybe"}, {"unclean.leader.election.enable", "TRUE"},
		{"min.cleanable.dirty.ratio", "1.1"}, {"min.cleanable.dirty.ratio", "NaN"}, {"retention.ms", "1000", "segment.ms", "0"}, {"retention.ms", "1000", "retention.ms", "2000"},
		{"min.compaction.lag.ms", "10", "max.compaction.lag.ms", "5"}, {"local.retention.ms", "900000000"}, {"leader.replication.throttled.replicas", "1"},
		{"remote.storage.enable", "true"}, {"compression.gzip.level", "0"}, {"compression.gzip.level", "10"}, {"compression.zstd.level", "23"}, {"compression.lz4.level", "18"},
		{"message.timestamp.type", "Now"}, {"message.downconversion.enable", "true"}, {"ottla.x", "1"}, {"retention.ms", "1.5"}, {"retention.ms", "0x10"},
		{"retention.ms", "+5"}, {"flush.messages", "0"}, {"index.interval.bytes", "-1"}, {"preallocate", "yes"}, {"segment.jitter.ms", "-1"}, {"delete.retention.ms", "-1"},
		{"remote.log.copy.disable", "true"}, {"errors.deadletterqueue.group.enable", "true"}, {"local.retention.bytes", "5", "retention.bytes", "4"},
	}
	for _, c := range bad {
		s.create(7, "configs "+c[0]+" "+c[1]+onOff(" with more", len(c) > 2), true, newTopic("create-bad-config", 1, 1, c...))
	}
	null := newTopic("create-null-config", 1, 1, "retention.ms", "1")
	null.Configs[0].Value = nil
	createEach(s, "null value", true, null)
	both := newTopic("create-null-config", 1, 1, "retention.ms", "1", "segment.ms", "5")
	both.Configs[0].Value = nil
	createEach(s, "null value and another", true, both)
	unknownNull := newTopic("create-null-config", 1, 1, "nothing", "1")
	unknownNull.Configs[0].Value = nil
	createEach(s, "unknown with null value", true, unknownNull)
}

func createTopicsAssignments(s *side) {
	assigned := func(name string, partitions int32, replicas int16, all ...[]int32) kmsg.CreateTopicsRequestTopic {
		t := newTopic(name, partitions, replicas)
		for i, r := range all {
			a := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
			a.Partition, a.Replicas = int32(i), r
			t.ReplicaAssignment = append(t.ReplicaAssignment, a)
		}
		return t
	}
	for _, v := range s.versions(19) {
		s.create(v, "assigned", false, assigned("assigned-v"+itoa(int(v)), -1, -1, []int32{1}, []int32{1}))
	}
	createEach(s, "with a number of partitions", true, assigned("assigned-bad", 2, -1, []int32{1}, []int32{1}))
	createEach(s, "with a replication factor", true, assigned("assigned-bad", -1, 1, []int32{1}, []int32{1}))
	createEach(s, "with both", true, assigned("assigned-bad", 2, 1, []int32{1}, []int32{1}))
	createEach(s, "unknown broker", true, assigned("assigned-bad", -1, -1, []int32{9}))
	createEach(s, "negative broker", true, assigned("assigned-bad", -1, -1, []int32{-1}))
	createEach(s, "broker twice", true, assigned("assigned-bad", -1, -1, []int32{1, 1}))
	createEach(s, "no broker", true, assigned("assigned-bad", -1, -1, []int32{}))
	createEach(s, "different factors", true, assigned("assigned-bad", -1, -1, []int32{1}, []int32{1, 2}))
	gap := assigned("assigned-bad", -1, -1, []int32{1}, []int32{1})
	gap.ReplicaAssignment[1].Partition = 5
	createEach(s, "a gap", true, gap)
	twice := assigned("assigned-bad", -1, -1, []int32{1}, []int32{1})
	twice.ReplicaAssignment[1].Partition = 0
	createEach(s, "a partition twice", true, twice)
	negative := assigned("assigned-bad", -1, -1, []int32{1})
	negative.ReplicaAssignment[0].Partition = -1
	createEach(s, "a negative partition", true, negative)
	one := assigned("assigned-bad", -1, -1, []int32{1})
	one.ReplicaAssignment[0].Partition = 1
	createEach(s, "from one", true, one)
}

func deleteTopics(s *side) {
	for _, v := range s.versions(20) {
		name := "delete-v" + itoa(int(v))
		id := s.mustCreate(name, 1)
		s.deleteOnce(v, "by name", name, nil)
		if v >= 6 {
			s.at(v, "deleted id", deletion([16]byte(id), nil))
			again := s.mustCreate(name+"-id", 1)
			s.deleteOnce(v, "by id", "", &again)
			s.mustCreate("delete-both", 1)
		}
	}
	s.each("unknown", 20, func(v int16) kmsg.Request { return deletion([16]byte{}, ptr("delete-none")) })
	s.each("invalid", 20, func(v int16) kmsg.Request { return deletion([16]byte{}, ptr("a/b")) })
	s.each("empty name", 20, func(v int16) kmsg.Request { return deletion([16]byte{}, ptr("")) })
	s.each("none", 20, func(v int16) kmsg.Request { return kmsg.NewPtrDeleteTopicsRequest() })
	s.each("twice", 20, func(v int16) kmsg.Request {
		req := deletion([16]byte{}, ptr("delete-both"))
		req.TopicNames = append(req.TopicNames, req.TopicNames...)
		req.Topics = append(req.Topics, req.Topics...)
		return req
	})
	both := s.awaitTopic("delete-both", 1)
	s.at(6, "unknown id", deletion([16]byte{7, 7}, nil))
	s.at(6, "neither", deletion([16]byte{}, nil))
	s.at(6, "name and id", deletion(both, ptr("delete-both")))
	s.at(6, "name and other id", deletion([16]byte{8, 1}, ptr("delete-both")))
	mixed := deletion([16]byte{}, ptr("delete-both"))
	mixed.Topics = append(mixed.Topics, deletion(both, nil).Topics...)
	s.at(6, "the same by name and by id", mixed)
	idTwice := deletion(both, nil)
	idTwice.Topics = append(idTwice.Topics, idTwice.Topics...)
	s.at(6, "the same id twice", idTwice)
	nameTwiceAndOther := deletion([16]byte{}, ptr("delete-none"))
	nameTwiceAndOther.Topics = append(nameTwiceAndOther.Topics, nameTwiceAndOther.Topics[0], deletion([16]byte{}, ptr("delete-none2")).Topics[0])
	s.at(6, "unknown twice and another", nameTwiceAndOther)
	reserved := deletion([16]byte{15: 1}, nil)
	s.at(6, "reserved id", reserved)
	s.at(6, "metadata topic", deletion([16]byte{}, ptr("__cluster_metadata")))
}

func deletion(id [16]byte, name *string) *kmsg.DeleteTopicsRequest {
	req := kmsg.NewPtrDeleteTopicsRequest()
	t := kmsg.NewDeleteTopicsRequestTopic()
	t.Topic, t.TopicID = name, id
	req.Topics, req.TimeoutMillis = append(req.Topics, t), 5000
	if name != nil {
		req.TopicNames = append(req.TopicNames, *name)
	}
	return req
}

// deleteOnce deletes and waits until nobody knows the topic any more.
func (s *side) deleteOnce(v int16, step, name string, id *[16]byte) {
	var req *kmsg.DeleteTopicsRequest
	if id != nil {
		req = deletion(*id, nil)
	} else {
		req = deletion([16]byte{}, &name)
	}
	s.at(v, step, req)
	if name == "" {
		return
	}
	deadline := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		look := kmsg.NewPtrMetadataRequest()
		look.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		if resp := s.at(12, "", look).(*kmsg.MetadataResponse); len(resp.Topics) == 1 && resp.Topics[0].ErrorCode == 3 {
			break
		}
	}
	if step != "" {
		s.at(v, step+" again", req)
	}
}

func createPartitions(s *side) {
	s.mustCreate("grow-a", 2)
	s.mustCreate("grow-b", 1)
	request := func(validate bool, topics ...kmsg.CreatePartitionsRequestTopic) *kmsg.CreatePartitionsRequest {
		req := kmsg.NewPtrCreatePartitionsRequest()
		req.Topics, req.ValidateOnly, req.TimeoutMillis = topics, validate, 5000
		return req
	}
	grow := func(name string, count int32, assignments ...[]int32) kmsg.CreatePartitionsRequestTopic {
		t := kmsg.NewCreatePartitionsRequestTopic()
		t.Topic, t.Count = name, count
		for _, r := range assignments {
			t.Assignment = append(t.Assignment, kmsg.CreatePartitionsRequestTopicAssignment{Replicas: r})
		}
		return t
	}
	each := func(step string, topics ...kmsg.CreatePartitionsRequestTopic) {
		s.each(step, 37, func(int16) kmsg.Request { return request(true, topics...) })
		s.at(3, step+" for real", request(false, topics...))
	}
	each("same", grow("grow-a", 2))
	each("smaller", grow("grow-a", 1))
	each("zero", grow("grow-a", 0))
	each("negative", grow("grow-a", -1))
	each("unknown", grow("grow-none", 2))
	each("invalid", grow("a/b", 2))
	each("twice", grow("grow-a", 5), grow("grow-a", 6))
	each("twice and another", grow("grow-a", 5), grow("grow-a", 6), grow("grow-none", 1))
	each("nothing")
	each("too many", grow("grow-a", 100_000))
	each("unknown broker", grow("grow-a", 3, []int32{9}))
	each("too many assignments", grow("grow-a", 3, []int32{1}, []int32{1}))
	each("too few assignments", grow("grow-a", 5, []int32{1}))
	each("wrong factor", grow("grow-a", 3, []int32{1, 2}))
	each("broker twice", grow("grow-a", 3, []int32{1, 1}))
	each("no broker", grow("grow-a", 3, []int32{}))
	empty := grow("grow-a", 3)
	empty.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
	each("empty assignment", empty)
	s.each("validated", 37, func(int16) kmsg.Request { return request(true, grow("grow-b", 4)) })
	s.awaitTopic("grow-b", 1)
	for i, v := range s.versions(37) {
		s.at(v, "for real", request(false, grow("grow-b", int32(3+i))))
	}
	s.at(3, "assigned", request(false, grow("grow-b", 8, []int32{1}, []int32{1})))
}
