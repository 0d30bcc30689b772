package node

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
)

// joined is a member of a group of one.
type joined struct {
	group, member string
	generation    int32
}

func joinRequest(group, member string) *kmsg.JoinGroupRequest {
	req := kmsg.NewPtrJoinGroupRequest()
	req.Group, req.MemberID, req.SessionTimeoutMillis, req.RebalanceTimeoutMillis, req.ProtocolType = group, member, 30_000, 30_000, "consumer"
	p := kmsg.NewJoinGroupRequestProtocol()
	p.Name, p.Metadata = "range", []byte{1}
	req.Protocols = append(req.Protocols, p)
	return req
}

// join makes a group of one member, stable.
func join(t *testing.T, c *raw.Conn, group string) joined {
	t.Helper()
	first := request[*kmsg.JoinGroupResponse](t, c, 9, joinRequest(group, ""))
	if model.ErrorCode(first.ErrorCode) != model.MemberIDRequired || first.MemberID == "" {
		t.Fatalf("first join: %v, member %q (gotcha 43)", model.ErrorCode(first.ErrorCode), first.MemberID)
	}
	second := request[*kmsg.JoinGroupResponse](t, c, 9, joinRequest(group, first.MemberID))
	if second.ErrorCode != 0 || second.LeaderID != first.MemberID || len(second.Members) != 1 {
		t.Fatalf("second join: %+v", second)
	}
	req := syncRequest(group, second.MemberID, second.Generation)
	a := kmsg.NewSyncGroupRequestGroupAssignment()
	a.MemberID, a.MemberAssignment = second.MemberID, []byte("mine")
	req.GroupAssignment = append(req.GroupAssignment, a)
	sync := request[*kmsg.SyncGroupResponse](t, c, 5, req)
	if sync.ErrorCode != 0 || string(sync.MemberAssignment) != "mine" {
		t.Fatalf("sync: %+v", sync)
	}
	return joined{group, second.MemberID, second.Generation}
}

func syncRequest(group, member string, generation int32) *kmsg.SyncGroupRequest {
	req := kmsg.NewPtrSyncGroupRequest()
	req.Group, req.MemberID, req.Generation, req.ProtocolType, req.Protocol = group, member, generation, new("consumer"), new("range")
	return req
}

func heartbeat(t *testing.T, c *raw.Conn, m joined) int16 {
	t.Helper()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.member, m.generation
	return request[*kmsg.HeartbeatResponse](t, c, 4, req).ErrorCode
}

// commit commits one offset of partition 0 and returns the code.
func commit(t *testing.T, c *raw.Conn, m joined, topic string, offset int64, metadata string) int16 {
	t.Helper()
	return commitAt(t, c, 9, m, topic, offset, metadata)
}

func commitAt(t *testing.T, c *raw.Conn, version int16, m joined, topic string, offset int64, metadata string) int16 {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.MemberID, req.Generation = m.group, m.member, m.generation
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.LeaderEpoch, p.Metadata = offset, 0, &metadata
	one := kmsg.NewOffsetCommitRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, one)
	return request[*kmsg.OffsetCommitResponse](t, c, version, req).Topics[0].Partitions[0].ErrorCode
}

// committed fetches the committed offset of partition 0.
func committed(t *testing.T, c *raw.Conn, group, topic string) kmsg.OffsetFetchResponseGroupTopicPartition {
	t.Helper()
	g := fetchCommitted(t, c, group, topic)
	if g.ErrorCode != 0 || len(g.Topics) != 1 {
		t.Fatalf("offset fetch of %s: %+v", group, g)
	}
	return g.Topics[0].Partitions[0]
}

// fetchCommitted asks for a group's offset and returns the answer whatever it says.
func fetchCommitted(t *testing.T, c *raw.Conn, group, topic string) kmsg.OffsetFetchResponseGroup {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	one := kmsg.NewOffsetFetchRequestGroupTopic()
	one.Topic, one.Partitions = topic, []int32{0}
	g.Topics = append(g.Topics, one)
	req.Groups = append(req.Groups, g)
	return request[*kmsg.OffsetFetchResponse](t, c, 9, req).Groups[0]
}

// lone is a consumer that assigns itself.
func lone(group string) joined { return joined{group, "", -1} }

