package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func commitRequest(group, member string, generation int32, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation, req.RetentionTimeMillis = group, member, generation, -1
	t := kmsg.NewOffsetCommitRequestTopic()
	t.Topic = topic
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	t.Partitions = append(t.Partitions, p)
	req.Topics = append(req.Topics, t)
	return req
}

func offsetsRequest(v int16, group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	t := kmsg.NewOffsetFetchRequestTopic()
	t.Topic, t.Partitions = topic, partitions
	req.Topics = append(req.Topics, t)
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	gt := kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.TopicID, gt.Partitions = topic, id, partitions
	g.Topics = append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	return req
}

func offsetDeleteRequest(group, topic string, partitions ...int32) *kmsg.OffsetDeleteRequest {
	req := kmsg.NewPtrOffsetDeleteRequest()
	req.Group = group
	t := kmsg.NewOffsetDeleteRequestTopic()
	t.Topic = topic
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, kmsg.OffsetDeleteRequestTopicPartition{Partition: p})
	}
	req.Topics = append(req.Topics, t)
	return req
}

func describeRequest(operations bool, groups ...string) *kmsg.DescribeGroupsRequest {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups, req.IncludeAuthorizedOperations = groups, operations
	return req
}

func deleteGroupsRequest(groups ...string) *kmsg.DeleteGroupsRequest {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = groups
	return req
}

func offsetCommit(s *side) {
	id := s.mustCreate("commit-topic", 2)
	ask := func(step, group, member string, generation int32, bend func(*kmsg.OffsetCommitRequest)) {
		s.each(step, 8, func(v int16) kmsg.Request {
			req := commitRequest(group, member, generation, "commit-topic", 0, 5)
			req.Topics[0].TopicID = id
			bend(req)
			return req
		})
	}
	same := func(*kmsg.OffsetCommitRequest) {}
	ask("alone", "commit-alone", "", -1, same)
	ask("alone with a member id", "commit-alone", "m", -1, same)
	ask("alone with a generation", "commit-alone", "", 1, same)
	ask("new group with a generation", "commit-new", "m", 3, same)
	ask("empty group id", "", "", -1, same)
	ask("generation -2", "commit-alone", "", -2, same)
	ask("generation 0", "commit-alone", "", 0, same)
	ask("instance only", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.InstanceID = ptr("i") })
	ask("unknown topic", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "commit-none", [16]byte{7} })
	ask("unknown and known topic", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) {
		other := commitRequest("", "", 0, "commit-none", 0, 1).Topics[0]
		other.TopicID = [16]byte{7}
		r.Topics = append(r.Topics, other)
	})
	ask("unknown partition", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 9 })
	ask("negative partition", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = -1 })
	ask("unknown partition of a stranger", "commit-alone", "m", 4, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Partition = 9 })
	ask("unknown topic of a stranger", "commit-alone", "m", 4, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "commit-none", [16]byte{7} })
	ask("negative offset", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Offset = -1 })
	ask("offset -5", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Offset = -5 })
	ask("partition twice", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) {
		r.Topics[0].Partitions = append(r.Topics[0].Partitions, r.Topics[0].Partitions[0])
	})
	ask("long metadata", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = ptr(long(4096)) })
	ask("too long metadata", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = ptr(long(4097)) })
	ask("null metadata", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].Metadata = nil })
	ask("leader epoch", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions[0].LeaderEpoch = 3 })
	ask("no topics", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics = nil })
	ask("no topics of a stranger", "commit-alone", "m", 7, func(r *kmsg.OffsetCommitRequest) { r.Topics = nil })
	ask("no partitions", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Partitions = nil })
	ask("topic twice", "commit-alone", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics = append(r.Topics, r.Topics[0]) })
	ask("unknown topic, empty group id", "", "", -1, func(r *kmsg.OffsetCommitRequest) { r.Topics[0].Topic, r.Topics[0].TopicID = "commit-none", [16]byte{7} })
	for _, v := range s.versions(8) {
		group := "commit-v" + itoa(int(v))
		member, generation := s.joined(3, "join", group, nil)
		commit := func(step, member string, generation int32) {
			req := commitRequest(group, member, generation, "commit-topic", 0, 5)
			req.Topics[0].TopicID = id
			s.at(v, step, req)
		}
		commit("before the assignment", member, generation)
		s.at(3, "sync", syncRequest(group, member, generation, "x"))
		commit("as a member", member, generation)
		commit("with an old generation", member, generation-1)
		commit("with a new generation", member, generation+1)
		commit("of a stranger", "nobody", generation)
		commit("without membership", "", -1)
		commit("with member id only", member, -1)
		s.at(v, "fetched", s.fetchOffsets(group, "commit-topic", id, 0, 1))
		s.at(3, "leave", leaveRequest(group, member))
		commit("without membership in an empty group", "", -1)
	}
	s.each("what was committed", 9, func(v int16) kmsg.Request { return offsetsRequest(v, "commit-alone", "commit-topic", id, 0, 1, 9, -1) })
}

