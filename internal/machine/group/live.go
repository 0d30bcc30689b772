package group

import (
	"bytes"
	"slices"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/machine"
)

// State of a group, by its name in the protocol.
type State string

// The states of a classic group.
const (
	Empty               State = "Empty"
	PreparingRebalance  State = "PreparingRebalance"
	CompletingRebalance State = "CompletingRebalance"
	Stable              State = "Stable"
	Dead                State = "Dead"
)

// consumerProtocol is the protocol type of consumers; Connect and others have their own.
const consumerProtocol = "consumer"

// member is a live member.
type member struct {
	id          string
	instance    *string // nil for a dynamic member
	clientID    string
	clientHost  string
	rebalanceMs int32
	sessionMs   int32
	protocols   []Protocol
	assignment  []byte

	joining    bool           // it waits for the generation to be formed
	joinCaller machine.Caller // zero when its connection is gone
	syncing    bool           // it waits for its assignment
	syncCaller machine.Caller
	mustSync   bool // of this generation, and has not yet
	// fresh is a member that has not seen a generation yet. Until then its session is that of its join, which ends after Options.NewMemberJoinTimeout.
	fresh bool
	// told is false for a new member that learns its id only from the answer to its join.
	told    bool
	session timer
}

func (m *member) metadata(protocol string) []byte {
	for i := range m.protocols {
		if m.protocols[i].Name == protocol {
			return m.protocols[i].Metadata
		}
	}
	return nil
}

// offers tells whether the member's protocols are exactly these, in this order.
func (m *member) offers(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// brought is what protocols take in memory.
func brought(protocols []Protocol) int {
	const fixed = 32
	size := 0
	for i := range protocols {
		size += fixed + len(protocols[i].Name) + len(protocols[i].Metadata)
	}
	return size
}

// live is the soft side of a group: its members as they are now and the rebalance under way.
type live struct {
	state        State
	previous     State
	sinceMs      int64
	generation   int32
	protocolType string
	protocol     *string
	leader       string // empty for none

	members  []*member // in the order in which they came (I6)
	byID     map[string]*member
	static   map[string]*member // by instance id
	pending  map[string]*timer  // ids given out and not used yet, with what ends them
	known    map[string]int     // how many members know a protocol
	joining  int                // members that wait in a join
	unsynced int                // members with mustSync
	topics   map[string]bool    // what members subscribe to; nil when unknown
	held     *int               // bytes of what the members of all groups bring

	join      timer
	initial   bool  // join ends the first rebalance of an Empty group, which waits for more members
	delayMs   int64 // of the initial rebalance: how long the present wait is
	remainMs  int64 // and how much longer it may be extended
	newcomers bool  // someone joined during the present wait
	sync      timer
}

func newLive(held *int) *live {
	return &live{
		state: Empty, previous: Dead, sinceMs: -1, held: held,
		byID: map[string]*member{}, static: map[string]*member{}, pending: map[string]*timer{}, known: map[string]int{},
	}
}

// idle is a live side that says nothing more than the stored metadata.
func (l *live) idle() bool {
	return l.state == Empty && len(l.members) == 0 && len(l.pending) == 0
}

func (l *live) add(m *member) {
	invariant.Check(l.byID[m.id] == nil, "group member %q added twice", m.id)
	l.members = append(l.members, m)
	l.byID[m.id] = m
	if m.instance != nil {
		l.static[*m.instance] = m
	}
	if l.leader == "" {
		l.leader = m.id
	}
	l.count(m, 1)
}

func (l *live) remove(m *member) {
	i := slices.Index(l.members, m)
	invariant.Check(i >= 0, "group member %q removed twice", m.id)
	l.members = slices.Delete(l.members, i, i+1)
	delete(l.byID, m.id)
	if m.instance != nil {
		delete(l.static, *m.instance)
	}
	l.count(m, -1)
	if l.leader == m.id {
		l.leader = ""
		if len(l.members) > 0 {
			l.leader = l.members[0].id
		}
	}
}

// swap puts a static member under a new id in the place of the old one.
func (l *live) swap(from, to *member) {
	i := slices.Index(l.members, from)
	invariant.Check(i >= 0 && from.instance != nil, "group member %q replaced, and is not there", from.id)
	l.members[i] = to
	delete(l.byID, from.id)
	l.byID[to.id] = to
	l.static[*from.instance] = to
	l.count(from, -1)
	l.count(to, 1)
	if l.leader == from.id {
		l.leader = to.id
	}
}

// count adds the member to the group's sums, or takes it out.
func (l *live) count(m *member, by int) {
	if m.joining {
		l.joining += by
	}
	if m.mustSync {
		l.unsynced += by
	}
	*l.held += by * brought(m.protocols)
	for i := range m.protocols {
		name := m.protocols[i].Name
		if slices.ContainsFunc(m.protocols[:i], func(p Protocol) bool { return p.Name == name }) {
			continue // named twice, known once
		}
		if l.known[name] += by; l.known[name] == 0 {
			delete(l.known, name)
		}
	}
}

// change alters a member while keeping the sums right.
func (l *live) change(m *member, f func()) {
	l.count(m, -1)
	f()
	l.count(m, 1)
}

func (l *live) setJoining(m *member, joining bool) {
	if m.joining != joining {
		m.joining = joining
		if joining {
			l.joining++
		} else {
			l.joining--
		}
	}
}

func (l *live) setMustSync(m *member, must bool) {
	if m.mustSync != must {
		m.mustSync = must
		if must {
			l.unsynced++
		} else {
			l.unsynced--
		}
	}
}

func (l *live) enter(s State, nowMs int64) {
	l.previous, l.state, l.sinceMs = l.state, s, nowMs
}

func (l *live) allJoined() bool { return l.joining == len(l.members) && len(l.pending) == 0 }

// rebalanceMs is how long a phase of a rebalance may take: as long as the most patient member allows.
func (l *live) rebalanceMs() int64 {
	var longest int32
	for _, m := range l.members {
		longest = max(longest, m.rebalanceMs)
	}
	return int64(longest)
}

// supports tells whether a member with these protocols fits: every member must know at least one of them.
func (l *live) supports(protocolType string, protocols []Protocol) bool {
	if l.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if l.protocolType == "" || l.protocolType != protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return l.knownToAll(p.Name) })
}

