// Package plog is one partition's log: segments, indexes, producers' state and leader epochs in Kafka's formats, and the end that is still in memory.
//
// An append assigns offsets, checks the producer, copies the batch into memory and marks the log dirty; it makes no system call. The directory's committer
// writes and syncs (see package dir) and moves two offsets: written and synced. Readers find segments through an immutable list and hold what they read by
// reference counts, so that deletion waits for them. How it survives crashes is argued case by case in README.md.
//
// # Invariants
//
//  1. StartOffset <= SyncedOffset <= WrittenOffset <= EndOffset, but for a start that was moved beyond what is synced.
//  2. What SyncedOffset covers survives a power cut and is found by Open; nothing below it is ever cut by recovery.
//  3. Batches lie in the log without gaps of offsets (compacted logs excepted), and their leader epochs never decrease.
//  4. A segment's files are changed by the committer, or who helps it, alone; bytes below a segment's synced size never change. Compaction makes a new segment.
//  5. Nothing is written over a cut before the cut is synced, so that no batch of the cut part can return behind a new one.
//  6. A segment's file goes only after the start offset that made it superfluous is on disk.
//  7. Index, time index, snapshot and leader-epoch file are hints: missing or wrong ones cost time, never records.
//  8. A chunk of memory is not used again while a reader or the committer holds it.
//  9. Compaction keeps the newest record of every key, and drops a tombstone only after everything that it hides is gone from the disk.
//  10. What a crash left of a log is synced before anything of it is written, cut, replaced or told to a checkpoint.
//  11. The manifest alone tells leader epochs and producers at the recovery point; the files that have them too are for Kafka, and for a start without it.
//
// # Ownership
//
// The caller serialises Append, TruncateTo, TruncateFullyAndStartAt, SetStartOffset, AssignLeaderEpoch, SetConfig and Maintain. Everything else may be called from any
// goroutine. Log.mu guards what appender, committer and readers share; it is a leaf: held for copying a few words, never during a system call or the copy
// of a batch. Files are opened through dir.Handles and belong to the committer, or to a reader for the length of a read.
//
// # Does not
//
// It does not sync by itself, verify a batch that is appended (the caller did), know replicas, high watermarks or requests.
package plog
