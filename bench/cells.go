package main

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
)

// side is a broker with one promise of durability: one row of a cell.
type side struct {
	name    string
	kind    string // of broker
	promise string
	configs map[string]string // of the cell's topic
	// partitions of the topic, instead of the cell's: such rows are compared with those that have as many.
	partitions int32
}

// over is the side with a topic of so many partitions.
func (s side) over(partitions int32) side {
	s.name += ", " + group(strconv.Itoa(int(partitions)))
	s.partitions = partitions
	return s
}

var (
	ottlaSynced  = side{name: "Ottla", kind: "ottla", promise: "acknowledges after the sync"}
	ottlaCache   = side{name: "Ottla cache", kind: "ottla", promise: "ottla.durability=cache: acknowledges from the page cache", configs: map[string]string{"ottla.durability": "cache"}}
	kafkaDefault = side{name: "Kafka", kind: "kafka", promise: "default: acknowledges from the page cache"}
	kafkaFlushed = side{name: "Kafka flushed", kind: "kafka", promise: "log.flush.interval.messages=1 (flush.messages of the topic): acknowledges after the sync", configs: map[string]string{"flush.messages": "1"}}
	natsDefault  = side{name: "NATS", kind: "nats", promise: "JetStream, file storage: acknowledges from the page cache, synced every two minutes (no batches: each record is a message)"}
	floorSide    = side{name: "Floor", kind: "floor", promise: "checks and keeps nothing, answers at once: what machine and generator ask of any broker"}
	machineSide  = side{name: "Machine", kind: "machine", promise: "no broker: what the disk, the loopback and the memory give"}
)

// Rows that appear in many cells.
var (
	plain = []side{ottlaSynced, kafkaDefault}
	three = []side{ottlaSynced, ottlaCache, kafkaDefault}
	twice = []side{ottlaSynced, ottlaCache, kafkaDefault, kafkaFlushed}
)

// cell is one load. All but what its name says is at the base: 1 KiB records, 64 KiB batches, 10 partitions, acks=all, one replica, not encrypted, uncompressed.
type cell struct {
	name, title string
	sides       []side
	columns     []column
	base        bool    // part of the quick form
	once        bool    // slow, or hardly varies: in the first round only
	job         job     // without address, topic and times
	fill        int64   // bytes that the topic has before
	before      int     // how many batches each partition has before
	share       float64 // of the slowest side's capacity, instead of the job's rate
	cold        bool    // what the page cache has of the log is dropped first
	notBuilt    bool    // waits for what Ottla does not have yet

	// Instead of the job: in a process that other cells use too, or in its own ones.
	inside func(b *bench, ctx context.Context, target *broker, c *cell, s *side) (figures, error)
	alone  func(b *bench, ctx context.Context, c *cell, s *side) (figures, error)
}

const (
	basePartitions = 10
	baseBatch      = 64 << 10
	baseValue      = 1 << 10
)

var (
	produceColumns = []column{colProduced, colRequests, colP50, colP99, colMax, colCPU, colWritten}
	fetchColumns   = []column{colFetched, colFetches, colFetch50, colFetch99, colFetchMax, colCPU}
	smallColumns   = []column{colRequests, colP50, colP99, colP999, colMax, colPerRequest, colWritten}
	latencyColumns = []column{colRate, colP50, colP99, colP999, colEnd50, colEnd99, colEnd999, colEndMax, colPerRequest, colLate99}
)

func produceJob(batch, value int) job {
	return job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: batch, ValueBytes: value, Acks: -1}
}

func fetchJob() job {
	return job{Kind: "fetch", Consumers: 2, FetchBytes: 1 << 20, BatchBytes: baseBatch, ValueBytes: baseValue}
}

func bothJob() job {
	j := produceJob(baseBatch, baseValue)
	j.Kind, j.Consumers, j.FetchBytes = "both", 2, 1<<20
	return j
}

func withAcks(acks int16) job {
	j := produceJob(baseBatch, baseValue)
	j.Acks = acks
	return j
}

func compressed(codec string) job {
	j := produceJob(baseBatch, baseValue)
	j.Codec = codec
	return j
}

func smallJob(connections, inFlight int) job {
	return job{Kind: "produce", Producers: connections, InFlight: inFlight, ValueBytes: 100, Acks: -1}
}

func pacedJob(rate int) job {
	return job{Kind: "paced", FetchBytes: 1 << 20, ValueBytes: baseValue, Rate: rate, Acks: -1}
}

