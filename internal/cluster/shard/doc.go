// Package shard drives a machine over a log: the one driver for groups and for the cluster's metadata.
//
// The naive way, a lock around the state and a write to the log under it, either answers before the record is safe or holds everyone while the disk
// works. Here an input is stepped, its records are applied at once so that the next input sees them, all records of a round go to the log as one batch,
// and the replies are parked until the log has committed that far.
//
// # Invariants
//
//  1. A reply is released only when the log has committed everything that was applied before the reply was made, in the epoch in which it was made.
//  2. The records of one input never span batches.
//  3. Records are applied at the offsets that the log gives them; otherwise the machine is dropped and everything parked fails.
//  4. A machine answers only after it was loaded to the log's end and that end was committed.
//  5. The mailbox is bounded (Options.MailboxLimit); beyond it a call fails with ErrBusy.
//
// # Ownership
//
// The goroutine in Run owns the machine and everything parked. The mailbox is the only thing that others touch.
//
// # Does not
//
// It imports no machine and no log, never waits for a disk while holding a lock, and starts no timer while nothing is due.
package shard
