// Package node puts one Ottla node together: it opens directories, joins machines to logs, starts the front door and stops everything in order.
//
// # Invariants
//
//  1. Nobody is served before the metadata is loaded and every partition of this broker is open.
//  2. This broker leads no partition before its own registration, with a fresh incarnation, is committed.
//  3. What the metadata has committed is published in one order: partition roles, coordinators, configuration, the image pointer.
//  4. Publishing never waits for a disk.
//  5. A stop that could not close every directory cleanly says so and leaves no clean marker in those.
//
// # Ownership
//
// Node.mu guards the tables of open logs and coordinators. The publisher runs on the metadata shard's goroutine; everything it hands out is immutable or has
// its own owner.
//
// # Does not
//
// It decides nothing about the protocol and reads no request.
package node
