// Package replica decides how far one partition's log is committed: the in-sync replicas, the epoch, the high watermark (KIP-101, KIP-966).
//
// # Invariants
//
//  1. The high watermark never moves backwards within a leader epoch, and never past the durable end of any in-sync replica.
//  2. It does not move while the in-sync replicas are fewer than min.insync.replicas.
//  3. Nothing is admitted under an epoch that this broker does not lead.
//
// # Ownership
//
// A Replica belongs to its partition and is stepped under the partition's lock.
//
// # Does not
//
// It does not read or write logs, and does not know what "durable" means: the partition tells it (synced, or written where the topic asks for Kafka's page-cache rule).
package replica
