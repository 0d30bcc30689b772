package main

import (
	"fmt"
	"slices"
)

// bound is one limit that a figure or a ratio should keep; zero is none.
type bound struct {
	must, stretch float64
}

// goal is one line of the table of goals: a figure of one of Ottla's rows, by itself and as a ratio to another row of the same run.
type goal struct {
	key      string // for the notes
	title    string
	cell     string
	column   column
	ours     string // side
	theirs   string // side; empty when there is no ratio to keep
	atMost   bool
	ratio    bound
	absolute bound
	part     bound  // of a figure of the machine, measured in the same run
	limit    column // that figure
}

const (
	unsynced = "Ottla cache"
	synced   = "Ottla"
	kafka    = "Kafka"
	flushed  = "Kafka flushed"
)

// goals are those for the 2-core machine, broker and client together. None is left out because it is missed.
var goals = []goal{
	{key: "cpu-64k", title: "broker CPU s/GB produced, 64 KiB batches", cell: "produce", column: colCPU, ours: synced, theirs: kafka, atMost: true, ratio: bound{1.0 / 4, 1.0 / 5}, absolute: bound{0.70, 0.45}},
	{key: "cpu-1m", title: "broker CPU s/GB produced, 1 MB batches", cell: "produce-1m", column: colCPU, ours: synced, theirs: kafka, atMost: true, ratio: bound{1.0 / 3, 1.0 / 5}, absolute: bound{0.70, 0.45}},
	{key: "cpu-16k", title: "broker CPU s/GB produced, 16 KiB batches", cell: "produce-16k", column: colCPU, ours: synced, theirs: kafka, atMost: true, ratio: bound{1.0 / 4, 1.0 / 6}, absolute: bound{1.3, 0.75}},
	{key: "produce-16k", title: "raw produce MB/s, 16 KiB batches", cell: "produce-16k", column: colProduced, ours: synced, theirs: kafka, ratio: bound{3, 5}},
	{key: "produce-64k", title: "raw produce MB/s, 64 KiB batches", cell: "produce", column: colProduced, ours: synced, theirs: kafka, ratio: bound{3, 4}},
	{key: "produce-1m", title: "raw produce MB/s, 1 MB batches", cell: "produce-1m", column: colProduced, ours: synced, theirs: kafka, ratio: bound{2, 3}, part: bound{must: 0.8}, limit: colDisk},
	{key: "flushed-16k", title: "the same, every ack on disk, 16 KiB", cell: "produce-16k", column: colProduced, ours: synced, theirs: flushed, ratio: bound{15, 25}},
	{key: "flushed-64k", title: "the same, every ack on disk, 64 KiB", cell: "produce", column: colProduced, ours: synced, theirs: flushed, ratio: bound{8, 12}},
	{key: "flushed-1m", title: "the same, every ack on disk, 1 MB", cell: "produce-1m", column: colProduced, ours: synced, theirs: flushed, ratio: bound{4, 5}},
	{key: "librdkafka-produce", title: "librdkafka, 1 KiB, produce MB/s", cell: "librdkafka-produce", column: colProduced, ours: synced, theirs: kafka, ratio: bound{2, 2.5}, absolute: bound{must: 1200}},
	{key: "librdkafka-consume", title: "librdkafka, 1 KiB, consume MB/s", cell: "librdkafka-consume", column: colFetched, ours: synced, theirs: kafka, ratio: bound{1.2, 1.5}, absolute: bound{must: 1000}},
	{key: "franz-produce", title: "franz-go, 1 KiB, produce MB/s", cell: "franz-produce", column: colProduced, ours: synced, theirs: kafka, ratio: bound{2, 2.5}, absolute: bound{must: 1200}},
	{key: "franz-consume", title: "franz-go, 1 KiB, consume MB/s", cell: "franz-consume", column: colFetched, ours: synced, theirs: kafka, ratio: bound{1.2, 1.5}, absolute: bound{must: 1000}},
	{key: "fetch", title: "raw hot fetch MB/s", cell: "fetch", column: colFetched, ours: synced, theirs: kafka, ratio: bound{1.3, 1.45}, part: bound{must: 0.9}, limit: colLoopback},
	{key: "fetch-cpu", title: "raw hot fetch, broker CPU s/GB", cell: "fetch", column: colCPU, ours: synced, theirs: kafka, atMost: true, ratio: bound{1, 0.8}},
	{key: "both", title: "produce and fetch together, MB/s of both ways", cell: "both", column: colBothWays, ours: synced, theirs: kafka, ratio: bound{4, 6}},
	{key: "both-in", title: "produce and fetch together, MB/s in", cell: "both", column: colProduced, ours: synced, theirs: kafka, absolute: bound{must: 1700}},
	{key: "both-out", title: "produce and fetch together, MB/s out", cell: "both", column: colFetched, ours: synced, theirs: kafka, absolute: bound{must: 1700}},
	{key: "one-connection-5", title: "one-record requests/s, one connection, 5 in flight, both unsynced", cell: "small-1x5", column: colRequests, ours: unsynced, theirs: kafka, ratio: bound{5, 6}, absolute: bound{must: 60_000}},
	{key: "one-connection-50", title: "one-record requests/s, one connection, 50 in flight, both unsynced", cell: "small-1x50", column: colRequests, ours: unsynced, theirs: kafka, ratio: bound{15, 20}, absolute: bound{must: 200_000}},
	{key: "crowd", title: "one-record requests/s, 64 connections, ours synced, Kafka's not", cell: "small", column: colRequests, ours: synced, theirs: kafka, ratio: bound{must: 1}},
	{key: "crowd-flushed", title: "one-record requests/s, 64 connections, both synced", cell: "small", column: colRequests, ours: synced, theirs: flushed, ratio: bound{10, 16}},
	{key: "crowd-p99", title: "one-record requests, 64 connections, synced: p99 ms", cell: "small", column: colP99, ours: synced, theirs: flushed, atMost: true, absolute: bound{1.5, 1}},
	{key: "latency-p50", title: "end to end at 2,000/s, p50 ms, both unsynced", cell: "latency", column: colEnd50, ours: unsynced, theirs: kafka, atMost: true, ratio: bound{must: 0.5}, absolute: bound{must: 0.120}},
	{key: "latency-p99", title: "end to end at 2,000/s, p99 ms, both unsynced", cell: "latency", column: colEnd99, ours: unsynced, theirs: kafka, atMost: true, ratio: bound{must: 0.5}, absolute: bound{must: 0.350}},
	{key: "start", title: "start to first ack, empty, ms (with the format of the directory)", cell: "start", column: colStartAll, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 1.0 / 80}, absolute: bound{20, 10}},
	{key: "start-10000", title: "start to first ack, 10,000 partitions, ms", cell: "start-10000", column: colRestart, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 1.0 / 40}, absolute: bound{300, 100}},
	{key: "memory-idle", title: "resident memory idle, MiB", cell: "start", column: colIdle, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 1.0 / 25}, absolute: bound{15, 10}},
	{key: "memory-loaded", title: "resident memory loaded, MiB, without the tail pool", cell: "produce", column: colOwnRSS, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 1.0 / 18}, absolute: bound{64, 32}},
	{key: "idle-10000-cpu", title: "idle with 10,000 partitions, % of a core", cell: "start-10000", column: colIdleCPU, ours: synced, theirs: kafka, atMost: true, absolute: bound{must: 0.2}},
	{key: "idle-10000-memory", title: "idle with 10,000 partitions, MiB", cell: "start-10000", column: colIdle, ours: synced, theirs: kafka, atMost: true, absolute: bound{must: 80}},
	{key: "partitions", title: "64 KiB batches over 1,000 partitions, MB/s", cell: "partitions", column: colProduced, ours: synced + ", 1,000", theirs: kafka + ", 1,000", ratio: bound{10, 15}},
	{key: "partitions-cpu", title: "64 KiB batches over 1,000 partitions, broker CPU s/GB", cell: "partitions", column: colCPU, ours: synced + ", 1,000", theirs: kafka + ", 1,000", atMost: true, ratio: bound{must: 1.0 / 15}},
	{key: "partitions-flat", title: "broker CPU s/GB, 10,000 partitions to 10", cell: "partitions", column: colCPU, ours: synced + ", 10,000", theirs: synced + ", 10", atMost: true, ratio: bound{must: 2}},
	{key: "recovery", title: "restart after SIGKILL, 1,000 partitions, ms (Ottla with 10 GB)", cell: "recovery", column: colKilled, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 1.0 / 14}, absolute: bound{must: 1000}},
	{key: "written", title: "bytes written per byte produced, with the journal", cell: "produce", column: colWritten, ours: synced, theirs: kafka, atMost: true, absolute: bound{must: 2.0}},
	{key: "connections", title: "10,000 idle connections, MiB added", cell: "connections", column: colAdded, ours: synced, theirs: kafka, atMost: true, absolute: bound{must: 50}},
	{key: "hostile", title: "1,000 half-open frames of 50 MB: good client's p99 to the p99 before", cell: "hostile", column: colWorse, ours: synced, theirs: kafka, atMost: true, absolute: bound{must: 2}},
	{key: "clean", title: "compaction, broker CPU s/GB", cell: "clean", column: colCleanCPU, ours: synced, theirs: kafka, atMost: true, ratio: bound{must: 0.5}},
}

