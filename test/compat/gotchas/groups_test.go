package gotchas

import (
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func commit(c *Conn, version int16, group, topic string, id [16]byte, offset int64, note string) kmsg.OffsetCommitResponseTopicPartition {
	c.t.Helper()
	req := at(kmsg.NewPtrOffsetCommitRequest(), version)
	req.Group, req.Generation = group, -1
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic, rt.TopicID = topic, id
	rp := kmsg.NewOffsetCommitRequestTopicPartition()
	rp.Offset, rp.Metadata = offset, &note
	rt.Partitions = append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	return Do[*kmsg.OffsetCommitResponse](c, req).Topics[0].Partitions[0]
}

func committed(c *Conn, version int16, group, topic string) kmsg.OffsetFetchResponseTopicPartition {
	c.t.Helper()
	req := at(kmsg.NewPtrOffsetFetchRequest(), version)
	req.Group, req.RequireStable = group, true
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, []int32{0}
	req.Topics = append(req.Topics, rt)
	return Do[*kmsg.OffsetFetchResponse](c, req).Topics[0].Partitions[0]
}

func describeGroup(c *Conn, version int16, group string) kmsg.DescribeGroupsResponseGroup {
	c.t.Helper()
	req := at(kmsg.NewPtrDescribeGroupsRequest(), version)
	req.Groups = []string{group}
	return Do[*kmsg.DescribeGroupsResponse](c, req).Groups[0]
}

// A group that does not exist: Dead without an error up to version 5, GROUP_ID_NOT_FOUND from 6; types are a filter from ListGroups 5.
func TestGotcha23UnknownGroup(t *testing.T) {
	c := dial(t)
	group := coordinated(c, name("absent"))
	for v := range int16(6) {
		g := describeGroup(c, v, group)
		code(t, "DescribeGroups", g.ErrorCode, nil)
		if g.State != "Dead" {
			t.Errorf("v%d: state %q", v, g.State)
		}
	}
	code(t, "DescribeGroups v6", describeGroup(c, 6, group).ErrorCode, kerr.GroupIDNotFound)
	real := coordinated(c, name("real"))
	topic, _ := filled(c, "listed", 1)
	code(t, "commit", commit(c, 7, real, topic, [16]byte{}, 1, "").ErrorCode, nil)
	list := func(types ...string) bool {
		req := at(kmsg.NewPtrListGroupsRequest(), 5)
		req.TypesFilter = types
		for _, g := range Do[*kmsg.ListGroupsResponse](c, req).Groups {
			if g.Group == real {
				return true
			}
		}
		return false
	}
	if !list() || !list("Classic") || !list("classic") || list("consumer") {
		t.Errorf("listed: %v, as classic: %v, as Classic: %v, as consumer: %v", list(), list("classic"), list("Classic"), list("consumer"))
	}
}

// OffsetFetch of a group nobody knows is no error: offset -1, in every version; null topics are all.
func TestGotcha41OffsetsOfUnknownGroup(t *testing.T) {
	c := dial(t)
	topic, id := filled(c, "offsets", 1)
	group := coordinated(c, name("absent"))
	for v := int16(1); v <= 7; v++ {
		if p := committed(c, v, group, topic); p.ErrorCode != 0 || p.Offset != -1 {
			t.Errorf("v%d: error %d, offset %d", v, p.ErrorCode, p.Offset)
		}
	}
	for v := int16(8); v <= 10; v++ {
		req := at(kmsg.NewPtrOffsetFetchRequest(), v)
		rg := kmsg.NewOffsetFetchRequestGroup()
		rg.Group = group
		rt := kmsg.NewOffsetFetchRequestGroupTopic()
		rt.Topic, rt.TopicID, rt.Partitions = topic, id, []int32{0}
		rg.Topics = append(rg.Topics, rt)
		all := kmsg.NewOffsetFetchRequestGroup()
		all.Group = group
		req.Groups = append(req.Groups, rg, all)
		resp := Do[*kmsg.OffsetFetchResponse](c, req)
		if len(resp.Groups) != 2 || resp.Groups[0].ErrorCode != 0 || resp.Groups[0].Topics[0].Partitions[0].Offset != -1 || len(resp.Groups[1].Topics) != 0 {
			t.Errorf("v%d: %+v", v, resp.Groups)
		}
	}
	code(t, "commit", commit(c, 7, group, topic, [16]byte{}, 1, "").ErrorCode, nil)
	for v := int16(2); v <= 7; v++ {
		req := at(kmsg.NewPtrOffsetFetchRequest(), v)
		req.Group = group
		if resp := Do[*kmsg.OffsetFetchResponse](c, req); len(resp.Topics) != 1 || resp.Topics[0].Partitions[0].Offset != 1 {
			t.Errorf("v%d with null topics: %+v", v, resp.Topics)
		}
	}
}

func TestGotcha42CommitMetadata(t *testing.T) {
	c := dial(t)
	topic, _ := filled(c, "note", 3)
	group := coordinated(c, name("g"))
	for v := int16(2); v <= 9; v++ {
		note := "note ü " + string(rune('0'+v))
		code(t, "commit", commit(c, v, group, topic, [16]byte{}, 2, note).ErrorCode, nil)
		if p := committed(c, 7, group, topic); p.Offset != 2 || p.Metadata == nil || *p.Metadata != note {
			t.Errorf("v%d: %+v", v, p)
		}
	}
	code(t, "too long a note", commit(c, 7, group, topic, [16]byte{}, 2, strings.Repeat("x", 4097)).ErrorCode, kerr.OffsetMetadataTooLarge)
}

func joinRequest(version int16, group, member string) *kmsg.JoinGroupRequest {
	req := at(kmsg.NewPtrJoinGroupRequest(), version)
	req.Group, req.MemberID, req.ProtocolType = group, member, "consumer"
	req.SessionTimeoutMillis, req.RebalanceTimeoutMillis = 10000, 10000
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte("subscription")
	req.Protocols = append(req.Protocols, p)
	return req
}

func join(c *Conn, req *kmsg.JoinGroupRequest) *kmsg.JoinGroupResponse {
	c.t.Helper()
	return Do[*kmsg.JoinGroupResponse](c, req)
}

// From version 4 on the first join only gets the id to join with; before it joins.
func TestGotcha43MemberIDRequired(t *testing.T) {
	c := dial(t)
	for v := range int16(10) {
		group := coordinated(c, name("join"))
		resp := join(c, joinRequest(v, group, ""))
		if v >= 4 {
			code(t, "the first join", resp.ErrorCode, kerr.MemberIDRequired)
			if resp.MemberID == "" {
				t.Fatalf("v%d: no member id", v)
			}
			resp = join(c, joinRequest(v, group, resp.MemberID))
		}
		code(t, "join", resp.ErrorCode, nil)
		if resp.MemberID == "" || resp.LeaderID != resp.MemberID || resp.Generation != 1 || len(resp.Members) != 1 {
			t.Errorf("v%d: %+v", v, resp)
		}
		if *resp.Protocol != "range" || v >= 7 && (resp.ProtocolType == nil || *resp.ProtocolType != "consumer") {
			t.Errorf("v%d: protocol %v of type %v", v, resp.Protocol, resp.ProtocolType)
		}
	}
	code(t, "a member nobody knows", join(c, joinRequest(5, coordinated(c, name("join")), "stranger")).ErrorCode, kerr.UnknownMemberID)
}

func sync(c *Conn, group, member string, generation int32, instance *string) *kmsg.SyncGroupResponse {
	c.t.Helper()
	req := at(kmsg.NewPtrSyncGroupRequest(), 5)
	req.Group, req.MemberID, req.Generation, req.InstanceID = group, member, generation, instance
	req.ProtocolType, req.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr("range")
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = member, []byte("assignment")
	req.GroupAssignment = append(req.GroupAssignment, a)
	return Do[*kmsg.SyncGroupResponse](c, req)
}

func heartbeat(c *Conn, group, member string, generation int32, instance *string) int16 {
	c.t.Helper()
	req := at(kmsg.NewPtrHeartbeatRequest(), 4)
	req.Group, req.MemberID, req.Generation, req.InstanceID = group, member, generation, instance
	return Do[*kmsg.HeartbeatResponse](c, req).ErrorCode
}

// A static member comes back under its name without a rebalance; who had the name before is fenced.
func TestGotcha44StaticMembers(t *testing.T) {
	c := dial(t)
	group, instance := coordinated(c, name("static")), "one"
	req := joinRequest(9, group, "")
	req.InstanceID = &instance
	first := join(c, req)
	code(t, "a static member joins at once", first.ErrorCode, nil)
	code(t, "sync", sync(c, group, first.MemberID, first.Generation, &instance).ErrorCode, nil)

	second := join(c, req)
	code(t, "it comes back", second.ErrorCode, nil)
	if second.MemberID == first.MemberID || second.Generation != first.Generation {
		t.Errorf("it is %s in generation %d, was %s in %d", second.MemberID, second.Generation, first.MemberID, first.Generation)
	}
	s := sync(c, group, second.MemberID, second.Generation, &instance)
	code(t, "sync again", s.ErrorCode, nil)
	if string(s.MemberAssignment) != "assignment" {
		t.Errorf("the assignment is %q", s.MemberAssignment)
	}
	code(t, "the old id", heartbeat(c, group, first.MemberID, first.Generation, &instance), kerr.FencedInstanceID)
	code(t, "the new id", heartbeat(c, group, second.MemberID, second.Generation, &instance), nil)
	g := describeGroup(c, 5, group)
	if len(g.Members) != 1 || g.Members[0].MemberID != second.MemberID || g.Members[0].InstanceID == nil || *g.Members[0].InstanceID != instance {
		t.Errorf("described as %+v", g.Members)
	}
	leave := at(kmsg.NewPtrLeaveGroupRequest(), 5)
	leave.Group = group
	m := kmsg.NewLeaveGroupRequestMember()
	m.InstanceID = &instance
	leave.Members = append(leave.Members, m)
	resp := Do[*kmsg.LeaveGroupResponse](c, leave)
	if resp.ErrorCode != 0 || len(resp.Members) != 1 || resp.Members[0].ErrorCode != 0 {
		t.Errorf("leaving by name: %+v", resp)
	}
}

// Session timeouts have bounds; strangers and old generations get their own errors; an assignment may be empty.
func TestGotcha45GroupErrors(t *testing.T) {
	c := dial(t)
	group := coordinated(c, name("errors"))
	for _, bad := range []int32{0, 100, 1800001} {
		req := joinRequest(9, group, "")
		req.SessionTimeoutMillis = bad
		code(t, "a session timeout out of bounds", join(c, req).ErrorCode, kerr.InvalidSessionTimeout)
	}
	code(t, "an empty group id", join(c, joinRequest(9, "", "")).ErrorCode, kerr.InvalidGroupID)
	first := join(c, joinRequest(3, group, ""))
	code(t, "join", first.ErrorCode, nil)
	code(t, "sync by a stranger", sync(c, group, "stranger", first.Generation, nil).ErrorCode, kerr.UnknownMemberID)
	code(t, "sync in an old generation", sync(c, group, first.MemberID, first.Generation-1, nil).ErrorCode, kerr.IllegalGeneration)
	code(t, "sync", sync(c, group, first.MemberID, first.Generation, nil).ErrorCode, nil)
	code(t, "heartbeat by a stranger", heartbeat(c, group, "stranger", first.Generation, nil), kerr.UnknownMemberID)
	code(t, "heartbeat in an old generation", heartbeat(c, group, first.MemberID, first.Generation+1, nil), kerr.IllegalGeneration)
	code(t, "heartbeat", heartbeat(c, group, first.MemberID, first.Generation, nil), nil)
	topic, _ := filled(c, "errors", 1)
	code(t, "a commit from outside a living group", commit(c, 7, group, topic, [16]byte{}, 1, "").ErrorCode, kerr.UnknownMemberID)
	other := joinRequest(3, group, "")
	other.ProtocolType = "connect"
	code(t, "another kind of member", join(c, other).ErrorCode, kerr.InconsistentGroupProtocol)

	// A second member whose leader gives it nothing.
	empty := coordinated(c, name("empty"))
	a := join(c, joinRequest(3, empty, ""))
	req := at(kmsg.NewPtrSyncGroupRequest(), 3)
	req.Group, req.MemberID, req.Generation = empty, a.MemberID, a.Generation
	if s := Do[*kmsg.SyncGroupResponse](c, req); s.ErrorCode != 0 || len(s.MemberAssignment) != 0 {
		t.Errorf("an empty assignment: error %d, %q", s.ErrorCode, s.MemberAssignment)
	}
}

// A transaction timeout above the limit is refused; where transactions are not offered, any transactional id is, for good.
func TestGotcha46TransactionTimeout(t *testing.T) {
	c := dial(t)
	want := kerr.InvalidTransactionTimeout
	if _, _, ok := advertised(c, 26); !ok {
		want = kerr.InvalidRequest
	}
	id := name("txn")
	for v := int16(0); v <= 5; v++ {
		req := at(kmsg.NewPtrInitProducerIDRequest(), v)
		req.TransactionalID, req.TransactionTimeoutMillis = &id, 900001
		code(t, "InitProducerId", Do[*kmsg.InitProducerIDResponse](c, req).ErrorCode, want)
	}
}