func TestGroupRefusals(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	m := join(t, c, "g")
	stranger, older, newer := m, m, m
	stranger.member = "stranger"
	older.generation--
	newer.generation++
	code(t, "heartbeat", heartbeat(t, c, m), model.None)
	code(t, "heartbeat of a stranger", heartbeat(t, c, stranger), model.UnknownMemberID)
	code(t, "heartbeat of an old generation", heartbeat(t, c, older), model.IllegalGeneration)
	code(t, "heartbeat without a group", heartbeat(t, c, joined{"", "m", 1}), model.InvalidGroupID)
	code(t, "heartbeat in an unknown group", heartbeat(t, c, joined{"unknown", "m", 1}), model.UnknownMemberID)

	code(t, "commit", commit(t, c, m, "t", 5, "note"), model.None)
	code(t, "commit of a stranger", commit(t, c, stranger, "t", 1, ""), model.UnknownMemberID)
	code(t, "commit of an old generation", commit(t, c, older, "t", 1, ""), model.IllegalGeneration)
	code(t, "commit of a generation to come", commit(t, c, newer, "t", 1, ""), model.IllegalGeneration)
	code(t, "commit past the members", commit(t, c, lone("g"), "t", 1, ""), model.UnknownMemberID)
	code(t, "commit for an unknown topic", commit(t, c, m, "nope", 1, ""), model.UnknownTopicOrPartition)
	code(t, "commit with much metadata", commit(t, c, m, "t", 6, string(make([]byte, 4097))), model.OffsetMetadataTooLarge)
	code(t, "commit of a member of an unknown group", commit(t, c, joined{"unknown", "m", 1}, "t", 1, ""), model.GroupIDNotFound)
	code(t, "the same in version 8", commitAt(t, c, 8, joined{"unknown", "m", 1}, "t", 1, ""), model.IllegalGeneration)
	if p := committed(t, c, "g", "t"); p.Offset != 5 || *p.Metadata != "note" || p.LeaderEpoch != 0 {
		t.Errorf("committed: offset %d, metadata %q, leader epoch %d", p.Offset, *p.Metadata, p.LeaderEpoch)
	}
	if p := committed(t, c, "never-seen", "t"); p.Offset != -1 || p.ErrorCode != 0 { // gotcha 41
		t.Errorf("committed in an unknown group: %+v", p)
	}

	sync := syncRequest("g", "stranger", m.generation)
	code(t, "sync of a stranger", request[*kmsg.SyncGroupResponse](t, c, 5, sync).ErrorCode, model.UnknownMemberID)
	sync = syncRequest("g", m.member, m.generation-1)
	code(t, "sync of an old generation", request[*kmsg.SyncGroupResponse](t, c, 5, sync).ErrorCode, model.IllegalGeneration)
	sync = syncRequest("g", m.member, m.generation)
	sync.Protocol = new("roundrobin")
	code(t, "sync with another protocol", request[*kmsg.SyncGroupResponse](t, c, 5, sync).ErrorCode, model.InconsistentGroupProtocol)

	refuse := func(what string, want model.ErrorCode, change func(*kmsg.JoinGroupRequest)) {
		t.Helper()
		req := joinRequest("g", "")
		change(req)
		code(t, what, request[*kmsg.JoinGroupResponse](t, c, 5, req).ErrorCode, want)
	}
	refuse("join without a group", model.InvalidGroupID, func(r *kmsg.JoinGroupRequest) { r.Group = "" })
	refuse("join with a short session", model.InvalidSessionTimeout, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 5999 })
	refuse("join with a long session", model.InvalidSessionTimeout, func(r *kmsg.JoinGroupRequest) { r.SessionTimeoutMillis = 1_800_001 })
	refuse("join as a stranger", model.UnknownMemberID, func(r *kmsg.JoinGroupRequest) { r.MemberID = "stranger" })
	refuse("join with another kind", model.InconsistentGroupProtocol, func(r *kmsg.JoinGroupRequest) { r.ProtocolType = "connect" })
	refuse("join without a protocol in common", model.InconsistentGroupProtocol, func(r *kmsg.JoinGroupRequest) { r.Protocols[0].Name = "roundrobin" })
	refuse("join without protocols", model.InconsistentGroupProtocol, func(r *kmsg.JoinGroupRequest) { r.Protocols = nil })

	remove := kmsg.NewPtrDeleteGroupsRequest()
	remove.Groups = []string{"g", "unknown"}
	gone := request[*kmsg.DeleteGroupsResponse](t, c, 2, remove).Groups
	code(t, "delete a group with members", gone[0].ErrorCode, model.NonEmptyGroup)
	code(t, "delete an unknown group", gone[1].ErrorCode, model.GroupIDNotFound)

	leave := kmsg.NewPtrLeaveGroupRequest()
	leave.Group = "g"
	for _, id := range []string{"stranger", m.member} {
		one := kmsg.NewLeaveGroupRequestMember()
		one.MemberID = id
		leave.Members = append(leave.Members, one)
	}
	left := request[*kmsg.LeaveGroupResponse](t, c, 5, leave)
	code(t, "leave", left.ErrorCode, model.None)
	code(t, "a stranger leaves", left.Members[0].ErrorCode, model.UnknownMemberID)
	code(t, "the member leaves", left.Members[1].ErrorCode, model.None)
	code(t, "heartbeat after leaving", heartbeat(t, c, m), model.UnknownMemberID)
	code(t, "commit to a group without members", commit(t, c, lone("g"), "t", 7, ""), model.None)
	code(t, "delete a group without members", request[*kmsg.DeleteGroupsResponse](t, c, 2, remove).Groups[0].ErrorCode, model.None)
	if p := committed(t, c, "g", "t"); p.Offset != -1 {
		t.Errorf("a deleted group has offset %d", p.Offset)
	}
}

