package group

import (
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
)

// rebalance starts a rebalance, or, when one is being prepared, ends its join phase if that was all it waited for.
func (m *Machine) rebalance(g *group) {
	if g.live.state == PreparingRebalance {
		m.tryCompleteJoin(g)
		return
	}
	m.prepareRebalance(g)
}

// prepareRebalance opens the join phase. The first one of an Empty group stays open for a while even when everyone is there, so that the many members of an
// application that starts do not cause a rebalance each.
func (m *Machine) prepareRebalance(g *group) {
	l := g.live
	if l.state == CompletingRebalance {
		m.failSyncs(g, model.RebalanceInProgress)
	}
	m.clearSync(l)
	first := l.state == Empty
	l.enter(PreparingRebalance, m.nowMs())
	switch {
	case first:
		delay := m.opts.InitialRebalanceDelay.Milliseconds()
		l.initial, l.newcomers = true, false
		l.delayMs, l.remainMs = delay, max(l.rebalanceMs()-delay, 0)
		m.after(&l.join, delay)
	case l.allJoined():
		m.completeJoin(g)
	default:
		l.initial = false
		m.after(&l.join, l.rebalanceMs())
	}
}

// tryCompleteJoin ends the join phase when everyone is there, except the first one of an Empty group, which takes its time.
func (m *Machine) tryCompleteJoin(g *group) {
	l := g.live
	if l.state == PreparingRebalance && l.previous != Empty && l.allJoined() {
		m.completeJoin(g)
	}
}

// joinExpired ends the join phase with those who are there, or, in the first one, waits on if someone came during the last wait.
func (m *Machine) joinExpired(g *group) {
	l := g.live
	if l.initial && l.newcomers && l.remainMs > 0 {
		l.newcomers = false
		delay := min(m.opts.InitialRebalanceDelay.Milliseconds(), l.remainMs)
		l.remainMs = max(l.remainMs-l.delayMs, 0)
		l.delayMs = delay
		m.after(&l.join, delay)
		return
	}
	m.completeJoin(g)
}

// completeJoin forms the next generation from those who joined; static members who did not are carried along, others are dropped.
func (m *Machine) completeJoin(g *group) {
	l := g.live
	m.timers.stop(&l.join)
	l.initial = false
	for i := 0; i < len(l.members); {
		if mb := l.members[i]; !mb.joining && mb.instance == nil {
			m.removeMember(g, mb)
			continue
		}
		i++
	}
	if !m.electLeader(l) {
		// Only static members are left and none of them came: they keep their places until their sessions end.
		m.after(&l.join, l.rebalanceMs())
		return
	}
	l.generation++
	if len(l.members) == 0 {
		m.becomeEmpty(g)
		return
	}
	l.protocol = new(l.elect())
	l.subscribe()
	l.enter(CompletingRebalance, m.nowMs())
	roster := l.roster()
	for _, mb := range l.members {
		m.answerJoin(g, mb, m.joined(l, mb, roster))
		mb.fresh = false
		m.touch(mb)
		l.setMustSync(mb, true)
	}
	m.after(&l.sync, l.rebalanceMs())
}

// electLeader keeps the leader if it joined, and chooses the first who did otherwise. It is false when there are members and none joined.
func (m *Machine) electLeader(l *live) bool {
	if len(l.members) == 0 {
		return true
	}
	if l.byID[l.leader].joining {
		return true
	}
	for _, mb := range l.members {
		if mb.joining {
			l.leader = mb.id
			return true
		}
	}
	return false
}

func (m *Machine) becomeEmpty(g *group) {
	l := g.live
	l.protocol, l.leader = nil, ""
	l.subscribe()
	l.enter(Empty, m.nowMs())
	m.write(metadataRecord(g.id, l.stored(nil), m.nowMs()))
	// Refused, the stored generation stays the one before, whose members are gone: after a restart their sessions would end. Nothing to undo.
}

// syncExpired drops members that took the new generation and never asked for their assignment.
func (m *Machine) syncExpired(g *group) {
	l := g.live
	if l.unsynced == 0 {
		return
	}
	for i := 0; i < len(l.members); {
		if mb := l.members[i]; mb.mustSync {
			m.removeMember(g, mb)
			continue
		}
		i++
	}
	m.prepareRebalance(g)
}

// failSyncs answers everyone who waits for an assignment of a generation that will not be.
func (m *Machine) failSyncs(g *group, code model.ErrorCode) {
	for _, mb := range g.live.members {
		mb.assignment = nil
		if mb.syncing {
			m.answerSync(mb, SyncGroupReply{Code: code})
			m.touch(mb)
		}
	}
}

// clearSync ends the sync phase.
func (m *Machine) clearSync(l *live) {
	for _, mb := range l.members {
		l.setMustSync(mb, false)
	}
	m.timers.stop(&l.sync)
}

// removeMember takes a member out. Whoever waits for it learns that the member is not known any more, and may join anew.
func (m *Machine) removeMember(g *group, mb *member) {
	m.answerJoin(g, mb, JoinGroupReply{Code: model.UnknownMemberID, Generation: -1})
	m.answerSync(mb, SyncGroupReply{Code: model.UnknownMemberID})
	m.timers.stop(&mb.session)
	g.live.remove(mb)
}

// sessionExpired removes a member that fell silent. One that waits in a join or a sync cannot speak, so it is spared, unless the join is its first.
func (m *Machine) sessionExpired(g *group, id string) {
	mb := g.live.byID[id]
	if !mb.fresh && (mb.joining || mb.syncing) {
		return
	}
	m.removeMember(g, mb)
	if g.live.state == PreparingRebalance {
		m.afterPending(g)
		return
	}
	m.prepareRebalance(g)
}

// pendingExpired forgets a member id that was given out and not used.
func (m *Machine) pendingExpired(g *group, id string) {
	delete(g.live.pending, id)
	m.afterPending(g)
}

// afterPending lets a join phase end that waited for someone who is not expected any more, the first one of a group as well.
func (m *Machine) afterPending(g *group) {
	if l := g.live; l.state == PreparingRebalance && l.allJoined() {
		m.completeJoin(g)
	}
	m.settle(g)
}

// joined is the answer to a member's join of the present generation.
func (m *Machine) joined(l *live, mb *member, roster []JoinedMember) JoinGroupReply {
	r := JoinGroupReply{
		Generation: l.generation, ProtocolType: l.protocolType, Protocol: *l.protocol, Leader: l.leader, MemberID: mb.id,
	}
	if mb.id == l.leader {
		r.Members = roster
	}
	return r
}

// answerJoin answers the join that the member waits in, if any.
func (m *Machine) answerJoin(g *group, mb *member, r JoinGroupReply) {
	if !mb.joining {
		return
	}
	g.live.setJoining(mb, false)
	mb.told = true
	delete(m.waiting, mb.joinCaller)
	m.replyTo(mb.joinCaller, r)
	mb.joinCaller = 0
}

// answerSync answers the sync that the member waits in, if any.
func (m *Machine) answerSync(mb *member, r SyncGroupReply) {
	if !mb.syncing {
		return
	}
	mb.syncing = false
	delete(m.waiting, mb.syncCaller)
	m.replyTo(mb.syncCaller, r)
	mb.syncCaller = 0
}

// session is how long a member's session may be, checked against the configured bounds.
func (m *Machine) sessionAllowed(ms int32) bool {
	d := time.Duration(ms) * time.Millisecond
	return d >= m.opts.MinSessionTimeout && d <= m.opts.MaxSessionTimeout
}
