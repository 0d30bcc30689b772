// Package model holds the vocabulary of the Kafka protocol: topic ids, partitions, error codes, names.
//
// # Invariants
//
//  1. A value of this package is plain data: comparing, copying and printing it needs no lock and no input.
//  2. An ErrorCode that is returned as an error is never None.
//
// # Ownership
//
// Values are owned by whoever holds them; the package keeps no state.
//
// # Does not
//
// It does not encode or decode messages (package wire), nor record batches (package batch).
package model