// stranger is a real client with its defaults but for what the base cell says: one producer with batches up to 1 MB, or one consumer.
func stranger(kind string, produce bool) job {
	j := job{Kind: kind, BatchBytes: 1_000_000, ValueBytes: baseValue, Acks: -1}
	if produce {
		j.Producers = 1
	} else {
		j.Consumers = 1
	}
	return j
}

// cells is the named list of everything that is measured, in the order in which it runs.
var cells = slices.Concat(ownProcessCells, produceCells, fetchCells, requestCells, strangerCells, []cell{
	{name: "offsets", title: "group commits of one offset, 64 connections and groups x 1 in flight", job: job{Kind: "commit", Producers: 64, InFlight: 1}, sides: []side{ottlaSynced, kafkaDefault, kafkaFlushed},
		columns: []column{colRequests, colP50, colP99, colP999, colMax, colPerRequest}},
	{name: "clean", title: "compaction of 400 MB: 200-byte records of 100,000 keys, 64 a batch, one in fifty a tombstone; from the order until the log is clean", once: true, inside: (*bench).clean,
		sides: plain, columns: []column{colCleaned, colCleanCPU, colLeftBytes, colLeft, colFingerprint}},
	{name: "rf3", title: "replication factor 3", notBuilt: true},
	{name: "failover", title: "one of three nodes killed: longest gap between acknowledgements", notBuilt: true},
	{name: "tls", title: "produce and fetch over TLS", notBuilt: true},
	{name: "transactions", title: "produce, commit, read committed", notBuilt: true},
})

var ownProcessCells = []cell{
	{name: "machine", title: "limits of the machine: O_DIRECT writes of 1 MiB four at a time, synced O_DIRECT writes of 4 KiB one at a time, two loopback connections with 1 MiB writes, copies of 64 MiB", base: true,
		alone: (*bench).limits, sides: []side{machineSide}, columns: []column{colDisk, colSyncs, colLoopback, colMemcpy}},
	{name: "start", title: "from exec to the first acknowledged produce into a new topic (Kafka also formats its directory first), again after an orderly stop; then at rest", base: true, once: true,
		alone: (*bench).starts, sides: []side{ottlaSynced, kafkaDefault, natsDefault}, columns: []column{colStart, colFormat, colStartAll, colAccept, colRestart, colIdle, colThreads, colIdleCPU, colWakeups}},
	{name: "start-10000", title: "1,000 topics x 10 partitions created, 100 topics a request, until the last one acknowledges; start after an orderly stop; then at rest", once: true,
		alone: (*bench).manyPartitions, sides: plain, columns: []column{colAnswered, colCreated, colPerPartition, colRestart, colIdle, colIdleCPU, colWakeups}},
	{name: "connections", title: "10,000 connections that have asked for ApiVersions and say nothing more", once: true,
		alone: (*bench).connections, sides: plain, columns: []column{colIdle, colAdded, colPerOne, colIdleCPU, colWakeups}},
	{name: "consumers", title: "1,000 consumers, each a group of its own with one member and a fetch session over 10 partitions, at rest", once: true,
		alone: (*bench).consumers, sides: plain, columns: []column{colIdle, colAdded, colPerOne, colIdleCPU, colWakeups}},
	{name: "hostile", title: "1,000 connections that announce a request of 50 MB and send 1 KiB of it; a good client's end-to-end time at 500/s before and meanwhile", once: true,
		alone: (*bench).hostile, sides: plain, columns: []column{colBefore99, colMeanwhile99, colWorse, colAdded}},
	{name: "recovery", title: "killed under load with 1,000 partitions (Ottla with 10 GB, Kafka with 2 GB): from exec to the first acknowledged produce; then after an orderly stop", once: true,
		alone: (*bench).recoveries, sides: plain, columns: []column{colKilled, colRead, colStartCPU, colRestart}},
}

