package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// canaryFile is written over and synced again and again, so that a disk that hangs is noticed also when nobody writes to it.
const canaryFile = "ottla.canary"

// DefaultStallAfter is how long a write or sync may take before the directory counts as stalled, when nothing else is given.
const DefaultStallAfter = 10 * time.Second

// idleTicks is after how many looks at a directory that nobody writes to the canary does: an idle node sleeps, but for this.
const idleTicks = 6

// watch is the canary. It leaves alone a disk that the committer has proved to work since it last looked, and one that the committer waits for. It also has the free
// space looked at that others take.
func (d *Dir) watch() {
	defer close(d.watched)
	ticker := time.NewTicker(d.stallAfter / 2)
	defer ticker.Stop()
	var file vfs.File
	defer func() {
		if file != nil {
			_ = file.Close() // what it says does not matter
		}
	}()
	rounds, quiet := d.stats.Rounds.Load(), 0
	for {
		select {
		case <-d.closing:
			return
		case <-ticker.C:
		}
		if d.Err() != nil {
			return
		}
		before := rounds
		rounds = d.stats.Rounds.Load()
		if d.roundBegan.Load() != 0 || rounds != before {
			quiet = 0
			d.judge(time.Now())
			continue
		}
		if quiet++; quiet < idleTicks && !d.full.Load() {
			continue
		}
		quiet = 0
		d.spaceDue.Store(true)
		d.wake()
		var err error
		if file, err = d.probe(file); err != nil {
			d.fail(fmt.Errorf("write %s: %w", canaryFile, err))
			return
		}
	}
}

// probe writes and syncs the canary's file, which it opens at first. Want of space is no failure of the disk.
func (d *Dir) probe(file vfs.File) (vfs.File, error) {
	began := time.Now()
	d.probeBegan.Store(began.UnixNano())
	late := time.AfterFunc(d.stallAfter, func() { d.judge(time.Now()) })
	file, err := d.sing(file, began)
	late.Stop()
	d.probeBegan.Store(0)
	d.stats.ProbeSeconds.ObserveDuration(time.Since(began))
	d.judge(time.Now())
	if NoSpace(err) {
		err = nil
	}
	return file, err
}

func (d *Dir) sing(file vfs.File, now time.Time) (vfs.File, error) {
	if file == nil {
		name := filepath.Join(d.path, canaryFile)
		f, err := d.fs.Create(name)
		if errors.Is(err, fs.ErrExist) {
			f, err = d.fs.Open(name)
		}
		if err != nil {
			return nil, err
		}
		file = f
	}
	if _, err := file.WriteAt(fmt.Appendf(nil, "%-32s\n", now.UTC().Format(time.RFC3339Nano)), 0); err != nil {
		return file, err
	}
	if err := file.Sync(); err != nil {
		return file, &syncError{err}
	}
	return file, nil
}

// Stalled tells for how long the disk has not finished what it was asked to write or sync last; zero when nothing is asked of it.
func (d *Dir) Stalled(now time.Time) time.Duration {
	out := time.Duration(0)
	if began := d.roundBegan.Load(); began != 0 {
		out = now.Sub(time.Unix(0, max(began, d.progressed.Load())))
	}
	if began := d.probeBegan.Load(); began != 0 {
		out = max(out, now.Sub(time.Unix(0, began)))
	}
	return max(0, out)
}

// Hung tells whether the disk has stalled for longer than it may: nothing should be asked of it before that is over.
func (d *Dir) Hung() bool { return d.hung.Load() }

// HungError is what to tell whoever wants something of a directory that hangs.
func (d *Dir) HungError() error {
	return failure("log directory %s does not answer: its disk has not finished a write or sync for more than %v", d.path, d.stallAfter)
}

// judge says so when the disk begins or ceases to hang.
func (d *Dir) judge(now time.Time) {
	stalled := d.Stalled(now)
	hung := stalled >= d.stallAfter
	if d.stallAfter <= 0 || !d.hung.CompareAndSwap(!hung, hung) {
		return
	}
	if hung {
		d.stats.Stalls.Add(1)
		d.hungSince.Store(now.Add(-stalled).UnixNano())
		d.logger.Error("log directory does not answer: its disk has not finished a write or sync; its partitions are refused until it does, others go on", "directory", d.path, "seconds", stalled.Seconds())
	} else {
		d.logger.Warn("log directory answers again: its partitions are served", "directory", d.path, "seconds", now.Sub(time.Unix(0, d.hungSince.Load())).Seconds())
	}
	d.share.hold(hung)
	d.changed()
}

// changed tells the owner that the directory is hung, or short of space, or no longer so.
func (d *Dir) changed() {
	if d.onChange != nil {
		d.onChange()
	}
}
