package group

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
)

// rig is a machine whose steps are applied by hand.
type rig struct {
	t   *testing.T
	m   *Machine
	now time.Time
}

func newRig(t *testing.T, change func(*Options)) *rig {
	o := DefaultOptions()
	if change != nil {
		change(&o)
	}
	r := &rig{t: t, m: New(o), now: start}
	r.apply(r.m.Step(r.now, 0, machine.Loaded{}))
	return r
}

func (r *rig) apply(out machine.Out) machine.Out {
	for _, rec := range out.Records {
		r.m.Apply(machine.Position{}, rec)
	}
	return out
}

// reply steps an input, applies its records and returns its only reply.
func reply[T any](r *rig, input any) T {
	r.t.Helper()
	out := r.apply(r.m.Step(r.now, 1, input))
	if len(out.Replies) != 1 || out.Replies[0].To != 1 {
		r.t.Fatalf("%T: replies %+v", input, out.Replies)
	}
	return out.Replies[0].Value.(T)
}

func commitTo(group string, partitions int, metadata string) OffsetCommit {
	t := CommitTopic{Name: "t"}
	for p := range partitions {
		t.Partitions = append(t.Partitions, CommitPartition{Partition: int32(p), Offset: 1, LeaderEpoch: -1, Metadata: metadata})
	}
	return OffsetCommit{Version: 9, Group: group, Generation: -1, RetentionMs: -1, Topics: []CommitTopic{t}}
}

// TestPieces deletes far more than fits one batch: every Step stays within its bound, other inputs have their turn, and the reply comes at the end.
func TestPieces(t *testing.T) {
	const partitions = 3000
	for _, input := range []any{DeleteGroup{Group: "g"}, TopicDeleted{Name: "t"}} {
		r := newRig(t, func(o *Options) { o.MaxStepBytes = 10_000 })
		reply[OffsetCommitReply](r, commitTo("g", partitions, ""))
		out := r.apply(r.m.Step(r.now, 7, input))
		steps, records := 1, len(out.Records)
		for len(out.Replies) == 0 {
			if r.m.Deadline().After(r.now) {
				t.Fatalf("%T: no further piece after %d records", input, records)
			}
			size := 0
			for _, rec := range out.Records {
				size += recordSize(rec)
			}
			if size == 0 || size > 10_000 {
				t.Fatalf("%T: a piece of %d bytes", input, size)
			}
			out = r.apply(r.m.Step(r.now, 0, nil))
			steps, records = steps+1, records+len(out.Records)
		}
		if out.Replies[0].To != 7 || records < partitions || steps < 10 || r.m.offsets != 0 {
			t.Errorf("%T: %d records in %d steps, reply to %d, %d offsets left", input, records, steps, out.Replies[0].To, r.m.offsets)
		}
	}
}

// TestDeleteRefusedLate: the log refuses a later piece of a deletion, whose caller still waits; it is answered, and what is left stays.
func TestDeleteRefusedLate(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxStepBytes = 1000 })
	reply[OffsetCommitReply](r, commitTo("g", 100, ""))
	r.apply(r.m.Step(r.now, 7, DeleteGroup{Group: "g"}))
	left := r.m.offsets
	out := r.m.Step(r.now, 0, nil)
	if len(out.Records) == 0 || len(out.Replies) > 0 {
		t.Fatalf("second piece: %+v", out)
	}
	out = r.m.Step(r.now, 0, machine.Refused{Err: model.NotEnoughReplicas})
	if len(out.Replies) != 1 || out.Replies[0] != (machine.Reply{To: 7, Value: DeleteGroupReply{Code: model.NotEnoughReplicas}}) {
		t.Errorf("after the refusal: %+v", out.Replies)
	}
	if r.m.offsets != left || !r.m.Deadline().After(r.now) {
		t.Errorf("%d offsets, want %d; deadline %v", r.m.offsets, left, r.m.Deadline())
	}
}

// TestExpiryLetsOthersIn: a check of very many offsets goes in pieces even when it removes nothing.
func TestExpiryLetsOthersIn(t *testing.T) {
	r := newRig(t, nil)
	for i := range 12 {
		reply[OffsetCommitReply](r, commitTo(strings.Repeat("g", i+1), 10_000, ""))
	}
	r.now = r.now.Add(DefaultOptions().RetentionCheckInterval)
	steps := 0
	for ; !r.m.Deadline().After(r.now); steps++ {
		r.apply(r.m.Step(r.now, 0, nil))
	}
	if steps < 3 || steps > 5 || r.m.offsets != 120_000 {
		t.Errorf("%d steps, %d offsets", steps, r.m.offsets)
	}
}

