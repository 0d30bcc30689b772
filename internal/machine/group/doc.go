// Package group decides for consumer groups: the classic rebalance protocol and committed offsets, as Kafka's group coordinator does.
//
// One Machine serves one partition of __consumer_offsets and holds every group that hashes there. A group moves through the states Empty,
// PreparingRebalance, CompletingRebalance and Stable; a group that does not exist is shown as Dead. Members join, a leader among them assigns, everyone
// syncs, and from then on heartbeats keep the sessions alive until someone joins, leaves or falls silent.
//
// Hard state is what the records say: for each group its committed offsets and its last written metadata (generation, protocol, leader, members with
// subscription and assignment). Soft state is everything else: who waits in a join or a sync, sessions, pending members, timers, and a generation that is
// being formed. After Loaded every stored member gets a fresh session, so that members live on through a restart.
//
// # Invariants
//
//  1. Hard state changes only in Apply: applying all records to a fresh Machine gives the same hard state.
//  2. A generation is never handed out twice with different assignments: a sync answers only what its record says.
//  3. Every timer has exactly one place in the heap, and Deadline is its root; nothing polls.
//  4. Every caller is answered at most once by this package, and a member waits for at most one join and one sync.
//  5. Whatever a record holds, Apply returns: what it cannot read is counted and skipped, and memory stays within a small multiple of the record's size.
//  6. The same inputs at the same times give the same outputs: no map order reaches a record or a reply.
//
// # Ownership
//
// A Machine belongs to the goroutine of its shard. It copies the byte slices of inputs that it keeps and hands out slices that nobody may change.
//
// # Does not
//
// It does not know topics, access rights, connections or Kafka's request structs; names and ids are resolved, and existence checked, by the caller. It does
// not serve the consumer, share and streams group protocols: their records are skipped, counted and left in the log.
package group
