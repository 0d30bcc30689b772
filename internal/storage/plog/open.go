package plog

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Open opens the log called name (topic-partition) of the topic with the id. A log that is not there is empty; its directory is made with its first append. After a clean
// stop no file is opened; after a crash only what was appended since the last checkpoint is read and checked.
//
// An *IdentityError when the directory belongs to another topic of that name. A log whose synced part is damaged opens with Err set: what is sound can be read, nothing
// can be appended.
func Open(d *dir.Dir, name string, id model.TopicID, cfg *Config) (*Log, error) {
	l := newLog(d, name, id, cfg)
	found := d.Adopt(name)
	if err := l.load(found); err != nil {
		d.Return(name, found)
		return nil, fmt.Errorf("open log %s: %w", filepath.Join(d.Path(), name), err)
	}
	if err := d.Add(l); err != nil {
		d.Return(name, found)
		return nil, err
	}
	l.opened.Store(true)
	switch {
	case l.Err() != nil:
	case l.early:
		l.dirty()
	case l.revived || l.synced.Load() < l.end.Load():
		d.Revive(l, &l.place) // what recovery kept is synced before it counts
	}
	return l, nil
}

func (l *Log) load(found *dir.Found) error {
	if found == nil {
		l.begin(0, time.Now())
		return nil
	}
	var st *logState
	if found.State != nil {
		var err error
		if st, err = parseState(found.State); err != nil {
			st = nil
			l.dir.Logger().Warn("the log is read from its files", "log", l.name, "error", err)
		} else {
			st.producers.endedBelow(found.RecoveryPoint)
		}
	}
	have := model.TopicID{}
	if st != nil {
		have = st.id
	} else {
		var err error
		have, err = readIdentity(l.dir.FS(), l.path)
		if errors.Is(err, errTorn) && found.RecoveryPoint <= 0 && onlySnapshots(found.Files) { // as Kafka formats the metadata's directory
			l.begin(0, time.Now())
			return nil
		}
		if errors.Is(err, errTorn) && found.RecoveryPoint <= 0 {
			// The first round never ended, or the identity would be here: nobody was promised a record. Where it begins, it may have been: the name stays, which that is recorded for.
			l.dir.Logger().Warn("a log that was being made when the node stopped is discarded", "log", l.name, "directory", l.dir.Path())
			if err := l.removeAll(found.Files); err != nil {
				return err
			}
			l.begin(max(0, found.StartOffset), time.Now())
			l.begun = true
			return nil
		}
		if err != nil {
			return err
		}
	}
	if have != l.id {
		return &IdentityError{l.name, have, l.id}
	}
	l.exists = true
	l.gaps.Store(found.Cleaned > 0)
	l.doubtful = !found.Clean
	l.revived = l.doubtful && !named(st, found)
	if l.revived {
		l.found = &dir.Found{State: found.State, RecoveryPoint: found.RecoveryPoint, StartOffset: found.StartOffset, HighWatermark: found.HighWatermark, Cleaned: found.Cleaned}
	}
	l.recorded = max(0, found.RecoveryPoint)
	l.recordedLeast = max(0, found.Recorded)
	files, err := l.inventory(found)
	if err != nil {
		return err
	}
	r := &recovery{log: l, found: found, files: files, start: max(0, found.StartOffset), point: max(0, found.RecoveryPoint)}
	if err := r.run(st); err != nil {
		return err
	}
	l.highWatermark.Store(found.HighWatermark)
	l.cleaned.Store(max(0, min(found.Cleaned, l.mu.syncedMark.offset)))
	l.recordedClean = max(0, found.Cleaned)
	m := l.mu.writtenMark
	l.openEnd, l.openBase, l.openPosition = m.offset, m.base, m.at
	return nil
}

// removeAll removes what a log's directory has.
func (l *Log) removeAll(files []vfs.DirEntry) error {
	for _, f := range files {
		if err := l.dir.FS().RemoveAll(filepath.Join(l.path, f.Name)); err != nil {
			return err
		}
	}
	return l.syncDirectory()
}

// named tells whether the names of a log and of its segments are on the disk for certain: the manifest knows a synced part of it, which it never had before they were, and no
// segment that came later.
func named(st *logState, found *dir.Found) bool {
	if st == nil || found.RecoveryPoint <= 0 || len(st.segments) == 0 {
		return false
	}
	last := st.segments[len(st.segments)-1].base
	return !slices.ContainsFunc(found.Files, func(f vfs.DirEntry) bool {
		base, ok := offsetOf(f.Name, logSuffix)
		return ok && base > last
	})
}

// onlySnapshots tells whether a directory has snapshots of the metadata (*.checkpoint) and no segment.
func onlySnapshots(files []vfs.DirEntry) bool {
	any := false
	for _, f := range files {
		switch filepath.Ext(f.Name) {
		case logSuffix:
			return false
		case ".checkpoint":
			any = true
		}
	}
	return any
}

// inventory is what the log's directory has, by segment.
type inventory struct {
	segments  []vfs.DirEntry // the .log files, by base offset
	bases     []int64
	sizes     map[string]int64
	snapshots []int64
}

// inventory sorts the files, and removes what an interrupted deletion or replacement left.
func (l *Log) inventory(found *dir.Found) (inventory, error) {
	out := inventory{sizes: make(map[string]int64, len(found.Files))}
	have, err := l.finishSwaps(found.Files)
	if err != nil {
		return out, err
	}
	for _, f := range have {
		switch filepath.Ext(f.Name) {
		case deletedSuffix, ".tmp", cleanedSuffix, swapSuffix:
			if err := removeIfThere(l.dir.FS(), filepath.Join(l.path, f.Name)); err != nil {
				return out, err
			}
			continue
		}
		out.sizes[f.Name] = f.Size
		if base, ok := offsetOf(f.Name, logSuffix); ok {
			out.segments = append(out.segments, f)
			out.bases = append(out.bases, base)
		} else if offset, ok := snapshotOffset(f.Name); ok {
			out.snapshots = append(out.snapshots, offset)
		}
	}
	slices.SortFunc(out.segments, func(a, b vfs.DirEntry) int { return strings.Compare(a.Name, b.Name) })
	slices.Sort(out.bases)
	slices.Sort(out.snapshots)
	return out, nil
}
