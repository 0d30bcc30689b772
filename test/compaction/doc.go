// Package compaction gives the same log to Apache Kafka's cleaner and to Ottla's, with the same settings and the same clock, and compares what is left: every segment, batch, record and
// aborted transaction. Then each opens what the other left. It needs what `make clients` installs, without which it is skipped; OTTLA_LONG=1 adds a larger log, whose cleaning must cost at
// most half of the processor time of Kafka's.
//
// # Invariants
//
//  1. The log is made from a seed, which a failure prints.
//  2. Apache Kafka's cleaner is the one of the release, called as its broker calls it (testdata/Clean.java).
//
// # Ownership
//
// Every process belongs to the test that started it, and ends with it.
//
// # Does not
//
// It does not crash anything: that is for the tests of package plog.
package compaction
