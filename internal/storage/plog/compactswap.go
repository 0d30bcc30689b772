package plog

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Kafka's suffixes of a segment that replaces others: while it is written, and once it is to be put in their place whatever happens.
const (
	cleanedSuffix = ".cleaned"
	swapSuffix    = ".swap"
)

// Where a segment's file is.
const (
	placeFinal   int32 = iota // under its name
	placeCleaned              // under its name and .cleaned
	placeSwap                 // under its name and .swap
	placeGone                 // nowhere: the name is another's, of its replacement, of what followed a cut, of a new log
)

// swap is a segment that a cleaning made, and those whose place it takes.
type swap struct {
	fresh *segment
	old   []*segment
	end   int64 // where the segment after them begins
	to    int64 // the log is clean up to here once this, the last swap of its cleaning, is on disk; 0 for the others
	txns  bool  // it has a transaction index

	// Of who has the directory's turn.
	retired bool     // the old files are out of the way
	gone    []string // what they are called now
}

var errReplaced = fmt.Errorf("the segment was replaced, cut off or deleted: %w", fs.ErrNotExist)

// openSegment acquires a segment's log file, wherever a cleaning has put it.
func (l *Log) openSegment(s *segment) (vfs.File, error) { return l.openFile(s, &s.log, logSuffix) }

// openFile acquires a file of a segment for a reader. The place is looked at again after opening: what was opened by a name is the segment's own only if the name was its own
// all the while.
func (l *Log) openFile(s *segment, x *dir.Handle, suffix string) (vfs.File, error) {
	if err := l.usable(); err != nil {
		return nil, err
	}
	h := l.dir.Handles()
	for {
		place := l.placeOf(s)
		name := l.fileName(s.base, suffix)
		switch {
		case place == placeGone:
			return nil, errReplaced
		case place == placeCleaned && suffix == logSuffix:
			name += cleanedSuffix
		case place == placeSwap && suffix == logSuffix:
			name += swapSuffix
		}
		f, err := h.Acquire(l.dir.FS(), x, name, false)
		if l.placeOf(s) == place {
			return f, err
		}
		if err == nil {
			if err := errors.Join(h.Drop(x), h.Release(x)); err != nil {
				return nil, err
			}
		}
	}
}

// placeOf tells where a segment's log file is. Of a log that was deleted, or is another's by now, there is none.
func (l *Log) placeOf(s *segment) int32 {
	if l.left.Load() {
		return placeGone
	}
	return s.where.Load()
}

// publishClean shows what a cleaning made to readers, and leaves the files to the committer. It runs where appends, cuts and Maintain run. What has changed in the list since
// the cleaning began makes it void.
func (l *Log) publishClean(swaps []*swap, generation int, to int64) error {
	if err := l.admitCut(); err != nil {
		return err
	}
	l.mu.Lock()
	if l.mu.generation != generation {
		l.mu.Unlock()
		return ErrCleanAborted
	}
	list := slices.Clone(*l.segments.Load())
	var removed []*segment
	for _, x := range swaps {
		i := slices.Index(list, x.old[0])
		if i < 0 || i+len(x.old) >= len(list) || !slices.Equal(list[i:i+len(x.old)], x.old) {
			l.mu.Unlock()
			return ErrCleanAborted // retention was faster
		}
		x.end = list[i+len(x.old)].base
		list = slices.Replace(list, i, i+len(x.old), x.fresh)
		removed = append(removed, x.old...)
	}
	release, _ := l.cutTailLocked(nil, 0, removed, false) // all of it is on disk
	l.mu.sealed = slices.DeleteFunc(l.mu.sealed, func(s *segment) bool { return slices.Contains(removed, s) })
	l.mu.hints = [hintCount]hint{}
	if len(swaps) == 0 {
		l.mu.cleanedTo = to
	} else {
		swaps[len(swaps)-1].to = to
		l.mu.swaps = append(l.mu.swaps, swaps...)
		l.segments.Store(&list)
		l.gaps.Store(true)
	}
	l.mu.Unlock()
	for _, c := range release {
		c.Release()
	}
	for _, s := range removed {
		l.release(s)
	}
	l.dirty()
	return nil
}

