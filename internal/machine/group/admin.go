package group

import (
	"errors"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
)

// groupType is the only type of group that this coordinator has.
const groupType = "classic"

func (m *Machine) describeGroup(in *DescribeGroup) DescribeGroupReply {
	r := DescribeGroupReply{Group: in.Group, State: string(Dead)}
	g := m.groups[in.Group]
	if g == nil {
		if in.Version >= 6 {
			r.Code, r.Message = model.GroupIDNotFound, "Group "+in.Group+" not found."
		}
		return r
	}
	r.State, r.ProtocolType = string(g.state()), g.protocolType()
	l := g.live
	if l == nil {
		return r
	}
	shown := l.state == Stable
	if shown {
		r.Protocol = *l.protocol
	}
	for _, mb := range l.members {
		d := DescribedMember{
			MemberID: mb.id, InstanceID: mb.instance, ClientID: mb.clientID, ClientHost: mb.clientHost, Assignment: mb.assignment,
		}
		if shown {
			d.Metadata = mb.metadata(r.Protocol)
		}
		r.Members = append(r.Members, d)
	}
	return r
}

func (m *Machine) listGroups(in *ListGroups) ListGroupsReply {
	var r ListGroupsReply
	if types := newFilter(in.Types); !types.passes(groupType) {
		return r
	}
	states := newFilter(in.States)
	for _, g := range m.groups {
		if states.passes(string(g.state())) {
			r.Groups = append(r.Groups, ListedGroup{Group: g.id, ProtocolType: g.protocolType(), State: string(g.state()), Type: groupType})
		}
	}
	slices.SortFunc(r.Groups, func(a, b ListedGroup) int { return compare(a.Group, b.Group) })
	return r
}

// filter is a list of words that a group may have, in lower case; one that is empty passes everything.
type filter map[string]bool

// newFilter reads a request's list, which may be long, once for all groups.
func newFilter(words []string) filter {
	f := make(filter, len(words))
	for _, w := range words {
		f[strings.ToLower(strings.TrimSpace(w))] = true
	}
	return f
}

func (f filter) passes(word string) bool { return len(f) == 0 || f[strings.ToLower(word)] }

func (m *Machine) deleteGroup(in *DeleteGroup) {
	if code := m.deletable(in.Group); code != model.None {
		m.reply(DeleteGroupReply{Code: code})
		return
	}
	m.startJob(&job{kind: deleteJob, caller: m.from, group: in.Group})
}

func (m *Machine) deletable(id string) model.ErrorCode {
	g := m.groups[id]
	switch {
	case g == nil:
		return model.GroupIDNotFound
	case g.state() != Empty:
		return model.NonEmptyGroup
	default:
		return model.None
	}
}

func compare(a, b string) int { return strings.Compare(a, b) }

func isUnknownType(err error) bool { return errors.Is(err, errUnknownType) }
