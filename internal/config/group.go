package config

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/invariant"
)

// Group is the effective configuration of one group. It is immutable.
type Group struct {
	ConsumerSessionTimeout     time.Duration
	ConsumerHeartbeatInterval  time.Duration
	ConsumerAssignmentInterval time.Duration

	ShareSessionTimeout      time.Duration
	ShareHeartbeatInterval   time.Duration
	ShareAssignmentInterval  time.Duration
	ShareRecordLockDuration  time.Duration
	ShareDeliveryCountLimit  int
	SharePartitionLocks      int
	ShareAutoOffsetReset     string // latest, earliest or by_duration:…
	ShareReadCommitted       bool
	ShareRenewAcknowledge    bool
	DeadLetterTopic          string // "" for none
	DeadLetterCopyRecord     bool
	StreamsSessionTimeout    time.Duration
	StreamsHeartbeatInterval time.Duration
	StreamsAssignInterval    time.Duration
	StreamsInitialDelay      time.Duration
	StreamsStandbyReplicas   int
	StreamsRackAwareTags     []string
	StreamsAssignor          string
}

// groupBounds are the broker keys that bound a group key: lowest and highest, "" for none.
var groupBounds = map[string][2]string{
	"consumer.heartbeat.interval.ms":   {"group.consumer.min.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	"consumer.session.timeout.ms":      {"group.consumer.min.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	"consumer.assignment.interval.ms":  {"group.consumer.min.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	"share.heartbeat.interval.ms":      {"group.share.min.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	"share.session.timeout.ms":         {"group.share.min.session.timeout.ms", "group.share.max.session.timeout.ms"},
	"share.assignment.interval.ms":     {"group.share.min.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	"share.record.lock.duration.ms":    {"group.share.min.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	"share.delivery.count.limit":       {"group.share.min.delivery.count.limit", "group.share.max.delivery.count.limit"},
	"share.partition.max.record.locks": {"group.share.min.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	"streams.heartbeat.interval.ms":    {"group.streams.min.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	"streams.session.timeout.ms":       {"group.streams.min.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	"streams.assignment.interval.ms":   {"group.streams.min.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
	"streams.num.standby.replicas":     {"", "group.streams.max.standby.replicas"},
}

// groupReader reads group keys: the group's own overrides, then the broker key behind each, then the default.
type groupReader struct {
	broker    *reader
	overrides map[string]string
}

func (r *groupReader) text(k *Key) (string, bool) {
	if text, found := r.overrides[k.Name]; found {
		return canonical(k, text), true
	}
	if len(k.Synonyms) == 0 {
		return k.Default()
	}
	behind := Lookup(BrokerResource, k.Synonyms[0])
	text, ok := r.broker.text(behind)
	if !ok {
		return "", false
	}
	text = canonical(behind, text)
	if behind.Type == List && k.Type != List { // the first of group.streams.assignors is the default
		text, _, _ = strings.Cut(text, ",")
	}
	return text, true
}

func (r *groupReader) value(name string) value {
	k := Lookup(GroupResource, name)
	text, ok := r.text(k)
	if !ok {
		return value{}
	}
	v, problem := k.Type.parse(text)
	invariant.Check(problem == "", "group key %s has the value %s: %s", name, text, problem)
	return v
}

// number is a group's number within the bounds of the broker, which may have become narrower since the number was set.
func (r *groupReader) number(name string) int64 {
	n := r.value(name).num
	low, high := r.bounds(name)
	return min(max(n, low), high)
}

func (r *groupReader) bounds(name string) (low, high int64) {
	keys := groupBounds[name]
	low, high = 0, 1<<31-1
	if keys[0] != "" {
		low = r.broker.number(keys[0])
	}
	if keys[1] != "" {
		high = r.broker.number(keys[1])
	}
	return low, high
}

func (r *groupReader) millis(name string) time.Duration {
	return saturate(r.number(name), time.Millisecond)
}

// ResolveGroup makes the configuration of one group. Overrides that are wrong are skipped and named in the error; the result is usable all the same.
func ResolveGroup(d *Dynamic, overrides map[string]string) (*Group, error) {
	kept, faults := sound(GroupResource, overrides)
	r := &groupReader{broker: d.reader, overrides: kept}
	return &Group{
		ConsumerSessionTimeout:     r.millis("consumer.session.timeout.ms"),
		ConsumerHeartbeatInterval:  r.millis("consumer.heartbeat.interval.ms"),
		ConsumerAssignmentInterval: r.millis("consumer.assignment.interval.ms"),
		ShareSessionTimeout:        r.millis("share.session.timeout.ms"),
		ShareHeartbeatInterval:     r.millis("share.heartbeat.interval.ms"),
		ShareAssignmentInterval:    r.millis("share.assignment.interval.ms"),
		ShareRecordLockDuration:    r.millis("share.record.lock.duration.ms"),
		ShareDeliveryCountLimit:    int(r.number("share.delivery.count.limit")),
		SharePartitionLocks:        int(r.number("share.partition.max.record.locks")),
		ShareAutoOffsetReset:       r.value("share.auto.offset.reset").text,
		ShareReadCommitted:         r.value("share.isolation.level").text == "read_committed",
		ShareRenewAcknowledge:      r.value("share.renew.acknowledge.enable").flag,
		DeadLetterTopic:            r.value("errors.deadletterqueue.topic.name").text,
		DeadLetterCopyRecord:       r.value("errors.deadletterqueue.copy.record.enable").flag,
		StreamsSessionTimeout:      r.millis("streams.session.timeout.ms"),
		StreamsHeartbeatInterval:   r.millis("streams.heartbeat.interval.ms"),
		StreamsAssignInterval:      r.millis("streams.assignment.interval.ms"),
		StreamsInitialDelay:        r.millis("streams.initial.rebalance.delay.ms"),
		StreamsStandbyReplicas:     int(r.number("streams.num.standby.replicas")),
		StreamsRackAwareTags:       r.value("streams.rack.aware.assignment.tags").list,
		StreamsAssignor:            r.value("streams.assignor.name").text,
	}, faults.orNil()
}

// ValidateGroup checks one override of a group by itself. The error is an *Error.
func ValidateGroup(name, value string) error {
	k := Lookup(GroupResource, name)
	if k == nil {
		return refusal(name, "Unknown group config name: %s", name)
	}
	_, err := k.Check(value)
	return err
}

// ValidateGroupOverrides checks all overrides of a group, alone, together and against the broker's bounds. The error is an *Error.
func ValidateGroupOverrides(d *Dynamic, overrides map[string]string) error {
	r := &groupReader{broker: d.reader, overrides: overrides}
	for _, name := range sortedKeys(overrides) {
		if err := ValidateGroup(name, overrides[name]); err != nil {
			return err
		}
		keys, bounded := groupBounds[name]
		if !bounded {
			continue
		}
		low, high := r.bounds(name)
		n := r.value(name).num
		if n > high && keys[0] == "" {
			return refusal(name, "%s must be less than or equal to %d", name, high)
		}
		if n < low || n > high {
			return refusal(name, "%s must be in the range %d to %d inclusive.", name, low, high)
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, beat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		_, hasSession := overrides[session]
		_, hasBeat := overrides[beat]
		if (hasSession || hasBeat) && r.value(session).num <= r.value(beat).num {
			return refusal(session, "%s must be greater than %s", session, beat)
		}
	}
	if name, found := overrides["streams.assignor.name"]; found {
		if known := d.reader.list("group.streams.assignors"); !slices.Contains(known, strings.TrimSpace(name)) {
			return refusal("streams.assignor.name", "streams.assignor.name '%s' is not a registered task assignor. Registered assignors are: [%s].", name, strings.Join(known, ", "))
		}
	}
	if strings.HasPrefix(r.value("errors.deadletterqueue.topic.name").text, "__") {
		return refusal("errors.deadletterqueue.topic.name", "errors.deadletterqueue.topic.name: DLQ topic name must not start with '__'")
	}
	return nil
}

// number as text, for entries whose value is clamped.
func decimal(n int64) string { return strconv.FormatInt(n, 10) }
