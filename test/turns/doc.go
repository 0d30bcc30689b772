// Package turns lets Apache Kafka 4.4 and Ottla take turns on one data directory, stopped cleanly and killed, and compares after every turn what the next one finds:
// topics, ids, configurations, records, committed offsets, and what only Kafka knows. It needs what `make clients` installs; OTTLA_LONG=1 runs
// more rounds, and more kinds of directories.
//
// # Invariants
//
//  1. What one of them acknowledged, the other serves.
//  2. Nothing is put aside as stray.
//
// # Ownership
//
// Every process belongs to the test that started it, and is ended by it.
//
// # Does not
//
// It does not cut power: that is for the tests of package plog.
package turns
