package dir

import (
	"sync"
	"sync/atomic"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// DefaultOpenFiles is the cap on open files of logs when none is given.
const DefaultOpenFiles = 16384

// Handles caps the files that the logs of a node keep open: opened on use, the least recently used closed first.
type Handles struct {
	limit       atomic.Int64
	closeErrors atomic.Int64

	mu struct {
		sync.Mutex
		open           int
		oldest, newest *Handle // open ones, by use
		opens, closes  int64
	}
}

// NewHandles returns a cap of so many open files; zero means the default. Files in use at the same time may pass it.
func NewHandles(limit int) *Handles {
	if limit <= 0 {
		limit = DefaultOpenFiles
	}
	h := &Handles{}
	h.limit.Store(int64(limit))
	return h
}

// Limit is the cap at the moment.
func (h *Handles) Limit() int { return int(h.limit.Load()) }

// SetLimit changes the cap, and closes what is over it and not in use.
func (h *Handles) SetLimit(limit int) {
	if h.limit.Swap(int64(limit)) <= int64(limit) {
		return
	}
	h.mu.Lock()
	victims := h.victimsLocked()
	h.mu.Unlock()
	h.closeAll(victims)
}

// Handle is one file of a log, open or not. The zero value is not open.
type Handle struct {
	file       vfs.File
	users      int
	prev, next *Handle
	listed     bool
	closing    bool // close when the last user is gone

	// The syncer's, under its lock.
	syncing bool
	lost    error // what the sync that failed was told
}

// Acquire returns the file, opening it by name when it is not open, and keeps it open until Release. With fresh the file is created; it must not exist.
func (h *Handles) Acquire(fsys vfs.FS, x *Handle, name string, fresh bool) (vfs.File, error) {
	h.mu.Lock()
	if x.file != nil {
		x.users++
		h.touchLocked(x)
		f := x.file
		h.mu.Unlock()
		return f, nil
	}
	h.mu.Unlock()
	var f vfs.File
	var err error
	if fresh {
		f, err = fsys.Create(name)
	} else {
		f, err = fsys.Open(name)
	}
	if err != nil {
		return nil, err
	}
	h.mu.Lock()
	if x.file != nil { // somebody else opened it meanwhile
		mine := f
		x.users++
		h.touchLocked(x)
		f = x.file
		h.mu.Unlock()
		return f, mine.Close()
	}
	x.file, x.closing = f, false
	x.users++
	h.mu.open++
	h.mu.opens++
	h.touchLocked(x)
	victims := h.victimsLocked()
	h.mu.Unlock()
	h.closeAll(victims)
	return f, nil
}

// Release ends a use.
func (h *Handles) Release(x *Handle) error {
	h.mu.Lock()
	x.users--
	var f vfs.File
	if x.closing && x.users == 0 {
		f = h.forgetLocked(x)
	}
	h.mu.Unlock()
	if f != nil {
		return f.Close()
	}
	return nil
}

// Drop closes the file, once nobody uses it. The file is about to be removed, renamed or left alone.
func (h *Handles) Drop(x *Handle) error {
	h.mu.Lock()
	var f vfs.File
	if x.file != nil {
		x.closing = true
		if x.users == 0 {
			f = h.forgetLocked(x)
		}
	}
	h.mu.Unlock()
	if f != nil {
		return f.Close()
	}
	return nil
}

func (h *Handles) forgetLocked(x *Handle) vfs.File {
	f := x.file
	h.unlistLocked(x)
	x.file, x.closing = nil, false
	h.mu.open--
	h.mu.closes++
	return f
}

// victimsLocked takes the least recently used files that nobody uses, until the cap holds.
func (h *Handles) victimsLocked() []vfs.File {
	var out []vfs.File
	for x := h.mu.oldest; x != nil && h.mu.open > h.Limit(); {
		next := x.next
		if x.users == 0 {
			out = append(out, h.forgetLocked(x))
		}
		x = next
	}
	return out
}

func (h *Handles) touchLocked(x *Handle) {
	h.unlistLocked(x)
	x.listed = true
	x.prev = h.mu.newest
	if x.prev != nil {
		x.prev.next = x
	} else {
		h.mu.oldest = x
	}
	h.mu.newest = x
}

func (h *Handles) unlistLocked(x *Handle) {
	if !x.listed {
		return
	}
	if x.prev != nil {
		x.prev.next = x.next
	} else {
		h.mu.oldest = x.next
	}
	if x.next != nil {
		x.next.prev = x.prev
	} else {
		h.mu.newest = x.prev
	}
	x.prev, x.next, x.listed = nil, nil, false
}

// closeAll closes files that were only kept for speed. What was written through one is synced through whatever opens it next, to which the kernel reports a
// failed write-back, so an error here loses nothing; it is counted.
func (h *Handles) closeAll(files []vfs.File) {
	for _, f := range files {
		if f.Close() != nil {
			h.closeErrors.Add(1)
		}
	}
}

// HandleStats counts open files.
type HandleStats struct {
	Open, Limit   int
	Opens, Closes int64
	CloseErrors   int64
}

// Stats returns the figures of the moment.
func (h *Handles) Stats() HandleStats {
	h.mu.Lock()
	defer h.mu.Unlock()
	return HandleStats{Open: h.mu.open, Limit: h.Limit(), Opens: h.mu.opens, Closes: h.mu.closes, CloseErrors: h.closeErrors.Load()}
}
