package group

import (
	"slices"
	"time"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/machine"
)

// Options of a Machine; DefaultOptions has Kafka's values.
type Options struct {
	MinSessionTimeout     time.Duration // group.min.session.timeout.ms
	MaxSessionTimeout     time.Duration // group.max.session.timeout.ms
	InitialRebalanceDelay time.Duration // group.initial.rebalance.delay.ms
	MaxSize               int           // group.max.size: members of one group
	NewMemberJoinTimeout  time.Duration // how long a member's first join may wait; its session begins with the answer

	OffsetMetadataMaxSize  int           // offset.metadata.max.bytes, in UTF-16 units as Kafka counts
	OffsetsRetention       time.Duration // offsets.retention.minutes
	RetentionCheckInterval time.Duration // offsets.retention.check.interval.ms

	// MaxPendingMembers bounds, in one group, the member ids that were given out and not used yet; beyond it a join is told to retry.
	MaxPendingMembers int
	// MaxMemberMetadataBytes bounds what one member may bring: names and metadata of all its protocols.
	MaxMemberMetadataBytes int
	// MaxMemberProtocols bounds how many protocols one member may offer.
	MaxMemberProtocols int
	// MaxMetadataBytes bounds what the members of all groups of this Machine bring together; beyond it a join finds its group full.
	MaxMetadataBytes int
	// MaxStepBytes bounds the tombstones of one Step of expiry or deletion; what is left follows in the next one. It must stay below the driver's bound of
	// a batch.
	MaxStepBytes int
}

// DefaultOptions gives Kafka's defaults, and our own bounds where Kafka has none.
func DefaultOptions() Options {
	return Options{
		MinSessionTimeout:      6 * time.Second,
		MaxSessionTimeout:      30 * time.Minute,
		InitialRebalanceDelay:  3 * time.Second,
		MaxSize:                1<<31 - 1,
		NewMemberJoinTimeout:   5 * time.Minute,
		OffsetMetadataMaxSize:  4096,
		OffsetsRetention:       7 * 24 * time.Hour,
		RetentionCheckInterval: 10 * time.Minute,
		MaxPendingMembers:      10_000,
		MaxMemberMetadataBytes: 4 << 20,
		MaxMemberProtocols:     1000,
		MaxMetadataBytes:       64 << 20,
		MaxStepBytes:           512 << 10,
	}
}

// Machine is the coordinator of all groups of one partition of __consumer_offsets. It implements machine.Machine.
type Machine struct {
	opts    Options
	groups  map[string]*group
	offsets int // committed, in all groups
	skipped Skipped

	// Soft.
	loaded  bool
	timers  timers
	waiting map[machine.Caller]wait
	held    int // bytes of what live members bring
	expiry  timer
	retries int // jobs that wait after a refusal

	// Of the Step under way.
	now   time.Time
	from  machine.Caller
	out   machine.Out
	bytes int
	// undo brings soft state in line when the records of the latest Step are refused.
	undo func(error)
}

// wait says which member a caller waits for.
type wait struct {
	group  *group
	member *member
}

// Skipped counts records that were left alone.
type Skipped struct {
	UnknownType int64  // such as those of other group protocols
	Unreadable  int64  // torn, or of an unknown version
	Last        string // why the latest was
}

// New returns a Machine without groups. Options come from a checked configuration.
func New(opts Options) *Machine {
	invariant.Check(opts.MaxSize > 0 && opts.MaxStepBytes > 0 && opts.MaxPendingMembers > 0 && opts.MaxMemberMetadataBytes > 0 && opts.MaxMemberProtocols > 0 && opts.MaxMetadataBytes > 0 &&
		opts.RetentionCheckInterval > 0 && opts.NewMemberJoinTimeout > 0, "group options without a bound: %+v", opts)
	m := &Machine{opts: opts, groups: map[string]*group{}, waiting: map[machine.Caller]wait{}}
	m.expiry.kind = expiryTimer
	return m
}

// Deadline implements machine.Machine.
func (m *Machine) Deadline() time.Time { return m.timers.next() }

// Skipped tells what could not be used of the records so far.
func (m *Machine) Skipped() Skipped { return m.skipped }