func findGoal(key string) *goal {
	i := slices.IndexFunc(goals, func(g goal) bool { return g.key == key })
	if i < 0 {
		return nil
	}
	return &goals[i]
}

// judged is a goal beside what one run showed.
type judged struct {
	ours, theirs spread
	has, hasBoth bool
	beside       float64 // the synced row's figure, where the goal is for the unsynced one
	hasBeside    bool
	verdicts     []verdict
}

// verdict is one bound and what was reached.
type verdict struct {
	text string // the goal: "ratio ≤ 0.250"
	met  bool
	far  string // by how much it is missed, or that the stretch goal is met
}

// judge compares a goal with a run.
func (g *goal) judge(r *result) (j judged) {
	if j.ours, j.has = r.get(g.cell, g.ours).spread(g.column); !j.has {
		return j
	}
	if g.ours == unsynced {
		s, ok := r.get(g.cell, synced).spread(g.column)
		j.beside, j.hasBeside = s.median, ok
	}
	if g.theirs != "" {
		j.theirs, j.hasBoth = r.get(g.cell, g.theirs).spread(g.column)
		j.hasBoth = j.hasBoth && j.theirs.median > 0
	}
	if g.ratio.must != 0 && j.hasBoth {
		j.verdicts = append(j.verdicts, g.compare("ratio", g.ratio, j.ours.median/j.theirs.median))
	}
	if g.absolute.must != 0 {
		j.verdicts = append(j.verdicts, g.compare("", g.absolute, j.ours.median))
	}
	if g.part.must != 0 {
		if limit, ok := r.get("machine", machineSide.name).spread(g.limit); ok && limit.median > 0 {
			j.verdicts = append(j.verdicts, g.compare("of "+string(g.limit), g.part, j.ours.median/limit.median))
		}
	}
	return j
}

// compare says whether a value keeps a bound, and how far it is away from it.
func (g *goal) compare(what string, b bound, v float64) verdict {
	sign, kept := "≥", func(limit float64) bool { return v >= limit }
	if g.atMost {
		sign, kept = "≤", func(limit float64) bool { return v <= limit }
	}
	if what != "" {
		what += " "
	}
	out := verdict{text: fmt.Sprintf("%s%s %s", what, sign, digits(b.must)), met: kept(b.must)}
	switch {
	case !out.met && g.atMost:
		out.far = fmt.Sprintf("missed: %s, %s times the goal", digits(v), digits(v/b.must))
	case !out.met:
		out.far = fmt.Sprintf("missed: %s, %s %% of the goal", digits(v), digits(100*v/b.must))
	case b.stretch != 0 && kept(b.stretch):
		out.far = fmt.Sprintf("met: %s, the stretch of %s too", digits(v), digits(b.stretch))
	default:
		out.far = fmt.Sprintf("met: %s", digits(v))
	}
	return out
}
