package main

import (
	"fmt"
	"strconv"
)

// column is one kind of figure.
type column string

const (
	colProduced     column = "MB/s in"
	colFetched      column = "MB/s out"
	colRequests     column = "requests/s"
	colFetches      column = "fetches/s"
	colP50          column = "ack p50 ms"
	colP99          column = "ack p99 ms"
	colMax          column = "ack max ms"
	colFetch50      column = "fetch p50 ms"
	colFetch99      column = "fetch p99 ms"
	colFetchMax     column = "fetch max ms"
	colEnd50        column = "end p50 ms"
	colEnd99        column = "end p99 ms"
	colEndMax       column = "end max ms"
	colLate99       column = "send late p99 ms"
	colCPU          column = "broker CPU s/GB"
	colPerRequest   column = "broker CPU us/request"
	colRSS          column = "RSS MiB"
	colWritten      column = "written/byte"
	colFlushes      column = "disk flushes/s"
	colCleaned      column = "clean after s"
	colCleanCPU     column = "CPU s/GB cleaned"
	colLeftBytes    column = "bytes left"
	colLeft         column = "records left"
	colFingerprint  column = "their fingerprint"
	colOthers       column = "others' CPU %"
	colStart        column = "start ms"
	colAccept       column = "port open ms"
	colRestart      column = "restart ms"
	colKilled       column = "start after kill ms"
	colRead         column = "read MiB"
	colStartCPU     column = "CPU s"
	colIdle         column = "idle RSS MiB"
	colThreads      column = "threads"
	colWakeups      column = "wake-ups/s"
	colAnswered     column = "answered s"
	colCreated      column = "usable s"
	colTopicsRSS    column = "RSS MiB after"
	colPerPartition column = "RSS KiB/partition"
)

// digits is how many decimals a figure is printed with: three significant ones.
func digits(v float64) string {
	switch a := max(v, -v); {
	case a >= 100:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'f', 3, 64)
	}
}

// group puts commas between thousands.
func group(s string) string {
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// comparable columns get a ratio; the others describe the run.
func (c column) comparable() bool {
	return c != colFingerprint && c != colOthers && c != colThreads && c != colLate99
}

func (g goal) met(v float64) bool {
	if g.atMost {
		return v <= g.value
	}
	return v >= g.value
}

func (g goal) String() string {
	sign := ">="
	if g.atMost {
		sign = "<="
	}
	if g.of != "" {
		return fmt.Sprintf("%s of %q / %q %s %s", g.column, g.row, g.of, sign, digits(g.value))
	}
	return fmt.Sprintf("%s %s %s", g.column, sign, digits(g.value))
}