// Step implements machine.Machine. It takes the inputs of this package and those of package machine.
func (m *Machine) Step(now time.Time, from machine.Caller, input any) machine.Out {
	undo := m.undo
	m.now, m.from, m.out, m.bytes, m.undo = now, from, machine.Out{}, 0, nil
	switch in := input.(type) {
	case nil:
		m.timeouts()
	case machine.Loaded:
		m.begin()
	case machine.Refused:
		if undo != nil {
			undo(in.Err)
		}
	case machine.Abandoned:
		m.abandoned(in.Caller)
	case JoinGroup:
		m.joinGroup(&in)
	case SyncGroup:
		m.syncGroup(&in)
	case Heartbeat:
		m.reply(HeartbeatReply{Code: m.heartbeat(&in)})
	case LeaveGroup:
		m.leaveGroup(&in)
	case OffsetCommit:
		m.offsetCommit(&in)
	case OffsetFetch:
		m.offsetFetch(&in)
	case OffsetDelete:
		m.offsetDelete(&in)
	case DescribeGroup:
		m.reply(m.describeGroup(&in))
	case ListGroups:
		m.reply(m.listGroups(&in))
	case DeleteGroup:
		m.deleteGroup(&in)
	case TopicDeleted:
		m.startJob(&job{caller: from, kind: topicJob, topic: in.Name, id: in.ID})
	case TopicsKnown:
		m.topicsKnown(in)
	case Stats:
		m.reply(m.stats())
	default:
		invariant.Check(false, "the group machine was stepped with a %T", input)
	}
	out := m.out
	m.out = machine.Out{}
	return out
}

// Apply implements machine.Machine.
func (m *Machine) Apply(at machine.Position, record machine.Record) {
	m.undo = nil
	key, err := decodeKey(record.Key)
	if err != nil {
		m.skip(err)
		return
	}
	switch {
	case key.kind == metadataKey && record.Value == nil:
		m.applyGroupTombstone(key)
	case key.kind == metadataKey:
		m.applyMetadata(key, record.Value)
	case record.Value == nil:
		m.applyOffsetTombstone(key)
	default:
		m.applyOffset(key, record.Value)
	}
}

func (m *Machine) applyMetadata(key recordKey, value []byte) {
	md, err := decodeMetadata(value)
	if err != nil {
		m.skip(err)
		return
	}
	g := m.group(key.group)
	g.metadata = md
	g.share()
	m.settle(g)
}

func (m *Machine) applyGroupTombstone(key recordKey) {
	g := m.groups[string(key.group)]
	if g == nil {
		return
	}
	g.metadata = nil
	m.dropLive(g)
	m.settle(g)
}

func (m *Machine) applyOffset(key recordKey, value []byte) {
	o, md, err := decodeOffset(value)
	if err != nil {
		m.skip(err)
		return
	}
	o.metadata = string(md)
	if m.group(key.group).setOffset(key.topic, key.partition, &o) {
		m.offsets++
	}
}

func (m *Machine) applyOffsetTombstone(key recordKey) {
	g := m.groups[string(key.group)]
	if g != nil && g.dropOffset(key.topic, key.partition) {
		m.offsets--
		m.settle(g)
	}
}

// skip counts a record that cannot be used. It stays in the log.
func (m *Machine) skip(err error) {
	if isUnknownType(err) {
		m.skipped.UnknownType++
	} else {
		m.skipped.Unreadable++
	}
	m.skipped.Last = err.Error()
}

// group finds a group or makes one.
func (m *Machine) group(id []byte) *group {
	g := m.groups[string(id)]
	if g == nil {
		g = &group{id: string(id)}
		m.groups[g.id] = g
	}
	return g
}

// live gives the group its live side, made from what is stored.
func (m *Machine) live(g *group) *live {
	if g.live != nil {
		return g.live
	}
	l := newLive(&m.held)
	g.live = l
	l.join = timer{kind: joinTimer, group: g}
	l.sync = timer{kind: syncTimer, group: g}
	md := g.metadata
	if md == nil {
		l.sinceMs = m.nowMs()
		return l
	}
	l.generation, l.protocolType, l.protocol, l.sinceMs = md.generation, md.protocolType, md.protocol, md.sinceMs
	if len(md.members) == 0 {
		return l
	}
	l.state = Stable
	if l.protocol == nil {
		l.protocol = new("")
	}
	for i := range md.members {
		s := &md.members[i]
		l.add(&member{
			id: s.id, instance: s.instance, clientID: s.clientID, clientHost: s.clientHost,
			rebalanceMs: s.rebalanceMs, sessionMs: s.sessionMs, told: true,
			protocols:  []Protocol{{Name: *l.protocol, Metadata: s.subscription}},
			assignment: s.assignment, session: timer{kind: sessionTimer, group: g, member: s.id},
		})
	}
	if md.leader != nil && l.byID[*md.leader] != nil {
		l.leader = *md.leader
	}
	l.subscribe()
	return l
}