func TestDescribeAndListGroups(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	m := join(t, c, "g")
	code(t, "commit of a lone consumer", commit(t, c, lone("offsets-only"), "t", 1, ""), model.None)
	for version := int16(0); version <= 6; version++ {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{"g", "unknown"}
		got := request[*kmsg.DescribeGroupsResponse](t, c, version, req).Groups
		if got[0].State != "Stable" || got[0].Protocol != "range" || len(got[0].Members) != 1 || got[0].Members[0].MemberID != m.member || got[0].Members[0].ClientHost != "/127.0.0.1" {
			t.Errorf("version %d: %+v", version, got[0])
		}
		want := model.None
		if version >= 6 {
			want = model.GroupIDNotFound // gotcha 23
		}
		if got[1].State != "Dead" || got[1].ErrorCode != int16(want) {
			t.Errorf("version %d, unknown group: state %q, %v", version, got[1].State, model.ErrorCode(got[1].ErrorCode))
		}
	}
	list := func(states, types []string) map[string]string {
		req := kmsg.NewPtrListGroupsRequest()
		req.StatesFilter, req.TypesFilter = states, types
		resp := request[*kmsg.ListGroupsResponse](t, c, 5, req)
		code(t, "list", resp.ErrorCode, model.None)
		out := map[string]string{}
		for _, g := range resp.Groups {
			out[g.Group] = g.GroupState
		}
		return out
	}
	if got := list(nil, nil); got["g"] != "Stable" || got["offsets-only"] != "Empty" || len(got) != 2 {
		t.Errorf("all: %v", got)
	}
	if got := list([]string{"Stable"}, nil); got["g"] != "Stable" || len(got) != 1 {
		t.Errorf("stable: %v", got)
	}
	if got := list(nil, []string{"consumer"}); len(got) != 0 {
		t.Errorf("of the new protocol: %v", got)
	}
}

func TestOffsetDelete(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	code(t, "commit", commit(t, c, lone("g"), "t", 3, ""), model.None)
	remove := func(group string, partition int32) *kmsg.OffsetDeleteResponse {
		req := kmsg.NewPtrOffsetDeleteRequest()
		req.Group = group
		p := kmsg.NewOffsetDeleteRequestTopicPartition()
		p.Partition = partition
		one := kmsg.NewOffsetDeleteRequestTopic()
		one.Topic, one.Partitions = "t", []kmsg.OffsetDeleteRequestTopicPartition{p}
		req.Topics = append(req.Topics, one)
		return request[*kmsg.OffsetDeleteResponse](t, c, 0, req)
	}
	code(t, "unknown group", remove("unknown", 0).ErrorCode, model.GroupIDNotFound)
	code(t, "unknown partition", remove("g", 4).Topics[0].Partitions[0].ErrorCode, model.UnknownTopicOrPartition)
	code(t, "known", remove("g", 0).Topics[0].Partitions[0].ErrorCode, model.None)
	if p := committed(t, c, "g", "t"); p.Offset != -1 {
		t.Errorf("a deleted offset is %d", p.Offset)
	}
}

// TestDeletedTopicTakesItsOffsetsAlong: a new topic of the same name does not begin where a consumer of the old one stood.
func TestDeletedTopicTakesItsOffsetsAlong(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	code(t, "commit", commit(t, c, lone("g"), "t", 3, ""), model.None)
	deleteTopic(t, c, "t")
	createTopic(t, c, "t", 1)
	eventually(t, "the offset is gone", func() bool { return committed(t, c, "g", "t").Offset == -1 })
}