// stageSwaps puts cleaned segments in the place of those they replace, in the order of their offsets, once nobody reads the old ones; forced, whoever reads. Step by step, each
// durable before the next: the new file is named .swap, from where on a start finishes what follows; the old files and indexes go; the new file takes its name.
func (l *Log) stageSwaps(r *dir.Round, forced bool) error {
	for {
		l.mu.Lock()
		var x *swap
		if len(l.mu.swaps) > 0 {
			x = l.mu.swaps[0]
		}
		l.mu.Unlock()
		if x == nil || l.swapsAdmitted == 0 {
			return nil
		}
		if !forced && slices.ContainsFunc(x.old, func(s *segment) bool { return s.refs.Load() > 0 }) {
			return nil
		}
		if err := l.swapFiles(r, x); err != nil {
			return err
		}
		l.mu.Lock()
		l.mu.swaps = l.mu.swaps[1:]
		l.swapsAdmitted--
		if x.to > 0 {
			l.mu.cleanedTo = x.to
		}
		if slices.Contains(*l.segments.Load(), x.fresh) {
			l.mu.sealed = append(l.mu.sealed, x.fresh)
		}
		l.mu.Unlock()
	}
}

func (l *Log) swapFiles(r *dir.Round, x *swap) (err error) {
	name, txns := l.fileName(x.fresh.base, logSuffix), l.fileName(x.fresh.base, txnIndexSuffix)
	h := l.dir.Handles()
	if _, err := l.openSegment(x.fresh); err != nil { // readers that come in between two names find the file open
		return err
	}
	defer func() { err = errors.Join(err, h.Release(&x.fresh.log)) }()
	barrier := func() error {
		if r.Mutants()&dir.SkipSwapSync != 0 {
			return nil
		}
		return r.BarrierDir(l.path)
	}
	if x.txns { // before the log: with that under its name, all of the swap is there
		if err := renameIfThere(r.FS(), txns+cleanedSuffix, txns+swapSuffix); err != nil {
			return err
		}
	}
	if err := renameIfThere(r.FS(), name+cleanedSuffix, name+swapSuffix); err != nil {
		return err
	}
	x.fresh.where.Store(placeSwap) // and there it stays for them, if what follows finds no space
	if err := barrier(); err != nil {
		return err
	}
	if err := l.retireSwapped(r, x); err != nil {
		return err
	}
	if err := barrier(); err != nil {
		return err
	}
	if err := r.FS().Rename(name+swapSuffix, name); err != nil {
		return err
	}
	x.fresh.where.Store(placeFinal)
	if x.txns {
		if err := barrier(); err != nil { // a start that finds the log still called .swap takes this name for the old one's
			return err
		}
		if err := r.FS().Rename(txns+swapSuffix, txns); err != nil {
			return err
		}
	}
	if err := r.BarrierDir(l.path); err != nil {
		return err
	}
	l.removeLater(r, x.gone)
	return nil
}

// retireSwapped renames the files of the segments that are replaced; they go after file.delete.delay.ms.
func (l *Log) retireSwapped(r *dir.Round, x *swap) error {
	if x.retired {
		return nil
	}
	for _, s := range x.old {
		s.where.Store(placeGone)
		if err := l.dropHandles(s); err != nil {
			return err
		}
		suffixes := segmentSuffixes
		if s.base == x.fresh.base { // the producers' state there is still true
			suffixes = replacedSuffixes
		}
		gone, err := l.renameDeleted(r, s.base, suffixes)
		x.gone = append(x.gone, gone...)
		if err != nil {
			return err
		}
	}
	x.retired = true
	return nil
}

// replacedSuffixes are the files that a segment loses to the one that takes its name.
var replacedSuffixes = []string{logSuffix, indexSuffix, timeIndexSuffix, txnIndexSuffix}

