package group

import "github.com/ottla/ottla/internal/kafka/model"

func (m *Machine) leaveGroup(in *LeaveGroup) {
	if in.Group == "" {
		m.reply(LeaveGroupReply{Code: model.InvalidGroupID})
		return
	}
	g := m.groups[in.Group]
	r := LeaveGroupReply{Members: make([]LeftMember, len(in.Members))}
	gone := false
	for i, who := range in.Members {
		code := model.UnknownMemberID
		if g != nil && g.live != nil {
			code = m.leave(g, who)
		}
		r.Members[i] = LeftMember{MemberID: who.MemberID, InstanceID: who.InstanceID, Code: code}
		gone = gone || code == model.None
	}
	if gone {
		m.afterLeave(g)
	}
	m.reply(r)
	if gone {
		m.settle(g)
	}
}

// leave takes out one member. An administrator names a static member by its instance id alone.
func (m *Machine) leave(g *group, who LeavingMember) model.ErrorCode {
	l := g.live
	if who.MemberID == "" {
		if who.InstanceID == nil || l.static[*who.InstanceID] == nil {
			return model.UnknownMemberID
		}
		m.removeMember(g, l.static[*who.InstanceID])
		return model.None
	}
	if t := l.pending[who.MemberID]; t != nil {
		m.timers.stop(t)
		delete(l.pending, who.MemberID)
		return model.None
	}
	mb, code := g.member(who.MemberID, who.InstanceID)
	if code == model.None {
		m.removeMember(g, mb)
	}
	return code
}

// afterLeave lets the group go on without those who left.
func (m *Machine) afterLeave(g *group) {
	switch g.live.state {
	case Stable, CompletingRebalance:
		m.prepareRebalance(g)
	case PreparingRebalance:
		m.tryCompleteJoin(g)
	}
}
