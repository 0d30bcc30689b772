package plog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// setAside copies the end of a segment's file to a file of its own and cuts it off, synced before anything can be written over it.
func (r *recovery) setAside(s *segment, at, size int64) (err error) {
	l := r.log
	f, err := l.dir.FS().Open(l.fileName(s.base, logSuffix))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := r.copyAside(f, s, at, size); err != nil {
		if !dir.NoSpace(err) {
			return err
		}
		l.dir.Logger().Warn("no space to keep what is cut", "log", l.name, "error", err)
	}
	if err := f.Truncate(at); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		l.dir.Offline(err)
		return err
	}
	return nil
}

// maxAside bounds how much of a cut end is kept, maxAsideFiles in how many files of one log.
const (
	maxAside      = 64 << 20
	maxAsideFiles = 8
)

func (r *recovery) copyAside(f vfs.File, s *segment, at, size int64) (err error) {
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	var out vfs.File
	for p := at; p < min(size, at+maxAside); {
		n := min(int64(len(buffer)), size-p)
		if err := vfs.ReadFull(f, buffer[:n], p); err != nil {
			return err
		}
		if out == nil {
			if allZero(buffer[:n]) && n == size-at {
				return nil // room that the file system gave and nobody filled
			}
			if out, err = r.asideFile(fmt.Sprintf("%020d.%d", s.base, at)); err != nil {
				return err
			}
			defer func() { err = errors.Join(err, out.Close()) }()
		}
		if _, err := out.WriteAt(buffer[:n], p-at); err != nil {
			return err
		}
		p += n
	}
	if out == nil {
		return nil
	}
	return out.Sync()
}

func allZero(p []byte) bool { return !slices.ContainsFunc(p, func(b byte) bool { return b != 0 }) }

// asideFile makes a file for what is cut, and lets the oldest go when there are too many.
func (r *recovery) asideFile(stem string) (vfs.File, error) {
	l := r.log
	entries, err := l.dir.FS().ReadDir(l.path)
	if err != nil {
		return nil, err
	}
	var old []string
	for _, e := range entries {
		if len(e.Name) > len(cutSuffix) && e.Name[len(e.Name)-len(cutSuffix):] == cutSuffix {
			old = append(old, e.Name)
		}
	}
	for len(old) >= maxAsideFiles {
		if err := removeIfThere(l.dir.FS(), l.path+"/"+old[0]); err != nil {
			return nil, err
		}
		old = old[1:]
	}
	for n := 0; ; n++ {
		f, err := l.dir.FS().Create(fmt.Sprintf("%s/%s.%d%s", l.path, stem, n, cutSuffix))
		if !errors.Is(err, fs.ErrExist) {
			return f, err
		}
	}
}

// setSegmentAside renames a whole segment that cannot follow the log's end; its hints go.
func (r *recovery) setSegmentAside(s *segment) error {
	l := r.log
	name := l.fileName(s.base, logSuffix)
	for n := 0; ; n++ {
		target := fmt.Sprintf("%s/%020d.0.%d%s", l.path, s.base, n, cutSuffix)
		if _, err := l.dir.FS().Stat(target); err == nil {
			continue
		}
		if err := l.dir.FS().Rename(name, target); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		break
	}
	for _, suffix := range []string{indexSuffix, timeIndexSuffix, snapshotSuffix, txnIndexSuffix} {
		if err := removeIfThere(l.dir.FS(), l.fileName(s.base, suffix)); err != nil {
			return err
		}
	}
	return nil
}
