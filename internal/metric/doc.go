// Package metric counts what happens: counters, gauges and histograms made of atomics, all named in one catalog, shown in Prometheus' text format.
//
// A package asks the registry for its series once, keeps the pointers, and counts through them: no map, no label and no lock on the way of a request.
//
// # Invariants
//
//  1. Every series belongs to a family of the catalog; docs/metrics.md is generated from it.
//  2. Counting never allocates, blocks or fails.
//  3. The same family and label values are the same series, whoever asks first.
//
// # Ownership
//
// The registry's lock guards the list of series only. A series may be counted from any goroutine. Functions given to GaugeFunc and CounterFunc run on the
// goroutine that collects and must not block.
//
// # Does not
//
// It does not serve HTTP (service/admin does) and keeps no history.
package metric
