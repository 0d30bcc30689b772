package group

import (
	"slices"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/kafka/model"
)

func (m *Machine) joinGroup(in *JoinGroup) {
	if code := m.checkJoin(in); code != model.None {
		m.refuseJoin(code, in.MemberID)
		return
	}
	if in.Version == 0 || in.RebalanceTimeoutMs < 0 {
		in.RebalanceTimeoutMs = in.SessionTimeoutMs
	}
	g := m.groups[in.Group]
	created := g == nil
	if created {
		if in.MemberID != "" {
			m.refuseJoin(model.UnknownMemberID, in.MemberID)
			return
		}
		g = m.group([]byte(in.Group))
	}
	l := m.live(g)
	switch {
	case !m.accepts(l, in.MemberID) || !m.holds(l, in):
		m.turnAway(g, in.MemberID)
		m.refuseJoin(model.GroupMaxSizeReached, "")
	case !l.supports(in.ProtocolType, in.Protocols):
		m.refuseJoin(model.InconsistentGroupProtocol, in.MemberID)
	case in.MemberID == "":
		m.joinNew(g, in)
	default:
		m.joinKnown(g, in)
	}
	if created && !l.idle() && len(m.out.Records) == 0 {
		m.writeNewGroup(g)
	}
	m.settle(g)
}

func (m *Machine) refuseJoin(code model.ErrorCode, memberID string) {
	m.reply(JoinGroupReply{Code: code, Generation: -1, MemberID: memberID})
}

func (m *Machine) checkJoin(in *JoinGroup) model.ErrorCode {
	if in.Group == "" || len(in.Group) > maxString {
		return model.InvalidGroupID
	}
	if !m.sessionAllowed(in.SessionTimeoutMs) {
		return model.InvalidSessionTimeout
	}
	invariant.Check(in.UUID != "", "a join of group %q without a fresh id", in.Group)
	longest := max(len(in.ClientID)+1+len(in.UUID), len(in.ClientHost), len(in.MemberID), len(in.ProtocolType))
	if in.InstanceID != nil {
		longest = max(longest, len(*in.InstanceID)+1+len(in.UUID))
	}
	for i := range in.Protocols {
		longest = max(longest, len(in.Protocols[i].Name))
	}
	if longest > maxString || len(in.Protocols) > m.opts.MaxMemberProtocols {
		return model.InvalidRequest
	}
	if brought(in.Protocols) > m.opts.MaxMemberMetadataBytes {
		return model.MessageTooLarge
	}
	return model.None
}

// accepts tells whether the group has room. While members rejoin, those who wait are counted, not those who are still listed: the bound may have been
// lowered, and then the last ones to come are turned away.
func (m *Machine) accepts(l *live, memberID string) bool {
	mb := l.byID[memberID]
	switch l.state {
	case Empty:
		return true
	case PreparingRebalance:
		return mb != nil && mb.joining || l.joining < m.opts.MaxSize
	default:
		return mb != nil || len(l.members) < m.opts.MaxSize
	}
}

// holds tells whether there is memory for what the member brings.
func (m *Machine) holds(l *live, in *JoinGroup) bool {
	more := brought(in.Protocols)
	if mb := l.byID[in.MemberID]; mb != nil {
		more -= brought(mb.protocols)
	}
	return more <= 0 || m.held+more <= m.opts.MaxMetadataBytes
}

// turnAway forgets a member, or a pending one, for whom there is no room.
func (m *Machine) turnAway(g *group, memberID string) {
	l := g.live
	if t := l.pending[memberID]; t != nil {
		m.timers.stop(t)
		delete(l.pending, memberID)
	}
	if mb := l.byID[memberID]; mb != nil {
		m.removeMember(g, mb)
	}
	m.tryCompleteJoin(g)
}

// joinNew takes in someone without a member id.
func (m *Machine) joinNew(g *group, in *JoinGroup) {
	l := g.live
	name := in.ClientID
	if in.InstanceID != nil {
		name = *in.InstanceID
	}
	id := name + "-" + in.UUID
	if l.byID[id] != nil || l.pending[id] != nil {
		m.refuseJoin(model.CoordinatorNotAvailable, "") // the id was not fresh; the next one will be
		return
	}
	switch {
	case in.InstanceID != nil && l.static[*in.InstanceID] != nil:
		m.replaceStatic(g, in, l.static[*in.InstanceID], id)
	case in.InstanceID != nil || in.Version < 4:
		m.addMember(g, in, id, false)
	case len(l.pending) >= m.opts.MaxPendingMembers:
		m.refuseJoin(model.CoordinatorNotAvailable, "")
	default:
		t := &timer{kind: pendingTimer, group: g, member: id}
		l.pending[id] = t
		m.after(t, int64(in.SessionTimeoutMs))
		m.refuseJoin(model.MemberIDRequired, id)
	}
}