// dropLive ends the live side of a group that nobody is a member of.
func (m *Machine) dropLive(g *group) {
	l := g.live
	if l == nil {
		return
	}
	invariant.Check(len(l.members) == 0 || !m.loaded, "group %q dropped with %d members", g.id, len(l.members))
	for _, mb := range l.members {
		l.count(mb, -1)
	}
	for _, t := range l.pending {
		m.timers.stop(t)
	}
	m.timers.stop(&l.join)
	m.timers.stop(&l.sync)
	g.live = nil
}

// settle forgets a live side that says nothing of its own, and a group of which nothing is left.
func (m *Machine) settle(g *group) {
	if g.live != nil && g.live.idle() && (g.metadata == nil || len(g.metadata.members) == 0 && g.metadata.generation == g.live.generation) {
		m.dropLive(g)
	}
	if g.live == nil && g.metadata == nil && len(g.offsets) == 0 && m.groups[g.id] == g {
		delete(m.groups, g.id)
	}
}

// begin starts serving what was loaded: stored members live on with a fresh session.
func (m *Machine) begin() {
	m.loaded = true
	for _, g := range m.sorted() {
		if g.metadata == nil || len(g.metadata.members) == 0 {
			continue
		}
		l := m.live(g)
		for _, mb := range l.members {
			m.touch(mb)
		}
		if len(l.members) > m.opts.MaxSize { // the bound was lowered: everyone rejoins and those beyond it are refused
			m.prepareRebalance(g)
		}
	}
	m.timers.set(&m.expiry, m.now.Add(m.opts.RetentionCheckInterval))
}

// timeouts handles deadlines that have passed, up to the first that has an effect outside of the machine: whoever drives it fails everything of a Step whose
// records are refused, so that each Step is about one group only.
func (m *Machine) timeouts() {
	for len(m.out.Records) == 0 && len(m.out.Replies) == 0 {
		t := m.timers.due(m.now)
		if t == nil {
			return
		}
		switch t.kind {
		case sessionTimer:
			m.sessionExpired(t.group, t.member)
		case pendingTimer:
			m.pendingExpired(t.group, t.member)
		case joinTimer:
			m.joinExpired(t.group)
		case syncTimer:
			m.syncExpired(t.group)
		case jobTimer:
			m.runJob(t.job)
			return // so that others have their turn between its pieces
		case expiryTimer:
			m.timers.set(&m.expiry, m.now.Add(m.opts.RetentionCheckInterval))
			m.startJob(&job{kind: expiryJob})
			return
		}
	}
}

// abandoned forgets a caller. A member stays what it is, and its session decides, except one whose id was only to be in the answer: nobody can continue it.
func (m *Machine) abandoned(caller machine.Caller) {
	w, ok := m.waiting[caller]
	if !ok {
		return
	}
	delete(m.waiting, caller)
	mb := w.member
	if mb.syncCaller == caller {
		mb.syncCaller = 0
	}
	if mb.joinCaller != caller {
		return
	}
	mb.joinCaller = 0
	if !mb.told && mb.instance == nil {
		m.removeMember(w.group, mb)
		m.afterLeave(w.group)
	}
}

func (m *Machine) nowMs() int64 { return m.now.UnixMilli() }

// reply answers the caller of this Step.
func (m *Machine) reply(value any) { m.replyTo(m.from, value) }

func (m *Machine) replyTo(caller machine.Caller, value any) {
	if caller != 0 {
		m.out.Replies = append(m.out.Replies, machine.Reply{To: caller, Value: value})
	}
}

func (m *Machine) write(r machine.Record) {
	m.out.Records = append(m.out.Records, r)
	m.bytes += recordSize(r)
}

// touch gives the member a whole session from now.
func (m *Machine) touch(mb *member) {
	m.timers.set(&mb.session, m.now.Add(time.Duration(mb.sessionMs)*time.Millisecond))
}

// after sets a timer some milliseconds from now.
func (m *Machine) after(t *timer, ms int64) {
	m.timers.set(t, m.now.Add(time.Duration(ms)*time.Millisecond))
}

// sorted gives the groups in the order of their names (I6).
func (m *Machine) sorted() []*group {
	all := make([]*group, 0, len(m.groups))
	for _, g := range m.groups {
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int { return compare(a.id, b.id) })
	return all
}

func (m *Machine) stats() StatsReply {
	s := StatsReply{Groups: map[string]int{}, Offsets: m.offsets, Skipped: m.skipped}
	for _, g := range m.groups {
		s.Groups[string(g.state())]++
		if g.live != nil {
			s.Members += len(g.live.members)
		}
	}
	return s
}

var _ machine.Machine = (*Machine)(nil)
