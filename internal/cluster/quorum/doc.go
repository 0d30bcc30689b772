// Package quorum is the replicated log of the cluster's metadata: Raft (go.etcd.io/raft) over a partition log, in the format of Kafka's KRaft.
//
// One Raft entry is one record batch of __cluster_metadata-0; Raft's index is the number of the batch, counted from 1, and Raft's term is the batch's
// leader epoch. The empty entry with which a leader begins its term is written as Kafka's LeaderChange control batch; the first one of a log also carries
// the KRaftVersion and KRaftVoters records that name the voters. Term and vote are kept beside the log in Kafka's quorum-state file. So a directory of
// ours has nothing that Kafka's tools cannot read, and nothing else is needed: the commit index is found again by election.
//
// A snapshot (Checkpoint) stands for everything below an offset, so that the log's start may move to it. Raft's count of the batches that went stays known
// because the snapshot's header has it. A voter that needs batches which are gone gets the snapshot, if the Transport can bring it (SnapshotFetcher).
//
// A shard drives its machine over a Quorum as over any log (see shard.Log). Positions have the epoch -1 while this node does not lead.
//
// # Invariants
//
//  1. No vote, no term and no acknowledgement of an entry leaves this node before it is on disk here; the leader's own count is no exception. A lone voter's
//     vote leaves it with the first entry of its term: an entry without the vote is as good, see recover.
//  2. An entry is committed when a majority of the voters has it on disk. What was committed stays, at the same offset, in every later epoch.
//  3. A record that was appended lies at the offset that Append returned, in the epoch that it named, or nowhere. Whether it does when the epoch ended
//     before the commit is for the next leader to say.
//  4. Leadership shows (Epoch ≥ 0) only when the term's LeaderChange batch is in the log, so that Load then reads everything below End.
//  5. After a failed write or sync the Quorum is dead: nothing is retried, Err says why.
//  6. A single voter leads without waiting for a timeout, and no timer runs.
//  7. Of everything below the log's start there is a snapshot that was read as a whole, and is on disk under its name, before the start moved. A snapshot
//     stands for committed entries only, up to the end of a batch.
//  8. A voter answers for a leader's snapshot only when it has it on disk.
//
// # Ownership
//
// One goroutine (loop) owns Raft and the table of batches. A second (writer) owns the writes: the state file, cuts and appends, in the order in which
// Raft asked for them; it is the only one that waits for the disk. Snapshots are written and fetched by whoever calls, or by a goroutine
// for the purpose, one at a time (Quorum.snapshots). Quorum.mu guards what callers see and the two mailboxes, and is never held during a
// system call or a callback.
//
// # Does not
//
// It does not know what the records mean, nor when a snapshot is due. It does not change its voters, and brings no network: Transport does.
package quorum
