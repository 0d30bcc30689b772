package main

// toolCase is one call of a tool. Words in braces are replaced: {broker} by the
// address, {data} by the data directory, {file:NAME} by a file with that content of toolFiles.
type toolCase struct {
	name  string
	class string
	stdin string
	args  []string
	mask  string // what else is masked: "numbers", "sizes", "json", "records", and the order: "sorted"
	with  string // a member of this group reads topic people meanwhile
	until string // repeat for at most 20 s until the masked output holds this text
}

const (
	topicsTool  = "org.apache.kafka.tools.TopicCommand"
	configsTool = "kafka.admin.ConfigCommand"
	groupsTool  = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	producer    = "org.apache.kafka.tools.ConsoleProducer"
	consumer    = "org.apache.kafka.tools.consumer.ConsoleConsumer"
	offsetsTool = "org.apache.kafka.tools.GetOffsetShell"
	dumpTool    = "org.apache.kafka.tools.DumpLogSegments"
)

var toolFiles = map[string]string{
	"delete.json":   `{"partitions":[{"topic":"people","partition":0,"offset":2},{"topic":"people","partition":1,"offset":-1}],"version":1}`,
	"reassign.json": `{"version":1,"partitions":[{"topic":"people","partition":0,"replicas":[1],"log_dirs":["any"]}]}`,
	"elect.json":    `{"partitions":[{"topic":"people","partition":0}]}`,
	"reset.csv":     "people,0,2\npeople,1,0\n",
}

// on puts the address where the tool wants it.
func on(args ...string) []string { return append([]string{"--bootstrap-server", "{broker}"}, args...) }

