package config

import (
	"slices"
	"time"
)

// Broker holds the values that stay as they are while the node runs. Durations that Kafka gives in milliseconds, minutes or seconds are
// time.Duration; a limit that can be infinite says how.
type Broker struct {
	NodeID int32
	Rack   string // "" when the node has none

	// Listeners are the addresses to bind, controllers' among them.
	Listeners []Listener
	// Advertised are the addresses clients are told, one for each broker listener; a Port of 0 stands for the port the listener got.
	Advertised []Listener
	// AdvertisedControllers are the addresses controllers are told.
	AdvertisedControllers   []Listener
	ControllerListenerNames []string
	InterBrokerListener     string
	Voters                  []Voter // empty, or this node alone
	AdminListener           string  // host:port of metrics and health, "" for none

	LogDirs         []string
	MetadataLogDir  string
	LogMemoryBytes  int64 // for the ends of all logs
	LogMinFreeBytes int64 // free space below which produce is refused
	LogReserveBytes int64 // space that is kept for when there is none
	LogStall        time.Duration
	LogOpenFiles    int // over all logs

	NumPartitions            int32
	DefaultReplicationFactor int16
	AutoCreateTopics         bool
	DeleteTopics             bool

	GroupMinSessionTimeout     time.Duration
	GroupMaxSessionTimeout     time.Duration
	GroupInitialRebalanceDelay time.Duration
	GroupMaxSize               int

	OffsetMetadataMaxBytes        int
	OffsetsCommitTimeout          time.Duration
	OffsetsRetention              time.Duration
	OffsetsRetentionCheckInterval time.Duration
	OffsetsTopicPartitions        int32
	OffsetsTopicReplicationFactor int16 // 0 when nobody set it: 3 or the number of brokers, whichever is less
	OffsetsTopicSegmentBytes      int64

	SocketSendBufferBytes    int // -1 leaves it to the operating system
	SocketReceiveBufferBytes int // -1 leaves it to the operating system
	SocketListenBacklog      int // 0 leaves it to the operating system
	SocketRequestMaxBytes    int
	RequestMemoryBytes       int64         // budget of all requests and answers in flight; enough for one of SocketRequestMaxBytes
	ConnectionsMaxIdle       time.Duration // negative: never

	FetchMaxBytes             int
	FetchSessionCacheSlots    int
	MaxRequestPartitions      int // of one DescribeTopicPartitions answer
	LogRetentionCheckInterval time.Duration
	MetadataLogSegmentBytes   int64
	MetadataLogSegmentMs      int64
	MetadataSnapshotBytes     int64         // of metadata records after which a snapshot is written
	MetadataSnapshotInterval  time.Duration // after which one is written; 0 for never
	MetadataRetentionBytes    int64         // of metadata log and snapshots; negative for no limit
	MetadataRetention         time.Duration // of what is older than the newest snapshot; negative for no limit
}

// AdvertisedAt is the address that clients who came in through the named listener are told.
func (b *Broker) AdvertisedAt(listener string) (Listener, bool) {
	for _, l := range b.Advertised {
		if l.Name == listener {
			return l, true
		}
	}
	return Listener{}, false
}

// WithPorts fills in the ports that were taken for listeners bound to port 0, by listener name.
func (b Broker) WithPorts(taken map[string]int) Broker {
	fill := func(listeners []Listener) []Listener {
		listeners = slices.Clone(listeners)
		for i := range listeners {
			if port, found := taken[listeners[i].Name]; found && listeners[i].Port == 0 {
				listeners[i].Port = port
			}
		}
		return listeners
	}
	b.Listeners, b.Advertised, b.AdvertisedControllers = fill(b.Listeners), fill(b.Advertised), fill(b.AdvertisedControllers)
	return b
}

// Controls reports whether the named listener serves controllers.
func (b *Broker) Controls(listener string) bool {
	return slices.Contains(b.ControllerListenerNames, listener)
}

