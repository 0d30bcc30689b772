package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// list reads the directory once: logs, and what an interrupted deletion or replacement left.
func (d *Dir) list() error {
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return fmt.Errorf("log directory %s: %w", d.path, err)
	}
	for _, e := range entries {
		name := filepath.Join(d.path, e.Name)
		switch {
		case !e.IsDir:
			if strings.HasSuffix(e.Name, temporarySuffix) {
				if err := d.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("remove what an interrupted write left: %w", err)
				}
			}
		case strings.HasSuffix(e.Name, deletedSuffix):
			d.doomed = append(d.doomed, name)
		default:
			if _, _, ok := splitName(e.Name); ok {
				d.mu.found[e.Name] = &Found{RecoveryPoint: -1, StartOffset: -1, HighWatermark: -1, Cleaned: -1}
			}
		}
	}
	return nil
}

// listWidth is how many logs' directories are listed at the same time.
const listWidth = 8

// listLogs finds the files of every log that was found: in the inventory of the last stop, as far as that holds, or else in the log's directory.
func (d *Dir) listLogs(before turn) error {
	known, err := d.readInventory(before)
	if err != nil {
		return err
	}
	names := slices.Collect(maps.Keys(d.mu.found))
	return d.syncer.spread(len(names), min(listWidth, len(names)), func(i int) error {
		name := filepath.Join(d.path, names[i])
		if x, ok := known[names[i]]; ok && x.holds(d.fs, name) {
			d.mu.found[names[i]].Files = x.files
			return nil
		}
		files, err := d.fs.ReadDir(name)
		if err != nil {
			return fmt.Errorf("log directory %s: %w", name, err)
		}
		d.mu.found[names[i]].Files = files
		return nil
	})
}
