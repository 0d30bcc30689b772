package main

import (
	"fmt"
	"os"
	"strings"
	"time"
)

// window is one measurement: what the processes and the machine used between its two ends.
type window struct {
	target                  *broker
	broker, generator, self [2]usage
	machine                 [2]machineUse
	disk                    disk
	device                  [2]deviceUse
}

func (w *window) open(pid int) error  { return w.look(0, pid) }
func (w *window) close(pid int) error { return w.look(1, pid) }

func (w *window) look(i, pid int) (err error) {
	if w.broker[i], err = w.target.usage(); err != nil {
		return err
	}
	if w.generator[i], err = usageOf(pid); err != nil {
		return err
	}
	w.self[i], err = usageOf(os.Getpid())
	w.machine[i], w.device[i] = readMachineUse(), w.disk.use()
	return err
}

// figures puts the measurement into numbers.
func (w *window) figures(o *outcome) figures {
	f := figures{}
	seconds := o.Elapsed.Seconds()
	bytes := float64(o.ProducedBytes + o.FetchedBytes)
	f[colProduced], f[colFetched] = float64(o.ProducedBytes)/1e6/seconds, float64(o.FetchedBytes)/1e6/seconds
	f[colRequests], f[colFetches] = float64(o.Produces)/seconds, float64(o.Fetches)/seconds
	f[colP50], f[colP99], f[colMax] = ms(o.Ack.quantile(0.5)), ms(o.Ack.quantile(0.99)), ms(o.Ack.Max)
	f[colFetch50], f[colFetch99], f[colFetchMax] = ms(o.Fetch.quantile(0.5)), ms(o.Fetch.quantile(0.99)), ms(o.Fetch.Max)
	f[colEnd50], f[colEnd99], f[colEndMax] = ms(o.EndToEnd.quantile(0.5)), ms(o.EndToEnd.quantile(0.99)), ms(o.EndToEnd.Max)
	f[colLate99] = ms(o.Late.quantile(0.99))
	if w.device[1].known {
		f[colFlushes] = float64(w.device[1].flushes-w.device[0].flushes) / seconds
	}
	if !w.broker[1].known {
		return f
	}
	cpu := (w.broker[1].cpu - w.broker[0].cpu).Seconds()
	f[colCPU] = cpu / (bytes / 1e9)
	if o.Produces > 0 {
		f[colPerRequest] = cpu * 1e6 / float64(o.Produces)
	}
	f[colRSS] = mib(w.broker[1].rss)
	own := w.broker[1].cpu - w.broker[0].cpu + w.generator[1].cpu - w.generator[0].cpu + w.self[1].cpu - w.self[0].cpu
	if all := w.machine[1].all - w.machine[0].all; all > 0 {
		f[colOthers] = 100 * max(0, float64(w.machine[1].busy-w.machine[0].busy-own)/float64(all))
	}
	return f
}

func ms(d time.Duration) float64 { return float64(d) / 1e6 }

func mib(n int64) float64 { return float64(n) / (1 << 20) }

// summary is a measurement in one line.
func summary(c *cell, f figures) string {
	var parts []string
	for _, col := range c.columns {
		parts = append(parts, fmt.Sprintf("%s %s", digits(f[col]), col))
	}
	return strings.Join(parts, ", ")
}
