package config

import (
	"fmt"
	"slices"
	"strings"
)

// readListeners works out what to bind and what to advertise, as Kafka's KRaft mode does.
func readListeners(b *Broker, r *reader, hostname func() (string, error), faults *Errors) {
	fault := func(key, format string, args ...any) { *faults = append(*faults, refusal(key, format, args...)) }
	b.ControllerListenerNames = upper(r.list("controller.listener.names"))
	security := listenerProtocols(b.ControllerListenerNames, r)
	if r.has("listeners") {
		b.Listeners, _ = parseListeners(r.list("listeners"))
		if port := samePort(b.Listeners); port != 0 {
			fault("listeners", "listeners=%s: two listeners share port %d; only one IPv4 and one IPv6 address may", strings.Join(r.list("listeners"), ","), port)
		}
	} else {
		b.Listeners = []Listener{{Name: "PLAINTEXT", Host: "127.0.0.1", Port: 9092}, {Name: "PLAINTEXT", Host: "::1", Port: 9092, Optional: true}}
	}
	advertised := []Listener{{Name: "PLAINTEXT", Host: "localhost", Port: 9092}}
	explicit := r.has("advertised.listeners")
	switch {
	case explicit:
		advertised, _ = parseListeners(r.list("advertised.listeners"))
	case r.has("listeners"):
		advertised = slices.Clone(b.Listeners)
	}
	for _, l := range advertised {
		if explicit && l.Host != "" && wildcard(l.Host) {
			fault("advertised.listeners", "advertised.listeners=%s: clients cannot connect to %s; advertise an address or a host name they can reach", l, l.Host)
		}
		if explicit && !slices.ContainsFunc(b.Listeners, func(o Listener) bool { return o.Name == l.Name }) {
			fault("advertised.listeners", "advertised.listeners=%s: there is no listener %s in listeners=%s", l, l.Name, names(b.Listeners))
		}
	}
	assignProtocols(b.Listeners, security, faults)
	for _, l := range advertised {
		if b.Controls(l.Name) {
			b.AdvertisedControllers = append(b.AdvertisedControllers, l)
		} else {
			b.Advertised = append(b.Advertised, l)
		}
	}
	for _, l := range b.Listeners { // controllers' addresses need not be advertised by name
		if b.Controls(l.Name) && !slices.ContainsFunc(b.AdvertisedControllers, func(o Listener) bool { return o.Name == l.Name }) {
			b.AdvertisedControllers = append(b.AdvertisedControllers, l)
		}
	}
	nameHosts(hostname, fault, b.Advertised, b.AdvertisedControllers)
	assignProtocols(b.Advertised, security, nil)
	assignProtocols(b.AdvertisedControllers, security, nil)
	checkListeners(b, r, security, fault)
}

// nameHosts gives addresses without a host of their own this machine's name. A machine whose name is broken notices only where it is needed.
func nameHosts(hostname func() (string, error), fault func(key, format string, args ...any), groups ...[]Listener) {
	var host string
	for _, group := range groups {
		for i := range group {
			if !wildcard(group[i].Host) {
				continue
			}
			if host == "" {
				name, err := hostname()
				if err != nil || name == "" {
					fault("advertised.listeners", "listener %s has no host of its own and this machine's name is unknown (%v): set advertised.listeners", group[i].Name, err)
					return
				}
				host = name
			}
			group[i].Host = host
		}
	}
}

func checkListeners(b *Broker, r *reader, security map[string]string, fault func(key, format string, args ...any)) {
	if len(b.Advertised) == 0 {
		fault("advertised.listeners", "no listener is left for clients: listeners=%s, of which %s serve controllers; add one, such as PLAINTEXT://:9092",
			names(b.Listeners), strings.Join(b.ControllerListenerNames, ","))
		return
	}
	if r.has("controller.listener.names") {
		for _, name := range b.ControllerListenerNames {
			if _, found := security[name]; !found {
				fault("controller.listener.names", "controller.listener.names=%s: listener.security.protocol.map gives %s no protocol", strings.Join(b.ControllerListenerNames, ","), name)
			}
		}
		if len(b.AdvertisedControllers) == 0 {
			fault("controller.listener.names", "controller.listener.names=%s: none of them stands in listeners=%s", strings.Join(b.ControllerListenerNames, ","), names(b.Listeners))
		}
	}
	b.InterBrokerListener = strings.ToUpper(r.string("inter.broker.listener.name"))
	if b.InterBrokerListener == "" {
		b.InterBrokerListener = r.string("security.inter.broker.protocol")
		if _, found := b.AdvertisedAt(b.InterBrokerListener); !found && !r.has("security.inter.broker.protocol") {
			// Kafka insists on a listener named PLAINTEXT here; one node has no other broker to reach, so any will do.
			b.InterBrokerListener = b.Advertised[0].Name
		}
	} else if r.has("security.inter.broker.protocol") {
		fault("security.inter.broker.protocol", "set inter.broker.listener.name or security.inter.broker.protocol, not both")
	}
	if _, found := b.AdvertisedAt(b.InterBrokerListener); !found && b.InterBrokerListener == "PLAINTEXT" || !found && r.has("inter.broker.listener.name") {
		fault("inter.broker.listener.name", "inter.broker.listener.name=%s must be one of the advertised listeners %s", b.InterBrokerListener, names(b.Advertised))
	}
}

