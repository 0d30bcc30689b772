package config

import (
	"maps"
	"slices"
	"strings"
)

// OpKind is one of the operations of IncrementalAlterConfigs, with its protocol number.
type OpKind int8

const (
	Set      OpKind = 0
	Delete   OpKind = 1
	Append   OpKind = 2
	Subtract OpKind = 3
)

func (k OpKind) String() string {
	if k < Set || k > Subtract {
		return "UNKNOWN"
	}
	return [...]string{"SET", "DELETE", "APPEND", "SUBTRACT"}[k]
}

// Op is one change of one key. Value is nil where the request had null.
type Op struct {
	Kind  OpKind
	Key   string
	Value *string
}

// maxValueBytes bounds a stored value, as Kafka does.
const maxValueBytes = 1<<15 - 1

// ApplyOps makes the overrides that result from current and ops, without checking the values: pass the result to ValidateTopicOverrides and its
// siblings. APPEND and SUBTRACT work on list keys, from the key's default where there is no override; appending what is there and subtracting what
// is not change nothing, as does deleting an absent key. The error is an *Error.
func ApplyOps(resource Resource, current map[string]string, ops []Op) (map[string]string, error) {
	next := maps.Clone(current)
	if next == nil {
		next = map[string]string{}
	}
	seen := make(map[string]bool, len(ops))
	for _, op := range ops {
		if seen[op.Key] {
			return nil, requestRefusal(op.Key, "Error due to duplicate config keys")
		}
		seen[op.Key] = true
		if op.Kind < Set || op.Kind > Subtract {
			return nil, requestRefusal(op.Key, "Unknown operations type %d", op.Kind)
		}
		if op.Kind != Delete && op.Value == nil {
			return nil, requestRefusal(op.Key, "Null value not supported for : %s", op.Key)
		}
		switch op.Kind {
		case Set:
			next[op.Key] = *op.Value
		case Delete:
			delete(next, op.Key)
		default:
			k := Lookup(resource, op.Key)
			if k == nil || k.Type != List || resource == ClientMetricsResource { // Kafka has no types for these
				return nil, refusal(op.Key, "Can't %s to key %s because its type is not LIST.", op.Kind, op.Key)
			}
			next[op.Key] = changeList(k, next, op)
		}
		if len(next[op.Key]) > maxValueBytes {
			return nil, refusal(op.Key, "The configuration value cannot be added because it exceeds the maximum value size of 32767 bytes.")
		}
	}
	return next, nil
}