func (s *side) fetchOffsets(group, topic string, id [16]byte, partitions ...int32) *kmsg.OffsetFetchRequest {
	return offsetsRequest(0, group, topic, id, partitions...)
}

func offsetFetch(s *side) {
	id := s.mustCreate("offsets-topic", 3)
	gone := s.mustCreate("offsets-gone", 1)
	for _, c := range []*kmsg.OffsetCommitRequest{commitRequest("offsets", "", -1, "offsets-topic", 0, 7), commitRequest("offsets", "", -1, "offsets-topic", 1, 8)} {
		c.Topics[0].Partitions[0].Metadata = ptr("words")
		c.Topics[0].Partitions[0].LeaderEpoch = 2
		s.at(8, "", c)
	}
	s.at(8, "", commitRequest("offsets-other", "", -1, "offsets-gone", 0, 9))
	ask := func(step, group, topic string, topicID [16]byte, stable bool, partitions ...int32) {
		s.each(step, 9, func(v int16) kmsg.Request {
			req := offsetsRequest(v, group, topic, topicID, partitions...)
			req.RequireStable = stable
			return req
		})
	}
	ask("known", "offsets", "offsets-topic", id, false, 0, 1)
	ask("stable", "offsets", "offsets-topic", id, true, 0, 1)
	ask("not committed", "offsets", "offsets-topic", id, false, 0, 2)
	ask("unknown partition", "offsets", "offsets-topic", id, false, 0, 9, -1)
	ask("unknown topic", "offsets", "offsets-none", [16]byte{1, 7}, false, 0)
	ask("unknown group", "offsets-none", "offsets-topic", id, false, 0, 1)
	ask("empty group", "", "offsets-topic", id, false, 0)
	ask("partition twice", "offsets", "offsets-topic", id, false, 0, 0)
	ask("no partitions", "offsets", "offsets-topic", id, false)
	all := func(step, group string, member *string, epoch int32) {
		s.each(step, 9, func(v int16) kmsg.Request {
			req := offsetsRequest(v, group, "", id)
			if v < 2 {
				return nil
			}
			req.Topics, req.Groups[0].Topics = nil, nil
			req.Groups[0].MemberID, req.Groups[0].MemberEpoch = member, epoch
			return req
		})
	}
	all("all", "offsets", nil, -1)
	all("all of an unknown group", "offsets-none", nil, -1)
	all("all with a member", "offsets", ptr("m"), 4)
	all("all with an empty member", "offsets", ptr(""), -1)
	all("all with an epoch", "offsets", nil, 4)
	s.each("no topics", 9, func(v int16) kmsg.Request {
		req := offsetsRequest(v, "offsets", "", id)
		req.Topics, req.Groups[0].Topics = []kmsg.OffsetFetchRequestTopic{}, []kmsg.OffsetFetchRequestGroupTopic{}
		return req
	})
	several := func(step string, groups ...string) {
		for _, v := range []int16{8, 9, 10} {
			req := kmsg.NewPtrOffsetFetchRequest()
			for _, g := range groups {
				req.Groups = append(req.Groups, offsetsRequest(v, g, "offsets-topic", id, 0).Groups...)
			}
			s.at(v, step, req)
		}
	}
	several("several groups", "offsets", "offsets-none", "")
	several("group twice", "offsets", "offsets")
	several("no groups")
	mixed := offsetsRequest(10, "offsets", "", [16]byte{6}, 0)
	mixed.Groups[0].Topics = append(mixed.Groups[0].Topics, offsetsRequest(10, "", "", id, 0).Groups[0].Topics...)
	s.at(10, "unknown and known id", mixed)
	s.deleteOnce(6, "", "offsets-gone", nil)
	s.forgotten("offsets-other", "offsets-gone")
	ask("deleted topic", "offsets-other", "offsets-gone", gone, false, 0)
	all("all of a deleted topic", "offsets-other", nil, -1)
	s.at(5, "describe the group of a deleted topic", describeRequest(false, "offsets-other"))
}

