package config

import (
	"slices"
	"strings"
)

// refuseUnprotected stops a start that asks for a protection this build lacks.
func refuseUnprotected(s *Static, r *reader, faults *Errors) {
	for _, name := range sortedKeys(s.set) {
		k := Lookup(BrokerResource, name)
		if k == nil || (k.Effect != policyRefused && k.Effect != providersRefused) {
			continue
		}
		fallback, _ := k.Default()
		if text := strings.TrimSpace(s.set[name].Value); text != "" && text != fallback {
			*faults = append(*faults, refusal(name, "%s=%s: %s", name, text, k.Effect.Reason()))
		}
	}
	if protocol := r.string("security.inter.broker.protocol"); protocol != "PLAINTEXT" {
		*faults = append(*faults, refusal("security.inter.broker.protocol", "security.inter.broker.protocol=%s: this build has PLAINTEXT only", protocol))
	}
	if r.flag("remote.log.storage.system.enable") {
		*faults = append(*faults, refusal("remote.log.storage.system.enable", "remote.log.storage.system.enable=true: %s", noTiering.Reason()))
	}
}

// bounds are pairs of keys of which the first must not be above the second.
var bounds = [][2]string{
	{"group.consumer.min.heartbeat.interval.ms", "group.consumer.heartbeat.interval.ms"}, {"group.consumer.heartbeat.interval.ms", "group.consumer.max.heartbeat.interval.ms"},
	{"group.consumer.min.session.timeout.ms", "group.consumer.session.timeout.ms"}, {"group.consumer.session.timeout.ms", "group.consumer.max.session.timeout.ms"},
	{"group.consumer.min.assignment.interval.ms", "group.consumer.assignment.interval.ms"}, {"group.consumer.assignment.interval.ms", "group.consumer.max.assignment.interval.ms"},
	{"group.share.min.heartbeat.interval.ms", "group.share.heartbeat.interval.ms"}, {"group.share.heartbeat.interval.ms", "group.share.max.heartbeat.interval.ms"},
	{"group.share.min.session.timeout.ms", "group.share.session.timeout.ms"}, {"group.share.session.timeout.ms", "group.share.max.session.timeout.ms"},
	{"group.share.min.assignment.interval.ms", "group.share.assignment.interval.ms"}, {"group.share.assignment.interval.ms", "group.share.max.assignment.interval.ms"},
	{"group.share.min.record.lock.duration.ms", "group.share.record.lock.duration.ms"}, {"group.share.record.lock.duration.ms", "group.share.max.record.lock.duration.ms"},
	{"group.share.min.delivery.count.limit", "group.share.delivery.count.limit"}, {"group.share.delivery.count.limit", "group.share.max.delivery.count.limit"},
	{"group.share.min.partition.max.record.locks", "group.share.partition.max.record.locks"}, {"group.share.partition.max.record.locks", "group.share.max.partition.max.record.locks"},
	{"group.streams.min.heartbeat.interval.ms", "group.streams.heartbeat.interval.ms"}, {"group.streams.heartbeat.interval.ms", "group.streams.max.heartbeat.interval.ms"},
	{"group.streams.min.session.timeout.ms", "group.streams.session.timeout.ms"}, {"group.streams.session.timeout.ms", "group.streams.max.session.timeout.ms"},
	{"group.streams.min.assignment.interval.ms", "group.streams.assignment.interval.ms"}, {"group.streams.assignment.interval.ms", "group.streams.max.assignment.interval.ms"},
	{"group.streams.num.standby.replicas", "group.streams.max.standby.replicas"},
	{"replica.fetch.wait.max.ms", "replica.socket.timeout.ms"}, {"replica.fetch.wait.max.ms", "replica.lag.time.max.ms"},
}

// blame is the first of the keys that somebody set, or the first.
func (r *reader) blame(names ...string) string {
	for _, name := range names {
		if r.has(name) {
			return name
		}
	}
	return names[0]
}

// checkTogether checks what single keys cannot tell: values that do not go together.
func checkTogether(r *reader, faults *Errors) {
	fault := func(key, format string, args ...any) { *faults = append(*faults, refusal(key, format, args...)) }
	for _, pair := range bounds {
		if low, high := r.number(pair[0]), r.number(pair[1]); low > high {
			fault(r.blame(pair[0], pair[1]), "%s=%d must be less than or equal to %s=%d", pair[0], low, pair[1], high)
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		beat, session := "group."+kind+".heartbeat.interval.ms", "group."+kind+".session.timeout.ms"
		if r.number(beat) >= r.number(session) {
			fault(r.blame(beat, session), "%s=%d must be less than %s=%d", beat, r.number(beat), session, r.number(session))
		}
	}
	logs := &topicReader{broker: r}
	if n := logs.number("segment.ms"); n < 1 {
		fault(r.blame("log.roll.ms", "log.roll.hours"), "log.roll.ms must be greater than or equal to 1, not %d", n)
	}
	if n := logs.number("segment.jitter.ms"); n < 0 {
		fault(r.blame("log.roll.jitter.ms", "log.roll.jitter.hours"), "log.roll.jitter.ms must be greater than or equal to 0, not %d", n)
	}
	if n := logs.number("retention.ms"); n == 0 {
		fault(r.blame("log.retention.ms", "log.retention.minutes", "log.retention.hours"), "log.retention.ms must be unlimited (-1) or, greater than or equal to 1")
	}
	if r.number("log.cleaner.dedupe.buffer.size")/max(1, r.number("log.cleaner.threads")) <= 1<<20 {
		fault("log.cleaner.dedupe.buffer.size", "log.cleaner.dedupe.buffer.size must be at least 1MB per cleaner thread.")
	}
	if r.number("max.connections.per.ip") == 0 && r.string("max.connections.per.ip.overrides") == "" {
		fault("max.connections.per.ip", "max.connections.per.ip can be set to zero only if max.connections.per.ip.overrides property is set.")
	}
	if idle, delay := r.number("connections.max.idle.ms"), r.number("connection.failed.authentication.delay.ms"); idle >= 0 && delay >= idle {
		fault("connections.max.idle.ms", "connections.max.idle.ms=%d must be greater than connection.failed.authentication.delay.ms=%d", idle, delay)
	}
	if !slices.Contains(r.list("group.coordinator.rebalance.protocols"), "classic") {
		fault("group.coordinator.rebalance.protocols", "Disabling the 'classic' protocol is not supported.")
	}
	checkCordoned(r, fault)
	if n := len(r.list("group.share.assignors")); n != 1 {
		fault("group.share.assignors", "group.share.assignors must contain exactly one assignor, but found %d", n)
	}
}

func checkCordoned(r *reader, fault func(key, format string, args ...any)) {
	const name = "cordoned.log.dirs"
	cordoned := r.list(name)
	if slices.Contains(cordoned, "*") {
		if len(cordoned) > 1 {
			fault(name, "When cordoned.log.dirs is set to *, it must not contain other values")
		}
		return
	}
	dirs := r.logDirs()
	unknown := slices.DeleteFunc(slices.Clone(cordoned), func(dir string) bool { return slices.Contains(dirs, dir) })
	if len(unknown) > 0 {
		fault(name, "All entries in cordoned.log.dirs must be present in log.dirs or log.dir. Missing entries : %s", strings.Join(unknown, ", "))
	}
}
