package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// temporarySuffix marks a file that is being written; a leftover is removed at the next start.
const temporarySuffix = ".tmp"

// file is a small file that is always replaced as a whole.
type file struct {
	name string
	data []byte
}

// replace writes files of one directory so that after a crash each is the old or the new one: temporary file, sync, rename, sync of the directory.
// The renames happen in the order given.
func replace(fsys vfs.FS, path string, files ...file) error {
	for _, f := range files {
		if err := writeTemporary(fsys, filepath.Join(path, f.name+temporarySuffix), f.data); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(path, f.name), err)
		}
	}
	for _, f := range files {
		name := filepath.Join(path, f.name)
		if err := fsys.Rename(name+temporarySuffix, name); err != nil {
			return fmt.Errorf("replace %s: %w", name, err)
		}
	}
	if err := fsys.SyncDir(path); err != nil {
		return &syncError{fmt.Errorf("sync directory %s: %w", path, err)}
	}
	return nil
}

func writeTemporary(fsys vfs.FS, name string, data []byte) (err error) {
	f, err := fsys.Create(name)
	if errors.Is(err, fs.ErrExist) { // left by an attempt that ran out of space
		if err = fsys.Remove(name); err == nil {
			f, err = fsys.Create(name)
		}
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return &syncError{err}
	}
	return nil
}

// syncError tells a failed sync from a failed write: the first is never retried, the second may have been for want of space.
type syncError struct{ err error }

func (e *syncError) Error() string { return e.err.Error() }
func (e *syncError) Unwrap() error { return e.err }

// makeDurably makes a directory and its missing parents so that a power cut cannot take them back.
func makeDurably(fsys vfs.FS, path string) error {
	var parents []string
	for p := filepath.Clean(path); ; p = filepath.Dir(p) {
		_, err := fsys.Stat(p)
		if err == nil || p == filepath.Dir(p) {
			break
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		parents = append(parents, filepath.Dir(p))
	}
	if err := fsys.MkdirAll(path); err != nil {
		return err
	}
	for _, p := range parents {
		if err := fsys.SyncDir(p); err != nil {
			return err
		}
	}
	return nil
}
