package main

import (
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func findCoordinator(s *side) {
	ask := func(step string, kind int8, keys ...string) {
		s.each(step, 10, func(v int16) kmsg.Request {
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorType, req.CoordinatorKeys = kind, keys
			if len(keys) > 0 {
				req.CoordinatorKey = keys[0]
			}
			if v < 4 && len(keys) != 1 || v == 0 && kind != 0 {
				return nil
			}
			return req
		})
	}
	// Kafka makes the offsets topic while it answers that nobody coordinates yet.
	first := kmsg.NewPtrFindCoordinatorRequest()
	first.CoordinatorKey = "g"
	s.at(1, "", first)
	s.awaitTopic("__consumer_offsets", 50)
	s.warm()
	ask("one", 0, "g")
	ask("two", 0, "g", "h")
	ask("twice", 0, "g", "g")
	ask("none", 0)
	ask("empty", 0, "")
	ask("type 3", 3, "g")
	ask("type -1", -1, "g")
}

// warm waits until every coordinator has loaded and producer ids are there: Kafka answers "in progress" for a moment.
func (s *side) warm() {
	deadline := time.Now().Add(20 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for i := 0; i < 300 && time.Now().Before(deadline); {
		resp := s.at(8, "", offsetsRequest(8, "warm-"+itoa(i), "warm", [16]byte{}, 0)).(*kmsg.OffsetFetchResponse)
		if len(resp.Groups) == 1 && resp.Groups[0].ErrorCode == 0 {
			i++
			continue
		}
		<-tick.C
	}
	for ; time.Now().Before(deadline); <-tick.C {
		req := kmsg.NewPtrInitProducerIDRequest()
		if s.at(4, "", req).(*kmsg.InitProducerIDResponse).ErrorCode == 0 {
			return
		}
	}
	s.errs = append(s.errs, errors.New("coordinators do not load"))
}

func joinRequest(group, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = group, member, 10000, 5000, "consumer"
	for _, name := range []string{"range", "roundrobin"} {
		p := kmsg.NewJoinGroupRequestProtocol()
		p.Name, p.Metadata = name, []byte("subscription of "+name)
		req.Protocols = append(req.Protocols, p)
	}
	return req
}

func joinGroup(s *side) {
	bent := map[string]func(*kmsg.JoinGroupRequest){
		"empty group":             func(r *kmsg.JoinGroupRequest) { r.Group = "" },
		"session too short":       func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 999 },
		"session too long":        func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 },
		"negative session":        func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = -1 },
		"unknown member":          func(r *kmsg.JoinGroupRequest) { r.MemberID = "nobody" },
		"no protocols":            func(r *kmsg.JoinGroupRequest) { r.Protocols = nil },
		"no protocol type":        func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "" },
		"other member of nothing": func(r *kmsg.JoinGroupRequest) { r.MemberID, r.InstanceID = "nobody", ptr("i") },
		"short and unknown":       func(r *kmsg.JoinGroupRequest) { r.MemberID, r.SessionTimeoutMillis = "nobody", 1 },
		"protocol twice":          func(r *kmsg.JoinGroupRequest) { r.Protocols = append(r.Protocols, r.Protocols[0]); r.MemberID = "x" },
	}
	for _, name := range sortedKeys(bent) {
		s.each(name, 11, func(v int16) kmsg.Request {
			req := joinRequest("join-bad", "")
			bent[name](req)
			return req
		})
	}
	for _, v := range s.versions(11) {
		s.joined(v, "alone", "join-v"+itoa(int(v)), nil)
	}
}

// joined brings a member into its group, by the way that the version has, and leaves its id named.
func (s *side) joined(v int16, step, group string, instance *string) (member string, generation int32) {
	req := joinRequest(group, "")
	req.InstanceID = instance
	req.SetVersion(v)
	resp := s.ask("", req).(*kmsg.JoinGroupResponse) // recorded below, when its member id has a name
	s.learn(resp.MemberID, "<member of "+group+">")
	s.record(step+", first", v, s.render(11, resp))
	if resp.ErrorCode == 79 {
		req.MemberID = resp.MemberID
		resp = s.ask(step, req).(*kmsg.JoinGroupResponse)
	}
	return resp.MemberID, resp.Generation
}

func syncRequest(group, member string, generation int32, assignment string) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	req.ProtocolType, req.Protocol = ptr("consumer"), ptr("range")
	if assignment != "" {
		a := kmsg.NewSyncGroupRequestGroupAssignment()
		a.MemberID, a.MemberAssignment = member, []byte(assignment)
		req.GroupAssignment = append(req.GroupAssignment, a)
	}
	return req
}

func heartbeatRequest(group, member string, generation int32) *kmsg.HeartbeatRequest {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = group, member, generation
	return req
}

