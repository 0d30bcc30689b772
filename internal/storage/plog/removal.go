package plog

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/storage/dir"
)

var segmentSuffixes = []string{logSuffix, indexSuffix, timeIndexSuffix, snapshotSuffix, txnIndexSuffix}

// stageRemovals renames the files of segments that nobody reads any more, once the start offset above them is on disk; they go after file.delete.delay.ms.
func (l *Log) stageRemovals(r *dir.Round) error {
	l.mu.Lock()
	var ready []*segment
	durable := l.durableStart.Load()
	if l.staged.durable {
		durable = l.staged.start
	}
	l.mu.removals = slices.DeleteFunc(l.mu.removals, func(s *segment) bool {
		if s.base < durable && s.refs.Load() <= 0 && s.where.Load() == placeFinal {
			ready = append(ready, s)
			return true
		}
		return false
	})
	l.mu.Unlock()
	for i, s := range ready {
		if err := l.retire(r, s); err != nil {
			l.mu.Lock()
			l.mu.removals = append(l.mu.removals, ready[i:]...)
			l.mu.Unlock()
			return err
		}
	}
	return nil
}

func (l *Log) retire(r *dir.Round, s *segment) error {
	if err := l.dropHandles(s); err != nil {
		return err
	}
	if !s.exists {
		return nil
	}
	gone, err := l.renameDeleted(r, s.base, segmentSuffixes)
	l.removeLater(r, gone)
	return err
}

// renameDeleted gives a segment's files the names under which they wait for their removal, and returns those.
func (l *Log) renameDeleted(r *dir.Round, base int64, suffixes []string) (gone []string, err error) {
	for _, suffix := range suffixes {
		name := l.fileName(base, suffix)
		err := r.FS().Rename(name, name+deletedSuffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return gone, err
		}
		gone = append(gone, name+deletedSuffix)
	}
	return gone, nil
}

// removeLater removes files after file.delete.delay.ms.
func (l *Log) removeLater(r *dir.Round, names []string) {
	fsys, logger := r.FS(), l.dir.Logger()
	l.dir.Later(l.cfg.Load().fileDeleteDelay(), func() {
		for _, name := range names {
			if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				logger.Warn("could not remove a deleted segment; the next start tries again", "file", name, "error", err)
			}
		}
	})
}