// TestLongStrings: what a record cannot hold is refused before it is kept.
func TestLongStrings(t *testing.T) {
	long := strings.Repeat("x", maxString)
	r := newRig(t, func(o *Options) { o.OffsetMetadataMaxSize = 1 << 20 })
	join := func(change func(*JoinGroup)) model.ErrorCode {
		in := JoinGroup{
			Version: 9, Group: "g", UUID: "u", ClientID: "c", ClientHost: "/h", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
			ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}},
		}
		change(&in)
		return reply[JoinGroupReply](r, in).Code
	}
	for name, c := range map[string]struct {
		change func(*JoinGroup)
		want   model.ErrorCode
	}{
		"group":     {func(in *JoinGroup) { in.Group = long + "x" }, model.InvalidGroupID},
		"client":    {func(in *JoinGroup) { in.ClientID = long }, model.InvalidRequest},
		"instance":  {func(in *JoinGroup) { in.InstanceID = &long }, model.InvalidRequest},
		"protocol":  {func(in *JoinGroup) { in.Protocols[0].Name = long + "x" }, model.InvalidRequest},
		"type":      {func(in *JoinGroup) { in.ProtocolType = long + "x" }, model.InvalidRequest},
		"metadata":  {func(in *JoinGroup) { in.Protocols[0].Metadata = make([]byte, 4<<20) }, model.MessageTooLarge},
		"all right": {func(in *JoinGroup) { in.Protocols[0].Metadata = make([]byte, 1<<20) }, model.MemberIDRequired},
	} {
		if got := join(c.change); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	in := commitTo("h", 1, long+"x")
	if got := reply[OffsetCommitReply](r, in).Topics[0].Partitions[0].Code; got != model.OffsetMetadataTooLarge {
		t.Errorf("metadata: %v", got)
	}
	in = commitTo("h", 1, "")
	in.Topics[0].Name = long + "x"
	if got := reply[OffsetCommitReply](r, in).Topics[0].Partitions[0].Code; got != model.InvalidTopicException {
		t.Errorf("topic: %v", got)
	}
	if got := reply[OffsetCommitReply](r, commitTo(long+"x", 1, "")).Code; got != model.InvalidGroupID {
		t.Errorf("group: %v", got)
	}
}

// TestMetadataIsCountedAsKafkaDoes: in UTF-16 units, so that a letter beyond the basic plane counts twice.
func TestMetadataIsCountedAsKafkaDoes(t *testing.T) {
	for s, want := range map[string]int{"": 0, "abc": 3, "äöü": 3, "日本": 2, "😀a": 3, "\xff\xff": 2} {
		if got := utf16Len(s); got != want {
			t.Errorf("%q counts %d, want %d", s, got, want)
		}
	}
}

// TestRetentionBeyondTime: a retention that no clock reaches does not wrap into the past.
func TestRetentionBeyondTime(t *testing.T) {
	r := newRig(t, nil)
	in := commitTo("g", 1, "")
	in.Version, in.RetentionMs = 4, 1<<63-1
	reply[OffsetCommitReply](r, in)
	r.now = r.now.Add(24 * time.Hour)
	for !r.m.Deadline().After(r.now) {
		r.apply(r.m.Step(r.now, 0, nil))
	}
	if r.m.offsets != 1 {
		t.Error("the offset is gone")
	}
}

// TestInputIsCopied: the bytes of an input belong to its request.
func TestInputIsCopied(t *testing.T) {
	r := newRig(t, func(o *Options) { o.InitialRebalanceDelay = 0 })
	metadata, assignment := []byte("metadata"), []byte("assignment")
	r.apply(r.m.Step(r.now, 1, JoinGroup{
		Version: 3, Group: "g", UUID: "u", ClientID: "c", ClientHost: "/h", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range", Metadata: metadata}},
	}))
	r.apply(r.m.Step(r.now, 0, nil))
	sync := SyncGroup{Group: "g", Generation: 1, MemberID: "c-u", Assignments: []Assignment{{MemberID: "c-u", Assignment: assignment}}}
	if got := reply[SyncGroupReply](r, sync); string(got.Assignment) != "assignment" {
		t.Fatalf("%+v", got)
	}
	clear(metadata)
	clear(assignment)
	got := reply[DescribeGroupReply](r, DescribeGroup{Group: "g"})
	if string(got.Members[0].Metadata) != "metadata" || string(got.Members[0].Assignment) != "assignment" {
		t.Errorf("described %q and %q", got.Members[0].Metadata, got.Members[0].Assignment)
	}
}