var (
	topicCases = []toolCase{
		{name: "topics-create", class: topicsTool, args: on("--create", "--topic", "people", "--partitions", "2", "--replication-factor", "1")},
		{name: "topics-create-config", class: topicsTool, args: on("--create", "--topic", "Compact.ed_1", "--config", "cleanup.policy=compact", "--config", "segment.bytes=1048576")},
		{name: "topics-create-defaults", class: topicsTool, args: on("--create", "--topic", "defaults")},
		{name: "topics-create-assigned", class: topicsTool, args: on("--create", "--topic", "assigned", "--replica-assignment", "1,1")},
		{name: "topics-create-again", class: topicsTool, args: on("--create", "--topic", "people")},
		{name: "topics-create-if-not-exists", class: topicsTool, args: on("--create", "--topic", "people", "--if-not-exists")},
		{name: "topics-create-bad-name", class: topicsTool, args: on("--create", "--topic", "bad/name")},
		{name: "topics-create-bad-config", class: topicsTool, args: on("--create", "--topic", "bad", "--config", "no.such.key=1")},
		{name: "topics-create-bad-value", class: topicsTool, args: on("--create", "--topic", "bad", "--config", "retention.ms=soon")},
		{name: "topics-create-many-replicas", class: topicsTool, args: on("--create", "--topic", "bad", "--replication-factor", "3")},
		{name: "topics-list", class: topicsTool, args: on("--list"), until: "assigned"},
		{name: "topics-describe", class: topicsTool, args: on("--describe", "--topic", "people")},
		{name: "topics-describe-all", class: topicsTool, mask: "sorted", args: on("--describe", "--exclude-internal")},
		{name: "topics-describe-overrides", class: topicsTool, mask: "sorted", args: on("--describe", "--topics-with-overrides")},
		{name: "topics-describe-under-min-isr", class: topicsTool, args: on("--describe", "--under-min-isr-partitions")},
		{name: "topics-describe-unavailable", class: topicsTool, args: on("--describe", "--unavailable-partitions")},
		{name: "topics-describe-unknown", class: topicsTool, args: on("--describe", "--topic", "nobody")},
		{name: "topics-alter", class: topicsTool, args: on("--alter", "--topic", "defaults", "--partitions", "3")},
		{name: "topics-alter-fewer", class: topicsTool, args: on("--alter", "--topic", "defaults", "--partitions", "2")},
		{name: "topics-describe-altered", class: topicsTool, args: on("--describe", "--topic", "defaults"), until: "PartitionCount: 3"},
		{name: "topics-delete", class: topicsTool, args: on("--delete", "--topic", "assigned")},
		{name: "topics-delete-unknown", class: topicsTool, args: on("--delete", "--topic", "nobody")},
		{name: "topics-list-after", class: topicsTool, args: on("--list", "--exclude-internal")},
	}

	recordCases = []toolCase{
		{name: "console-producer", class: producer, stdin: "one\ntwo\nthree\n", args: on("--topic", "auto", "--request-required-acks", "all")},
		{name: "console-producer-keys", class: producer, stdin: "h1:v1,h2:v2\tk1:ann\nh1:NULL\tk2:bob\nh1:v3\tk3:NULL\n",
			args: on("--topic", "people", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:",
				"--reader-property", "parse.headers=true", "--reader-property", "null.marker=NULL")},
		{name: "console-producer-zstd", class: producer, stdin: "k1:four\nk1:five\n", args: on("--topic", "people", "--compression-codec", "zstd",
			"--reader-property", "parse.key=true", "--reader-property", "key.separator=:")},
		{name: "console-producer-no-acks", class: producer, stdin: "none\n", args: on("--topic", "Compact.ed_1", "--request-required-acks", "0", "--reader-property", "parse.key=false", "--command-property", "enable.idempotence=false")},
		{name: "console-producer-unkeyed-compacted", class: producer, stdin: "keyless\n", args: on("--topic", "Compact.ed_1")},
		{name: "console-producer-keyed-compacted", class: producer, stdin: "a:1\na:2\nb:1\n", args: on("--topic", "Compact.ed_1", "--reader-property", "parse.key=true", "--reader-property", "key.separator=:")},
		{name: "console-consumer", class: consumer, args: on("--topic", "auto", "--from-beginning", "--max-messages", "3")},
		{name: "console-consumer-properties", class: consumer, mask: "sorted", args: on("--topic", "people", "--from-beginning", "--max-messages", "5",
			"--formatter-property", "print.key=true", "--formatter-property", "print.headers=true", "--formatter-property", "print.partition=true",
			"--formatter-property", "print.offset=true", "--formatter-property", "print.timestamp=true", "--formatter-property", "null.literal=NIL")},
		{name: "console-consumer-group", class: consumer, mask: "sorted", args: on("--topic", "people", "--group", "readers", "--from-beginning", "--max-messages", "5", "--command-property", "client.id=reader")},
		{name: "console-consumer-offset", class: consumer, args: on("--topic", "Compact.ed_1", "--partition", "0", "--offset", "1", "--max-messages", "2")},
		{name: "console-consumer-timeout", class: consumer, args: on("--topic", "people", "--timeout-ms", "1500")},
		{name: "console-consumer-read-committed", class: consumer, args: on("--topic", "auto", "--from-beginning", "--max-messages", "3", "--isolation-level", "read_committed")},
	}

	offsetCases = []toolCase{
		{name: "get-offsets", class: offsetsTool, args: on("--topic", "people")},
		{name: "get-offsets-earliest", class: offsetsTool, args: on("--topic", "people", "--time", "earliest")},
		{name: "get-offsets-max-timestamp", class: offsetsTool, mask: "numbers", args: on("--topic", "Compact.ed_1", "--time", "max-timestamp")},
		{name: "get-offsets-earliest-local", class: offsetsTool, args: on("--topic", "people", "--time", "earliest-local")},
		{name: "get-offsets-latest-tiered", class: offsetsTool, args: on("--topic", "people", "--time", "latest-tiered")},
		{name: "get-offsets-earliest-pending", class: offsetsTool, args: on("--topic", "people", "--time", "-6")},
		{name: "get-offsets-timestamp", class: offsetsTool, args: on("--topic", "people", "--time", "1000")},
		{name: "get-offsets-future", class: offsetsTool, args: on("--topic", "people", "--time", "99999999999999")},
		{name: "get-offsets-partitions", class: offsetsTool, args: on("--topic-partitions", "people:0-1,auto:0", "--exclude-internal-topics")},
		{name: "get-offsets-unknown", class: offsetsTool, args: on("--topic", "nobody")},
	}

	groupCases = []toolCase{
		{name: "groups-list", class: groupsTool, mask: "sorted", args: on("--list"), until: "readers"},
		{name: "groups-list-state", class: groupsTool, mask: "sorted", args: on("--list", "--state"), until: "Empty"},
		{name: "groups-list-type", class: groupsTool, mask: "sorted", args: on("--list", "--type", "classic")},
		{name: "groups-describe", class: groupsTool, args: on("--describe", "--group", "readers")},
		{name: "groups-describe-offsets-verbose", class: groupsTool, args: on("--describe", "--group", "readers", "--offsets", "--verbose")},
		{name: "groups-describe-members", class: groupsTool, args: on("--describe", "--group", "readers", "--members")},
		{name: "groups-describe-state", class: groupsTool, args: on("--describe", "--group", "readers", "--state")},
		{name: "groups-describe-all-state", class: groupsTool, args: on("--describe", "--all-groups", "--state"), mask: "sorted"},
		{name: "groups-describe-live", class: groupsTool, with: "alive", args: on("--describe", "--group", "alive"), until: "UUID"},
		{name: "groups-describe-live-offsets", class: groupsTool, with: "alive", args: on("--describe", "--group", "alive", "--offsets", "--verbose"), until: "UUID"},
		{name: "groups-describe-live-members", class: groupsTool, with: "alive", args: on("--describe", "--group", "alive", "--members", "--verbose"), until: "UUID"},
		{name: "groups-describe-live-state", class: groupsTool, with: "alive", args: on("--describe", "--group", "alive", "--state"), until: "Stable"},
		{name: "groups-delete-live", class: groupsTool, with: "alive", args: on("--delete", "--group", "alive")},
		{name: "groups-reset-live", class: groupsTool, with: "alive", args: on("--reset-offsets", "--group", "alive", "--topic", "people", "--to-earliest", "--execute")},
		{name: "groups-describe-unknown", class: groupsTool, args: on("--describe", "--group", "nobody")},
		{name: "groups-reset-dry-run", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--all-topics", "--to-earliest", "--dry-run"), mask: "sorted"},
		{name: "groups-reset-shift", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--topic", "people:1", "--shift-by", "-1", "--execute")},
		{name: "groups-reset-offset", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--topic", "people:1", "--to-offset", "1", "--execute")},
		{name: "groups-reset-datetime", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--topic", "people", "--to-datetime", "2020-01-01T00:00:00.000", "--execute"), mask: "sorted"},
		{name: "groups-reset-latest", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--topic", "people", "--to-latest", "--execute"), mask: "sorted"},
		{name: "groups-reset-file", class: groupsTool, args: on("--reset-offsets", "--group", "readers", "--from-file", "{file:reset.csv}", "--execute"), mask: "sorted"},
		{name: "groups-reset-new-group", class: groupsTool, args: on("--reset-offsets", "--group", "newcomers", "--topic", "defaults", "--to-earliest", "--execute"), mask: "sorted"},
		{name: "groups-describe-after-reset", class: groupsTool, args: on("--describe", "--group", "readers")},
		{name: "groups-delete-offsets", class: groupsTool, args: on("--delete-offsets", "--group", "readers", "--topic", "people:0")},
		{name: "groups-describe-after-delete-offsets", class: groupsTool, args: on("--describe", "--group", "readers")},
		{name: "groups-validate-regex", class: groupsTool, args: on("--validate-regex", "a+")},
		{name: "groups-delete", class: groupsTool, args: on("--delete", "--group", "newcomers")},
		{name: "groups-delete-unknown", class: groupsTool, args: on("--delete", "--group", "nobody")},
		{name: "groups-all-types", class: "org.apache.kafka.tools.GroupsCommand", args: on("--list"), mask: "sorted"},
	}

	configCases = []toolCase{
		{name: "configs-topic-describe-all", class: configsTool, args: on("--describe", "--entity-type", "topics", "--entity-name", "Compact.ed_1", "--all")},
		{name: "configs-topic-describe", class: configsTool, mask: "sorted", args: on("--describe", "--entity-type", "topics")},
		{name: "configs-topic-alter", class: configsTool, args: on("--alter", "--topic", "people", "--add-config", "retention.ms=3600000,cleanup.policy=[delete,compact]")},
		{name: "configs-topic-describe-altered", class: configsTool, args: on("--describe", "--topic", "people"), until: "3600000"},
		{name: "configs-topic-delete", class: configsTool, args: on("--alter", "--topic", "people", "--delete-config", "cleanup.policy")},
		{name: "configs-topic-delete-absent", class: configsTool, args: on("--alter", "--topic", "people", "--delete-config", "flush.ms")},
		{name: "configs-topic-alter-bad-value", class: configsTool, args: on("--alter", "--topic", "people", "--add-config", "retention.ms=never")},
		{name: "configs-topic-alter-bad-key", class: configsTool, args: on("--alter", "--topic", "people", "--add-config", "no.such.key=1")},
		{name: "configs-topic-describe-unknown", class: configsTool, args: on("--describe", "--topic", "nobody")},
		{name: "configs-broker-describe", class: configsTool, args: on("--describe", "--broker", "1")},
		{name: "configs-broker-describe-all", class: configsTool, args: on("--describe", "--broker", "1", "--all")},
		{name: "configs-broker-alter", class: configsTool, args: on("--alter", "--broker", "1", "--add-config", "log.retention.ms=7200000")},
		{name: "configs-broker-describe-altered", class: configsTool, args: on("--describe", "--broker", "1"), until: "log.retention.ms=7200000 sensitive"},
		{name: "configs-broker-alter-read-only", class: configsTool, args: on("--alter", "--broker", "1", "--add-config", "broker.id=7")},
		{name: "configs-broker-delete", class: configsTool, args: on("--alter", "--broker", "1", "--delete-config", "log.retention.ms")},
		{name: "configs-default-alter", class: configsTool, args: on("--alter", "--broker-defaults", "--add-config", "message.max.bytes=2000000")},
		{name: "configs-default-describe", class: configsTool, args: on("--describe", "--broker-defaults"), until: "2000000"},
		{name: "configs-topic-sees-default", class: configsTool, args: on("--describe", "--topic", "defaults", "--all"), until: "max.message.bytes=2000000"},
		{name: "configs-default-delete", class: configsTool, args: on("--alter", "--broker-defaults", "--delete-config", "message.max.bytes")},
		{name: "configs-loggers-describe", class: configsTool, args: on("--describe", "--broker-logger", "1"), mask: "sorted"},
		{name: "configs-loggers-alter", class: configsTool, args: on("--alter", "--broker-logger", "1", "--add-config", "root=ERROR")},
		{name: "configs-loggers-alter-bad", class: configsTool, args: on("--alter", "--broker-logger", "1", "--add-config", "root=LOUD")},
		{name: "configs-group-alter", class: configsTool, args: on("--alter", "--entity-type", "groups", "--entity-name", "readers", "--add-config", "consumer.session.timeout.ms=50000")},
		{name: "configs-group-describe", class: configsTool, args: on("--describe", "--entity-type", "groups", "--entity-name", "readers"), until: "50000"},
		{name: "configs-group-delete", class: configsTool, args: on("--alter", "--entity-type", "groups", "--entity-name", "readers", "--delete-config", "consumer.session.timeout.ms")},
		{name: "configs-client-metrics-describe", class: configsTool, args: on("--describe", "--entity-type", "client-metrics")},
	}

	clusterCases = []toolCase{
		{name: "broker-api-versions", class: "org.apache.kafka.tools.BrokerApiVersionsCommand", args: on()},
		{name: "cluster-id", class: "org.apache.kafka.tools.ClusterTool", args: []string{"cluster-id", "--bootstrap-server", "{broker}"}},
		{name: "cluster-endpoints", class: "org.apache.kafka.tools.ClusterTool", args: []string{"list-endpoints", "--bootstrap-server", "{broker}"}},
		{name: "features-describe", class: "org.apache.kafka.tools.FeatureCommand", args: on("describe")},
		{name: "quorum-status", class: "org.apache.kafka.tools.MetadataQuorumCommand", args: on("describe", "--status"), mask: "numbers"},
		{name: "quorum-replication", class: "org.apache.kafka.tools.MetadataQuorumCommand", args: on("describe", "--replication"), mask: "numbers"},
		{name: "log-dirs", class: "org.apache.kafka.tools.LogDirsCommand", args: on("--describe", "--topic-list", "people,defaults"), mask: "json"},
		{name: "log-dirs-unknown-broker", class: "org.apache.kafka.tools.LogDirsCommand", args: on("--describe", "--broker-list", "1,7"), mask: "json"},
		{name: "leader-election", class: "org.apache.kafka.tools.LeaderElectionCommand", args: on("--election-type", "preferred", "--path-to-json-file", "{file:elect.json}")},
		{name: "leader-election-all", class: "org.apache.kafka.tools.LeaderElectionCommand", args: on("--election-type", "preferred", "--all-topic-partitions")},
		{name: "reassign-list", class: "org.apache.kafka.tools.reassign.ReassignPartitionsCommand", args: on("--list")},
		{name: "acls-list", class: "org.apache.kafka.tools.AclCommand", args: on("--list")},
		{name: "acls-add", class: "org.apache.kafka.tools.AclCommand", args: on("--add", "--allow-principal", "User:ann", "--operation", "Read", "--topic", "people")},
		{name: "delete-records", class: "org.apache.kafka.tools.DeleteRecordsCommand", args: on("--offset-json-file", "{file:delete.json}"), mask: "sorted"},
		{name: "get-offsets-after-delete", class: offsetsTool, args: on("--topic", "people", "--time", "earliest")},
	}

	loadCases = []toolCase{
		{name: "producer-perf", class: "org.apache.kafka.tools.ProducerPerformance", mask: "numbers",
			args: []string{"--bootstrap-server", "{broker}", "--topic", "perf", "--num-records", "20000", "--record-size", "200", "--throughput", "-1", "--command-property", "acks=all"}},
		{name: "consumer-perf", class: "org.apache.kafka.tools.ConsumerPerformance", mask: "numbers",
			args: on("--topic", "perf", "--num-records", "20000", "--timeout", "20000")},
		{name: "verifiable-producer", class: "org.apache.kafka.tools.VerifiableProducer", mask: "numbers",
			args: []string{"--bootstrap-server", "{broker}", "--topic", "verify", "--max-messages", "5", "--acks", "-1"}},
		{name: "verifiable-consumer", class: "org.apache.kafka.tools.VerifiableConsumer", mask: "numbers sorted",
			args: []string{"--bootstrap-server", "{broker}", "--topic", "verify", "--group-id", "verifiers", "--max-messages", "5", "--reset-policy", "earliest"}},
		{name: "end-to-end-latency", class: "org.apache.kafka.tools.EndToEndLatency", mask: "numbers",
			args: []string{"--bootstrap-server", "{broker}", "--topic", "latency", "--num-records", "50", "--producer-acks", "all", "--record-size", "100"}},
		{name: "client-compatibility", class: "org.apache.kafka.tools.ClientCompatibilityTest", args: []string{"--bootstrap-server", "{broker}", "--topic", "defaults",
			"--offsets-for-times-supported", "true", "--cluster-id-supported", "true", "--expect-record-too-large-exception", "false",
			"--num-cluster-nodes", "1", "--create-topics-supported", "true", "--describe-acls-supported", "true", "--describe-configs-supported", "true",
			"--idempotent-producer-supported", "true"}},
	}

	// dumpCases read the data directory after the node was stopped: what is on disk then is complete.
	dumpCases = []toolCase{
		{name: "dump-log", class: dumpTool, args: []string{"--files", "{data}/people-1/00000000000000000000.log", "--print-data-log"}, mask: "sizes"},
		{name: "dump-log-deep", class: dumpTool, args: []string{"--files", "{data}/people-0/00000000000000000000.log", "--deep-iteration"}, mask: "sizes"},
		{name: "dump-index", class: dumpTool, args: []string{"--files", "{data}/perf-0/00000000000000000000.index", "--index-sanity-check"}},
		{name: "dump-index-verify", class: dumpTool, args: []string{"--files", "{data}/perf-0/00000000000000000000.index", "--verify-index-only"}, mask: "numbers"},
		{name: "dump-timeindex", class: dumpTool, args: []string{"--files", "{data}/perf-0/00000000000000000000.timeindex", "--verify-index-only"}},
		{name: "dump-snapshot", class: dumpTool, args: []string{"--files", "{data}/perf-0/00000000000000020000.snapshot"}, mask: "numbers"},
		{name: "dump-metadata", class: dumpTool, args: []string{"--files", "{data}/__cluster_metadata-0/00000000000000000000.log", "--cluster-metadata-decoder", "--skip-record-metadata"}, mask: "records"},
	}
)

func toolCases() []toolCase {
	var all []toolCase
	for _, part := range [][]toolCase{topicCases, recordCases, offsetCases, groupCases, configCases, clusterCases, loadCases} {
		all = append(all, part...)
	}
	return all
}
