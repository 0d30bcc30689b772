package config

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// Static is the configuration with which the node started: immutable, complete and checked.
type Static struct {
	// Broker holds the typed values of the keys that do not change while the node runs.
	Broker Broker
	// Warnings are sentences for the log: keys nobody knows and keys that Kafka has dropped.
	Warnings []string
	// Ignored names the keys that were set away from their default and have no effect in this build, in name order.
	Ignored []string

	set   map[string]Setting // what the user set, last setting of a key
	order map[string]int     // where in the settings each key last stood
}

// Options are what Load takes from outside.
type Options struct {
	// Hostname names this machine where an advertised address has no host of its own. Nil: os.Hostname.
	Hostname func() (string, error)
}

// removed are keys that older Kafkas had, with what to do instead.
var removed = map[string]string{
	"zookeeper.connect":                       "there is no ZooKeeper: the node keeps its own metadata",
	"inter.broker.protocol.version":           "the finalised metadata.version took its place",
	"log.message.format.version":              "records have had one format since Kafka 3.0",
	"message.format.version":                  "records have had one format since Kafka 3.0",
	"port":                                    "write listeners=PLAINTEXT://host:port",
	"host.name":                               "write listeners=PLAINTEXT://host:port",
	"advertised.host.name":                    "write advertised.listeners=PLAINTEXT://host:port",
	"advertised.port":                         "write advertised.listeners=PLAINTEXT://host:port",
	"quota.producer.default":                  "this build has no quotas",
	"quota.consumer.default":                  "this build has no quotas",
	"super.users":                             "it belongs to an authorizer, which this build does not have",
	"allow.everyone.if.no.acl.found":          "it belongs to an authorizer, which this build does not have",
	"offsets.commit.required.acks":            "commits are always written with acks=all",
	"reserved.broker.max.id":                  "node ids are chosen with node.id",
	"broker.id.generation.enable":             "node ids are chosen with node.id",
	"control.plane.listener.name":             "controllers use controller.listener.names",
	"delegation.token.master.key":             "its name is delegation.token.secret.key",
	"log.message.timestamp.difference.max.ms": "write log.message.timestamp.before.max.ms and log.message.timestamp.after.max.ms",
}

var listenerKey = regexp.MustCompile(`^listener\.name\.([^.]+)\.(.+)$`)

// Load checks the settings and makes the node's configuration of them. Later lists win over earlier ones, later settings over earlier ones in a
// list: pass the file, then the environment, then --override. The error is Errors and holds every fault.
func Load(options Options, lists ...[]Setting) (*Static, error) {
	if options.Hostname == nil {
		options.Hostname = os.Hostname
	}
	s := &Static{set: map[string]Setting{}, order: map[string]int{}}
	position := 0
	for _, list := range lists {
		for _, setting := range list {
			setting.Key = strings.TrimSpace(setting.Key)
			s.set[setting.Key] = setting
			position++
			s.order[setting.Key] = position
		}
	}
	names := sortedKeys(s.set)
	slices.SortStableFunc(names, func(a, b string) int { return s.order[a] - s.order[b] })
	var faults Errors
	for _, name := range names {
		s.checkSetting(s.set[name], &faults)
	}
	s.shareNodeID(&faults)
	r := s.reader()
	addresses := true
	for _, e := range faults { // what is refused stands back, so that the other faults show too
		delete(r.layers[2], e.Key)
		addresses = addresses && !shapesAddresses(e.Key)
	}
	refuseUnprotected(s, r, &faults)
	if addresses {
		readBroker(s, r, options.Hostname, &faults)
	}
	checkTogether(r, &faults)
	slices.Sort(s.Ignored)
	s.locate(faults)
	if len(faults) > 0 {
		return nil, faults
	}
	return s, nil
}

// shapesAddresses reports whether a key without its value would make what is said about addresses, roles and directories misleading.
func shapesAddresses(name string) bool {
	return strings.Contains(name, "listener") || strings.HasPrefix(name, "controller.quorum.") || strings.HasPrefix(name, "log.dir") ||
		name == "node.id" || name == "broker.id" || name == "process.roles" || name == "security.inter.broker.protocol"
}