func readBroker(s *Static, r *reader, hostname func() (string, error), faults *Errors) {
	b := &s.Broker
	b.NodeID = int32(r.number("node.id"))
	b.Rack = r.string("broker.rack")
	b.AdminListener = r.string("ottla.admin.listener")
	readListeners(b, r, hostname, faults)
	readQuorum(b, r, faults)
	b.LogDirs = r.logDirs()
	b.MetadataLogDir = r.string("metadata.log.dir")
	if b.MetadataLogDir == "" {
		b.MetadataLogDir = b.LogDirs[0]
	}
	b.LogMemoryBytes = r.number("ottla.log.memory.bytes")
	b.LogMinFreeBytes = r.number("ottla.log.min.free.bytes")
	b.LogReserveBytes = r.number("ottla.log.reserve.bytes")
	b.LogStall = r.millis("ottla.log.stall.ms")
	b.LogOpenFiles = r.int("ottla.log.open.files")
	readTopicsAndGroups(s, b, r)
	b.SocketSendBufferBytes, b.SocketReceiveBufferBytes = -1, -1
	if _, found := s.set["socket.send.buffer.bytes"]; found { // a size that nobody asked for would only keep the system from choosing a better one
		b.SocketSendBufferBytes = r.int("socket.send.buffer.bytes")
	}
	if _, found := s.set["socket.listen.backlog.size"]; found {
		b.SocketListenBacklog = r.int("socket.listen.backlog.size")
	}
	if _, found := s.set["socket.receive.buffer.bytes"]; found {
		b.SocketReceiveBufferBytes = r.int("socket.receive.buffer.bytes")
	}
	b.SocketRequestMaxBytes = r.int("socket.request.max.bytes")
	b.RequestMemoryBytes = requestMemory(r, faults)
	b.ConnectionsMaxIdle = r.millis("connections.max.idle.ms")
	b.FetchMaxBytes = r.int("fetch.max.bytes")
	b.FetchSessionCacheSlots = r.int("max.incremental.fetch.session.cache.slots")
	b.MaxRequestPartitions = r.int("max.request.partition.size.limit")
	b.LogRetentionCheckInterval = r.millis("log.retention.check.interval.ms")
	b.MetadataLogSegmentBytes = r.number("metadata.log.segment.bytes")
	b.MetadataLogSegmentMs = r.number("metadata.log.segment.ms")
	b.MetadataSnapshotBytes = r.number("metadata.log.max.record.bytes.between.snapshots")
	b.MetadataSnapshotInterval = r.millis("metadata.log.max.snapshot.interval.ms")
	b.MetadataRetentionBytes = r.number("metadata.max.retention.bytes")
	b.MetadataRetention = r.millis("metadata.max.retention.ms")
}

func readTopicsAndGroups(s *Static, b *Broker, r *reader) {
	b.NumPartitions = int32(r.number("num.partitions"))
	b.DefaultReplicationFactor = int16(r.number("default.replication.factor"))
	b.AutoCreateTopics = r.flag("auto.create.topics.enable")
	b.DeleteTopics = r.flag("delete.topic.enable")
	b.GroupMinSessionTimeout = r.millis("group.min.session.timeout.ms")
	b.GroupMaxSessionTimeout = r.millis("group.max.session.timeout.ms")
	b.GroupInitialRebalanceDelay = r.millis("group.initial.rebalance.delay.ms")
	b.GroupMaxSize = r.int("group.max.size")
	b.OffsetMetadataMaxBytes = r.int("offset.metadata.max.bytes")
	b.OffsetsCommitTimeout = r.millis("offsets.commit.timeout.ms")
	b.OffsetsRetention = saturate(r.number("offsets.retention.minutes"), time.Minute)
	b.OffsetsRetentionCheckInterval = r.millis("offsets.retention.check.interval.ms")
	b.OffsetsTopicPartitions = int32(r.number("offsets.topic.num.partitions"))
	if _, found := s.set["offsets.topic.replication.factor"]; found {
		b.OffsetsTopicReplicationFactor = int16(r.number("offsets.topic.replication.factor"))
	}
	b.OffsetsTopicSegmentBytes = r.number("offsets.topic.segment.bytes")
}

// requestMemory is Kafka's key when it is set, else ours. The budget always holds the largest request with the buffers around it, or that request
// could never be read: Kafka's key gives way to that, ours is refused.
func requestMemory(r *reader, faults *Errors) int64 {
	largest := r.number("socket.request.max.bytes")
	need := largest + largest*2/3 + 3<<20
	if queued := r.number("queued.max.request.bytes"); queued > 0 {
		if queued < largest {
			*faults = append(*faults, refusal("queued.max.request.bytes", "queued.max.request.bytes=%d must be at least socket.request.max.bytes=%d, or -1", queued, largest))
		}
		return max(queued, need)
	}
	budget := r.number("ottla.request.memory.bytes")
	if budget < need && r.has("ottla.request.memory.bytes") {
		*faults = append(*faults, refusal("ottla.request.memory.bytes", "ottla.request.memory.bytes=%d must be at least %d, to hold one request of socket.request.max.bytes=%d", budget, need, largest))
	}
	return max(budget, need)
}
