package metric

import (
	"slices"
	"strings"
	"sync"

	"github.com/ottla/ottla/internal/invariant"
)

// Registry holds every series of one node. Its methods return the series that already exists for the same label values.
type Registry struct {
	mu struct {
		sync.Mutex
		families map[string]*registered
	}
}

type registered struct {
	family *Family
	series map[string]*series
}

// series is one line, or for a histogram one block of lines, of the exposition. Exactly one of its sources is set.
type series struct {
	labels    []string
	counter   *Counter
	gauge     *Gauge
	histogram *Histogram
	function  func() float64
	snapshot  func() Snapshot
	each      func(show func(value float64, labels ...string))
}

// NewRegistry returns an empty registry.
func NewRegistry() *Registry {
	r := &Registry{}
	r.mu.families = map[string]*registered{}
	return r
}

// Counter returns the family's counter with these label values, in the order of the family's Labels.
func (r *Registry) Counter(f *Family, labels ...string) *Counter {
	s := r.series(f, CounterKind, labels, func() *series { return &series{counter: &Counter{}} })
	return s.counter
}

// Gauge returns the family's gauge with these label values.
func (r *Registry) Gauge(f *Family, labels ...string) *Gauge {
	s := r.series(f, GaugeKind, labels, func() *series { return &series{gauge: &Gauge{}} })
	return s.gauge
}

// Histogram returns the family's histogram with these label values. It is shown once it has counted anything.
func (r *Registry) Histogram(f *Family, labels ...string) *Histogram {
	s := r.series(f, HistogramKind, labels, func() *series { return &series{histogram: newHistogram(layouts[f.Unit])} })
	return s.histogram
}

// GaugeFunc shows what function returns at each collection, in the family's shown unit. A second function for the same labels replaces the first.
func (r *Registry) GaugeFunc(f *Family, function func() float64, labels ...string) {
	r.function(f, GaugeKind, function, labels)
}

// GaugesFunc shows, at each collection, the values that each gives show, every one with the labels that it has at the moment: for what comes and goes. Their number must be
// bounded by what is unusual.
func (r *Registry) GaugesFunc(f *Family, each func(show func(value float64, labels ...string))) {
	s := r.series(f, GaugeKind, make([]string, len(f.Labels)), func() *series { return &series{} })
	r.mu.Lock()
	defer r.mu.Unlock()
	s.each = each
}

// CounterFunc is GaugeFunc for a number that only grows and that someone else counts already.
func (r *Registry) CounterFunc(f *Family, function func() float64, labels ...string) {
	r.function(f, CounterKind, function, labels)
}

func (r *Registry) function(f *Family, kind Kind, function func() float64, labels []string) {
	s := r.series(f, kind, labels, func() *series { return &series{} })
	r.mu.Lock()
	defer r.mu.Unlock()
	s.function = function
}

func (r *Registry) series(f *Family, kind Kind, labels []string, make func() *series) *series {
	invariant.Check(f.Kind == kind, "metric %s is a %s, asked for as a %s", f.Name, f.Kind, kind)
	invariant.Check(len(labels) == len(f.Labels), "metric %s has the labels %v, got the values %v", f.Name, f.Labels, labels)
	key := strings.Join(labels, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	reg := r.mu.families[f.Name]
	if reg == nil {
		reg = &registered{family: f, series: map[string]*series{}}
		r.mu.families[f.Name] = reg
	}
	invariant.Check(reg.family == f, "two metric families are named %s", f.Name)
	s := reg.series[key]
	if s == nil {
		s = make()
		s.labels = slices.Clone(labels)
		reg.series[key] = s
	}
	return s
}

// Forget drops the series with these label values, such as those of a deleted directory. Whoever still counts in it counts for nobody.
func (r *Registry) Forget(f *Family, labels ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if reg := r.mu.families[f.Name]; reg != nil {
		delete(reg.series, strings.Join(labels, "\x00"))
	}
}
