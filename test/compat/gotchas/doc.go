// Package gotchas holds one test for each numbered trap of the wire protocol that real clients and
// brokers have fallen into. Every test speaks raw frames, so that no client library smooths anything over.
//
//	go test ./test/compat/gotchas                                     builds and starts an Ottla of its own
//	OTTLA_GOTCHAS=127.0.0.1:9092 go test ./test/compat/gotchas        against any running node, Apache Kafka too
//
// # Invariants
//
//  1. Every test passes on Apache Kafka 4.4; where Ottla offers less on purpose, the test says so by asking
//     what is advertised.
//  2. A test makes its own topics and groups, so tests run in parallel and against a node in use.
//
// # Ownership
//
// A connection belongs to the test that dialled it; the node, if started here, to TestMain.
//
// # Does not
//
// It does not import Ottla's packages: it tests what goes over the wire.
package gotchas
