package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// turnFile is there while Ottla uses the directory, and after it died; a clean stop renames it to Kafka's marker, and a start after one renames that back, so that there is
// always one of them. Apache Kafka, which may take turns with Ottla, leaves it alone, so that
// together with the clean marker it tells who was last:
//
//	marker  turn file
//	yes     no         Ottla stopped cleanly, or Kafka that had the directory to itself since an Ottla that did
//	no      yes        Ottla died
//	no      no         Kafka died, or nobody but Kafka ever was here
//	yes     yes        Ottla died, then Kafka ran and stopped cleanly
const turnFile = "ottla.running"

// turn is who used the directory before this start.
type turn struct {
	clean   bool // the marker of a clean stop is there
	running bool // so is the turn file
}

// foreign tells whether Kafka certainly was the last. What Ottla keeps for itself, manifest and journal, then tells of a past that Kafka has changed since.
func (t turn) foreign() bool { return t.clean == t.running }

// lookAtTurn reads who was last, and changes nothing.
func (d *Dir) lookAtTurn() (t turn, err error) {
	for name, there := range map[string]*bool{cleanFile: &t.clean, turnFile: &t.running} {
		_, err := d.fs.Stat(filepath.Join(d.path, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return t, err
		}
		*there = err == nil
	}
	return t, nil
}

// forgetOurs removes what only Ottla keeps, because Kafka used the directory since. A journal counts only where Kafka found everything in the segments already: it stopped
// cleanly after it had opened them, and has compacted, cut and deleted as it saw fit.
func (d *Dir) forgetOurs(t turn) error {
	names := []string{manifestFile}
	if t.clean && t.running {
		names = append(names, journalFile)
	}
	for _, name := range names {
		err := d.fs.Remove(filepath.Join(d.path, name))
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return fmt.Errorf("remove %s, which is out of date: %w", filepath.Join(d.path, name), err)
		default:
			d.logger.Info("Apache Kafka used the directory since: logs are read from its files", "directory", d.path, "removed", name)
		}
	}
	return nil
}

// markTurn makes the turn file where there is no marker to make it of; the name is not synced yet.
func (d *Dir) markTurn(t turn) (made bool, err error) {
	if t.running || t.clean {
		return false, nil
	}
	f, err := d.fs.Create(filepath.Join(d.path, turnFile))
	if err != nil {
		return false, fmt.Errorf("log directory %s: %w", d.path, err)
	}
	return true, f.Close()
}

// beginTurn is markTurn with the sync.
func (d *Dir) beginTurn(t turn) error {
	made, err := d.markTurn(t)
	if err != nil || !made {
		return err
	}
	if err := d.fs.SyncDir(d.path); err != nil {
		return fmt.Errorf("sync directory %s: %w", d.path, err)
	}
	return nil
}

// takeStarts notes where the logs begin that Kafka left: it writes a start offset down only where one lies within a segment. This is on disk before anything else
// changes, because after a crash of ours a log without a start must begin at 0.
func (d *Dir) takeStarts(t turn) error {
	if !t.clean && !t.foreign() {
		return nil
	}
	starts, changed := offsets{}, false
	for name, f := range d.mu.found {
		if f.State == nil {
			if base := firstOffset(f.Files); base > f.StartOffset && base > 0 {
				f.StartOffset, changed = base, true
			}
		}
		if f.StartOffset > 0 {
			starts[name] = f.StartOffset
		}
	}
	if !changed {
		return nil
	}
	return replace(d.fs, d.path, file{startFile, encodeOffsets(starts)})
}

// firstOffset is the base offset of the first segment among a log's files, -1 when there is none.
func firstOffset(files []vfs.DirEntry) int64 {
	first := int64(-1)
	for _, f := range files {
		stem, ok := strings.CutSuffix(f.Name, ".log")
		if !ok || len(stem) != 20 {
			continue
		}
		if base, err := strconv.ParseInt(stem, 10, 64); err == nil && (first < 0 || base < first) {
			first = base
		}
	}
	return first
}
