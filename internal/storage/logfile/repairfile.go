package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// temporarySuffix ends the name of a file that Repair is writing; what is left of one is written over by the next.
const temporarySuffix = ".repair"

// keepAside copies the damaged bytes of a range to a .cut file beside the segment, as recovery does with what it cuts. A copy that is there already is taken.
func keepAside(fsys vfs.FS, r *RepairRange) error {
	in, err := fsys.OpenRead(r.File)
	if notThere(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	until := r.Until
	if r.Way == CutRot {
		if until, err = in.Size(); err != nil {
			return err
		}
	}
	if until == r.Position {
		return nil
	}
	for n := 0; ; n++ {
		name := filepath.Join(filepath.Dir(r.File), fmt.Sprintf("%020d.%d.%d%s", r.base, r.Position, n, plog.CutSuffix))
		same, err := sameBytes(fsys, name, in, r.Position, until)
		if notThere(err) {
			r.Kept = name
			return writeAnew(fsys, name, func(out *appender) error { return out.copy(in, r.Position, until) })
		}
		if err != nil {
			return err
		}
		if same {
			r.Kept = name
			return nil
		}
	}
}

// sameBytes tells whether a file has exactly a range of another.
func sameBytes(fsys vfs.FS, name string, in vfs.File, from, to int64) (bool, error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil || size != to-from {
		return false, err
	}
	a, b := make([]byte, window), make([]byte, window)
	for at := int64(0); at < size; at += window {
		n := min(window, size-at)
		if err := vfs.ReadFull(f, a[:n], at); err != nil {
			return false, err
		}
		if err := vfs.ReadFull(in, b[:n], from+at); err != nil {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
	}
	return true, nil
}

// setSegmentsAside renames the segments behind a cut to .cut files, the last one first; their indexes go.
func setSegmentsAside(fsys vfs.FS, r *RepairRange) error {
	path := filepath.Dir(r.File)
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range slices.Backward(entries) {
		base, suffix, ok := plog.ParseFileName(e.Name)
		if !ok || suffix != plog.LogSuffix || base <= r.base {
			continue
		}
		for n := 0; ; n++ {
			target := filepath.Join(path, fmt.Sprintf("%020d.0.%d%s", base, n, plog.CutSuffix))
			if _, err := fsys.Stat(target); err == nil {
				continue
			} else if !notThere(err) {
				return err
			}
			if err := fsys.Rename(filepath.Join(path, e.Name), target); err != nil {
				return err
			}
			break
		}
		if err := fsys.SyncDir(path); err != nil {
			return err
		}
		if err := removeIndexes(fsys, filepath.Join(path, e.Name)); err != nil {
			return err
		}
	}
	return nil
}

func removeIndexes(fsys vfs.FS, name string) error {
	stem := strings.TrimSuffix(name, plog.LogSuffix)
	for _, suffix := range []string{plog.IndexSuffix, plog.TimeIndexSuffix, plog.TxnIndexSuffix} {
		if err := fsys.Remove(stem + suffix); err != nil && !notThere(err) {
			return err
		}
	}
	return fsys.SyncDir(filepath.Dir(name))
}

// cutThere ends a segment where a range begins.
func cutThere(fsys vfs.FS, r *RepairRange) (err error) {
	if err := removeIndexes(fsys, r.File); err != nil {
		return err
	}
	f, err := fsys.Open(r.File)
	if notThere(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if err := f.Truncate(r.Position); err != nil {
		return err
	}
	return f.Sync()
}

// skipRanges writes a segment anew, with empty batches in the place of the ranges. Its indexes, which would point elsewhere, go first: they are made anew.
func skipRanges(fsys vfs.FS, name string, ranges []*RepairRange) (err error) {
	if err := removeIndexes(fsys, name); err != nil {
		return err
	}
	in, err := fsys.OpenRead(name)
	size := int64(0)
	if err == nil {
		defer func() { err = errors.Join(err, in.Close()) }()
		size, err = in.Size()
	}
	if err != nil && !notThere(err) {
		return err
	}
	return writeAnew(fsys, name, func(out *appender) error {
		at := int64(0)
		for _, r := range ranges {
			if err := out.copy(in, at, r.Position); err != nil {
				return err
			}
			if err := out.fill(r); err != nil {
				return err
			}
			at = r.Until
		}
		return out.copy(in, at, size)
	})
}

// appender writes a file from its beginning on.
type appender struct {
	file vfs.File
	at   int64
	buf  []byte
}

func (a *appender) write(p []byte) error {
	_, err := a.file.WriteAt(p, a.at)
	a.at += int64(len(p))
	return err
}

func (a *appender) copy(in io.ReaderAt, from, to int64) error {
	if a.buf == nil {
		a.buf = make([]byte, window)
	}
	for from < to {
		p := a.buf[:min(int64(len(a.buf)), to-from)]
		if err := vfs.ReadFull(in, p, from); err != nil {
			return err
		}
		if err := a.write(p); err != nil {
			return err
		}
		from += int64(len(p))
	}
	return nil
}

// fill writes empty batches over the offsets of a range.
func (a *appender) fill(r *RepairRange) error {
	for from := r.From; from < r.To; {
		last := min(r.To-1, from+math.MaxInt32)
		if err := a.write(batch.Empty(from, last, r.epoch)); err != nil {
			return err
		}
		from = last + 1
	}
	return nil
}

// writeAnew replaces a file by what write writes: after a crash it is the old or the new one.
func writeAnew(fsys vfs.FS, name string, write func(*appender) error) error {
	temporary := name + temporarySuffix
	f, err := fsys.Create(temporary)
	if errors.Is(err, fs.ErrExist) {
		if err = fsys.Remove(temporary); err == nil {
			f, err = fsys.Create(temporary)
		}
	}
	if err != nil {
		return err
	}
	err = write(&appender{file: f})
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, fsys.Remove(temporary))
	}
	if err := fsys.Rename(temporary, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}
