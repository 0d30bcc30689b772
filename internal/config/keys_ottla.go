package config

// ottlaRows: broker keys of Ottla's own.
var ottlaRows = []row{
	{"ottla.admin.listener", String, "127.0.0.1:9644", adminAddress, Medium, ReadOnly, Acts,
		"Address of the HTTP port for metrics, health and profiles. Port 0 takes any free port; an empty value switches it off. It is not protected: keep it on loopback or a trusted network."},
	{"ottla.durability", String, "sync", choice("sync", "cache"), High, ClusterWide, Acts,
		"Default of the topic key of this name: \"sync\" answers acks=all once the records are on disk, \"cache\" once they are in the operating system's cache, as Kafka does."},
	{"ottla.log.memory.bytes", Long, "67108864", atLeast(4 << 20), Medium, ReadOnly, Acts,
		"Memory for the ends of all logs: records on their way to disk and the newest ones behind them. An append waits when it is full of records that are not written yet."},
	{"ottla.log.min.free.bytes", Long, "134217728", atLeast(1), Medium, ReadOnly, Acts,
		"Free space of a log directory, at most a twentieth of its file system, below which clients' records are refused, while deletion, retention and the node's own records go on."},
	{"ottla.log.open.files", Int, "16384", atLeast(16), Medium, ReadOnly, Acts,
		"Files of logs kept open, over all partitions. Files open on use; the one used longest ago closes first. Connections take precedence where the system allows few descriptors (ulimit -n)."},
	{"ottla.log.reserve.bytes", Long, "33554432", atLeast(0), Medium, ReadOnly, Acts,
		"Space that each log directory keeps, at most a fortieth of its file system, and gives up when nothing else is left: for deletions, compaction and the node's own records. 0 keeps none."},
	{"ottla.log.stall.ms", Long, "10000", atLeast(0), Medium, ReadOnly, Acts,
		"How long a log directory may not finish a write or sync before it counts as stalled: its partitions are refused until it does, others go on. A directory that nobody writes to is tried every three times as long. 0 switches this off."},
	{"ottla.request.memory.bytes", Long, "268435456", atLeast(1 << 20), Medium, ReadOnly, Acts,
		"Memory for requests and answers in flight, over all connections, when queued.max.request.bytes does not say. Memory is granted as bytes arrive; who asks for more waits. It must hold the largest request (socket.request.max.bytes) and two thirds more, with 3 MiB for the others beside it."},
	{"ottla.scrub.bytes.per.second", Long, "4194304", atLeast(0), Medium, ClusterWide, Acts,
		"How much of each log directory's sealed segments is read in a second, at most, to compare it with its checksums. It is read past the page cache. 0 switches the check off."},
	{"ottla.scrub.interval.ms", Long, "604800000", atLeast(1), Medium, ClusterWide, Acts,
		"Time between the beginnings of two such checks of a log directory. A check that takes longer is followed by the next at once; one that the node's stop interrupted goes on where it was."},
}

// ottlaTopicRows: topic keys of Ottla's own.
var ottlaTopicRows = []row{
	{"ottla.durability", String, "sync", choice("sync", "cache"), Medium, ClusterWide, Acts,
		"When acks=all is answered and records become visible: \"sync\" once they are on disk, \"cache\" once they are in the operating system's cache, with flush.messages and flush.ms as the only forced syncs."},
}
