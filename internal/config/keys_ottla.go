package config

// ottlaRows: broker keys of Ottla's own.
var ottlaRows = []row{
	{"ottla.admin.listener", String, "127.0.0.1:9644", adminAddress, Medium, ReadOnly, Acts,
		"Address of the HTTP port for metrics, health and profiles. Port 0 takes any free port; an empty value switches it off. It is not protected: keep it on loopback or a trusted network."},
	{"ottla.durability", String, "sync", choice("sync", "cache"), High, ClusterWide, Acts,
		"Default of the topic key of this name: \"sync\" answers acks=all once the records are on disk, \"cache\" once they are in the operating system's cache, as Kafka does."},
	{"ottla.request.memory.bytes", Long, "134217728", atLeast(1 << 20), Medium, ReadOnly, Acts,
		"Memory for requests that are being read or worked on, over all connections, when queued.max.request.bytes does not say. Memory is granted as bytes arrive; who asks for more waits."},
}

// ottlaTopicRows: topic keys of Ottla's own.
var ottlaTopicRows = []row{
	{"ottla.durability", String, "sync", choice("sync", "cache"), Medium, ClusterWide, Acts,
		"When acks=all is answered and records become visible: \"sync\" once they are on disk, \"cache\" once they are in the operating system's cache, with flush.messages and flush.ms as the only forced syncs."},
}
