package group

import "github.com/ottla/ottla/internal/kafka/model"

func (m *Machine) syncGroup(in *SyncGroup) {
	if in.Group == "" {
		m.reply(SyncGroupReply{Code: model.InvalidGroupID})
		return
	}
	g := m.groups[in.Group]
	if g == nil || g.state() == Empty {
		m.reply(SyncGroupReply{Code: model.UnknownMemberID})
		return
	}
	l := g.live
	mb, code := g.member(in.MemberID, in.InstanceID)
	switch {
	case code != model.None:
	case in.Generation != l.generation:
		code = model.IllegalGeneration
	case differs(in.ProtocolType, l.protocolType) || l.protocol != nil && differs(in.Protocol, *l.protocol):
		code = model.InconsistentGroupProtocol
	case l.state == PreparingRebalance:
		code = model.RebalanceInProgress
	}
	if code != model.None {
		m.reply(SyncGroupReply{Code: code})
		return
	}
	m.awaitSync(g, mb)
	switch {
	case l.state == Stable:
		m.answerSync(mb, m.assigned(l, mb))
	case mb.id == l.leader:
		m.assign(g, in)
	}
}

// differs compares what a request says with what the group has; a request that says nothing agrees.
func differs(said *string, is string) bool { return said != nil && is != "" && *said != is }

// awaitSync lets the caller of this Step wait for the member's assignment.
func (m *Machine) awaitSync(g *group, mb *member) {
	l := g.live
	l.setMustSync(mb, false)
	if l.unsynced == 0 {
		m.timers.stop(&l.sync)
	}
	m.answerSync(mb, SyncGroupReply{Code: model.RebalanceInProgress}) // superseded; its client gave it up
	mb.syncing, mb.syncCaller = true, m.from
	if m.from != 0 {
		m.waiting[m.from] = wait{group: g, member: mb}
	}
}

// assign writes down the leader's assignment, which makes the generation, and answers everyone who waits for it. A member that the leader forgot gets none.
func (m *Machine) assign(g *group, in *SyncGroup) {
	l := g.live
	given := make(map[string][]byte, len(in.Assignments))
	for i := range in.Assignments {
		given[in.Assignments[i].MemberID] = in.Assignments[i].Assignment
	}
	for _, mb := range l.members {
		mb.assignment = clone(given[mb.id])
	}
	m.write(metadataRecord(g.id, l.stored(func(mb *member) []byte { return mb.assignment }), m.nowMs()))
	l.enter(Stable, m.nowMs())
	for _, mb := range l.members {
		if mb.syncing {
			m.answerSync(mb, m.assigned(l, mb))
			m.touch(mb)
		}
	}
	m.undo = func(error) { // those who waited were failed: everyone joins again
		for _, mb := range l.members {
			mb.assignment = nil
		}
		m.prepareRebalance(g)
	}
}

func (m *Machine) assigned(l *live, mb *member) SyncGroupReply {
	return SyncGroupReply{ProtocolType: l.protocolType, Protocol: *l.protocol, Assignment: mb.assignment}
}
