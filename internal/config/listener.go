package config

import (
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Listener is one address: to bind (an entry of listeners) or to tell clients (an entry of advertised.listeners).
type Listener struct {
	Name     string // upper case: PLAINTEXT, CONTROLLER, …
	Protocol string // PLAINTEXT, SSL, SASL_PLAINTEXT or SASL_SSL
	Host     string // "" binds every interface; IPv6 addresses have no brackets
	Port     int    // 0 binds any free port; in an advertised address it stands for the port that was taken
	// Optional listeners may fail to bind where the machine lacks the address family: ::1 beside 127.0.0.1 when nothing is configured.
	Optional bool
}

// Address is host:port as net.Listen takes it.
func (l Listener) Address() string { return net.JoinHostPort(l.Host, strconv.Itoa(l.Port)) }

// String is the entry as it stands in listeners.
func (l Listener) String() string {
	host := l.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return l.Name + "://" + host + ":" + strconv.Itoa(l.Port)
}

var endpointPattern = regexp.MustCompile(`^([^:/]+)://(\[[0-9a-zA-Z%._:]+\]|[0-9a-zA-Z\-%._:]*):([0-9]+)$`)

// parseListener reads NAME://host:port. The problem is "" when it is one.
func parseListener(text string) (l Listener, problem string) {
	const form = "Each entry must be NAME://host:port, with an empty host for every interface and an IPv6 address in brackets"
	parts := endpointPattern.FindStringSubmatch(text)
	if parts == nil {
		return Listener{}, form
	}
	port, err := strconv.Atoi(parts[3])
	if err != nil || port > 65535 {
		return Listener{}, "Port must be between 0 and 65535"
	}
	host := strings.TrimSuffix(strings.TrimPrefix(parts[2], "["), "]")
	if strings.HasPrefix(parts[2], "[") {
		if addr, err := netip.ParseAddr(host); err != nil || !addr.Is6() {
			return Listener{}, host + " is not an IPv6 address"
		}
	}
	return Listener{Name: strings.ToUpper(parts[1]), Host: host, Port: port}, ""
}

// parseListeners reads the entries of listeners or advertised.listeners.
func parseListeners(entries []string) (out []Listener, problem string) {
	for _, entry := range entries {
		l, problem := parseListener(entry)
		if problem != "" {
			return nil, problem
		}
		if slices.ContainsFunc(out, func(o Listener) bool { return o.Name == l.Name }) {
			return nil, "Each listener must have a different name"
		}
		out = append(out, l)
	}
	return out, ""
}

// samePort names a port that two bound listeners share though they are not one IPv4 and one IPv6 address, or 0.
func samePort(listeners []Listener) int {
	family := func(l Listener) int {
		addr, err := netip.ParseAddr(l.Host)
		switch {
		case err != nil:
			return 0
		case addr.Is4():
			return 4
		}
		return 6
	}
	for i, a := range listeners {
		for _, b := range listeners[:i] {
			if a.Port == b.Port && a.Port != 0 && family(a)+family(b) != 10 {
				return a.Port
			}
		}
	}
	return 0
}

func wildcard(host string) bool {
	if host == "" {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsUnspecified()
}

// Voter is one entry of controller.quorum.voters.
type Voter struct {
	ID   int32
	Host string
	Port int
}

func parseVoter(text string) (v Voter, problem string) {
	id, address, found := strings.Cut(text, "@")
	n, err := strconv.ParseInt(id, 10, 32)
	if !found || err != nil {
		return Voter{}, "Each entry must be {id}@{host}:{port}"
	}
	host, port, problem := parseHostPort(address)
	if problem != "" || host == "" {
		return Voter{}, "Each entry must be {id}@{host}:{port}"
	}
	return Voter{ID: int32(n), Host: host, Port: port}, ""
}

func parseHostPort(text string) (host string, port int, problem string) {
	host, digits, err := net.SplitHostPort(text)
	if err != nil {
		return "", 0, "Address must be host:port"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil {
		return "", 0, "Port must be between 0 and 65535"
	}
	return host, int(n), ""
}

// splitPairs reads key:value pairs separated by commas, each split at its last colon.
func splitPairs(text string) (pairs [][2]string, ok bool) {
	for _, entry := range splitList(strings.TrimSpace(text)) {
		i := strings.LastIndexByte(entry, ':')
		if i < 1 {
			return nil, false
		}
		pairs = append(pairs, [2]string{strings.TrimSpace(entry[:i]), strings.TrimSpace(entry[i+1:])})
	}
	return pairs, true
}

var protocols = []string{"PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"}

var (
	endpointList = checked{"a list of NAME://host:port", func(v value) string {
		if problem := distinctFilled.check(v); problem != "" {
			return problem
		}
		_, problem := parseListeners(v.list)
		return problem
	}}
	protocolMap = checked{"a list of NAME:PROTOCOL, where PROTOCOL is " + strings.Join(protocols, ", "), func(v value) string {
		pairs, ok := splitPairs(v.text)
		if !ok {
			return "Each entry must be NAME:PROTOCOL"
		}
		for i, pair := range pairs {
			if !slices.Contains(protocols, pair[1]) {
				return "Security protocol must be one of: " + strings.Join(protocols, ", ")
			}
			if slices.ContainsFunc(pairs[:i], func(o [2]string) bool { return strings.EqualFold(o[0], pair[0]) }) {
				return "Each listener name must stand once"
			}
		}
		return ""
	}}
	voterList = checked{"a list of id@host:port", func(v value) string {
		for _, entry := range v.list {
			if _, problem := parseVoter(entry); problem != "" {
				return problem
			}
		}
		return ""
	}}
	serverList = checked{"a list of host:port", func(v value) string {
		for _, entry := range v.list {
			if host, _, problem := parseHostPort(entry); problem != "" || host == "" {
				return "Each entry must be {host}:{port}"
			}
		}
		return ""
	}}
	addressLimits = checked{"a list of address:limit", func(v value) string {
		pairs, ok := splitPairs(v.text)
		if !ok {
			return "Each entry must be {address}:{limit}"
		}
		for _, pair := range pairs {
			if n, err := strconv.ParseInt(pair[1], 10, 32); err != nil || n < 0 {
				return "Each entry must be {address}:{limit} with a limit of at least 0"
			}
		}
		return ""
	}}
	adminAddress = checked{"host:port, or empty to switch it off", func(v value) string {
		if v.text == "" {
			return ""
		}
		_, _, problem := parseHostPort(v.text)
		return problem
	}}
)
