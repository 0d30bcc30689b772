package dir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// reserveFile holds room on the disk that is given back when everything else is used up, so that what frees space can be written: deletions, checkpoints, metadata,
// the output of the cleaner.
const reserveFile = "ottla.reserve"

// DefaultReserveBytes is the size of the reserve that a node asks for.
const DefaultReserveBytes = 32 << 20

// reserveDelay keeps the making of a reserve out of the way of the start.
const reserveDelay = time.Second

// errReserved is what a log of clients gets while the rest of the disk is kept for what frees space.
var errReserved = errors.New("what is left of the disk is kept for deletions and the node's own records")

// reserveSize is the size of the reserve: what was asked for, but never more than a fortieth of a small disk.
func (d *Dir) reserveSize() int64 { return min(d.reserveBytes, d.total.Load()/40) &^ 4095 }

// lookForReserve notes whether there is a reserve, and gives it up when the disk is so full that the start could not write. Only Open calls it.
func (d *Dir) lookForReserve() error {
	name := filepath.Join(d.path, reserveFile)
	info, err := d.fs.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if free, _, err := d.fs.FreeSpace(d.path); err == nil && free < criticalBytes || info.Size == 0 {
		d.logger.Error("log directory is full to the last byte: its reserve is given up for the start", "directory", d.path, "reserve_bytes", info.Size)
		return d.fs.Remove(name)
	}
	d.reserved.Store(info.Size)
	return nil
}

// criticalBytes is the free space below which a start may not find the room for its few small files.
const criticalBytes = 1 << 20

// makeReserve makes a reserve in the background, where there is room for it and none is there.
func (d *Dir) makeReserve() {
	size := d.reserveSize()
	if size <= 0 || d.reserved.Load() != 0 || d.making || d.free.Load() < d.low+3*size {
		return
	}
	d.making = true
	d.later.after(reserveDelay, func() {
		var err error
		made := false
		if !d.full.Load() {
			err = d.writeReserve(size)
			made = err == nil
		}
		switch {
		case made:
			d.reserved.Store(size)
		case err == nil: // the disk has filled meanwhile: later
		case NoSpace(err):
			d.logger.Warn("no space for the reserve of a log directory; it is tried again when there is more", "directory", d.path, "error", err)
		default:
			d.fail(err)
		}
		d.spaceDue.Store(true)
		d.reserveMade.Store(true)
		d.wake()
	})
}

func (d *Dir) writeReserve(size int64) error {
	name := filepath.Join(d.path, reserveFile)
	f, err := d.fs.Create(name + temporarySuffix)
	if errors.Is(err, fs.ErrExist) {
		f, err = d.fs.Open(name + temporarySuffix)
	}
	if err != nil {
		return err
	}
	if err = vfs.Allocate(f, size); err == nil {
		err = f.Sync()
		if err != nil {
			err = &syncError{err}
		}
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = d.fs.Rename(name+temporarySuffix, name)
	}
	if err == nil {
		if err = d.fs.SyncDir(d.path); err != nil {
			err = &syncError{err}
		}
	}
	if err != nil && NoSpace(err) {
		return errors.Join(err, d.fs.Remove(name+temporarySuffix))
	}
	return err
}

// outOfSpace is what to do when a write found no space. Where the disk itself is full, and not only what one file or user may have of it, clients' bytes wait from now on; and when
// it was a write that cannot wait, the reserve is given up for it. Not earlier: whoever fills the disk may be at it still, and would have the reserve too.
func (d *Dir) outOfSpace(err error, essential bool) {
	if !vfs.IsNoSpace(err) {
		return
	}
	free, total, failed := d.fs.FreeSpace(d.path)
	if failed != nil || free >= d.criticalMark(total) {
		return
	}
	d.free.Store(free)
	if !d.critical.Swap(true) {
		d.logger.Error("log directory is full to the last byte: clients' records that were taken wait in memory", "directory", d.path, "free_bytes", free, "error", err)
		d.changed()
	}
	if size := d.reserved.Load(); essential && size > 0 && !d.giving.Swap(true) {
		d.gaveUp = size
		d.logger.Error("log directory is full to the last byte: its reserve is given up for deletions and the node's own records", "directory", d.path, "reserve_bytes", size)
		d.later.now(d.dropReserve)
	}
}

// criticalMark is the free space at which the second step of a full disk ends, and from which on want of space does not begin it.
func (d *Dir) criticalMark(total int64) int64 {
	return max(lowWater(d.minFree, total), min(criticalBytes, total/40), 2*d.gaveUp)
}

// dropReserve removes the reserve.
func (d *Dir) dropReserve() {
	defer d.giving.Store(false)
	if d.reserved.Swap(0) == 0 {
		return
	}
	if err := d.fs.Remove(filepath.Join(d.path, reserveFile)); err != nil {
		d.logger.Warn("the reserve of a full log directory cannot be given up", "directory", d.path, "error", err)
	}
	d.spaceDue.Store(true)
	d.wake()
}

// ReserveBytes is the size of the reserve at the moment.
func (d *Dir) ReserveBytes() int64 { return d.reserved.Load() }
