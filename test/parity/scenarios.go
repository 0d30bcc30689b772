package main

// scenario is one conversation that both sides have.
type scenario struct {
	name string
	run  func(*side)
}

// scenarios run in this order, each with connections of its own. Topics and groups stay, so each uses its own names.
var scenarios = []scenario{
	{"api-versions", apiVersions},
	{"connection", connections},
	{"cluster", describeCluster},
	{"find-coordinator", findCoordinator},
	{"metadata", metadata},
	{"create-topics", createTopics},
	{"create-topics-configs", createTopicsConfigs},
	{"create-topics-assignments", createTopicsAssignments},
	{"delete-topics", deleteTopics},
	{"create-partitions", createPartitions},
	{"describe-topic-partitions", describeTopicPartitions},
	{"produce", produce},
	{"produce-batches", produceBatches},
	{"produce-timestamps", produceTimestamps},
	{"produce-compacted", produceCompacted},
	{"produce-idempotent", produceIdempotent},
	{"init-producer-id", initProducerID},
	{"fetch", fetch},
	{"fetch-sessions", fetchSessions},
	{"list-offsets", listOffsets},
	{"delete-records", deleteRecords},
	{"offset-for-leader-epoch", offsetForLeaderEpoch},
	{"describe-producers", describeProducers},
	{"describe-log-dirs", describeLogDirs},
	{"describe-configs", describeConfigs},
	{"describe-configs-errors", describeConfigsErrors},
	{"alter-configs-topic", alterConfigsTopic},
	{"alter-configs-broker", alterConfigsBroker},
	{"alter-configs-other", alterConfigsOther},
	{"alter-configs-legacy", alterConfigsLegacy},
	{"list-config-resources", listConfigResources},
	{"join-group", joinGroup},
	{"group-life", groupLife},
	{"group-static", groupStatic},
	{"group-errors", groupErrors},
	{"offset-commit", offsetCommit},
	{"offset-fetch", offsetFetch},
	{"offset-delete", offsetDelete},
	{"describe-groups", describeGroups},
	{"list-groups", listGroups},
	{"delete-groups", deleteGroups},
	{"elect-leaders", electLeaders},
	{"reassignments", reassignments},
	{"acls", acls},
	{"quotas-scram", quotasAndSCRAM},
	{"sasl", sasl},
	{"describe-quorum", describeQuorum},
	{"odd-requests", oddRequests},
}