// forgotten waits until the offsets of a deleted topic are gone.
func (s *side) forgotten(group, topic string) {
	deadline := time.Now().Add(5 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		resp := s.at(5, "", offsetsRequest(5, group, topic, [16]byte{}, 0)).(*kmsg.OffsetFetchResponse)
		if len(resp.Topics) == 1 && len(resp.Topics[0].Partitions) == 1 && resp.Topics[0].Partitions[0].Offset == -1 {
			return
		}
	}
	s.errs = append(s.errs, fmt.Errorf("the offsets of %s in %s stay", topic, group))
}

func offsetDelete(s *side) {
	s.mustCreate("unset-topic", 3)
	for p := range int32(3) {
		s.at(8, "", commitRequest("unset", "", -1, "unset-topic", p, 5))
	}
	s.at(0, "one", offsetDeleteRequest("unset", "unset-topic", 0))
	s.at(0, "again", offsetDeleteRequest("unset", "unset-topic", 0))
	s.at(0, "known and unknown", offsetDeleteRequest("unset", "unset-topic", 1, 9, -1))
	s.at(0, "twice", offsetDeleteRequest("unset", "unset-topic", 1, 1))
	s.at(0, "unknown topic", offsetDeleteRequest("unset", "unset-none", 0))
	s.at(0, "no partitions", offsetDeleteRequest("unset", "unset-topic"))
	empty := kmsg.NewPtrOffsetDeleteRequest()
	empty.Group = "unset"
	s.at(0, "nothing", empty)
	s.at(0, "unknown group", offsetDeleteRequest("unset-none", "unset-topic", 0))
	s.at(0, "unknown group and topic", offsetDeleteRequest("unset-none", "unset-none", 0))
	s.at(0, "empty group, unknown topic", offsetDeleteRequest("", "unset-none", 0))
	topicTwice := offsetDeleteRequest("unset", "unset-topic", 1)
	topicTwice.Topics = append(topicTwice.Topics, offsetDeleteRequest("", "unset-topic", 2).Topics...)
	s.at(0, "topic twice", topicTwice)
	s.subscribed()
}

// subscribed asks to delete offsets of a group with a member, whose subscription names one topic.
func (s *side) subscribed() {
	s.mustCreate("unset-other", 1)
	join := joinRequest("unset-live", "")
	meta := kmsg.NewConsumerMemberMetadata()
	meta.Topics = []string{"unset-topic"}
	join.Protocols = join.Protocols[:1]
	join.Protocols[0].Metadata = meta.AppendTo(nil)
	resp := s.at(3, "", join).(*kmsg.JoinGroupResponse)
	s.at(3, "", syncRequest("unset-live", resp.MemberID, resp.Generation, "x"))
	for _, topic := range []string{"unset-topic", "unset-other"} {
		s.at(7, "", commitRequest("unset-live", resp.MemberID, resp.Generation, topic, 0, 5))
		s.at(0, "subscribed group, "+topic, offsetDeleteRequest("unset-live", topic, 0))
	}
	both := offsetDeleteRequest("unset-live", "unset-topic", 0, 9)
	both.Topics = append(both.Topics, offsetDeleteRequest("", "unset-other", 0).Topics...)
	s.at(0, "subscribed group, both", both)
	s.at(3, "", leaveRequest("unset-live", resp.MemberID))
	s.at(0, "left group", offsetDeleteRequest("unset-live", "unset-topic", 0))
}

