package config

//go:generate go test -run ^TestReferencePage$ -rewrite .

import (
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/invariant"
)

// row is one line of a table of keys.
type row struct {
	name       string
	typ        Type
	fallback   string
	rule       rule
	importance Importance
	mode       Mode
	effect     Effect
	doc        string
}

// topicSynonyms gives for a topic key the broker key that sets its default; keys without one are absent.
var topicSynonyms = map[string]string{
	"cleanup.policy": "log.cleanup.policy", "compression.gzip.level": "compression.gzip.level", "compression.lz4.level": "compression.lz4.level",
	"compression.type": "compression.type", "compression.zstd.level": "compression.zstd.level", "delete.retention.ms": "log.cleaner.delete.retention.ms",
	"file.delete.delay.ms": "log.segment.delete.delay.ms", "flush.messages": "log.flush.interval.messages", "flush.ms": "log.flush.interval.ms",
	"index.interval.bytes": "log.index.interval.bytes", "local.retention.bytes": "log.local.retention.bytes", "local.retention.ms": "log.local.retention.ms",
	"max.compaction.lag.ms": "log.cleaner.max.compaction.lag.ms", "max.decompressed.message.bytes": "max.decompressed.message.bytes",
	"max.message.bytes": "message.max.bytes", "message.timestamp.after.max.ms": "log.message.timestamp.after.max.ms",
	"message.timestamp.before.max.ms": "log.message.timestamp.before.max.ms", "message.timestamp.type": "log.message.timestamp.type",
	"min.cleanable.dirty.ratio": "log.cleaner.min.cleanable.ratio", "min.compaction.lag.ms": "log.cleaner.min.compaction.lag.ms",
	"min.insync.replicas": "min.insync.replicas", "ottla.durability": "ottla.durability", "preallocate": "log.preallocate",
	"remote.copy.lag.bytes": "log.remote.copy.lag.bytes", "remote.copy.lag.ms": "log.remote.copy.lag.ms", "retention.bytes": "log.retention.bytes",
	"retention.ms": "log.retention.ms", "segment.bytes": "log.segment.bytes", "segment.index.bytes": "log.index.size.max.bytes",
	"segment.jitter.ms": "log.roll.jitter.ms", "segment.ms": "log.roll.ms", "unclean.leader.election.enable": "unclean.leader.election.enable",
}

// brokerSpellings lists the broker keys that say the same thing in other units, the one that wins first.
var brokerSpellings = [][]string{
	{"log.roll.ms", "log.roll.hours"},
	{"log.roll.jitter.ms", "log.roll.jitter.hours"},
	{"log.retention.ms", "log.retention.minutes", "log.retention.hours"},
	{"log.flush.interval.ms", "log.flush.scheduler.interval.ms"},
}

// millisPer is the unit of a broker key that stands behind a topic key in milliseconds but has another unit.
var millisPer = map[string]int64{
	"log.roll.hours": 3_600_000, "log.roll.jitter.hours": 3_600_000, "log.retention.minutes": 60_000, "log.retention.hours": 3_600_000,
}

// groupSynonyms gives for a group key the broker key that sets its default; keys without one are their own.
var groupSynonyms = map[string]string{
	"consumer.assignment.interval.ms": "group.consumer.assignment.interval.ms", "consumer.heartbeat.interval.ms": "group.consumer.heartbeat.interval.ms",
	"consumer.session.timeout.ms": "group.consumer.session.timeout.ms", "share.assignment.interval.ms": "group.share.assignment.interval.ms",
	"share.delivery.count.limit": "group.share.delivery.count.limit", "share.heartbeat.interval.ms": "group.share.heartbeat.interval.ms",
	"share.partition.max.record.locks": "group.share.partition.max.record.locks", "share.record.lock.duration.ms": "group.share.record.lock.duration.ms",
	"share.session.timeout.ms": "group.share.session.timeout.ms", "streams.assignment.interval.ms": "group.streams.assignment.interval.ms",
	"streams.assignor.name": "group.streams.assignors", "streams.heartbeat.interval.ms": "group.streams.heartbeat.interval.ms",
	"streams.initial.rebalance.delay.ms": "group.streams.initial.rebalance.delay.ms", "streams.num.standby.replicas": "group.streams.num.standby.replicas",
	"streams.rack.aware.assignment.tags": "group.streams.rack.aware.assignment.tags", "streams.session.timeout.ms": "group.streams.session.timeout.ms",
}

