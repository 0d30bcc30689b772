// Package fault runs a real node process and does to it what happens to processes: it is killed, told to stop, starved of disk and descriptors, traced, left idle,
// and talked to by strangers. `go test ./test/fault` runs everything in a short form; OTTLA_LONG=1 runs the long form with the limits that the project promises.
//
// The node is this test binary, started again: with FAULT_CHILD=node it is the command line of the product, with another value a node with a deliberate bug, by
// which the tests prove that they would notice.
//
// # Invariants
//
//  1. An outcome that the client does not know is unknown: it is never counted as a failure, and never as a success.
//  2. What is checked is checked after the load has stopped.
//  3. A run in which no fault hit under load is red.
//
// # Ownership
//
// Each test has its own processes, directories and connections, and ends the processes it started.
//
// # Does not
//
// It does not look inside the node: what cannot be seen from outside is tested in the node's own packages.
package fault
