package main

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// side is a broker with one promise of durability: one row of a cell.
type side struct {
	name    string
	kind    string // of broker: ottla or kafka
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
	floorSide    = side{name: "Floor", kind: "floor", promise: "checks and keeps nothing, answers at once: what machine and generator ask of any broker"}
	kafkaFlushed = side{name: "Kafka flushed", kind: "kafka", promise: "flush.messages=1, the topic's log.flush.interval.messages=1: acknowledges after the sync", configs: map[string]string{"flush.messages": "1"}}
)

// goal is what a figure of Ottla's first row should be, or its ratio to the figure of another row.
type goal struct {
	column column
	atMost bool
	value  float64
	// For a ratio.
	row, of string
}

// cell is one load, with everything else at its base: 6 partitions, 1 KiB records, acks=all, one replica, uncompressed.
type cell struct {
	name, title string
	sides       []side
	partitions  int32
	job         job   // without address, topic and times
	fill        int64 // bytes that the topic has before
	rounds      int   // how many batches each partition has before
	large       bool  // moves gigabytes: the machine's memory is prewarmed
	columns     []column
	goals       []goal
	// Instead of a job.
	processes bool // start, stop and rest
	topics    int
	cleaning  *cleaning
	crash     bool // killed under load and started again
}

const basePartitions = 6

// cells is the named list of everything that is measured, in the order in which it runs.
var cells = []cell{
	{
		name: "start", title: "from exec to the first acknowledged produce into a new topic; then at rest", processes: true,
		sides: []side{ottlaSynced, kafkaDefault}, columns: []column{colStart, colAccept, colRestart, colIdle, colThreads, colWakeups},
		goals: []goal{{column: colStart, atMost: true, value: 50}, {column: colIdle, atMost: true, value: 25}},
	},
	{
		name: "produce", title: "produce, 64 KiB batches, acks=all, 2 connections x 5 in flight", sides: []side{ottlaSynced, ottlaCache, kafkaDefault, kafkaFlushed, floorSide},
		partitions: basePartitions, job: job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 64 << 10, ValueBytes: 1 << 10}, large: true,
		columns: []column{colProduced, colRequests, colP50, colP99, colMax, colCPU, colRSS, colWritten, colOthers}, goals: []goal{{column: colCPU, atMost: true, value: 1.0}},
	},
	{
		name: "fetch", title: "hot fetch, 1 MB a fetch, 2 connections, 40 MB of 64 KiB batches again and again", sides: []side{ottlaSynced, kafkaDefault, floorSide},
		partitions: basePartitions, job: job{Kind: "fetch", Consumers: 2, FetchBytes: 1 << 20, BatchBytes: 64 << 10, ValueBytes: 1 << 10}, fill: 40 << 20,
		columns: []column{colFetched, colFetches, colFetch50, colFetch99, colFetchMax, colCPU, colRSS, colOthers}, goals: []goal{{column: colCPU, atMost: true, value: 0.25}},
	},
	{
		name: "fetch-cached", title: "the same over 512 MB, which is more than Ottla keeps in its own memory", sides: []side{ottlaSynced, kafkaDefault},
		partitions: basePartitions, job: job{Kind: "fetch", Consumers: 2, FetchBytes: 1 << 20, BatchBytes: 64 << 10, ValueBytes: 1 << 10}, fill: 512 << 20,
		columns: []column{colFetched, colFetches, colFetch50, colFetch99, colFetchMax, colCPU, colRSS, colOthers},
	},
	{
		name: "small", title: "one-record requests (100 B), acks=all, 64 connections x 1 in flight", sides: []side{ottlaSynced, ottlaCache, kafkaDefault, kafkaFlushed, floorSide},
		partitions: basePartitions, job: job{Kind: "produce", Producers: 64, InFlight: 1, BatchBytes: 0, ValueBytes: 100},
		columns: []column{colRequests, colP50, colP99, colMax, colPerRequest, colRSS, colWritten, colOthers}, goals: []goal{{column: colRequests, atMost: false, value: 60_000}},
	},
	{
		name: "both", title: "produce and fetch together, 64 KiB batches, 2 connections x 5 in flight and 2 consumers at the end", sides: []side{ottlaSynced, kafkaDefault},
		partitions: basePartitions, job: job{Kind: "both", Producers: 2, Consumers: 2, InFlight: 5, FetchBytes: 1 << 20, BatchBytes: 64 << 10, ValueBytes: 1 << 10}, large: true,
		columns: []column{colProduced, colFetched, colP50, colP99, colMax, colCPU, colRSS, colWritten, colOthers},
	},
	{
		name: "latency", title: "end to end, 2,000 x 1 KiB a second, one record a request, open loop", sides: []side{ottlaSynced, ottlaCache, kafkaDefault},
		partitions: basePartitions, job: job{Kind: "paced", FetchBytes: 1 << 20, ValueBytes: 1 << 10, Rate: 2000},
		columns: []column{colP50, colP99, colMax, colEnd50, colEnd99, colEndMax, colPerRequest, colLate99, colRSS, colOthers},
	},
	{
		name: "topics", title: "create 1,000 topics x 10 partitions, 100 topics a request, until the last one acknowledges; then at rest", topics: 1000, sides: []side{ottlaSynced, kafkaDefault},
		columns: []column{colAnswered, colCreated, colTopicsRSS, colPerPartition}, goals: []goal{{column: colCreated, atMost: true, value: 10}},
	},
	{
		name: "clean", title: "compaction of 400 MB: 200-byte records of 100,000 keys, 64 a batch, one in fifty a tombstone; from the order until the log is clean",
		cleaning: &cleaning{bytes: 400 << 20, keys: 100_000, valueBytes: 200}, sides: []side{ottlaSynced, kafkaDefault},
		columns: []column{colCleaned, colCleanCPU, colLeftBytes, colLeft, colFingerprint, colRSS},
		goals:   []goal{{column: colCleanCPU, atMost: true, value: 0.5, row: "Ottla", of: "Kafka"}},
	},
	{
		name: "recovery", title: "killed under load with 1,000 partitions that hold 2 GiB (short: 100 with 128 MiB): from exec to the first acknowledged produce; then after an orderly stop", crash: true,
		sides: []side{ottlaSynced, kafkaDefault}, columns: []column{colKilled, colRead, colStartCPU, colRestart}, goals: []goal{{column: colKilled, atMost: true, value: 1000}},
	},
	{
		name: "partitions", title: "one-record requests (100 B), acks=all, synced, 64 connections x 1 in flight, to 1 and to 10,000 partitions in turn", rounds: 2,
		sides:   []side{ottlaSynced.over(1), ottlaSynced.over(100), ottlaSynced.over(1000), ottlaSynced.over(10_000), kafkaFlushed.over(1), kafkaFlushed.over(1000), kafkaFlushed.over(10_000)},
		job:     job{Kind: "produce", Producers: 64, InFlight: 1, ValueBytes: 100},
		columns: []column{colRequests, colP50, colP99, colPerRequest, colFlushes, colWritten, colRSS, colOthers},
		goals:   []goal{{column: colPerRequest, atMost: true, value: 2, row: "Ottla, 10,000", of: "Ottla, 1"}},
	},
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

