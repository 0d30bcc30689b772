package meta

import (
	"cmp"
	"slices"

	"github.com/ottla/ottla/internal/machine/meta/record"
)

// changeBroker applies the records about brokers and tells whether the record was one and fits the registered epoch.
func (s *state) changeBroker(m record.Message) bool {
	switch r := m.(type) {
	case *record.RegisterBrokerRecord:
		s.putBroker(&Broker{
			ID: r.BrokerID, Epoch: r.BrokerEpoch, IncarnationID: r.IncarnationID, Rack: r.Rack,
			Endpoints: endpointsOf(r.EndPoints), Features: featuresOf(r.Features), Fenced: r.Fenced, InControlledShutdown: r.InControlledShutdown,
			Directories: r.LogDirs, CordonedDirectories: r.CordonedLogDirs,
		})
		return true
	case *record.UnregisterBrokerRecord:
		return s.withBroker(r.BrokerID, r.BrokerEpoch, func(b *Broker) {
			s.image.brokers = slices.DeleteFunc(slices.Clone(s.image.brokers), func(o *Broker) bool { return o.ID == b.ID })
		})
	case *record.FenceBrokerRecord:
		return s.withBroker(r.ID, r.Epoch, func(b *Broker) { s.changed(b, func(b *Broker) { b.Fenced = true }) })
	case *record.UnfenceBrokerRecord:
		return s.withBroker(r.ID, r.Epoch, func(b *Broker) { s.changed(b, func(b *Broker) { b.Fenced = false }) })
	case *record.BrokerRegistrationChangeRecord:
		return s.withBroker(r.BrokerID, r.BrokerEpoch, func(b *Broker) { s.changed(b, func(b *Broker) { changeRegistration(b, r) }) })
	}
	return false
}

func changeRegistration(b *Broker, r *record.BrokerRegistrationChangeRecord) {
	switch r.Fenced {
	case 1:
		b.Fenced = true
	case -1:
		b.Fenced = false
	}
	if r.InControlledShutdown == 1 {
		b.InControlledShutdown = true
	}
	if len(r.LogDirs) > 0 {
		b.Directories = r.LogDirs
	}
	if r.CordonedLogDirs != nil {
		b.CordonedDirectories = r.CordonedLogDirs
	}
}

func (s *state) withBroker(id int32, epoch int64, f func(*Broker)) bool {
	b := s.image.Broker(id)
	if b == nil || b.Epoch != epoch {
		return false
	}
	f(b)
	return true
}

func (s *state) changed(b *Broker, f func(*Broker)) {
	now := *b
	f(&now)
	s.putBroker(&now)
}

func (s *state) putBroker(b *Broker) {
	list := slices.DeleteFunc(slices.Clone(s.image.brokers), func(o *Broker) bool { return o.ID == b.ID })
	list = append(list, b)
	slices.SortFunc(list, func(a, b *Broker) int { return cmp.Compare(a.ID, b.ID) })
	s.image.brokers = list
}

func endpointsOf(in []record.Endpoint) []Endpoint {
	out := make([]Endpoint, 0, len(in))
	for _, e := range in {
		out = append(out, Endpoint{Listener: e.Name, Host: e.Host, Port: e.Port, Protocol: e.SecurityProtocol})
	}
	return out
}

func recordEndpoints(in []Endpoint) []record.Endpoint {
	out := make([]record.Endpoint, 0, len(in))
	for _, e := range in {
		out = append(out, record.Endpoint{Name: e.Listener, Host: e.Host, Port: e.Port, SecurityProtocol: e.Protocol})
	}
	return out
}

func featuresOf(in []record.Feature) []SupportedFeature {
	out := make([]SupportedFeature, 0, len(in))
	for _, f := range in {
		out = append(out, SupportedFeature{f.Name, f.MinSupportedVersion, f.MaxSupportedVersion})
	}
	return out
}

func recordFeatures(in []SupportedFeature) []record.Feature {
	out := make([]record.Feature, 0, len(in))
	for _, f := range in {
		out = append(out, record.Feature{Name: f.Name, MinSupportedVersion: f.Min, MaxSupportedVersion: f.Max})
	}
	return out
}