// listenerProtocols is listener.security.protocol.map. While nobody sets it, controllers' listeners are plaintext unless the listeners' names say
// that security is wanted.
func listenerProtocols(controllers []string, r *reader) map[string]string {
	pairs, _ := splitPairs(r.string("listener.security.protocol.map"))
	security := make(map[string]string, len(pairs)+len(controllers))
	for _, pair := range pairs {
		security[strings.ToUpper(pair[0])] = pair[1]
	}
	if r.has("listener.security.protocol.map") {
		return security
	}
	for _, name := range controllers {
		if _, found := security[name]; !found {
			security[name] = "PLAINTEXT"
		}
	}
	return security
}

// assignProtocols gives each listener its protocol; faults nil means they were reported before.
func assignProtocols(listeners []Listener, security map[string]string, faults *Errors) {
	for i := range listeners {
		l := &listeners[i]
		protocol, found := security[l.Name]
		l.Protocol = protocol
		if faults == nil {
			continue
		}
		switch {
		case !found:
			*faults = append(*faults, refusal("listeners", "listeners=%s: listener.security.protocol.map gives %s no protocol; add %s:PLAINTEXT", l, l.Name, l.Name))
		case protocol != "PLAINTEXT":
			*faults = append(*faults, refusal("listeners", "listeners=%s asks for %s, which this build does not have; it would be served in the clear, so Ottla does not start. Map %s to PLAINTEXT on a network you trust", l, protocol, l.Name))
		}
	}
}

// readQuorum accepts one node that is broker and controller, and names the remedy for anything else.
func readQuorum(b *Broker, r *reader, faults *Errors) {
	fault := func(key, format string, args ...any) { *faults = append(*faults, refusal(key, format, args...)) }
	if roles := r.list("process.roles"); len(roles) != 2 {
		fault("process.roles", "process.roles=%s: this build runs both roles on one node; write process.roles=broker,controller", strings.Join(roles, ","))
	}
	for _, entry := range r.list("controller.quorum.voters") {
		v, _ := parseVoter(entry)
		b.Voters = append(b.Voters, v)
	}
	voters := strings.Join(r.list("controller.quorum.voters"), ",")
	switch {
	case len(b.Voters) > 1:
		fault("controller.quorum.voters", "controller.quorum.voters=%s: this build runs one controller; name this node alone, %s", voters, remedy(b))
	case len(b.Voters) == 1 && b.Voters[0].ID != b.NodeID:
		fault("controller.quorum.voters", "controller.quorum.voters=%s must name this node, whose node.id is %d", voters, b.NodeID)
	}
	if servers := r.list("controller.quorum.bootstrap.servers"); len(servers) > 1 {
		fault("controller.quorum.bootstrap.servers", "controller.quorum.bootstrap.servers=%s: this build runs one controller; name this node's alone", strings.Join(servers, ","))
	}
}

func remedy(b *Broker) string {
	for _, v := range b.Voters {
		if v.ID == b.NodeID {
			return fmt.Sprintf("controller.quorum.voters=%d@%s", v.ID, Listener{Host: v.Host, Port: v.Port}.Address())
		}
	}
	return fmt.Sprintf("controller.quorum.voters=%d@localhost:9093", b.NodeID)
}

func upper(list []string) []string {
	out := make([]string, len(list))
	for i, name := range list {
		out[i] = strings.ToUpper(name)
	}
	return out
}

func names(listeners []Listener) string {
	out := make([]string, len(listeners))
	for i, l := range listeners {
		out[i] = l.String()
	}
	return strings.Join(out, ",")
}
