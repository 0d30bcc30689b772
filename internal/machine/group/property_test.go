package group

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
)

// TestProperties lets random clients, some of them confused, loose on a machine whose log refuses now and then and which restarts now and then, and checks
// the invariants of the package after every step.
func TestProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		for range rapid.IntRange(10, 150).Draw(t, "steps") {
			w.act()
		}
		w.end()
	})
}

var worldGroups = []string{"g", "h"}

// world is a machine, a twin that gets the same inputs, its log and its clients.
type world struct {
	t       *rapid.T
	opts    Options
	m, twin *Machine
	now     time.Time
	log     []machine.Record
	refuses bool
	callers machine.Caller
	open    map[machine.Caller]string // who has not been answered
	gone    map[machine.Caller]bool   // who has stopped waiting
	answers map[machine.Caller]func(any)
	clients []*client
	uuid    int

	tokens  int
	rows    map[string][]string // what was assigned in a group's generation
	offsets map[string]int64    // committed, as acknowledged
}

// client is what a client knows of itself.
type client struct {
	group      string
	instance   *string
	id         string
	generation int32
	roster     []JoinedMember // of a leader
	protocols  []Protocol
}

func newWorld(t *rapid.T) *world {
	w := &world{t: t, opts: DefaultOptions(), now: start, open: map[machine.Caller]string{}, gone: map[machine.Caller]bool{}, answers: map[machine.Caller]func(any){}, rows: map[string][]string{}, offsets: map[string]int64{}}
	w.opts.InitialRebalanceDelay = time.Duration(rapid.SampledFrom([]int{0, 1, 3}).Draw(t, "delay")) * time.Second
	w.opts.MaxSize = rapid.IntRange(1, 6).Draw(t, "max size")
	w.opts.MaxPendingMembers = rapid.IntRange(1, 4).Draw(t, "max pending")
	w.opts.OffsetsRetention = 1000 * 24 * time.Hour
	w.opts.MaxStepBytes = rapid.SampledFrom([]int{1, 200, 1 << 20}).Draw(t, "step bytes")
	names := []string{"range", "roundrobin", "sticky"}
	for i := range 6 {
		c := &client{group: worldGroups[rapid.IntRange(0, 4).Draw(t, "group")/4]}
		if rapid.IntRange(0, 2).Draw(t, "static") == 0 {
			c.instance = new(fmt.Sprint("i", i%2)) // two clients may share one
		}
		for _, name := range names[:rapid.IntRange(1, 3).Draw(t, "protocols")] {
			c.protocols = append(c.protocols, Protocol{Name: name, Metadata: subscriptionTo("t")})
		}
		w.clients = append(w.clients, c)
	}
	w.restart()
	return w
}

func (w *world) restart() {
	w.m, w.twin = New(w.opts), New(w.opts)
	for i, r := range w.log {
		w.m.Apply(machine.Position{Offset: int64(i)}, r)
		w.twin.Apply(machine.Position{Offset: int64(i)}, r)
	}
	clear(w.open)
	w.step(0, machine.Loaded{})
}

func (w *world) act() {
	c := rapid.SampledFrom(w.clients).Draw(w.t, "client")
	switch rapid.SampledFrom([]string{"join", "join", "join", "sync", "sync", "heartbeat", "commit", "wait", "wait", "leave", "abandon", "admin", "refuse", "restart", "change"}).Draw(w.t, "act") {
	case "join":
		w.join(c)
	case "sync":
		w.sync(c)
	case "heartbeat":
		w.call(Heartbeat{Group: c.group, MemberID: c.id, InstanceID: c.instance, Generation: w.generation(c)}, nil)
	case "commit":
		w.commit(c)
	case "wait":
		w.wait(time.Duration(rapid.SampledFrom([]int{1, 2000, 5000, 9000, 20000}).Draw(w.t, "ms")) * time.Millisecond)
	case "leave":
		w.call(LeaveGroup{Group: c.group, Members: []LeavingMember{{MemberID: c.id, InstanceID: c.instance}}}, nil)
	case "abandon":
		if len(w.open) > 0 {
			caller := rapid.SampledFrom(slices.Sorted(maps.Keys(w.open))).Draw(w.t, "caller")
			delete(w.open, caller)
			w.gone[caller] = true
			w.step(0, machine.Abandoned{Caller: caller})
		}
	case "admin":
		w.admin(c)
	case "refuse":
		w.refuses = !w.refuses
	case "restart":
		if rapid.IntRange(0, 3).Draw(w.t, "really") == 0 {
			w.restart()
		}
	case "change":
		c.protocols[0].Metadata = subscriptionTo(rapid.SampledFrom([]string{"t", "u", "v"}).Draw(w.t, "topic"))
	}
}