// checkSetting checks one setting by itself.
func (s *Static) checkSetting(setting Setting, faults *Errors) {
	name := setting.Key
	if parts := listenerKey.FindStringSubmatch(name); parts != nil {
		s.checkListenerSetting(setting, parts[2], faults)
		return
	}
	k := Lookup(BrokerResource, name)
	if k == nil || k.Hidden {
		s.warnUnknown(setting, k != nil, faults)
		return
	}
	canonical, err := k.Check(setting.Value)
	if err != nil {
		faults.add(withOrigin(err, setting.Origin))
		return
	}
	if fallback, ok := k.Default(); !k.Effect.Acts() && (!ok || canonical != fallback) {
		s.Ignored = append(s.Ignored, name)
	}
}

// warnUnknown says what becomes of a key that has no place at start. An unknown key of ours is refused, for nobody else can have meant it, except
// in the environment, into which Kubernetes puts names such as OTTLA_SERVICE_HOST for a service of that name.
func (s *Static) warnUnknown(setting Setting, live bool, faults *Errors) {
	name := setting.Key
	ignored := setting.Origin + ": " + name + " is ignored: "
	why, gone := removed[name]
	switch {
	case live:
		s.Warnings = append(s.Warnings, ignored+"it is set on a running broker, not at start")
	case gone:
		s.Warnings = append(s.Warnings, ignored+"Kafka no longer has it; "+why)
	case strings.HasPrefix(name, "ottla.") && !strings.HasPrefix(setting.Origin, environmentOrigin):
		e := refusal(name, "Unknown configuration %s%s; docs/configs.md lists the keys that begin with ottla.", name, nearest(name))
		e.Origin = setting.Origin
		*faults = append(*faults, e)
	default:
		s.Warnings = append(s.Warnings, ignored+"no such key"+nearest(name))
	}
}

// listenerLimits are the keys that act with a listener.name prefix.
var listenerLimits = []string{"max.connections", "max.connection.creation.rate"}

func (s *Static) checkListenerSetting(setting Setting, base string, faults *Errors) {
	k := Lookup(BrokerResource, base)
	if slices.Contains(listenerLimits, base) {
		if _, err := k.Check(setting.Value); err != nil {
			faults.add(withOrigin(err, setting.Origin))
		}
		return
	}
	s.Ignored = append(s.Ignored, setting.Key)
}

// shareNodeID gives node.id and broker.id one value, as Kafka does.
func (s *Static) shareNodeID(faults *Errors) {
	node, hasNode := s.set["node.id"]
	broker, hasBroker := s.set["broker.id"]
	switch {
	case hasNode && hasBroker && strings.TrimSpace(node.Value) != strings.TrimSpace(broker.Value):
		*faults = append(*faults, refusal("broker.id", "node.id=%s and broker.id=%s must be equal; node.id alone is enough", node.Value, broker.Value))
	case hasNode:
		s.set["broker.id"] = Setting{Key: "broker.id", Value: node.Value, Origin: node.Origin}
	case hasBroker:
		s.set["node.id"] = Setting{Key: "node.id", Value: broker.Value, Origin: broker.Origin}
		if _, err := Lookup(BrokerResource, "node.id").Check(broker.Value); err != nil {
			faults.add(withOrigin(err, broker.Origin))
		}
	}
}

// locate tells each fault where its key was set and puts the faults in that order.
func (s *Static) locate(faults Errors) {
	for _, e := range faults {
		if setting, found := s.set[e.Key]; found && e.Origin == "" {
			e.Origin = setting.Origin
		}
	}
	slices.SortStableFunc(faults, func(a, b *Error) int { return s.order[a.Key] - s.order[b.Key] })
}

func withOrigin(err error, origin string) error {
	if e, ok := err.(*Error); ok {
		e.Origin = origin
	}
	return err
}

// nearest names a key one or two letters away, for those who mistyped.
func nearest(name string) string {
	best, distance := "", 3
	for _, k := range Keys(BrokerResource) {
		if d := editDistance(name, k.Name, distance); d < distance {
			best, distance = k.Name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// editDistance counts the letters to change between a and b, up to limit.
func editDistance(a, b string, limit int) int {
	if abs(len(a)-len(b)) >= limit {
		return limit
	}
	previous := make([]int, len(b)+1)
	for j := range previous {
		previous[j] = j
	}
	for i := range len(a) {
		diagonal := previous[0]
		previous[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = previous[j+1]
			previous[j+1] = min(cost, previous[j]+1, previous[j+1]+1)
		}
	}
	return previous[len(b)]
}

func abs(n int) int { return max(n, -n) }

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// String names the configuration without its values, some of which are secret.
func (s *Static) String() string { return fmt.Sprintf("configuration of node %d", s.Broker.NodeID) }
