package config

// Compression is compression.type. The codecs have the numbers of a record batch's attributes.
type Compression int8

const (
	CompressionProducer Compression = -1 // keep what the client sent
	CompressionNone     Compression = 0
	CompressionGzip     Compression = 1
	CompressionSnappy   Compression = 2
	CompressionLz4      Compression = 3
	CompressionZstd     Compression = 4
)

var compressions = map[string]Compression{
	"producer": CompressionProducer, "uncompressed": CompressionNone, "gzip": CompressionGzip, "snappy": CompressionSnappy,
	"lz4": CompressionLz4, "zstd": CompressionZstd,
}

// Durability is ottla.durability.
type Durability uint8

const (
	// Sync acknowledges and shows records once they are on disk.
	Sync Durability = iota
	// Cache acknowledges and shows records once they are written, as Kafka does.
	Cache
)

func (d Durability) String() string { return [...]string{"sync", "cache"}[d] }

// Topic is the effective configuration of one topic. It is immutable. Fields in milliseconds may be as large as an int64 is: they are not
// Durations, which overflow.
type Topic struct {
	Compact bool // cleanup.policy has compact: records need keys
	Delete  bool // cleanup.policy has delete: retention applies

	Compression      Compression
	GzipLevel        int // -1: the codec's own
	Lz4Level         int
	ZstdLevel        int
	MaxMessageBytes  int
	MaxUnpackedBytes int // max.decompressed.message.bytes

	LogAppendTime        bool
	TimestampBeforeMaxMs int64
	TimestampAfterMaxMs  int64

	MinInsyncReplicas int
	Durability        Durability
	FlushMessages     int64
	FlushMs           int64

	RetentionMs    int64 // -1: for ever
	RetentionBytes int64 // -1: no limit

	SegmentBytes       int64
	SegmentMs          int64
	SegmentJitterMs    int64
	SegmentIndexBytes  int64
	IndexIntervalBytes int64
	FileDeleteDelayMs  int64

	MinCleanableRatio  float64
	MinCompactionLagMs int64
	MaxCompactionLagMs int64
	DeleteRetentionMs  int64
}

// topicReader reads topic keys: the topic's own overrides first, then the broker key behind each, then the default.
type topicReader struct {
	broker    *reader
	overrides map[string]string
}

// text is the value of a topic key in canonical spelling, and false when it is null.
func (r *topicReader) text(k *Key) (string, bool) {
	if text, found := r.overrides[k.Name]; found {
		return canonical(k, text), true
	}
	for _, name := range k.Synonyms {
		behind := Lookup(BrokerResource, name)
		text, ok := r.broker.text(behind)
		if !ok {
			continue
		}
		return inMillis(name, canonical(behind, text)), true
	}
	return k.Default()
}

func (r *topicReader) value(name string) (value, bool) {
	k := Lookup(TopicResource, name)
	text, ok := r.text(k)
	if !ok {
		return value{}, false
	}
	v, problem := k.Type.parse(text)
	if problem != "" {
		panic("BUG: topic key " + name + " has the value " + text + ": " + problem)
	}
	return v, true
}

func (r *topicReader) number(name string) int64 { v, _ := r.value(name); return v.num }
func (r *topicReader) text1(name string) string { v, _ := r.value(name); return v.text }

func (r *topicReader) topic() *Topic {
	policy, _ := r.value("cleanup.policy")
	t := &Topic{
		Compression:          compressions[r.text1("compression.type")],
		GzipLevel:            int(r.number("compression.gzip.level")),
		Lz4Level:             int(r.number("compression.lz4.level")),
		ZstdLevel:            int(r.number("compression.zstd.level")),
		MaxMessageBytes:      int(r.number("max.message.bytes")),
		MaxUnpackedBytes:     int(r.number("max.decompressed.message.bytes")),
		LogAppendTime:        r.text1("message.timestamp.type") == "LogAppendTime",
		TimestampBeforeMaxMs: r.number("message.timestamp.before.max.ms"),
		TimestampAfterMaxMs:  r.number("message.timestamp.after.max.ms"),
		MinInsyncReplicas:    int(r.number("min.insync.replicas")),
		FlushMessages:        r.number("flush.messages"),
		FlushMs:              r.number("flush.ms"),
		RetentionMs:          r.number("retention.ms"),
		RetentionBytes:       r.number("retention.bytes"),
		SegmentBytes:         r.number("segment.bytes"),
		SegmentMs:            r.number("segment.ms"),
		SegmentJitterMs:      r.number("segment.jitter.ms"),
		SegmentIndexBytes:    r.number("segment.index.bytes"),
		IndexIntervalBytes:   r.number("index.interval.bytes"),
		FileDeleteDelayMs:    r.number("file.delete.delay.ms"),
		MinCompactionLagMs:   r.number("min.compaction.lag.ms"),
		MaxCompactionLagMs:   r.number("max.compaction.lag.ms"),
		DeleteRetentionMs:    r.number("delete.retention.ms"),
	}
	ratio, _ := r.value("min.cleanable.dirty.ratio")
	t.MinCleanableRatio = ratio.real
	for _, word := range policy.list {
		t.Compact = t.Compact || word == "compact"
		t.Delete = t.Delete || word == "delete"
	}
	if r.text1("ottla.durability") == "cache" {
		t.Durability = Cache
	}
	if internal, ok := r.value("internal.segment.bytes"); ok {
		t.SegmentBytes = internal.num
	}
	return t
}
