// Package vfs is the file system as storage sees it: the real one, one in memory that can crash, and one that injects faults.
//
// Names are paths as package path/filepath has them. errors.Is works with fs.ErrExist, fs.ErrNotExist, fs.ErrClosed and ErrLocked on every
// implementation; IsNoSpace knows the full disk of every system.
//
// # Invariants
//
//  1. What File.Sync returned nil for, data and size, survives a power cut, provided the entries on the path to the file do.
//  2. A creation, removal or rename survives a power cut once SyncDir of its directory (of both directories, for a rename) returned nil;
//     before that, each may or may not have happened. File.Sync does not make the entry of its file durable.
//  3. Rename replaces its target in one step: whoever opens the name finds the old file or the new one, also after a power cut.
//  4. A file that is removed or renamed while it is open stays readable and writable through what is open (not on Windows).
//  5. After a failed Sync the data it covered may be lost although a later Sync succeeds. Nobody may retry a Sync.
//  6. One name has at most one Lock in all processes of the machine, Java's FileChannel.lock included.
//
// # Ownership
//
// All methods may be called from any goroutine. Concurrent WriteAt calls of one file to overlapping ranges leave either's bytes; a Sync covers the
// writes that returned before it began. Only this package touches the os package's files on behalf of storage.
//
// # Does not
//
// It does not cache, buffer, retry or create parents. It does not know what a log is.
package vfs
