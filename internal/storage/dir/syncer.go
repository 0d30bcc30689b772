package dir

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// DefaultSyncs is how many files of a directory are synced at the same time; see docs/adr/0002-group-commit.md for the measurement.
const DefaultSyncs = 4

// syncer syncs several files or directories at a time. Its workers are goroutines that live for one call.
type syncer struct {
	dir   *Dir
	width int

	mu    sync.Mutex
	ended sync.Cond // a handle's file is no longer being synced
}

func newSyncer(d *Dir, width int) *syncer {
	s := &syncer{dir: d, width: width}
	s.ended.L = &s.mu
	return s
}

// files syncs files.
func (s *syncer) files(files []syncFile) error {
	return s.each(len(files), func(i int) error { return s.file(files[i].handle, files[i].file) })
}

// file syncs the file of a handle. The system tells a failed write-back once: whoever syncs the same file beside the one that was told, or after it, is told by the handle.
func (s *syncer) file(h *Handle, f vfs.File) error {
	s.mu.Lock()
	for h.syncing {
		s.ended.Wait()
	}
	if h.lost != nil {
		s.mu.Unlock()
		return h.lost
	}
	h.syncing = true
	s.mu.Unlock()
	err := s.dir.syncOne(f)
	s.mu.Lock()
	h.syncing, h.lost = false, err
	s.mu.Unlock()
	s.ended.Broadcast()
	return err
}

// each calls sync for 0 to n-1, several at a time, and returns the first error.
func (s *syncer) each(n int, sync func(i int) error) error {
	width := min(s.width, n)
	if width <= 1 {
		for i := range n {
			if err := sync(i); err != nil {
				return err
			}
		}
		return nil
	}
	return s.spread(n, width, sync)
}

func (s *syncer) spread(n, width int, do func(i int) error) error {
	var next atomic.Int64
	var once sync.Once
	var failure error
	var failed atomic.Bool
	work := func() {
		for !failed.Load() {
			i := int(next.Add(1)) - 1
			if i >= n {
				return
			}
			if err := do(i); err != nil {
				once.Do(func() { failure = err })
				failed.Store(true)
			}
		}
	}
	var group sync.WaitGroup
	for range width - 1 {
		group.Go(work)
	}
	work()
	group.Wait()
	return failure
}

func (d *Dir) syncOne(f vfs.File) error {
	began := time.Now()
	err := f.Sync()
	d.stats.Syncs.Add(1)
	ended := time.Now()
	d.stats.SyncSeconds.ObserveDuration(ended.Sub(began))
	d.progressed.Store(ended.UnixNano())
	return err
}
