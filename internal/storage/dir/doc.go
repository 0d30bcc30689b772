// Package dir is one log directory: its identity, its lock, its checkpoints, its health, and its committer, the goroutine that writes and syncs
// for every log in it.
//
// A log marks itself dirty when something was appended. The committer takes all dirty logs at once, writes what they have (Log.Stage), syncs every file
// and directory they touched, several at a time, and only then tells each log that what it staged is safe (Log.Settle). While it syncs, appends gather for
// the next round: group commit. A round waits a moment for those whom the one before it served, where that is likely to be worth it (crowd).
// Where nobody waits for a sync, whoever appended may take the committer's turn (Hold, Help): that is over sooner than the committer is awake.
//
// The package also keeps what the logs of a node share across directories: the memory for what is appended and not yet written (Memory), and the cap on
// open files (Handles).
//
// # Invariants
//
//  1. Settle(nil) follows only when everything staged in that round, file contents and directory entries, is on disk, and no sync beside it has failed.
//  2. After one failed write (other than for want of space) or one failed sync the directory is offline for good: nothing is retried, every log fails.
//  3. Only who has the turn changes files of a log: the committer or a Help. Stage, Settle and Checkpoint of one log never run at the same time.
//  4. A recovery point in the checkpoint never lies above what is synced; it is lowered on disk before a cut below it begins.
//  5. The manifest is on disk before the checkpoint files that follow it, and is believed unless somebody else wrote those; they alone are always enough.
//  6. The clean marker is written last, after everything else is on disk, and is gone from the disk before the first write of the next start.
//  7. Callbacks into logs run with no lock of this package held but the turn, for which nobody waits but the committer and Close.
//  8. A file that is replaced (checkpoint, manifest, meta.properties) is the old one or the new one after a crash, never a mixture.
//  9. Of a disk that is full to the last byte only logs that are Essential get what is left, until there is more.
//  10. A disk that hangs is noticed and named, whoever waits for it; nothing that could be refused waits for it.
//  11. A round begins by syncing what a crash left of its logs; the journal is synced at a start before it is believed.
//
// # Ownership
//
// Open starts the committer and the canary, which writes a file of its own; Close ends both. Dir.mu guards the table of logs and the dirty list; it is never held during a system call. Memory and Handles
// have locks of their own, held for list surgery only.
//
// # Does not
//
// It does not know what a batch, a segment or an offset means, and it never deletes what it does not recognise.
package dir
