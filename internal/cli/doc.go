// Package cli is Ottla's command line: it starts a node, and it has the verbs for topics, groups, records, configuration and the cluster.
//
// # Invariants
//
//  1. The verbs reach brokers through the Kafka protocol alone, as any client does; they work with every Kafka. The verbs below log reach files alone.
//  2. Every verb ends with one of four exit codes: 0 done, 1 failed, 2 not understood, 130 interrupted. A node that was told to stop and stopped cleanly ends with 0.
//  3. Results go to stdout, in one format for people and one for programs; questions, progress, notes and errors go to stderr.
//  4. A group member never commits a record that was not written to stdout, and leaves its group when it is interrupted.
//  5. What destroys data asks first when a person sits there.
//  6. The first signal ends a verb in order, the second at once.
//
// # Ownership
//
// Run has one goroutine that waits for signals; the verbs run on the caller's. Producing and progress have goroutines of their own, which end before their verb
// returns; only a reader that waits for standard input is left to the end of the process.
//
// # Does not
//
// It knows nothing about machines; a node is opened and closed through package node, files are looked at through package logfile. It keeps no state between two calls.
package cli