// generation is what the client believes it to be, or sometimes another.
func (w *world) generation(c *client) int32 {
	return c.generation + rapid.SampledFrom([]int32{0, 0, 0, 0, 1, -1}).Draw(w.t, "off by")
}

func (w *world) join(c *client) {
	w.uuid++
	in := JoinGroup{
		Version: rapid.SampledFrom([]int16{0, 3, 5, 9}).Draw(w.t, "version"), Group: c.group, MemberID: c.id, InstanceID: c.instance,
		UUID: fmt.Sprint(w.uuid), ClientID: "c", ClientHost: "/h", SessionTimeoutMs: 10_000,
		RebalanceTimeoutMs: rapid.SampledFrom([]int32{5000, 30_000}).Draw(w.t, "rebalance"), ProtocolType: "consumer", Protocols: c.protocols,
	}
	if c.instance != nil && rapid.IntRange(0, 3).Draw(w.t, "comes back") == 0 {
		in.MemberID = ""
	}
	w.call(in, func(v any) {
		r := v.(JoinGroupReply)
		switch r.Code {
		case model.None:
			c.id, c.generation, c.roster = r.MemberID, r.Generation, r.Members
			if r.Leader != r.MemberID {
				c.roster = nil
			}
		case model.MemberIDRequired:
			c.id = r.MemberID
		case model.UnknownMemberID, model.FencedInstanceID:
			c.id = ""
		}
	})
}

// sync sends, as a leader, a token to each member; no token is ever given twice.
func (w *world) sync(c *client) {
	in := SyncGroup{Group: c.group, Generation: w.generation(c), MemberID: c.id, InstanceID: c.instance}
	for _, m := range c.roster {
		w.tokens++
		in.Assignments = append(in.Assignments, Assignment{MemberID: m.MemberID, Assignment: fmt.Append(nil, "token", w.tokens)})
	}
	w.call(in, func(v any) {
		r := v.(SyncGroupReply)
		if r.Code != model.None {
			return
		}
		md := w.m.groups[c.group].metadata
		if md == nil || md.generation != in.Generation {
			w.t.Fatalf("an assignment of generation %d that was not written: %+v", in.Generation, md)
		}
		i := slices.IndexFunc(md.members, func(s storedMember) bool { return s.id == in.MemberID })
		if i < 0 || string(md.members[i].assignment) != string(r.Assignment) {
			w.t.Fatalf("%s got %q in generation %d of %s", in.MemberID, r.Assignment, in.Generation, showMetadata(md))
		}
	})
}

func (w *world) commit(c *client) {
	p := rapid.Int32Range(0, 3).Draw(w.t, "partition")
	in := OffsetCommit{Version: 9, Group: c.group, Generation: w.generation(c), MemberID: c.id, InstanceID: c.instance, RetentionMs: -1}
	if rapid.IntRange(0, 3).Draw(w.t, "outsider") == 0 {
		in.Generation, in.MemberID, in.InstanceID = -1, "", nil
	}
	w.tokens++
	o := int64(w.tokens)
	in.Topics = []CommitTopic{{Name: "t", Partitions: []CommitPartition{{Partition: p, Offset: o, LeaderEpoch: -1}}}}
	w.call(in, func(v any) {
		if v.(OffsetCommitReply).Topics[0].Partitions[0].Code == model.None {
			w.offsets[fmt.Sprint(c.group, p)] = o
		}
	})
}

func (w *world) admin(c *client) {
	switch rapid.IntRange(0, 3).Draw(w.t, "what") {
	case 0:
		w.call(DescribeGroup{Group: c.group, Version: 6}, nil)
	case 1:
		w.call(DeleteGroup{Group: c.group}, func(any) {})
	case 2:
		w.call(TopicDeleted{Name: "t"}, func(any) {})
	case 3:
		in := OffsetFetch{Group: c.group, Topics: []FetchTopic{{Name: "t", Partitions: []int32{0, 1, 2, 3}}}}
		w.call(in, func(v any) {
			for _, p := range v.(OffsetFetchReply).Topics[0].Partitions {
				want, ok := w.offsets[fmt.Sprint(c.group, p.Partition)]
				if !ok {
					want = -1
				}
				if p.Offset != want {
					w.t.Fatalf("%s t-%d is at %d, want %d", c.group, p.Partition, p.Offset, want)
				}
			}
		})
	}
}

