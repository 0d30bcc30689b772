package main

import (
	"fmt"
	"strings"
	"time"
)

// window is one measurement: what the broker and the machine used between its two ends.
type window struct {
	target  *broker
	broker  [2]usage
	machine [2]machineUse
	disk    disk
	device  [2]deviceUse
}

func (w *window) open() error  { return w.look(0) }
func (w *window) close() error { return w.look(1) }

func (w *window) look(i int) (err error) {
	w.broker[i], err = w.target.usage()
	w.machine[i], w.device[i] = readMachineUse(), w.disk.use()
	return err
}

// figures puts the measurement into numbers.
func (w *window) figures(o *outcome) figures {
	f := figures{}
	seconds := o.Elapsed.Seconds()
	bytes := float64(o.ProducedBytes + o.FetchedBytes)
	if o.ProducedBytes > 0 {
		f[colProduced] = float64(o.ProducedBytes) / 1e6 / seconds
		f[colBothWays] = bytes / 1e6 / seconds
	}
	if o.FetchedBytes > 0 {
		f[colFetched] = float64(o.FetchedBytes) / 1e6 / seconds
	}
	f[colRequests], f[colFetches] = float64(o.Produces)/seconds, float64(o.Fetches)/seconds
	for col, q := range map[column]float64{colP50: 0.5, colP99: 0.99, colP999: 0.999, colMax: 1} {
		f.quantile(col, &o.Ack, q)
	}
	for col, q := range map[column]float64{colFetch50: 0.5, colFetch99: 0.99, colFetchMax: 1} {
		f.quantile(col, &o.Fetch, q)
	}
	for col, q := range map[column]float64{colEnd50: 0.5, colEnd99: 0.99, colEnd999: 0.999, colEndMax: 1} {
		f.quantile(col, &o.EndToEnd, q)
	}
	f.quantile(colLate99, &o.Late, 0.99)
	if w.device[1].known {
		f[colFlushes] = float64(w.device[1].flushes-w.device[0].flushes) / seconds
	}
	if o.used > 0 && bytes > 0 {
		f[colClient] = o.used.Seconds() / (bytes / 1e9)
	}
	if o.used > 0 && o.Produces > 0 {
		f[colClientRequest] = o.used.Seconds() * 1e6 / float64(o.Produces)
	}
	w.addUse(f, bytes, o.Produces)
	return f
}

// addUse notes what broker, kernel and others used.
func (w *window) addUse(f figures, bytes float64, requests int64) {
	if !w.broker[1].known {
		return
	}
	cpu := (w.broker[1].cpu - w.broker[0].cpu).Seconds()
	if requests > 0 {
		f[colPerRequest] = cpu * 1e6 / float64(requests)
	}
	if bytes > 0 {
		f[colCPU] = cpu / (bytes / 1e9)
		f[colKernel] = w.machine[1].kernelSince(&w.machine[0]).Seconds() / (bytes / 1e9)
	}
	w.target.memory(f, w.broker[1])
	w.addOthers(f)
}

func (w *window) addOthers(f figures) {
	if all := w.machine[1].all - w.machine[0].all; all > 0 {
		f[colOthers] = 100 * max(0, float64(w.machine[1].others-w.machine[0].others)/float64(all))
		f[colSteal] = 100 * max(0, float64(w.machine[1].steal-w.machine[0].steal)/float64(all))
	}
}

// quantile notes one of a histogram that has any.
func (f figures) quantile(c column, h *histogram, q float64) {
	if h.Count > 0 {
		f[c] = ms(h.quantile(q))
	}
}

// Of a measurement in which others used more than othersLimit, or the host more than stealLimit, of the machine, in percent, only that is known.
const (
	othersLimit = 5
	stealLimit  = 1
)

func (f figures) disturbed() bool { return f[colOthers] > othersLimit || f[colSteal] > stealLimit }

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// summary is a measurement in one line.
func summary(c *cell, f figures) string {
	var parts []string
	for _, col := range append(c.columns[:len(c.columns):len(c.columns)], colOthers) {
		if v, ok := f[col]; ok {
			parts = append(parts, fmt.Sprintf("%s %s", digits(v), col))
		}
	}
	return strings.Join(parts, ", ")
}