// hiddenTopicRows are Kafka's internal topic keys that Ottla honours: never listed unless set.
var hiddenTopicRows = []row{
	{"internal.segment.bytes", Int, null, atLeast(1), Medium, ClusterWide, Acts,
		"Segment size below the minimum of segment.bytes, which it replaces when set. For tests."},
}

// dynamicOnly are the broker keys that exist only as overrides: Kafka lists them when they are set.
var dynamicOnly = []string{
	"follower.replication.throttled.rate", "leader.replication.throttled.rate", "replica.alter.log.dirs.io.max.bytes.per.second",
}

// area is a table of keys under one title.
type area struct {
	title    string
	resource Resource
	rows     []row
	hidden   bool
}

// areas is every table, in the order in which documents list them.
var areas = []area{
	{title: "Ottla's own", resource: BrokerResource, rows: ottlaRows},
	{title: "Listeners, connections and requests", resource: BrokerResource, rows: networkRows},
	{title: "The node, its controller and the metadata log", resource: BrokerResource, rows: quorumRows},
	{title: "Logs", resource: BrokerResource, rows: logRows},
	{title: "Topics, plugins, threads and metrics", resource: BrokerResource, rows: nodeRows},
	{title: "Groups", resource: BrokerResource, rows: groupCoordinatorRows},
	{title: "Committed offsets, transactions and share state", resource: BrokerResource, rows: coordinatorRows},
	{title: "Replication, quotas and throttles", resource: BrokerResource, rows: replicaRows},
	{title: "Tiered storage", resource: BrokerResource, rows: tierRows},
	{title: "TLS, SASL, tokens and authorization", resource: BrokerResource, rows: securityRows},
	{title: "Ottla's own", resource: TopicResource, rows: ottlaTopicRows},
	{title: "Kafka's", resource: TopicResource, rows: topicRows},
	{title: "Internal", resource: TopicResource, rows: hiddenTopicRows, hidden: true},
	{title: "Kafka's", resource: GroupResource, rows: groupRows},
	{title: "Kafka's", resource: ClientMetricsResource, rows: clientMetricsRows},
}

type definitions struct {
	byName map[Resource]map[string]*Key
	sorted map[Resource][]*Key
}

var defined = define()

func define() *definitions {
	d := &definitions{byName: map[Resource]map[string]*Key{}, sorted: map[Resource][]*Key{}}
	for _, a := range areas {
		d.add(a)
	}
	for _, name := range dynamicOnly {
		d.byName[BrokerResource][name].Hidden = true
	}
	for name, k := range d.byName[BrokerResource] {
		k.Synonyms = spellings(name)
	}
	for name, synonym := range topicSynonyms {
		d.byName[TopicResource][name].Synonyms = spellings(synonym)
	}
	for name, synonym := range groupSynonyms {
		d.byName[GroupResource][name].Synonyms = []string{synonym}
	}
	for _, keys := range d.sorted {
		slices.SortFunc(keys, func(a, b *Key) int { return strings.Compare(a.Name, b.Name) })
	}
	return d
}

func (d *definitions) add(a area) {
	if d.byName[a.resource] == nil {
		d.byName[a.resource] = map[string]*Key{}
	}
	for _, r := range a.rows {
		invariant.Check(d.byName[a.resource][r.name] == nil, "config key %s is defined twice", r.name)
		k := &Key{Name: r.name, Resource: a.resource, Type: r.typ, Importance: r.importance, Mode: r.mode, Effect: r.effect, Doc: r.doc,
			Area: a.title, Hidden: a.hidden, fallback: r.fallback, rule: r.rule}
		d.byName[a.resource][r.name] = k
		d.sorted[a.resource] = append(d.sorted[a.resource], k)
	}
}

// spellings is every broker key that says the same as name, in the order in which they win; a name with one spelling is alone.
func spellings(name string) []string {
	for _, chain := range brokerSpellings {
		// The scheduler interval gives another key its default but is not itself a spelling of it.
		if slices.Contains(chain, name) && name != "log.flush.scheduler.interval.ms" {
			return chain
		}
	}
	return []string{name}
}

// Lookup finds the definition of a key, or nil.
func Lookup(resource Resource, name string) *Key { return defined.byName[resource][name] }

// Keys lists the definitions of a resource in name order, hidden ones included. The slice is shared: do not change it.
func Keys(resource Resource) []*Key { return defined.sorted[resource] }
