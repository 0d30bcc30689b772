// Package machine defines what every deciding machine of the house has in common: inputs step it, records change it.
//
// A machine is a plain struct. One driver, the shard, runs any machine over any log that can append and tell what is committed.
//
// # Invariants
//
//  1. Hard state changes only in Apply, so that replaying the log gives the same state as having lived through it.
//  2. Records state outcomes, not commands: applying one never depends on the version of the code that wrote it.
//  3. A reply is released only when everything that was applied before it is committed.
//
// # Ownership
//
// A machine belongs to the goroutine of its shard; nobody else touches it.
//
// # Does not
//
// It does not know logs, clocks, connections or Kafka's request structs.
package machine