// joinKnown handles someone who has a member id.
func (m *Machine) joinKnown(g *group, in *JoinGroup) {
	l := g.live
	if t := l.pending[in.MemberID]; t != nil && in.InstanceID == nil {
		m.timers.stop(t)
		delete(l.pending, in.MemberID)
		m.addMember(g, in, in.MemberID, true)
		return
	}
	mb, code := g.member(in.MemberID, in.InstanceID)
	if code != model.None {
		m.refuseJoin(code, in.MemberID)
		return
	}
	switch {
	case l.state == Stable && mb.id == l.leader, // it may know of changes that its metadata does not show, such as new partitions
		l.state == PreparingRebalance,
		!mb.offers(in.Protocols):
		m.updateMember(l, mb, in)
		m.awaitJoin(g, mb)
		m.rebalance(g)
	case l.state == CompletingRebalance:
		// The answer to its join was lost: the same once more.
		m.reply(m.joined(l, mb, l.roster()))
	default:
		m.reply(m.joined(l, mb, nil))
	}
}

func (m *Machine) addMember(g *group, in *JoinGroup, id string, told bool) {
	l := g.live
	if len(l.members) == 0 {
		l.protocolType = in.ProtocolType
	}
	mb := &member{id: id, instance: in.InstanceID, fresh: true, told: told, session: timer{kind: sessionTimer, group: g, member: id}}
	fill(mb, in)
	if l.state == PreparingRebalance && l.previous == Empty {
		l.newcomers = true
	}
	l.add(mb)
	m.awaitJoin(g, mb)
	m.after(&mb.session, m.opts.NewMemberJoinTimeout.Milliseconds())
	m.rebalance(g)
}

func (m *Machine) updateMember(l *live, mb *member, in *JoinGroup) {
	l.change(mb, func() { fill(mb, in) })
}

// fill copies into the member what its join says.
func fill(mb *member, in *JoinGroup) {
	mb.clientID, mb.clientHost = in.ClientID, in.ClientHost
	mb.rebalanceMs, mb.sessionMs = in.RebalanceTimeoutMs, in.SessionTimeoutMs
	mb.protocols = make([]Protocol, len(in.Protocols))
	for i, p := range in.Protocols {
		mb.protocols[i] = Protocol{Name: p.Name, Metadata: clone(p.Metadata)}
	}
}

// awaitJoin lets the caller of this Step wait for the generation. A join that the member already waits in is superseded; its client gave it up.
func (m *Machine) awaitJoin(g *group, mb *member) {
	m.answerJoin(g, mb, JoinGroupReply{Code: model.RebalanceInProgress, Generation: -1, MemberID: mb.id})
	g.live.setJoining(mb, true)
	mb.joinCaller = m.from
	if m.from != 0 {
		m.waiting[m.from] = wait{group: g, member: mb}
	}
}

// replaceStatic gives the place of a static member to its new incarnation. In a Stable group the assignment goes with the place and nobody else notices.
func (m *Machine) replaceStatic(g *group, in *JoinGroup, old *member, id string) {
	l := g.live
	fenced := JoinGroupReply{Code: model.FencedInstanceID, Generation: -1, MemberID: old.id}
	m.answerJoin(g, old, fenced)
	m.answerSync(old, SyncGroupReply{Code: model.FencedInstanceID})
	m.timers.stop(&old.session)
	leader := l.leader
	mb := &member{
		id: id, instance: old.instance, assignment: old.assignment, mustSync: old.mustSync,
		session: timer{kind: sessionTimer, group: g, member: id},
	}
	fill(mb, in)
	l.swap(old, mb)
	m.touch(mb)
	switch {
	case l.state == Stable && *l.protocol == l.elect():
		m.storeReplaced(g, in, old, mb, leader)
	case l.state == PreparingRebalance:
		m.awaitJoin(g, mb)
		m.tryCompleteJoin(g)
	default:
		// In CompletingRebalance the leader may be computing an assignment for the old id, which the new one would never get.
		m.awaitJoin(g, mb)
		m.prepareRebalance(g)
	}
}

// storeReplaced writes the generation with the new member id. Before version 9 the answer must name the leader that was: a leader's new incarnation would take
// itself for a leader without the members to assign to.
func (m *Machine) storeReplaced(g *group, in *JoinGroup, old, mb *member, leader string) {
	l := g.live
	r := m.joined(l, mb, nil)
	if in.Version >= 9 {
		if mb.id == l.leader {
			r.SkipAssignment, r.Members = true, l.roster()
		}
	} else {
		r.Leader = leader
	}
	mb.told = true
	m.write(metadataRecord(g.id, l.stored(func(x *member) []byte { return x.assignment }), m.nowMs()))
	m.reply(r)
	m.undo = func(error) {
		m.timers.stop(&mb.session)
		l.swap(mb, old)
		m.touch(old)
	}
}

// writeNewGroup stores a group that has just come to be, so that it can be seen and outlives a restart.
func (m *Machine) writeNewGroup(g *group) {
	m.write(metadataRecord(g.id, &metadata{sinceMs: g.live.sinceMs}, m.nowMs()))
	m.undo = func(error) {
		for _, mb := range slices.Clone(g.live.members) {
			m.removeMember(g, mb)
		}
		m.dropLive(g)
		m.settle(g)
	}
}