// TestGroupsAcrossARestart: members, generation and offsets are there again.
func TestGroupsAcrossARestart(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	m := join(t, c, "g")
	code(t, "commit", commit(t, c, m, "t", 42, "kept"), model.None)
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	var last model.ErrorCode
	eventually(t, "the coordinator has loaded", func() bool {
		last = model.ErrorCode(heartbeat(t, c, m))
		return last != model.CoordinatorLoadInProgress && last != model.NotCoordinator
	})
	if last != model.None {
		t.Errorf("heartbeat after a restart: %v", last)
	}
	if p := committed(t, c, "g", "t"); p.Offset != 42 || *p.Metadata != "kept" {
		t.Errorf("committed after a restart: %d %q", p.Offset, *p.Metadata)
	}
	code(t, "commit after a restart", commit(t, c, m, "t", 43, ""), model.None)
}

// TestUnreadableOffsetsAreSkipped: whatever lies in __consumer_offsets, coordinators load, and what they know is answered.
func TestUnreadableOffsetsAreSkipped(t *testing.T) {
	path := t.TempDir()
	n := open(t, path, "offsets.topic.num.partitions=1")
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	code(t, "commit", commit(t, c, lone("g"), "t", 7, ""), model.None)
	admin := dial(t, n)
	admin.ClientID = new("__admin_client")
	var b batch.Builder
	for _, r := range [][2][]byte{
		{{0, 99, 1, 2, 3}, {0, 0, 1}},      // a type that nobody knows
		{{0, 1}, {0, 1}},                   // an offset, cut short
		{{}, {1, 2, 3}},                    // an empty key
		{{7}, nil},                         // half a type
		{{0, 2, 0, 1, 'g'}, {0, 77, 1, 2}}, // a group of a version to come
		{{0, 1, 0, 1, 'g', 0, 1, 't', 0, 0, 0, 0}, {0, 3, 0xff, 0xff}},      // a good key, a value that is cut short
		{{0, 1, 0x7f, 0xff, 'g'}, {0, 3}},                                   // a length that lies
		{{0, 3, 0, 1, 'c'}, {0, 0, 0, 0, 0, 1, 0}},                          // a group of the new protocol, which is not served yet
		{{0xff, 0xff, 0xff, 0xff, 0xff}, {0xff, 0xff, 0xff, 0xff, 0, 0, 0}}, // noise
	} {
		b.Append(1, r[0], r[1])
	}
	code(t, "write what cannot be read", produce(t, admin, model.ConsumerOffsetsTopic, -1, b.Build()).ErrorCode, model.None)
	code(t, "commit", commit(t, c, lone("h"), "t", 8, ""), model.None)
	stop(t, n)
	n = open(t, path, "offsets.topic.num.partitions=1")
	defer stop(t, n)
	c = dial(t, n)
	warmCoordinator(t, c, "g")
	if g, h := committed(t, c, "g", "t").Offset, committed(t, c, "h", "t").Offset; g != 7 || h != 8 {
		t.Errorf("committed are %d and %d, want 7 and 8", g, h)
	}
	code(t, "commit after loading", commit(t, c, lone("g"), "t", 9, ""), model.None)
	end := listOffset(t, c, 11, model.ConsumerOffsetsTopic, -1).Offset
	kept := 0
	for _, r := range records(t, fetch(t, c, model.ConsumerOffsetsTopic, 0).RecordBatches) {
		if r.value == "\x00\x4d\x01\x02" {
			kept++
		}
	}
	if kept != 1 {
		t.Errorf("of the unreadable records one is there %d times, the log ends at %d", kept, end)
	}
}

// TestOffsetsOfDeletedTopicsGoAfterACrash: a topic is deleted while no coordinator hears of it, as when the node dies in between. Its offsets are gone after the next
// start, so that a topic of its name begins anew; those of other topics stay.
func TestOffsetsOfDeletedTopicsGoAfterACrash(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	c := dial(t, n)
	createTopic(t, c, "gone", 1)
	createTopic(t, c, "kept", 1)
	warmCoordinator(t, c, "g")
	for _, topic := range []string{"gone", "kept"} {
		code(t, "commit for "+topic, commit(t, c, lone("g"), topic, 7, ""), model.None)
	}
	n.endCoordinators()
	req := kmsg.NewPtrDeleteTopicsRequest()
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = new("gone")
	req.Topics, req.TimeoutMillis = append(req.Topics, one), 10_000
	code(t, "delete", request[*kmsg.DeleteTopicsResponse](t, c, 6, req).Topics[0].ErrorCode, model.None)
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	c = dial(t, n)
	warmCoordinator(t, c, "g")
	eventually(t, "the offset of the deleted topic is removed", func() bool { return committed(t, c, "g", "gone").Offset == -1 })
	if got := committed(t, c, "g", "kept"); got.Offset != 7 {
		t.Errorf("the offset of the other topic is %d", got.Offset)
	}
}
