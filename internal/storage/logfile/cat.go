package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// CatOptions say which records Cat shows.
type CatOptions struct {
	From, To   int64 // offsets; To is exclusive
	FromMs     int64 // records with an older timestamp are left out; math.MinInt64 for none
	ToMs       int64 // records with this timestamp or a newer one are left out; math.MaxInt64 for none
	Limit      int64 // how many records at most, 0 for all
	Encoding   Encoding
	WithMarker bool // also control records
	Raw        bool // records of the cluster's own topics undecoded
}

// errEnough ends Cat at its limit.
var errEnough = errors.New("enough")

// Cat shows the records of a partition's directory in the order of offsets, those below the log's start offset left out. A place that makes no sense is shown as a
// StopEntry; what is sound behind it follows, and Cat then ends with ErrDamaged. On the log of a running node the end is where the files end at the moment, and no damage.
func Cat(fsys vfs.FS, path string, o CatOptions, emit func(Entry) error) error {
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return err
	}
	var bases []int64
	for _, e := range entries {
		if base, suffix, ok := plog.ParseFileName(e.Name); ok && suffix == plog.LogSuffix && !e.IsDir {
			bases = append(bases, base)
		}
	}
	if len(bases) == 0 {
		return fmt.Errorf("%s has no segments: name the directory of a partition, such as ottla-data/orders-0", path)
	}
	slices.Sort(bases)
	from := o.From
	if start, err := startOffset(fsys, path); err != nil {
		return err
	} else if start > from {
		from = start
	}
	left := o.Limit
	d := dumper{fs: fsys, options: DumpOptions{Records: true, Raw: o.Raw, Encoding: o.Encoding, From: from, To: o.To}}
	d.emit = func(e Entry) error {
		switch e := e.(type) {
		case RecordEntry:
			if e.Timestamp < o.FromMs || e.Timestamp >= o.ToMs || d.reader.Control() && !o.WithMarker {
				return nil
			}
			if err := emit(e); err != nil {
				return err
			}
			if left--; left == 0 {
				return errEnough
			}
		case StopEntry:
			return emit(e)
		}
		return nil
	}
	for i, base := range bases {
		if base >= o.To || i+1 < len(bases) && bases[i+1] <= from {
			continue
		}
		err := d.batches(filepath.Join(path, plog.FileName(base, plog.LogSuffix)))
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted since the directory was read
		}
		if errors.Is(err, errEnough) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	if d.damaged {
		return ErrDamaged
	}
	return nil
}

// startOffset reads what the log directory says of the partition's first offset, if the partition still lies in one.
func startOffset(fsys vfs.FS, path string) (int64, error) {
	v, err := dir.Look(fsys, filepath.Dir(path))
	if err != nil {
		return math.MinInt64, nil // it was copied out of its directory
	}
	if err := v.Problems[dir.StartFile]; err != nil {
		return 0, fmt.Errorf("%s: %w: which records are deleted is not known; copy the partition's directory elsewhere to see all", dir.StartFile, err)
	}
	return v.StartOffset(filepath.Base(path)), nil
}
