// Package record reads and writes the values of the records in __cluster_metadata, in the format of Apache Kafka's KRaft (KIP-500 and its successors).
//
// A value is a frame version, an api key and a record version, each an unsigned varint, and then the body. The bodies are described by the table in
// records.txt, from which zz_records.go is generated; docs/format/cluster-metadata.md tells the same for people.
//
// # Invariants
//
//  1. Append(Decode(value)) gives the same record again, also for records, versions and tagged fields that this build does not know: they are kept as
//     bytes, never dropped.
//  2. Decoding costs time and memory in proportion to the bytes that are there, never to the counts that they declare.
//  3. A decoded record shares no memory with the value it came from.
//
// # Ownership
//
// A decoded record belongs to the caller. The package keeps no state.
//
// # Does not
//
// It does not know what the records mean (package meta), nor batches and control records (packages batch and quorum).
package record

//go:generate go run generate.go
