// Package admin serves a node's operators over HTTP: /metrics for Prometheus, /health for whoever decides whether the node is well, /config with the
// configuration in force, and /debug/pprof for profiles.
//
// It is off the data path and answers from functions that it is given, which must not block on a disk.
//
// # Invariants
//
//  1. Nothing it serves changes the node.
//  2. A sensitive value never leaves: /config shows that it is set at most.
//  3. Bound to loopback, it answers only requests whose Host is loopback too, so that a page in a browser cannot reach it under a name of its own. Profiles are
//     for loopback wherever it is bound.
//  4. Every request ends by a deadline, and none runs after Shutdown returned nil.
//
// # Ownership
//
// The HTTP server's goroutines call the functions of Options concurrently.
//
// # Does not
//
// It authenticates nobody: the configuration decides who can reach its socket. It measures nothing itself.
package admin