// leaveFiles closes all files, and has nobody open them again.
func (l *Log) leaveFiles() error {
	l.left.Store(true)
	l.mu.Lock()
	segments := append(slices.Clone([]*segment(*l.segments.Load())), l.mu.removals...)
	for _, x := range l.mu.swaps {
		segments = append(segments, x.old...)
	}
	for _, c := range []*cut{l.mu.cut, l.mu.cutting} {
		if c != nil {
			segments = append(segments, c.removed...)
		}
	}
	l.mu.Unlock()
	for _, s := range segments {
		if err := l.dropHandles(s); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) dropHandles(s *segment) error {
	h := l.dir.Handles()
	return errors.Join(h.Drop(&s.log), h.Drop(&s.index), h.Drop(&s.times))
}

// maxFileName is the longest name of a file or directory that every file system takes.
const maxFileName = 255

// deletedName is Kafka's name of a log's directory that waits for its removal: NAME.<32 hex digits>-delete, the topic shortened when it must be.
func deletedName(name string) string {
	var id [16]byte
	rand.Read(id[:]) //nolint:errcheck // crypto/rand.Read never returns an error
	i := strings.LastIndexByte(name, '-')
	suffix := name[i:] + "." + hex.EncodeToString(id[:]) + "-delete"
	return name[:min(i, maxFileName-len(suffix))] + suffix
}

// Delete removes the log: nothing can be appended or read any more, its directory is renamed, durably, and removed after file.delete.delay.ms.
// It waits for the committer.
func (l *Log) Delete() error {
	return l.leave(func() { l.mu.deleting = true })
}

// Close writes and syncs what was appended, and the hints that make the next start quick. It waits for the committer.
func (l *Log) Close() error {
	return l.leave(func() { l.mu.closing = true })
}

// awaitCleaning returns when no cleaning is under way.
func (l *Log) awaitCleaning() {
	l.cleaning.Lock()
	defer l.cleaning.Unlock()
}

func (l *Log) leave(set func()) error {
	done := make(chan error, 1)
	l.mu.Lock()
	if l.ended.Load() {
		l.mu.Unlock()
		return ErrClosed
	}
	set()
	l.mu.waiters = append(l.mu.waiters, done)
	l.mu.Unlock()
	l.awaitCleaning() // it sees that the log is left and gives up; it must not write beside whoever has the name next
	l.dirty()
	if err := l.dir.Err(); err != nil { // it may have gone offline before it saw the waiter
		return err
	}
	select {
	case err := <-done:
		return err
	case <-l.dir.Done():
		return dir.ErrClosed
	}
}

// BeginClose implements dir.Closer.
func (l *Log) BeginClose() {
	l.mu.Lock()
	l.mu.closing = true
	l.mu.Unlock()
}

// stageDelete renames the log's directory.
func (l *Log) stageDelete(r *dir.Round) error {
	st := &l.staged
	l.unwrote(st.writes)
	l.dropTail()
	if err := l.leaveFiles(); err != nil {
		return err
	}
	if l.exists || l.begun {
		target := filepath.Join(l.dir.Path(), deletedName(l.name))
		err := r.FS().Rename(l.path, target)
		if err != nil && (l.exists || !errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("delete log %s: %w", l.name, err)
		}
		if err == nil {
			r.SyncDir(l.dir.Path())
			l.renamed = target // its files go when that is on disk
		}
		l.exists, l.begun = false, false
	}
	st.ok = true
	return nil
}

// dropTail gives back all memory.
func (l *Log) dropTail() {
	l.mu.Lock()
	var release []*tailChunk
	var unwritten int64
	for _, c := range l.mu.tail {
		unwritten += int64(c.filled - c.written)
		if c.dropLocked() {
			release = append(release, c)
		}
	}
	l.mu.tail = nil
	l.mu.Unlock()
	for _, c := range release {
		c.Release()
	}
	if unwritten > 0 {
		l.dir.Share().Unwritten(-unwritten)
	}
}

// finish ends the log's life, well or not, and tells whoever waits for that.
func (l *Log) finish(err error) {
	l.mu.Lock()
	waiters := l.mu.waiters
	l.mu.waiters = nil
	closing, deleting := l.mu.closing, l.mu.deleting
	ended := l.ended.Load()
	if err == nil {
		l.ended.Store(true)
	}
	l.mu.Unlock()
	if err == nil && !ended {
		switch {
		case deleting:
			if l.renamed != "" {
				l.dir.RemoveLater(l.renamed, l.cfg.Load().fileDeleteDelay())
			}
			l.dir.Leave(l, nil)
		case closing:
			err = l.handOver()
		}
		l.notify()
	}
	for _, w := range waiters {
		w <- err
	}
}

// handOver leaves the directory what the next Open needs. When the directory itself is being closed the log stays a member, for the last checkpoint.
func (l *Log) handOver() error {
	l.dropTail()
	if err := l.leaveFiles(); err != nil {
		return err
	}
	if l.dir.Closed() {
		return nil
	}
	if l.found != nil { // damaged: nothing of it was touched
		l.dir.Leave(l, l.found)
		return nil
	}
	found := &dir.Found{RecoveryPoint: -1, StartOffset: -1, Cleaned: -1, HighWatermark: l.highWatermark.Load(), Recorded: l.recordedLeast, Clean: true}
	if l.exists {
		files, err := l.dir.FS().ReadDir(l.path)
		if err != nil {
			return err
		}
		found.Files = files
		l.mu.Lock()
		found.RecoveryPoint = l.mu.syncedMark.offset
		found.State = l.encodeStateLocked()
		l.mu.Unlock()
		if start := l.DurableStartOffset(); start > 0 {
			found.StartOffset = start
		}
		if at := l.cleaned.Load(); at > 0 {
			found.Cleaned = at
		}
		l.dir.Leave(l, found)
		return nil
	}
	l.dir.Leave(l, nil)
	return nil
}
