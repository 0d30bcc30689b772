// Package api answers Kafka's requests: one file per API, and one table that says which versions are served.
//
// A handler's first stage runs on the connection's reader: it decodes, decides what is wanted and hands the work to partitions and machines in the order of
// the requests. What must be waited for is left behind in the answer and waited for by the connection's writer.
//
// # Invariants
//
//  1. What the table serves is what ApiVersions advertises (Produce apart, see its file), and every served version works.
//  2. No handler keeps a slice of the request's body after its first stage.
//  3. A first stage never waits for a disk, another request or another machine's reply.
//  4. Error codes are chosen here or in the machines below, never in the server.
//
// # Ownership
//
// Handlers run on connections' goroutines and keep no state of their own; the Broker they share is safe for all of them.
//
// # Does not
//
// It does not read frames or write replies (server), and decides nothing that a machine decides.
package api