// call steps an input for a new caller.
func (w *world) call(input any, answered func(any)) {
	w.callers++
	w.open[w.callers] = fmt.Sprintf("%T", input)
	w.answers[w.callers] = answered
	w.step(w.callers, input)
	w.due()
}

func (w *world) step(from machine.Caller, input any) {
	before := dump(w.m)
	out := w.m.Step(w.now, from, input)
	if other := w.twin.Step(w.now, from, input); !reflect.DeepEqual(out, other) {
		w.t.Fatalf("I6: %T gave\n%+v\nand\n%+v", input, out, other)
	}
	if after := dump(w.m); after != before {
		w.t.Fatalf("I1: a step with %T changed hard state\n%s\nto\n%s", input, before, after)
	}
	if w.refuses && len(out.Records) > 0 {
		w.refuse(from, out, input)
		return
	}
	size := 0
	for _, r := range out.Records {
		size += recordSize(r)
		w.written(r)
		w.m.Apply(machine.Position{Offset: int64(len(w.log))}, r)
		w.twin.Apply(machine.Position{Offset: int64(len(w.log))}, r)
		w.log = append(w.log, r)
	}
	if input == nil && len(out.Records) > 2 && size > w.opts.MaxStepBytes+100 {
		w.t.Fatalf("a piece of %d bytes in %d records", size, len(out.Records))
	}
	for _, r := range out.Replies {
		if _, deletion := r.Value.(DeleteGroupReply); deletion && w.gone[r.To] {
			continue
		}
		if _, deletion := r.Value.(TopicDeletedReply); deletion && w.gone[r.To] {
			continue
		}
		if _, waits := w.open[r.To]; !waits {
			w.t.Fatalf("I4: caller %d of %T gets %s, and does not wait", r.To, input, showReply(r.Value))
		}
		delete(w.open, r.To)
		if f := w.answers[r.To]; f != nil {
			f(r.Value)
		}
	}
	check(w.t, w.m)
}

// refuse does what a shard does: whoever would have been answered fails, and the machine follows.
func (w *world) refuse(from machine.Caller, out machine.Out, input any) {
	delete(w.open, from)
	for _, r := range out.Replies {
		delete(w.open, r.To)
	}
	refused := machine.Refused{Caller: from, Input: input, Err: errors.New("no room")}
	follow := w.m.Step(w.now, 0, refused)
	if other := w.twin.Step(w.now, 0, refused); !reflect.DeepEqual(follow, other) {
		w.t.Fatalf("I6: a refusal gave\n%+v\nand\n%+v", follow, other)
	}
	if len(follow.Records) > 0 {
		w.t.Fatalf("records after a refusal: %s", showRecord(follow.Records[0]))
	}
	for _, r := range follow.Replies {
		delete(w.open, r.To)
	}
	check(w.t, w.m)
}

