package main

// Feature is one row of the matrix. Every driver must answer every feature:
// PASS, FAIL with what was seen, or NA with what the client itself lacks.
type Feature struct {
	ID    string
	Short string
}

var features = []Feature{
	{"topic.create", "create a topic with partitions and a config"},
	{"topic.list", "list topics"},
	{"topic.describe", "describe a topic"},
	{"topic.partitions", "add partitions"},
	{"topic.delete", "delete a topic"},
	{"topic.autocreate", "a topic made by producing to it"},
	{"topic.invalid", "an invalid name is refused as such"},
	{"produce.basic", "key, value, null value, headers, create time"},
	{"produce.logappend", "log-append time"},
	{"acks.0", "produce with acks=0"},
	{"acks.1", "produce with acks=1"},
	{"acks.all", "produce with acks=all"},
	{"codec.none", "uncompressed"},
	{"codec.gzip", "gzip"},
	{"codec.snappy", "snappy"},
	{"codec.lz4", "lz4"},
	{"codec.zstd", "zstd"},
	{"produce.batch", "thousands of records in batches"},
	{"produce.single", "one record a request"},
	{"produce.idempotent", "idempotent producer"},
	{"consume.earliest", "start at the earliest"},
	{"consume.latest", "start at the latest"},
	{"consume.offset", "start at an offset"},
	{"consume.timestamp", "start at a time"},
	{"consume.assign", "partitions assigned by hand"},
	{"group.join", "two members share"},
	{"group.leave", "a member leaves"},
	{"group.crash", "a member's process is killed"},
	{"group.static", "a static member returns unnoticed"},
	{"group.more", "more members than partitions"},
	{"group.eager", "eager assignor"},
	{"group.cooperative", "cooperative assignor"},
	{"group.resume", "a new member goes on at the commit"},
	{"group.independent", "two groups read the same topic"},
	{"commit.sync", "commit and wait"},
	{"commit.async", "commit in the background"},
	{"poll.wakes", "a long poll wakes in under 500 ms"},
	{"big.ok", "a record just below the limit"},
	{"big.toolarge", "a record above the limit"},
	{"admin.configs.describe", "describe configs of topic and broker"},
	{"admin.configs.alter", "alter a topic's config"},
	{"admin.records.delete", "delete records"},
	{"admin.offsets", "list offsets"},
	{"admin.groups.list", "list groups"},
	{"admin.groups.describe", "describe a group"},
	{"admin.groups.delete", "delete a group"},
	{"admin.cluster", "describe the cluster"},
}

// afterRestart runs against the same node once it was stopped and started again.
var afterRestart = []Feature{
	{"restart.resume", "a group goes on after node and client restarted"},
	{"codec.foreign", "reads every other client's batches in every codec"},
}

// live runs across the restart: the driver's connections break and must recover.
var live = Feature{"restart.live", "producer and group member live through a restart of the node"}
