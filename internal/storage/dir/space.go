package dir

import (
	"errors"
	"slices"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// DefaultMinFreeBytes is the free space below which clients' appends are refused when none is given.
const DefaultMinFreeBytes = 128 << 20

const (
	// spaceEveryBytes and spaceEvery say how often the committer asks for the free space while it writes; on a small disk more often, so that the reserve is not passed.
	spaceEveryBytes = 8 << 20
	spaceEvery      = time.Second
	// spaceRetry is how often a full directory is looked at while somebody wants to write to it.
	spaceRetry = 250 * time.Millisecond
)

// NoSpace tells whether an error means that something is short that may be there again later: space on the disk, a quota, or the number of files that may be open.
// A failed sync never counts as that: what it covered may be gone. Of several errors each must be of that kind.
func NoSpace(err error) bool {
	var failed *syncError
	if errors.As(err, &failed) {
		return false
	}
	var several interface{ Unwrap() []error }
	if errors.As(err, &several) {
		return !slices.ContainsFunc(several.Unwrap(), func(err error) bool { return !NoSpace(err) })
	}
	return vfs.IsNoSpace(err) || vfs.IsOutOfFiles(err) || errors.Is(err, errReserved)
}

// lowWater returns the free space below which the directory counts as full: MinFreeBytes, but never more than a twentieth of a small disk.
func lowWater(minFree, total int64) int64 { return min(minFree, total/20) }

// lookAtSpace updates whether the directory is full. Only who has the turn calls it.
func (d *Dir) lookAtSpace(now time.Time) {
	d.spaceLooked, d.spaceBytes = now, 0
	free, total, err := d.fs.FreeSpace(d.path)
	if err != nil { // not to be had on this system: ENOSPC itself will tell
		d.critical.Store(false)
		if len(d.stalled) == 0 && d.full.Swap(false) {
			d.changed()
		}
		return
	}
	d.free.Store(free)
	d.total.Store(total)
	low := lowWater(d.minFree, total)
	d.low = low
	d.spaceAfter = max(min(spaceEveryBytes, low/4), 64<<10)
	if d.reserveMade.Swap(false) {
		d.making = false
	}
	d.lookForCritical(free, total)
	full := d.full.Load()
	switch {
	case !full && free < low:
		d.fill()
		d.logger.Error("log directory is full: clients' appends are refused until space is freed", "directory", d.path, "free_bytes", free, "low_water_bytes", low)
	case full && free >= low+low/8 && len(d.stalled) == 0:
		d.full.Store(false)
		d.logger.Info("log directory has space again: appends are taken", "directory", d.path, "free_bytes", free)
		d.changed()
	case !full:
		d.makeReserve()
	}
}

// lookForCritical ends the second step of a full disk.
func (d *Dir) lookForCritical(free, total int64) {
	if !d.critical.Load() || free < d.criticalMark(total) {
		return
	}
	d.critical.Store(false)
	d.gaveUp = 0
	d.stalledAt = time.Time{} // what waits in memory is written now
	d.logger.Info("log directory has space again: what waited in memory is written", "directory", d.path, "free_bytes", free)
	d.changed()
}

// fill makes the directory full, and has what was to be removed later removed now. It tells whether it was not full before.
func (d *Dir) fill() bool {
	if d.full.Swap(true) {
		return false
	}
	d.later.hurry()
	d.changed()
	return true
}

// Full tells whether clients' appends are refused for want of space. now lets a full directory be looked at again, at most four times a second, without a timer.
func (d *Dir) Full(now time.Time) bool {
	if !d.full.Load() {
		return false
	}
	last := d.fullAsked.Load()
	if n := now.UnixNano(); n-last >= int64(spaceRetry) && d.fullAsked.CompareAndSwap(last, n) {
		d.wake()
	}
	return true
}

// Critical tells whether the disk is full to the last byte: clients' records that were taken wait in memory.
func (d *Dir) Critical() bool { return d.critical.Load() }

// FreeBytes is the free space when it was last looked at.
func (d *Dir) FreeBytes() int64 { return d.free.Load() }

// TotalBytes is the size of the file system, 0 when the system does not tell.
func (d *Dir) TotalBytes() int64 { return d.total.Load() }