// TestHeartbeatAllocatesOnlyItsReply keeps the most frequent input cheap.
func TestHeartbeatAllocatesOnlyItsReply(t *testing.T) {
	r := newRig(t, func(o *Options) { o.InitialRebalanceDelay = 0 })
	r.apply(r.m.Step(r.now, 1, JoinGroup{
		Version: 3, Group: "g", UUID: "u", ClientID: "c", ClientHost: "/h", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
		ProtocolType: "consumer", Protocols: []Protocol{{Name: "range"}},
	}))
	r.apply(r.m.Step(r.now, 0, nil))
	var input any = Heartbeat{Group: "g", Generation: 1, MemberID: "c-u"}
	if n := testing.AllocsPerRun(1000, func() {
		if out := r.m.Step(r.now, 1, input); out.Replies[0].Value != (HeartbeatReply{}) {
			t.Fatalf("%+v", out)
		}
	}); n > 3 {
		t.Errorf("%.1f allocations", n)
	}
}

// TestUnknownInput: an input that no one wrote a case for is a bug of ours.
func TestUnknownInput(t *testing.T) {
	r := newRig(t, nil)
	defer func() {
		if v := recover(); v == nil || !strings.HasPrefix(v.(string), "BUG: ") {
			t.Errorf("recovered %v", v)
		}
	}()
	r.m.Step(r.now, 1, struct{}{})
}

// joining is a first join of a member without a handshake.
func joining(group, uuid string, protocols ...Protocol) JoinGroup {
	return JoinGroup{
		Version: 3, Group: group, UUID: uuid, ClientID: "c", ClientHost: "/h", SessionTimeoutMs: 10_000, RebalanceTimeoutMs: 10_000,
		ProtocolType: "consumer", Protocols: protocols,
	}
}

// TestMembersBringSoMuch: what members bring is in memory as long as they live, and goes to the leader in one answer, so a coordinator takes only so much of it.
func TestMembersBringSoMuch(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxMetadataBytes = 10_000 })
	big := func(n int) Protocol { return Protocol{Name: "range", Metadata: make([]byte, n)} }
	for i, id := range []string{"a", "b"} {
		if out := r.apply(r.m.Step(r.now, machine.Caller(i+1), joining("g", id, big(4000)))); len(out.Replies) != 0 {
			t.Fatalf("member %s: %+v", id, out.Replies)
		}
	}
	if got := reply[JoinGroupReply](r, joining("other", "c", big(4000))); got.Code != model.GroupMaxSizeReached {
		t.Errorf("a third member of 4,000 bytes: %v", got.Code)
	}
	if out := r.apply(r.m.Step(r.now, 9, joining("other", "d", big(1000)))); len(out.Replies) != 0 {
		t.Errorf("one that fits: %+v", out.Replies)
	}
	r.apply(r.m.Step(r.now, 0, LeaveGroup{Group: "g", Members: []LeavingMember{{MemberID: "c-a"}}}))
	if out := r.apply(r.m.Step(r.now, 10, joining("other", "e", big(4000)))); len(out.Replies) != 0 {
		t.Errorf("in the place of one that left: %+v", out.Replies)
	}
}

// TestMembersOfferSoManyProtocols: looking for those that a member names twice takes the square of their number.
func TestMembersOfferSoManyProtocols(t *testing.T) {
	r := newRig(t, nil)
	many := make([]Protocol, 120_000)
	for i := range many {
		many[i] = Protocol{Name: strconv.Itoa(i)}
	}
	if got := reply[JoinGroupReply](r, joining("g", "a", many...)); got.Code != model.InvalidRequest {
		t.Errorf("%d protocols: %v", len(many), got.Code)
	}
	if out := r.apply(r.m.Step(r.now, 2, joining("g", "a", many[:1000]...))); len(out.Replies) != 0 {
		t.Errorf("1,000 protocols: %+v", out.Replies)
	}
}

// TestListGroupsReadsItsFiltersOnce: a request has room for millions of words, and a coordinator for many groups.
func TestListGroupsReadsItsFiltersOnce(t *testing.T) {
	r := newRig(t, nil)
	for i := range 2000 {
		reply[OffsetCommitReply](r, commitTo("g"+strconv.Itoa(i), 1, ""))
	}
	words := make([]string, 1_000_000)
	for i := range words {
		words[i] = "nothing like it"
	}
	began := time.Now()
	if got := reply[ListGroupsReply](r, ListGroups{States: words}); len(got.Groups) != 0 {
		t.Errorf("%d groups", len(got.Groups))
	}
	if took := time.Since(began); took > 2*time.Second { // two thousand million comparisons take longer
		t.Errorf("it took %v", took)
	}
	if got := reply[ListGroupsReply](r, ListGroups{States: append(words, " eMPTY "), Types: []string{"Classic"}}); len(got.Groups) != 2000 {
		t.Errorf("%d groups", len(got.Groups))
	}
}
