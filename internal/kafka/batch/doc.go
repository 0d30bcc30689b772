// Package batch reads, checks, makes and rewrites record batches of Kafka's format 2, the bytes that producers send, logs keep and fetches return.
//
// A Batch is those bytes themselves: accessors read and write them in place. Everything that needs state of its own (decompression,
// compression, buffers) keeps it in a Reader, Builder or Validator that callers reuse; a zero one is ready.
//
// # Invariants
//
//  1. Next never returns a Batch shorter than its header or longer than its length field says, so accessors never reach out of range.
//  2. No byte of a batch is believed: a count, length or size is checked against what is there before anything is allocated for it.
//  3. Decompression stops at the caller's limit; memory beyond the limit is never asked for, whatever a frame announces.
//  4. Check, Next, Validate and Reader allocate nothing per record, and nothing at all once their buffers have grown to the batch.
//  5. The leader's fields (base offset, partition leader epoch) lie outside the CRC; whoever changes another byte calls SealCRC.
//  6. What Validate passes, every Kafka client can read: record count, offset deltas, lengths and headers agree with the bytes.
//
// # Ownership
//
// A Batch aliases the caller's buffer. Records alias the Batch or, when it was compressed, the Reader's buffer until its next Reset. What Build
// and Admit return is valid until the next use of the same Builder or Validator. No value may be used by two goroutines at once.
//
// # Does not
//
// It does not assign offsets, know producers' state or read formats 0 and 1. It does not pool: callers do.
package batch
