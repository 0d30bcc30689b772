package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Surgery prepares a closed directory for a change of its logs' files, or takes back the claim that logs are synced: the next start reads every log from its files, from the
// recovery point in the text file on. lowered are new recovery points, by log: the start after this one cuts the log at the first bad batch from there. Each step leaves a
// directory that can be opened. A damaged checkpoint is made anew from the manifest and the names of the segments. The caller holds the lock.
func Surgery(fsys vfs.FS, path string, lowered map[string]int64) error {
	v, err := Look(fsys, path)
	if err != nil {
		return err
	}
	if v.Journal {
		return fmt.Errorf("%s has a journal: recover it first", path)
	}
	// It is no cleanly closed directory any more. The file under its other name says that Ottla is to go on here.
	err = fsys.Rename(filepath.Join(path, cleanFile), filepath.Join(path, turnFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := fsys.SyncDir(path); err != nil {
		return err
	}
	points, starts, err := v.known(fsys, path)
	if err != nil {
		return err
	}
	for name, offset := range lowered {
		points[name] = min(points[name], offset)
	}
	// With the recovery points the manifest ceases to fit: from then on it is theirs that count.
	if err := replace(fsys, path, file{startFile, encodeOffsets(starts)}); err != nil {
		return err
	}
	if err := replace(fsys, path, file{recoveryFile, encodeOffsets(points)}); err != nil {
		return err
	}
	if v.Problems[replicationFile] != nil { // a hint
		if err := fsys.Remove(filepath.Join(path, replicationFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if err := fsys.Remove(filepath.Join(path, manifestFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return fsys.SyncDir(path)
}

// known is what the directory still knows of recovery points and starts.
func (v *View) known(fsys vfs.FS, path string) (points, starts offsets, err error) {
	points, starts = offsets{}, offsets{}
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range entries {
		if _, _, ok := splitName(e.Name); !ok || !e.IsDir {
			continue
		}
		if offset := v.RecoveryPoint(e.Name); offset >= 0 {
			points[e.Name] = offset
		}
		offset := v.StartOffset(e.Name)
		if v.Problems[startFile] != nil {
			files, err := fsys.ReadDir(filepath.Join(path, e.Name))
			if err != nil {
				return nil, nil, err
			}
			offset = max(offset, firstOffset(files))
		}
		if offset > 0 {
			starts[e.Name] = offset
		}
	}
	if v.Problems[recoveryFile] != nil && v.Manifest == nil {
		return nil, nil, fmt.Errorf("%s is damaged (%w), and without a manifest nothing else tells what is synced: restore the file from a backup", filepath.Join(path, recoveryFile), v.Problems[recoveryFile])
	}
	return points, starts, nil
}
