package metric

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Gatherer returns everything there is to show: this registry's series, the Go runtime's and the process's.
func (r *Registry) Gatherer() prometheus.Gatherer {
	reg := prometheus.NewRegistry()
	reg.MustRegister(collector{r}, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return reg
}

// collector shows a registry to Prometheus' client library. It describes nothing in advance, which that library calls unchecked: the catalog's test has
// checked names and labels already.
type collector struct{ r *Registry }

func (c collector) Describe(chan<- *prometheus.Desc) {}

func (c collector) Collect(out chan<- prometheus.Metric) {
	for _, s := range c.r.lines() {
		desc := prometheus.NewDesc(s.family.Name, s.family.Help, s.family.Labels, nil)
		switch {
		case s.each != nil:
			s.each(func(value float64, labels ...string) {
				out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, labels...)
			})
		case s.function != nil && s.family.Kind == CounterKind:
			out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, s.function(), s.labels...)
		case s.function != nil:
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, s.function(), s.labels...)
		case s.counter != nil:
			out <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(s.counter.Value())/s.per(), s.labels...)
		case s.gauge != nil:
			out <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(s.gauge.Value())/s.per(), s.labels...)
		case s.histogram != nil:
			if count, sum, buckets := s.histogram.shown(); count > 0 {
				out <- prometheus.MustNewConstHistogram(desc, count, sum, buckets, s.labels...)
			}
		case s.snapshot != nil:
			count, sum, buckets := s.snapshot().shown()
			out <- prometheus.MustNewConstHistogram(desc, count, sum, buckets, s.labels...)
		}
	}
}

// line is one series with its family, copied so that no lock is held while functions run and Prometheus takes what it is given.
type line struct {
	series
	family *Family
}

func (l *line) per() float64 { return layouts[l.family.Unit].per }

func (r *Registry) lines() []line {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []line
	for _, reg := range r.mu.families {
		for _, s := range reg.series {
			out = append(out, line{*s, reg.family})
		}
	}
	return out
}

// shown returns the cumulative buckets as Prometheus wants them. Values counted meanwhile may be in the sum and not yet in the buckets, or the reverse.
func (h *Histogram) shown() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(h.layout.bounds))
	for i := range h.counts {
		count += uint64(h.counts[i].Load())
		if i < len(h.layout.bounds) {
			buckets[h.layout.shown(i)] = count
		}
	}
	return count, float64(h.sum.Load()) / h.layout.per, buckets
}

func (l *layout) shown(i int) float64 { return float64(l.bounds[i]) / l.per }