// renameIfThere renames a file, unless an earlier attempt got further.
func renameIfThere(fsys vfs.FS, from, to string) error {
	if err := fsys.Rename(from, to); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// finishSwaps ends, at a start, the replacements that were begun: the new file is on disk as a whole, the old ones may be there or not. A replacement of which something is still
// called .cleaned had not begun: the old files are all there.
func (l *Log) finishSwaps(files []vfs.DirEntry) ([]vfs.DirEntry, error) {
	begun := l.begunSwaps(files)
	if len(begun) == 0 {
		return files, nil
	}
	if err := l.syncDirectory(); err != nil { // a killed process may have given the names a moment ago: without them a power cut would leave neither old nor new
		return nil, err
	}
	for _, f := range files {
		base, suffix, ok := swapName(f.Name)
		if !ok || suffix != logSuffix || !begun[base] {
			continue
		}
		next, err := l.swapEnd(f, base)
		if err != nil {
			return nil, fmt.Errorf("finish the compaction of segment %020d: %w", base, err)
		}
		for _, old := range files {
			at, isLog := offsetOf(old.Name, logSuffix)
			if !isLog || at < base || at >= max(next, base+1) {
				continue
			}
			suffixes := segmentSuffixes
			if at == base {
				suffixes = replacedSuffixes[1:] // the log itself is written over
			}
			for _, suffix := range suffixes {
				if err := removeIfThere(l.dir.FS(), l.fileName(at, suffix)); err != nil {
					return nil, err
				}
			}
		}
		for _, suffix := range replacedSuffixes[1:] { // also when the old log is gone already
			if err := removeIfThere(l.dir.FS(), l.fileName(base, suffix)); err != nil {
				return nil, err
			}
		}
		if err := l.syncDirectory(); err != nil {
			return nil, err
		}
		if err := l.dir.FS().Rename(filepath.Join(l.path, f.Name), l.fileName(base, logSuffix)); err != nil {
			return nil, err
		}
		if err := l.syncDirectory(); err != nil {
			return nil, err
		}
	}
	for _, f := range files {
		if base, suffix, ok := swapName(f.Name); ok && suffix == txnIndexSuffix && begun[base] {
			if err := l.dir.FS().Rename(filepath.Join(l.path, f.Name), l.fileName(base, txnIndexSuffix)); err != nil {
				return nil, err
			}
		}
	}
	if err := l.syncDirectory(); err != nil {
		return nil, err
	}
	return l.dir.FS().ReadDir(l.path)
}

// begunSwaps returns the base offsets of the replacements that must be finished.
func (l *Log) begunSwaps(files []vfs.DirEntry) map[int64]bool {
	open := int64(math.MaxInt64) // the first of those that had not begun
	begun := map[int64]bool{}
	for _, f := range files {
		if stem, ok := strings.CutSuffix(f.Name, cleanedSuffix); ok {
			if base, _, ok := ParseFileName(stem); ok {
				open = min(open, base)
			}
		}
	}
	for _, f := range files {
		if base, _, ok := swapName(f.Name); ok && base < open {
			begun[base] = true
		}
	}
	return begun
}

// swapName reads the name of a file that waits to be put in place.
func swapName(name string) (base int64, suffix string, ok bool) {
	stem, ok := strings.CutSuffix(name, swapSuffix)
	if !ok {
		return 0, "", false
	}
	return ParseFileName(stem)
}

func (l *Log) syncDirectory() error {
	if err := l.dir.FS().SyncDir(l.path); err != nil {
		err = fmt.Errorf("sync directory %s: %w", l.path, err)
		l.dir.Offline(err)
		return err
	}
	return nil
}

// swapEnd reads the offset after the last batch of a file that waits to be put in place.
func (l *Log) swapEnd(entry vfs.DirEntry, base int64) (next int64, err error) {
	f, err := l.dir.FS().OpenRead(filepath.Join(l.path, entry.Name))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	next = base
	var header [batch.HeaderSize]byte
	for at := int64(0); at < entry.Size; {
		if err := vfs.ReadFull(f, header[:], at); err != nil {
			return 0, fmt.Errorf("%s ends within a batch: %w", entry.Name, err)
		}
		b, err := checkHeader(header[:])
		if err != nil {
			return 0, fmt.Errorf("%s is damaged at byte %d: %w", entry.Name, at, err)
		}
		next, at = b.NextOffset(), at+int64(b.Size())
	}
	return next, nil
}

// mayHaveGaps tells whether batches may lie in the log with gaps of offsets between them: it is compacted, or was.
func (l *Log) mayHaveGaps() bool { return l.gaps.Load() || l.cfg.Load().CleanupCompact }

// swapReadyLocked tells whether the first swap may be made: nobody reads the old segments, or the log is cut or closed.
func (l *Log) swapReadyLocked() bool {
	if len(l.mu.swaps) == 0 {
		return false
	}
	return l.mu.cut != nil || l.mu.closing || !slices.ContainsFunc(l.mu.swaps[0].old, func(s *segment) bool { return s.refs.Load() > 0 })
}

// prepareSwapsLocked admits the swaps that may be made in this round, and tells what must be on disk before: the journal must not write old bytes into new files, and the manifest must
// not have its recovery point in a segment that is replaced, where its position would mean nothing any more.
func (l *Log) prepareSwapsLocked() (needs dir.Needs) {
	l.swapsAdmitted = 0
	if !l.swapReadyLocked() {
		return 0
	}
	l.swapsAdmitted = len(l.mu.swaps)
	if l.recordedLeast <= l.mu.swaps[l.swapsAdmitted-1].end { // at the end itself it may still be a position in the segment before
		needs = dir.NeedRecovery
	}
	return needs | dir.NeedJournal
}
