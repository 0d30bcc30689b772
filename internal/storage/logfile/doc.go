// Package logfile is for looking at the files of a log directory, and for setting them right, without a node: it shows what is in them, checks them, and repairs
// what can be repaired without another replica.
//
// Dump and Cat read single files and partitions, Verify a directory or one log of it, Repair and Recover change things and so take the directory's lock.
//
// # Invariants
//
//  1. Dump, Cat and Verify change nothing: no lock, no file, no time of modification. They work beside a running node.
//  2. What a running node is just writing is never called damage: above the recovery point its files are not judged, and a finding below it counts only if a second
//     look shows the same.
//  3. No byte of a file is believed: a count or length is compared with what is there before anything is allocated for it, and memory does not grow with a file.
//  4. Repair says what it would do and does it only when told to; what was acknowledged is given up only by a flag that names it, and the bytes are kept aside first.
//  5. Recover does what the next start of the node would do, and nothing when that would do nothing.
//
// # Ownership
//
// Every call owns what it opens until it returns. Nothing here may be called from two goroutines with one value.
//
// # Does not
//
// It serves nobody, and it heals no record: only a replica or a backup has those.
package logfile
