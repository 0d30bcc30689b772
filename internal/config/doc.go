// Package config speaks Kafka's configuration language: the names, types, defaults, limits and meanings of every key that Apache Kafka 4.4
// shows through DescribeConfigs, plus Ottla's own, which begin with "ottla.".
//
// A key is defined once, as one row of a table (keys_*.go). From the rows come parsing and validation at start (Load), the typed views that the
// rest of the house reads (Broker, Dynamic, Topic, Group), the answers of DescribeConfigs (Describe…), the checks of AlterConfigs (Validate…,
// ApplyOps), docs/configs.md and the sample file.
//
// # Invariants
//
//  1. Every key has a documentation sentence, a default that passes its own rule (or null), and either acts or says why it does not.
//  2. A value that Kafka refuses is refused; the error names the key, the value and what is allowed. Load reports every fault, not the first.
//  3. A key that asks for protection this build lacks stops the start. Ottla never serves with less than was asked.
//  4. Typed views are immutable. A change makes a new one; whoever publishes it swaps a pointer.
//  5. The value of a sensitive key never leaves the package: not in an Entry, not in an error, not in a sample.
//
// # Ownership
//
// Nothing here locks or starts a goroutine. Tables are built once and only read; a Static belongs to the node, a Dynamic or Topic to whoever asked.
//
// # Does not
//
// It does not store overrides (the metadata log does), does not know Kafka's error codes (Error.Request tells the caller which of two to use) and
// does not open the listeners or directories it names.
package config
