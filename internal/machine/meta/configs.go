package meta

import (
	"maps"
	"slices"
	"strconv"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// Op is what to do with one configuration, numbered as in IncrementalAlterConfigs.
type Op int8

// The operations.
const (
	SetOp      Op = 0
	DeleteOp   Op = 1
	AppendOp   Op = 2 // to a list
	SubtractOp Op = 3 // from a list
)

// ConfigOp is one operation on one configuration.
type ConfigOp struct {
	Name  string
	Op    Op
	Value *string
}

// AlterConfigs changes configurations, each resource for itself. The reply is an AlterConfigsReply with an item for each resource, in order.
type AlterConfigs struct {
	Resources    []AlterResource
	ValidateOnly bool
}

// AlterResource changes the overrides of one resource. With Replace, as in the old AlterConfigs request, all overrides that Ops does not set are gone.
type AlterResource struct {
	Resource
	Replace bool
	Ops     []ConfigOp
}

// AlterConfigsReply answers AlterConfigs.
type AlterConfigsReply struct{ Resources []AlteredResource }

// AlteredResource answers one AlterResource.
type AlteredResource struct {
	Resource
	Result
}

// SetAndDelete is the plainest Options.AlterConfig: it knows no lists.
func SetAndDelete(r Resource, current map[string]string, ops []ConfigOp) (map[string]string, error) {
	out := maps.Clone(current)
	if out == nil {
		out = map[string]string{}
	}
	for _, op := range ops {
		switch {
		case op.Op == DeleteOp:
			delete(out, op.Name)
		case op.Op != SetOp:
			return nil, &model.Error{Code: model.InvalidConfig, Message: "configuration " + op.Name + " of " + r.String() + " is not a list"}
		case op.Value == nil:
			return nil, &model.Error{Code: model.InvalidConfig, Message: "configuration " + op.Name + " of " + r.String() + " needs a value"}
		default:
			out[op.Name] = *op.Value
		}
	}
	return out, nil
}

func (m *Machine) alterConfigs(recs *records, in AlterConfigs) AlterConfigsReply {
	reply := AlterConfigsReply{Resources: make([]AlteredResource, len(in.Resources))}
	seen := map[Resource]bool{}
	for i, a := range in.Resources {
		out := &reply.Resources[i]
		out.Resource = a.Resource
		if seen[a.Resource] {
			out.Result = failure(model.InvalidRequest, "%s is named more than once", a.Resource)
			continue
		}
		seen[a.Resource] = true
		var mine records
		if out.Result = m.alterResource(&mine, a); out.Code == model.None && !in.ValidateOnly {
			*recs = append(*recs, mine...)
		}
	}
	return reply
}

func (m *Machine) alterResource(recs *records, a AlterResource) Result {
	missing := m.checkResource(a.Resource)
	if missing.Code != model.None && missing.Code != model.UnknownTopicOrPartition {
		return missing
	}
	old := m.ahead.image.Config(a.Type, a.Name)
	current := old
	if a.Replace {
		current = nil
	}
	now, err := m.opts.AlterConfig(a.Resource, current, a.Ops)
	if err != nil {
		return resultOf(err)
	}
	if err := m.opts.ValidateConfig(a.Resource, now); err != nil {
		return resultOf(err)
	}
	if missing.Code != model.None { // Kafka judges the values before it looks for the topic
		return missing
	}
	recs.setConfigs(a.Resource, old, now)
	return Result{}
}

// checkResource tells whether configurations may be set for the resource.
func (m *Machine) checkResource(r Resource) Result {
	switch r.Type {
	case TopicResource:
		if err := model.ValidateTopicName(r.Name); r.Name != "" && err != nil {
			return resultOf(err)
		}
		if r.Name == "" {
			return failure(model.InvalidRequest, "topics have no common default: name a topic")
		}
		if m.ahead.image.TopicByName(r.Name) == nil {
			return failure(model.UnknownTopicOrPartition, "there is no topic '%s'", r.Name)
		}
	case BrokerResource:
		if r.Name == "" {
			break
		}
		id, err := strconv.ParseInt(r.Name, 10, 32)
		if err != nil || id < 0 {
			return failure(model.InvalidRequest, "'%s' is no broker id", r.Name)
		}
		if m.ahead.image.Broker(int32(id)) == nil {
			return failure(model.BrokerIDNotRegistered, "broker %d is not registered", id)
		}
	case GroupResource:
		if r.Name == "" {
			return failure(model.InvalidRequest, "groups have no common default: name a group")
		}
	case ClientMetricsResource:
		if r.Name == "" {
			return failure(model.InvalidRequest, "the name of a client metrics subscription must not be empty")
		}
	default:
		return failure(model.InvalidRequest, "a %s has no configurations in the cluster's metadata", r.Type)
	}
	return Result{}
}

// setConfigs writes what differs between two sets of overrides, in the order of the names.
func (r *records) setConfigs(of Resource, old, now map[string]string) {
	names := slices.Collect(maps.Keys(now))
	for name := range old {
		if _, stays := now[name]; !stays {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		c := &record.ConfigRecord{ResourceType: int8(of.Type), ResourceName: of.Name, Name: name}
		if value, set := now[name]; set {
			if before, was := old[name]; was && before == value {
				continue
			}
			c.Value = new(value)
		}
		r.add(c, firstVersion)
	}
}
