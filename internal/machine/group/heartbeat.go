package group

import "github.com/ottla/ottla/internal/kafka/model"

func (m *Machine) heartbeat(in *Heartbeat) model.ErrorCode {
	if in.Group == "" {
		return model.InvalidGroupID
	}
	g := m.groups[in.Group]
	if g == nil {
		return model.UnknownMemberID
	}
	mb, code := g.member(in.MemberID, in.InstanceID)
	if code != model.None {
		return code
	}
	if in.Generation != g.live.generation {
		return model.IllegalGeneration
	}
	m.touch(mb)
	if g.live.state == PreparingRebalance {
		return model.RebalanceInProgress
	}
	return model.None
}