func cellNames() string {
	names := make([]string, len(cells))
	for i := range cells {
		names[i] = cells[i].name
	}
	return strings.Join(names, ", ")
}

// pace is how long and how often everything is measured.
type pace struct {
	rounds   int
	warm     time.Duration // before each measurement
	measure  time.Duration
	jvm      time.Duration // load on a fresh Kafka before its first measurement
	rest     time.Duration // before memory at rest is looked at
	starts   int           // of Ottla, per round; Kafka's are slow and vary little
	maxBytes int64         // of one measurement
	prewarm  int64         // bytes of memory touched before a large cell
	limit    time.Duration // for everything
	clean    int64         // the part of the cleaning cell's bytes, one in so many
	most     int32         // partitions: rows of topics with more are left out
	crash    crash         // what a broker holds when it is killed
	alone    bool          // only Ottla is killed: Kafka takes a minute to come back
}

var (
	longPace  = pace{rounds: 3, warm: 3 * time.Second, measure: 6 * time.Second, jvm: 20 * time.Second, rest: 4 * time.Second, starts: 5, maxBytes: 6 << 30, prewarm: 2 << 30, limit: 60 * time.Minute, clean: 1, most: 1 << 20, crash: crash{1000, 2 << 30}}
	shortPace = pace{rounds: 1, warm: time.Second, measure: 2 * time.Second, jvm: 4 * time.Second, rest: time.Second, starts: 3, maxBytes: 2 << 30, limit: 20 * time.Minute, clean: 8, most: 1000, crash: crash{100, 128 << 20}, alone: true}
)