var produceCells = []cell{
	{name: "produce", title: "the base cell: produce 1 KiB records in 64 KiB batches to 10 partitions, acks=all, 2 connections x 5 in flight", base: true, job: produceJob(baseBatch, baseValue),
		sides: slices.Concat(twice, []side{natsDefault, floorSide}), columns: append(slices.Clone(produceColumns), colOwnRSS)},
	{name: "produce-16k", title: "produce, 16 KiB batches", job: produceJob(16<<10, baseValue), sides: twice, columns: produceColumns},
	{name: "produce-1m", title: "produce, 1 MB batches", base: true, job: produceJob(1_000_000, baseValue), sides: append(slices.Clone(twice), floorSide), columns: produceColumns},
	{name: "record-100", title: "produce, 100-byte records", job: produceJob(baseBatch, 100), sides: plain, columns: produceColumns},
	{name: "record-10k", title: "produce, 10 KiB records", job: produceJob(baseBatch, 10<<10), sides: plain, columns: produceColumns},
	{name: "partitions", title: "produce over 1, 10, 1,000 and 10,000 partitions that have a batch each", job: produceJob(baseBatch, baseValue), before: 1,
		sides: []side{ottlaSynced.over(1), ottlaSynced.over(10), ottlaSynced.over(1000), ottlaSynced.over(10_000), kafkaDefault.over(1), kafkaDefault.over(1000)}, columns: produceColumns},
	{name: "acks-0", title: "produce, acks=0: what one connection after the other swallows", job: withAcks(0), sides: plain, columns: []column{colProduced, colRequests, colCPU, colWritten}},
	{name: "acks-1", title: "produce, acks=1", job: withAcks(1), sides: plain, columns: produceColumns},
	{name: "lz4", title: "produce, batches of 64 KiB of text before lz4; MB are compressed ones", job: compressed("lz4"), sides: plain, columns: produceColumns},
	{name: "zstd", title: "produce, batches of 64 KiB of text before zstd; MB are compressed ones", job: compressed("zstd"), sides: plain, columns: produceColumns},
}

var fetchCells = []cell{
	{name: "fetch", title: "tail reads: 40 MB again and again, 1 MiB a fetch, 2 connections", base: true, job: fetchJob(), fill: 40 << 20, sides: []side{ottlaSynced, kafkaDefault, floorSide}, columns: fetchColumns},
	{name: "catch-up", title: "catch-up reads from the page cache: 512 MB again and again, more than Ottla keeps in its own memory", job: fetchJob(), fill: 512 << 20, sides: plain, columns: fetchColumns},
	{name: "catch-up-cold", title: "catch-up reads from the disk: 1 GB that the page cache has forgotten, once", job: fetchJob(), fill: 1 << 30, cold: true, sides: plain, columns: fetchColumns},
	{name: "both", title: "produce and fetch together: the base load and 2 consumers at the end of the log", base: true, sides: three,
		job:     bothJob(),
		columns: []column{colProduced, colFetched, colBothWays, colP50, colP99, colMax, colCPU, colWritten}},
}

var requestCells = []cell{
	{name: "small-1x1", title: "one-record requests (100 B), one connection, 1 in flight", job: smallJob(1, 1), sides: twice, columns: smallColumns},
	{name: "small-1x5", title: "one-record requests, one connection, 5 in flight", job: smallJob(1, 5), sides: twice, columns: smallColumns},
	{name: "small-1x50", title: "one-record requests, one connection, 50 in flight", base: true, job: smallJob(1, 50), sides: three, columns: smallColumns},
	{name: "small", title: "one-record requests, 64 connections x 1 in flight", base: true, job: smallJob(64, 1), sides: append(slices.Clone(twice), floorSide), columns: smallColumns},
	{name: "small-partitions", title: "one-record requests, 64 connections x 1 in flight, over 1 and many partitions that have two batches each", once: true, job: smallJob(64, 1), before: 2,
		sides: []side{ottlaSynced.over(1), ottlaSynced.over(1000), ottlaSynced.over(10_000), kafkaFlushed.over(1), kafkaFlushed.over(1000)}, columns: append(slices.Clone(smallColumns), colFlushes)},
	{name: "latency", title: "end to end at 2,000 x 1 KiB a second, one record a request, open loop", base: true, job: pacedJob(2000), sides: append(slices.Clone(three), natsDefault), columns: latencyColumns},
	{name: "latency-10", title: "end to end at 10 % of capacity: of what Kafka, the slowest, does in small-1x50", job: pacedJob(0), share: 0.1, sides: three, columns: latencyColumns},
	{name: "latency-50", title: "end to end at 50 % of capacity", job: pacedJob(0), share: 0.5, sides: three, columns: latencyColumns},
	{name: "latency-80", title: "end to end at 80 % of capacity", job: pacedJob(0), share: 0.8, sides: three, columns: latencyColumns},
}

const consumed = 512 << 20