func changeList(k *Key, overrides map[string]string, op Op) string {
	text, found := overrides[op.Key]
	if !found {
		if fallback, ok := k.Default(); ok {
			text = fallback
		}
	}
	parts := slices.DeleteFunc(splitList(text), func(part string) bool { return part == "" })
	for _, part := range splitList(*op.Value) {
		switch {
		case op.Kind == Subtract:
			parts = slices.DeleteFunc(parts, func(p string) bool { return p == part })
		case !slices.Contains(parts, part):
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ",")
}

// Overrides makes the map of a full replacement (AlterConfigs, CreateTopics). A null value or a repeated key is an *Error.
func Overrides(settings []Op) (map[string]string, error) {
	sets := make([]Op, len(settings))
	for i, op := range settings {
		sets[i] = Op{Kind: Set, Key: op.Key, Value: op.Value}
	}
	return ApplyOps(Unresolved, nil, sets)
}

// Unresolved is the resource of a map whose keys nobody has looked at.
const Unresolved Resource = 0

// ValidateTopic checks one override of a topic. The error is an *Error.
func ValidateTopic(name, value string) error {
	k := Lookup(TopicResource, name)
	if k == nil {
		return refusal(name, "Unknown topic config name: %s", name)
	}
	canonical, err := k.Check(value)
	if err != nil {
		return err
	}
	if name == "remote.storage.enable" && canonical == "true" {
		return refusal(name, "Tiered Storage functionality is disabled in the broker. Topic cannot be configured with remote log storage.")
	}
	return nil
}

// ValidateTopicOverrides checks all overrides of a topic, alone and together. The error is an *Error.
func ValidateTopicOverrides(d *Dynamic, overrides map[string]string) error {
	for _, name := range sortedKeys(overrides) {
		if err := ValidateTopic(name, overrides[name]); err != nil {
			return err
		}
	}
	r := &topicReader{broker: d.reader, overrides: overrides}
	if low, high := r.number("min.compaction.lag.ms"), r.number("max.compaction.lag.ms"); low > high {
		return refusal("min.compaction.lag.ms", "conflict topic config setting min.compaction.lag.ms (%d) > max.compaction.lag.ms (%d)", low, high)
	}
	return nil
}

// withoutPrefix are the keys Kafka changes only for one listener at a time.
var withoutPrefix = []string{
	"ssl.keystore.type", "ssl.keystore.location", "ssl.keystore.password", "ssl.key.password", "ssl.truststore.type", "ssl.truststore.location",
	"ssl.truststore.password", "ssl.keystore.key", "ssl.keystore.certificate.chain", "ssl.truststore.certificates",
}

// ValidateBroker checks one override of a broker, or of the cluster-wide default when perBroker is false. As Kafka does for plugins, it takes keys
// nobody knows. The error is an *Error.
func ValidateBroker(name, value string, perBroker bool) error {
	base, prefixed := name, false
	if parts := listenerKey.FindStringSubmatch(name); parts != nil {
		base, prefixed = parts[2], true
	}
	k := Lookup(BrokerResource, base)
	switch {
	case k == nil && strings.HasPrefix(name, "ottla."):
		return requestRefusal(name, "Unknown broker config name: %s", name)
	case k == nil:
		return nil
	case k.Mode == ReadOnly && !prefixed:
		return requestRefusal(name, "Cannot update these configs dynamically: [%s]", name)
	case !prefixed && slices.Contains(withoutPrefix, name):
		return requestRefusal(name, "These security configs can be dynamically updated only per-listener using the listener prefix: [%s]", name)
	}
	perListener := prefixed && !slices.Contains([]string{"max.connections", "max.connection.creation.rate", "num.network.threads"}, base)
	if !perBroker && (k.Mode == PerBroker || perListener) {
		return requestRefusal(name, "Cannot update these configs at default cluster level, broker id must be specified: [%s]", name)
	}
	if k.Effect.security() {
		return requestRefusal(name, "%s cannot be set: %s", name, k.Effect.Reason())
	}
	if _, err := k.Check(value); err != nil {
		e := err.(*Error)
		e.Request = true
		return e
	}
	return nil
}

// ValidateBrokerOverrides checks all overrides of one broker (or of the cluster-wide default) as they would be after a change, alone and together
// with everything else that is set. The error is an *Error.
func ValidateBrokerOverrides(s *Static, clusterDefaults, brokerOverrides map[string]string, perBroker bool) error {
	changed := clusterDefaults
	if perBroker {
		changed = brokerOverrides
	}
	for _, name := range sortedKeys(changed) {
		if err := ValidateBroker(name, changed[name], perBroker); err != nil {
			return err
		}
	}
	_, err := ResolveBroker(s, clusterDefaults, brokerOverrides)
	if faults, ok := err.(Errors); ok {
		faults[0].Request = true
		return faults[0]
	}
	return nil
}

// ValidateClientMetrics checks one key of a client metrics subscription. The error is an *Error.
func ValidateClientMetrics(name, value string) error {
	k := Lookup(ClientMetricsResource, name)
	if k == nil {
		return requestRefusal(name, "Unknown client metrics configuration: %s", name)
	}
	_, err := k.Check(value)
	if e, ok := err.(*Error); ok {
		switch {
		case name == "interval.ms" && !strings.HasPrefix(e.Problem, "Not a number"):
			return requestRefusal(name, "Invalid value %s for interval.ms, interval must be between 100 and 3600000 (1 hour)", strings.TrimSpace(value))
		case name == "match" && strings.HasPrefix(e.Problem, "Illegal"):
			e.plain = true
		}
		return e
	}
	return nil
}

// ValidateClientMetricsOverrides checks a whole subscription. The error is an *Error.
func ValidateClientMetricsOverrides(overrides map[string]string) error {
	for _, name := range sortedKeys(overrides) {
		if err := ValidateClientMetrics(name, overrides[name]); err != nil {
			return err
		}
	}
	return nil
}

// LogLevels are the levels of a broker logger, from most to least.
var LogLevels = []string{"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"}

// ValidateLogger checks one change of a broker logger; exists tells which loggers there are. The error is an *Error.
func ValidateLogger(op Op, exists func(name string) bool) error {
	switch {
	case op.Kind == Append || op.Kind == Subtract:
		return requestRefusal(op.Key, "%s operation is not allowed for the BROKER_LOGGER resource", op.Kind)
	case op.Kind != Set && op.Kind != Delete:
		return requestRefusal(op.Key, "Unknown operation type %d is not allowed for the BROKER_LOGGER resource", op.Kind)
	case op.Kind == Set && op.Value == nil:
		return requestRefusal(op.Key, "Null value not supported for : %s", op.Key)
	case !exists(op.Key):
		return refusal(op.Key, "Logger %s does not exist!", op.Key)
	case op.Kind == Delete && op.Key == "root":
		return requestRefusal(op.Key, "Removing the log level of the root logger is not allowed")
	case op.Kind == Set && !slices.Contains(LogLevels, *op.Value):
		return refusal(op.Key, "Cannot set the log level of %s to %s as it is not a supported log level. Valid log levels are %s",
			op.Key, *op.Value, strings.Join(slices.Sorted(slices.Values(LogLevels)), ", "))
	}
	return nil
}
