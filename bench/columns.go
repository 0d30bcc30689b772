package main

import (
	"math"
	"strconv"
)

// column is one kind of figure.
type column string

const (
	colProduced      column = "MB/s in"
	colFetched       column = "MB/s out"
	colBothWays      column = "MB/s in and out"
	colRequests      column = "requests/s"
	colFetches       column = "fetches/s"
	colRate          column = "asked/s"
	colP50           column = "ack p50 ms"
	colP99           column = "ack p99 ms"
	colP999          column = "ack p99.9 ms"
	colMax           column = "ack max ms"
	colFetch50       column = "fetch p50 ms"
	colFetch99       column = "fetch p99 ms"
	colFetchMax      column = "fetch max ms"
	colEnd50         column = "end p50 ms"
	colEnd99         column = "end p99 ms"
	colEnd999        column = "end p99.9 ms"
	colEndMax        column = "end max ms"
	colLate99        column = "send late p99 ms"
	colCPU           column = "broker CPU s/GB"
	colPerRequest    column = "broker CPU us/request"
	colKernel        column = "kernel threads CPU s/GB"
	colClient        column = "client CPU s/GB"
	colClientRequest column = "client CPU us/request"
	colRSS           column = "RSS MiB"
	colTail          column = "tail pool MiB"
	colOwnRSS        column = "RSS less tail pool MiB"
	colWritten       column = "written/byte"
	colFlushes       column = "disk flushes/s"
	colCleaned       column = "clean after s"
	colCleanCPU      column = "CPU s/GB cleaned"
	colLeftBytes     column = "bytes left"
	colLeft          column = "records left"
	colFingerprint   column = "their fingerprint"
	colOthers        column = "others' CPU %"
	colSteal         column = "steal %"
	colStart         column = "start ms"
	colFormat        column = "format ms"
	colStartAll      column = "format and start ms"
	colAccept        column = "port open ms"
	colRestart       column = "restart ms"
	colKilled        column = "start after kill ms"
	colRead          column = "read MiB"
	colStartCPU      column = "CPU s"
	colIdle          column = "idle RSS MiB"
	colIdleCPU       column = "idle CPU %"
	colThreads       column = "threads"
	colWakeups       column = "wake-ups/s"
	colAnswered      column = "answered s"
	colCreated       column = "usable s"
	colPerPartition  column = "KiB/partition"
	colAdded         column = "RSS added MiB"
	colPerOne        column = "KiB each"
	colBefore99      column = "good p99 ms before"
	colMeanwhile99   column = "good p99 ms meanwhile"
	colWorse         column = "good p99 worse"
	colDisk          column = "disk MB/s"
	colSyncs         column = "synced 4 KiB/s"
	colLoopback      column = "loopback MB/s"
	colMemcpy        column = "copy MB/s"
)

// closing columns stand in every table in which a row has them.
var closing = []column{colClient, colClientRequest, colKernel, colRSS, colTail, colOthers}

// digits prints a figure with three significant digits, the small ones of a ratio too.
func digits(v float64) string {
	switch a := math.Abs(v); {
	case a >= 100:
		return group(strconv.FormatFloat(v, 'f', 0, 64))
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case a >= 0.1 || a < 0.0001:
		return strconv.FormatFloat(v, 'f', 3, 64)
	default:
		return strconv.FormatFloat(v, 'f', 2-int(math.Floor(math.Log10(a))), 64)
	}
}

// group puts commas between thousands.
func group(s string) string {
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// short keeps five significant digits: more would be noise in the history.
func short(v float64) float64 {
	if v == 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	scale := math.Pow(10, 4-math.Floor(math.Log10(math.Abs(v))))
	return math.Round(v*scale) / scale
}

// comparable columns get a ratio; the others describe the run.
func (c column) comparable() bool {
	switch c {
	case colFingerprint, colOthers, colSteal, colClient, colClientRequest, colThreads, colLate99, colRate, colTail:
		return false
	}
	return true
}