// written follows the log: what a record says of a generation stays so, but for the ids of static members (I2), and what is removed is gone.
func (w *world) written(r machine.Record) {
	key, err := decodeKey(r.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	group := string(key.group)
	if key.kind != metadataKey {
		if r.Value == nil {
			delete(w.offsets, fmt.Sprint(group, key.partition))
		}
		return
	}
	if r.Value == nil {
		for k := range w.rows {
			if strings.HasPrefix(k, group+"/") {
				delete(w.rows, k)
			}
		}
		return
	}
	md, err := decodeMetadata(r.Value)
	if err != nil {
		w.t.Fatal(err)
	}
	if len(md.members) == 0 {
		return
	}
	var row []string
	for i := range md.members {
		token := string(md.members[i].assignment)
		if token != "" && slices.Contains(row, token) {
			w.t.Fatalf("I2: %s is assigned twice in %s", token, showMetadata(md))
		}
		row = append(row, token)
	}
	k := fmt.Sprintf("%s/%d", group, md.generation)
	if was, ok := w.rows[k]; ok && !slices.Equal(was, row) {
		w.t.Fatalf("I2: generation %s was %q and is %q", k, was, row)
	}
	w.rows[k] = row
}

func (w *world) due() {
	for at := w.m.Deadline(); !at.IsZero() && !at.After(w.now); at = w.m.Deadline() {
		w.step(0, nil)
	}
}

func (w *world) wait(d time.Duration) {
	end := w.now.Add(d)
	for at := w.m.Deadline(); !at.IsZero() && !at.After(end); at = w.m.Deadline() {
		w.now = at
		w.due()
	}
	w.now = end
}

// end lets everything run out: everyone is answered in the end (I4), and the log alone gives the same hard state (I1).
func (w *world) end() {
	w.refuses = false
	w.wait(10 * time.Minute)
	if len(w.open) > 0 {
		w.t.Fatalf("never answered: %v", w.open)
	}
	if len(w.m.waiting) > 0 {
		w.t.Fatalf("I4: still waiting: %v", w.m.waiting)
	}
	was := dump(w.m)
	w.restart()
	if is := dump(w.m); is != was {
		w.t.Fatalf("I1: after a restart\n%s\nbefore\n%s", is, was)
	}
}

// check holds a machine against the invariants of its own bookkeeping.
func check(t *rapid.T, m *Machine) {
	timers := 1 // the check of retention
	offsets, held := 0, 0
	for id, g := range m.groups {
		if g.id != id || g.metadata == nil && g.live == nil && len(g.offsets) == 0 {
			t.Fatalf("group %q is empty: %+v", id, g)
		}
		for _, of := range g.offsets {
			offsets += len(of)
		}
		if g.live != nil {
			timers += checkLive(t, g.live)
			for _, mb := range g.live.members {
				held += brought(mb.protocols)
			}
		}
	}
	if held != m.held {
		t.Fatalf("members bring %d bytes, counted %d", held, m.held)
	}
	if offsets != m.offsets {
		t.Fatalf("%d offsets, counted %d", offsets, m.offsets)
	}
	for i, tm := range m.timers.heap {
		if tm.place != i+1 || i > 0 && m.timers.before(i, (i-1)/2) {
			t.Fatalf("I3: timer %d is out of place", i)
		}
		if tm.kind == jobTimer {
			timers++
		}
	}
	if len(m.timers.heap) != timers {
		t.Fatalf("I3: %d timers, want %d", len(m.timers.heap), timers)
	}
	for caller, w := range m.waiting {
		if w.member.joinCaller != caller && w.member.syncCaller != caller {
			t.Fatalf("I4: caller %d waits for nothing", caller)
		}
	}
}

func checkLive(t *rapid.T, l *live) (timers int) {
	joining, unsynced := 0, 0
	for _, mb := range l.members {
		if l.byID[mb.id] != mb || mb.instance != nil && l.static[*mb.instance] != mb {
			t.Fatalf("member %s is not indexed", mb.id)
		}
		if mb.joining {
			joining++
		}
		if mb.mustSync {
			unsynced++
		}
		switch {
		case mb.session.place > 0:
			timers++
		case !mb.joining && !mb.syncing:
			t.Fatalf("member %s has no session in %s", mb.id, l.state)
		}
	}
	if joining != l.joining || unsynced != l.unsynced || len(l.byID) != len(l.members) {
		t.Fatalf("joining %d counted %d, unsynced %d counted %d", joining, l.joining, unsynced, l.unsynced)
	}
	for _, tm := range l.pending {
		if tm.place == 0 {
			t.Fatalf("pending member %s has no timer", tm.member)
		}
		timers++
	}
	if l.join.place > 0 {
		timers++
	}
	if l.sync.place > 0 {
		timers++
	}
	if (l.join.place > 0) != (l.state == PreparingRebalance) {
		t.Fatalf("the join timer in %s", l.state)
	}
	if l.leader != "" && l.byID[l.leader] == nil || l.leader == "" && len(l.members) > 0 {
		t.Fatalf("leader %q of %d members", l.leader, len(l.members))
	}
	if (l.state == Stable || l.state == CompletingRebalance) && (len(l.members) == 0 || l.protocol == nil) || l.state == Empty && len(l.members) > 0 {
		t.Fatalf("%d members in %s", len(l.members), l.state)
	}
	return timers
}