func leaveRequest(group string, members ...string) *kmsg.LeaveGroupRequest {
	req := kmsg.NewPtrLeaveGroupRequest()
	req.Group = group
	for _, m := range members {
		req.MemberID = m
		leaving := kmsg.NewLeaveGroupRequestMember()
		leaving.MemberID = m
		req.Members = append(req.Members, leaving)
	}
	return req
}

func groupLife(s *side) {
	s.mustCreate("life-topic", 2)
	for _, v := range s.versions(11) {
		group := "life-v" + itoa(int(v))
		member, generation := s.joined(v, "join", group, nil)
		low := min(v, 5)
		four := min(v, 4)
		s.at(four, "heartbeat before the assignment", heartbeatRequest(group, member, generation))
		s.at(low, "sync of a stranger", syncRequest(group, "nobody", generation, "x"))
		s.at(low, "sync with a wrong generation", syncRequest(group, member, generation+1, "x"))
		s.at(low, "sync", syncRequest(group, member, generation, "assigned"))
		s.at(low, "sync again", syncRequest(group, member, generation, ""))
		s.at(four, "heartbeat", heartbeatRequest(group, member, generation))
		s.at(four, "heartbeat with an old generation", heartbeatRequest(group, member, generation-1))
		s.at(four, "heartbeat with a new generation", heartbeatRequest(group, member, generation+1))
		s.at(four, "heartbeat of a stranger", heartbeatRequest(group, "nobody", generation))
		s.at(low, "leave of a stranger", leaveRequest(group, "nobody"))
		wrong := syncRequest(group, member, generation, "")
		wrong.Protocol = ptr("roundrobin")
		s.at(5, "sync with another protocol", wrong)
		wrong.Protocol, wrong.ProtocolType = ptr("range"), ptr("connect")
		s.at(5, "sync with another protocol type", wrong)
		other := joinRequest(group, "")
		other.ProtocolType = "connect"
		s.at(3, "join with another protocol type", other)
		other.ProtocolType, other.Protocols = "consumer", other.Protocols[:1]
		other.Protocols[0].Name = "own"
		s.at(3, "join with another protocol", other)
		s.at(min(v, 6), "describe", describeRequest(false, group))
		s.at(0, "delete while stable", deleteGroupsRequest(group))
		same := joinRequest(group, member)
		s.at(v, "rejoin of the leader", same)
		s.at(four, "heartbeat while preparing", heartbeatRequest(group, member, generation+1))
		s.at(low, "leave", leaveRequest(group, member))
		s.at(low, "leave again", leaveRequest(group, member))
		s.at(four, "heartbeat after leaving", heartbeatRequest(group, member, generation))
		s.at(low, "sync after leaving", syncRequest(group, member, generation, ""))
		s.at(min(v, 6), "describe the empty group", describeRequest(true, group))
	}
	twoMembers(s)
}

// twoMembers lets a second member make the first one join again.
func twoMembers(s *side) {
	for _, v := range []int16{0, 3, 4, 5, 7, 8, 9} {
		group := "life-two-v" + itoa(int(v))
		a, generation := s.joined(v, "two: first", group, nil)
		s.at(3, "two: first sync", syncRequest(group, a, generation, "all"))
		b := joinRequest(group, "")
		b.SetVersion(v)
		if v >= 4 {
			first := s.do("second", "", b).(*kmsg.JoinGroupResponse)
			b.MemberID = first.MemberID
			s.learn(b.MemberID, "<second member of "+group+">")
		}
		if err := s.send("second", b); err != nil {
			s.errs = append(s.errs, err)
			return
		}
		s.untilCode(heartbeatRequest(group, a, generation), 27)
		s.at(3, "two: heartbeat while preparing", heartbeatRequest(group, a, generation))
		s.at(3, "two: sync while preparing", syncRequest(group, a, generation, ""))
		s.at(5, "two: commit while preparing", commitRequest(group, a, generation, "life-topic", 0, 5))
		s.describeMembers(min(v, 6), "two: describe while preparing", group)
		again := joinRequest(group, a)
		again.SetVersion(v)
		resp := s.ask("", again).(*kmsg.JoinGroupResponse)
		second := s.receive("second", "", b).(*kmsg.JoinGroupResponse)
		s.learn(second.MemberID, "<second member of "+group+">")
		s.record("two: first joined again", v, s.render(11, resp))
		s.record("two: second joined", v, s.render(11, second))
		s.at(3, "two: commit while completing", commitRequest(group, a, resp.Generation, "life-topic", 0, 5))
		s.at(3, "two: heartbeat while completing", heartbeatRequest(group, a, resp.Generation))
		leader := syncRequest(group, resp.LeaderID, resp.Generation, "mine")
		other := kmsg.NewSyncGroupRequestGroupAssignment()
		other.MemberID, other.MemberAssignment = second.MemberID, []byte("yours")
		leader.GroupAssignment = append(leader.GroupAssignment, other)
		s.at(3, "two: leader's sync", leader)
		s.at(3, "two: second's sync", syncRequest(group, second.MemberID, resp.Generation, ""))
		s.at(min(v, 5), "two: both leave", leaveRequest(group, second.MemberID, a, "nobody"))
	}
}