func (l *live) knownToAll(protocol string) bool { return l.known[protocol] == len(l.members) }

// elect chooses the protocol: of those that all know each member votes for the one it prefers. Among equals the one that was voted for first wins.
func (l *live) elect() string {
	var names []string
	votes := map[string]int{}
	for _, m := range l.members {
		for i := range m.protocols {
			name := m.protocols[i].Name
			if !l.knownToAll(name) {
				continue
			}
			if votes[name] == 0 {
				names = append(names, name)
			}
			votes[name]++
			break
		}
	}
	invariant.Check(len(names) > 0, "group members without a common protocol")
	best := names[0]
	for _, name := range names[1:] {
		if votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// subscribe reads from the members' metadata which topics they want.
func (l *live) subscribe() {
	l.topics = nil
	if l.protocolType != consumerProtocol || l.protocol == nil && len(l.members) > 0 {
		return
	}
	topics := map[string]bool{}
	for _, m := range l.members {
		if !subscription(m.metadata(*l.protocol), topics) {
			return
		}
	}
	l.topics = topics
}

// roster is what the leader learns of all members.
func (l *live) roster() []JoinedMember {
	all := make([]JoinedMember, len(l.members))
	for i, m := range l.members {
		all[i] = JoinedMember{MemberID: m.id, InstanceID: m.instance, Metadata: m.metadata(*l.protocol)}
	}
	return all
}

// stored is the generation as its record will say.
func (l *live) stored(assignment func(*member) []byte) *metadata {
	md := &metadata{protocolType: l.protocolType, generation: l.generation, protocol: l.protocol, sinceMs: l.sinceMs}
	if l.leader != "" {
		md.leader = new(l.leader)
	}
	for _, m := range l.members {
		md.members = append(md.members, storedMember{
			id: m.id, instance: m.instance, clientID: m.clientID, clientHost: m.clientHost,
			rebalanceMs: m.rebalanceMs, sessionMs: m.sessionMs,
			subscription: m.metadata(*l.protocol), assignment: assignment(m),
		})
	}
	return md
}
