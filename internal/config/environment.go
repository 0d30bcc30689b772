package config

import (
	"fmt"
	"slices"
	"strings"
)

// notSettings are variables that begin with KAFKA_ and steer Kafka's scripts and images, not the broker.
var notSettings = []string{
	"KAFKA_VERSION", "KAFKA_HOME", "KAFKA_BIN", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_JVM_PERFORMANCE_OPTS", "KAFKA_GC_LOG_OPTS", "KAFKA_LOG4J_OPTS",
	"KAFKA_LOG4J_ROOT_LOGLEVEL", "KAFKA_LOG4J_LOGGERS", "KAFKA_TOOLS_LOG4J_LOGLEVEL", "KAFKA_JMX_OPTS", "KAFKA_JMX_PORT", "KAFKA_JMX_HOSTNAME",
	"KAFKA_DEBUG", "KAFKA_CLUSTER_ID", "KAFKA_REST_PROXY", "KAFKA_CONNECT_URL", "KAFKA_BROKERS", "KAFKA_BOOTSTRAP_SERVERS",
}

// environmentOrigin begins the origin of a setting that a variable gave.
const environmentOrigin = "environment "

// ParseEnvironment picks the settings out of an environment (os.Environ): KAFKA_LOG_DIRS is log.dirs, OTTLA_DURABILITY is ottla.durability.
// As in Kafka's images one underscore stands for a dot, two for a dash, three for an underscore. The settings are in key order.
func ParseEnvironment(environ []string) []Setting {
	var out []Setting
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		rest, found := strings.CutPrefix(name, "KAFKA_")
		if !found {
			if rest, found = strings.CutPrefix(name, "OTTLA_"); found {
				rest = "OTTLA_" + rest
			}
		}
		if !found || rest == "" || slices.Contains(notSettings, name) {
			continue
		}
		key := strings.NewReplacer("___", "_", "__", "-", "_", ".").Replace(strings.ToLower(rest))
		out = append(out, Setting{Key: key, Value: value, Origin: environmentOrigin + name})
	}
	slices.SortFunc(out, func(a, b Setting) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// ParseOverrides reads the key=value arguments of --override, in their order.
func ParseOverrides(args []string) ([]Setting, error) {
	out := make([]Setting, 0, len(args))
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		key = strings.TrimSpace(key)
		if !found || key == "" {
			return nil, fmt.Errorf("--override %s: write it as key=value", arg)
		}
		out = append(out, Setting{Key: key, Value: value, Origin: "--override"})
	}
	return out, nil
}
