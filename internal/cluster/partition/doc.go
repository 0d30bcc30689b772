// Package partition is one partition on this broker: its log and its replica machine under one lock, the tickets of producers and the wakers of consumers.
//
// # Invariants
//
//  1. A ticket's slot is completed exactly once: when the log has written (acks=1) or the high watermark has passed (acks=all) its records, or with the error that made that impossible.
//  2. Consumers never see a record at or above the high watermark.
//  3. What was appended under one leader epoch is never acknowledged under another: a change of epoch fails the waiting slots first.
//  4. A duplicate waits for its original.
//
// # Ownership
//
// Partition.mu guards the appending side of the log, the replica machine and the waiters. Nothing blocks and no system call is made under it; tickets and wakers are fired after unlocking.
// Readers take no lock: they use the log's immutable segment list and the atomic offsets.
//
// # Does not
//
// It does not sync (the directory's committer does), assign leaders (the metadata does), or know Kafka's request structs.
package partition