var strangerCells = []cell{
	{name: "franz-produce", title: "franz-go, one producer, 1 KiB records, batches up to 1 MB", job: stranger("franz", true), sides: plain, columns: []column{colProduced, colCPU, colWritten}},
	{name: "franz-consume", title: "franz-go, one consumer, 512 MB again and again", job: stranger("franz", false), fill: consumed, sides: plain, columns: []column{colFetched, colCPU}},
	{name: "librdkafka-produce", title: "librdkafka (rd_kafka_produce_batch, called from Python through ctypes), one producer, 1 KiB records, batch.size 1 MB, linger 5 ms", job: stranger("librdkafka", true), sides: plain, columns: []column{colProduced, colCPU, colWritten}},
	{name: "librdkafka-consume", title: "librdkafka (rd_kafka_consume_callback_queue, called from Python through ctypes), one consumer, 512 MB again and again", job: stranger("librdkafka", false), fill: consumed, sides: plain, columns: []column{colFetched, colCPU}},
	{name: "tools-produce", title: "kafka-producer-perf-test, 1 KiB records, batch.size 256 KiB, linger 5 ms", job: stranger("tools", true), sides: plain, columns: []column{colProduced, colCPU, colWritten}},
	{name: "tools-consume", title: "kafka-consumer-perf-test, 512 MB once", job: stranger("tools", false), fill: consumed, sides: plain, columns: []column{colFetched, colCPU}},
}

// choose finds cells by their names; none means all.
func choose(names string) (chosen []cell, unknown string) {
	if names == "" {
		return cells, ""
	}
	for name := range strings.SplitSeq(names, ",") {
		i := slices.IndexFunc(cells, func(c cell) bool { return c.name == name })
		if i < 0 {
			return nil, name
		}
		chosen = append(chosen, cells[i])
	}
	return chosen, ""
}

func findCell(name string) *cell {
	i := slices.IndexFunc(cells, func(c cell) bool { return c.name == name })
	if i < 0 {
		return nil
	}
	return &cells[i]
}

func (c *cell) side(name string) *side {
	i := slices.IndexFunc(c.sides, func(s side) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return &c.sides[i]
}

func cellNames() string {
	names := make([]string, len(cells))
	for i := range cells {
		names[i] = cells[i].name
	}
	return strings.Join(names, ", ")
}

// pace is how long and how often everything is measured.
type pace struct {
	name     string
	rounds   int
	warm     time.Duration // before each measurement
	measure  time.Duration
	jvm      time.Duration // load on a fresh Kafka before its first measurement
	rest     time.Duration // for which a process at rest is looked at
	starts   int           // of Ottla; Kafka's are slow and vary little
	maxBytes int64         // of one measurement
	warmed   int64         // bytes of the machine's memory that are kept warm
	repeats  time.Duration // for measurements that others disturbed, in the whole run
	limit    time.Duration // for everything
	scale    int           // counts of partitions, connections and bytes of the slow cells are divided by it
	baseOnly bool          // of the other cells none is run
	ottla    bool          // of the other cells only Ottla's rows are run
}

var (
	longPace = pace{name: "full", rounds: 3, warm: time.Second, measure: 3 * time.Second, jvm: 20 * time.Second, rest: 5 * time.Second, starts: 5, maxBytes: 3 << 30, warmed: 6 << 30,
		repeats: 5 * time.Minute, limit: 42 * time.Minute, scale: 1}
	quickPace = pace{name: "quick", rounds: 2, warm: 500 * time.Millisecond, measure: 1500 * time.Millisecond, jvm: 10 * time.Second, rest: 2 * time.Second, starts: 3, maxBytes: 2 << 30, warmed: 3 << 30,
		repeats: 15 * time.Second, limit: 320 * time.Second, scale: 1, baseOnly: true}
	shortPace = pace{name: "short", rounds: 1, warm: 200 * time.Millisecond, measure: 400 * time.Millisecond, jvm: 2 * time.Second, rest: time.Second, starts: 1, maxBytes: 256 << 20,
		limit: 10 * time.Minute, scale: 20, ottla: true}
)

// scaled is a count of a slow cell in this form of the run.
func (p *pace) scaled(n int) int { return max(n/p.scale, 1) }

// wants tells whether a cell's rows of one kind of broker belong to this form of the run.
func (p *pace) wants(c *cell, kind string, round int) bool {
	switch {
	case c.notBuilt, c.once && round > 0, p.baseOnly && !c.base:
		return false
	case p.ottla && !c.base && (kind == "kafka" || kind == "nats"):
		return false
	}
	return slices.ContainsFunc(c.sides, func(s side) bool { return s.kind == kind })
}