func describeGroups(s *side) {
	s.mustCreate("described-topic", 1)
	s.at(8, "", commitRequest("described-simple", "", -1, "described-topic", 0, 5))
	ask := func(step string, groups ...string) {
		for _, ops := range []bool{false, true} {
			s.each(step+onOff(" with operations", ops), 15, func(int16) kmsg.Request { return describeRequest(ops, groups...) })
		}
	}
	ask("unknown", "described-none")
	ask("empty", "")
	ask("none")
	ask("simple", "described-simple")
	ask("several", "described-simple", "described-none", "")
	ask("twice", "described-simple", "described-simple")
	for _, v := range []int16{0, 3, 5, 9} {
		group := "described-v" + itoa(int(v))
		member, generation := s.joined(v, "join", group, nil)
		ask("completing v"+itoa(int(v)), group)
		s.at(min(v, 5), "sync", syncRequest(group, member, generation, "assignment"))
		ask("stable v"+itoa(int(v)), group)
		s.at(min(v, 5), "leave", leaveRequest(group, member))
		ask("empty v"+itoa(int(v)), group)
	}
}

func listGroups(s *side) {
	member, generation := s.joined(3, "join", "listed-stable", nil)
	s.at(3, "sync", syncRequest("listed-stable", member, generation, "x"))
	s.joined(3, "join", "listed-completing", nil)
	gone, _ := s.joined(3, "join", "listed-empty", nil)
	s.at(3, "leave", leaveRequest("listed-empty", gone))
	ask := func(step string, states, types []string) {
		for _, v := range s.versions(16) {
			req := kmsg.NewPtrListGroupsRequest()
			req.StatesFilter, req.TypesFilter = states, types
			resp := s.at(v, "", req).(*kmsg.ListGroupsResponse)
			resp.Groups = slices.DeleteFunc(resp.Groups, func(g kmsg.ListGroupsResponseGroup) bool { return !strings.HasPrefix(g.Group, "listed-") })
			s.record(step, v, s.render(16, resp))
		}
	}
	ask("all", nil, nil)
	for _, state := range []string{"Stable", "stable", "Empty", "CompletingRebalance", "PreparingRebalance", "Dead", "Unknown", "", "Assigning", "NotReady"} {
		ask("state "+state, []string{state}, nil)
	}
	for _, kind := range []string{"classic", "Classic", "consumer", "share", "streams", "unknown", "", "x"} {
		ask("type "+kind, nil, []string{kind})
	}
	ask("two states", []string{"Empty", "Stable"}, nil)
	ask("state and type", []string{"Empty"}, []string{"classic"})
	ask("state and other type", []string{"Empty"}, []string{"consumer"})
	ask("two types", nil, []string{"classic", "consumer"})
}

func deleteGroups(s *side) {
	s.mustCreate("dropped-topic", 1)
	for _, v := range s.versions(42) {
		group := "dropped-v" + itoa(int(v))
		s.at(8, "", commitRequest(group, "", -1, "dropped-topic", 0, 5))
		s.at(v, "one", deleteGroupsRequest(group))
		s.at(v, "again", deleteGroupsRequest(group))
		s.at(8, "", commitRequest(group, "", -1, "dropped-topic", 0, 5))
		s.at(v, "several", deleteGroupsRequest(group, "dropped-none", ""))
		s.at(8, "", commitRequest(group, "", -1, "dropped-topic", 0, 5))
		s.at(v, "twice", deleteGroupsRequest(group, group))
		s.at(v, "none", deleteGroupsRequest())
		live, _ := s.joined(3, "join", group+"-live", nil)
		s.at(v, "with a member", deleteGroupsRequest(group+"-live"))
		s.at(3, "leave", leaveRequest(group+"-live", live))
		s.at(v, "left", deleteGroupsRequest(group+"-live"))
		pending := joinRequest(group+"-pending", "")
		pending.SetVersion(9)
		resp := s.ask("", pending).(*kmsg.JoinGroupResponse)
		s.learn(resp.MemberID, "<pending>")
		s.at(v, "with a pending member", deleteGroupsRequest(group+"-pending"))
		s.at(5, "describe the pending one", describeRequest(false, group+"-pending"))
	}
}