// describeMembers names the group's members that have no name yet.
func (s *side) describeMembers(v int16, step, group string) {
	resp := s.at(v, "", describeRequest(false, group)).(*kmsg.DescribeGroupsResponse)
	for _, g := range resp.Groups {
		for _, m := range g.Members {
			if _, ok := s.names[m.MemberID]; !ok {
				s.learn(m.MemberID, "<second member of "+group+">")
			}
		}
	}
	s.record(step, v, s.render(15, resp))
}

// untilCode sends a heartbeat until it gets an answer with the code, for as long as one answer may take.
func (s *side) untilCode(req *kmsg.HeartbeatRequest, code int16) {
	req.SetVersion(3)
	for range 500 {
		if s.ask("", req).(*kmsg.HeartbeatResponse).ErrorCode == code {
			return
		}
	}
}

func groupStatic(s *side) {
	for _, v := range []int16{5, 6, 7, 8, 9} {
		group := "static-v" + itoa(int(v))
		a, generation := s.joined(v, "join", group, ptr("one"))
		s.at(3, "sync", syncRequest(group, a, generation, "all"))
		instance := func(r *kmsg.HeartbeatRequest) *kmsg.HeartbeatRequest { r.InstanceID = ptr("one"); return r }
		s.at(4, "heartbeat", instance(heartbeatRequest(group, a, generation)))
		s.at(4, "heartbeat of another member", instance(heartbeatRequest(group, "other", generation)))
		unknown := heartbeatRequest(group, a, generation)
		unknown.InstanceID = ptr("two")
		s.at(4, "heartbeat of an unknown instance", unknown)
		b, _ := s.joined(v, "again without id", group, ptr("one"))
		s.learn(a, "<first id>")
		s.at(4, "heartbeat with the old id", instance(heartbeatRequest(group, a, generation)))
		s.at(4, "heartbeat with the new id", instance(heartbeatRequest(group, b, generation)))
		late := joinRequest(group, a)
		late.InstanceID = ptr("one")
		s.at(v, "join with the old id", late)
		commit := commitRequest(group, a, generation, "life-topic", 0, 5)
		commit.InstanceID = ptr("one")
		s.at(8, "commit with the old id", commit)
		sync := syncRequest(group, a, generation, "")
		sync.InstanceID = ptr("one")
		s.at(5, "sync with the old id", sync)
		s.at(min(v, 6), "describe", describeRequest(false, group))
		leave := leaveRequest(group, "")
		leave.Members[0].InstanceID = ptr("nobody")
		s.at(5, "leave of an unknown instance", leave)
		leave.Members[0].InstanceID, leave.Members[0].MemberID = ptr("one"), "other"
		s.at(5, "leave with another id", leave)
		leave.Members[0].MemberID = ""
		leave.Members[0].Reason = ptr("because")
		s.at(5, "leave by instance", leave)
		s.at(5, "leave by instance again", leave)
	}
}

func groupErrors(s *side) {
	for _, group := range []string{"", "errors-none"} {
		name := "group '" + group + "' "
		s.each(name+"heartbeat", 12, func(int16) kmsg.Request { return heartbeatRequest(group, "m", 1) })
		s.each(name+"heartbeat without member", 12, func(int16) kmsg.Request { return heartbeatRequest(group, "", -1) })
		s.each(name+"sync", 14, func(int16) kmsg.Request { return syncRequest(group, "m", 1, "") })
		s.each(name+"sync without protocol", 14, func(int16) kmsg.Request {
			req := syncRequest(group, "m", 1, "")
			req.ProtocolType = nil
			return req
		})
		s.each(name+"leave", 13, func(int16) kmsg.Request { return leaveRequest(group, "m") })
		s.each(name+"leave of two", 13, func(v int16) kmsg.Request { return leaveRequest(group, "m", "n") })
		s.each(name+"leave of nobody", 13, func(v int16) kmsg.Request { return leaveRequest(group) })
		s.each(name+"commit", 8, func(v int16) kmsg.Request { return commitRequest(group, "m", 1, "life-topic", 0, 5) })
		s.each(name+"fetch", 9, func(v int16) kmsg.Request { return offsetsRequest(v, group, "life-topic", [16]byte{}, 0) })
		s.each(name+"describe", 15, func(v int16) kmsg.Request { return describeRequest(true, group) })
		s.each(name+"delete", 42, func(v int16) kmsg.Request { return deleteGroupsRequest(group) })
		s.at(0, name+"delete offsets", offsetDeleteRequest(group, "life-topic", 0))
	}
	long := joinRequest("errors-empty", "")
	long.Protocols[0].Metadata = nil
	long.SetVersion(3)
	resp := s.ask("", long).(*kmsg.JoinGroupResponse)
	s.learn(resp.MemberID, "<member with empty metadata>")
	s.record("join with empty metadata", 3, s.render(11, resp))
}
