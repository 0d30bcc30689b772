package dir

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// DefaultSyncs is how many files of a directory are synced at the same time; see docs/adr/0002-group-commit.md for the measurement.
const DefaultSyncs = 4

// syncer syncs several files at a time. Its workers are goroutines that live for one call.
type syncer struct {
	dir   *Dir
	width int
}

func (s *syncer) files(files []syncFile) error {
	width := min(s.width, len(files))
	if width <= 1 {
		for _, f := range files {
			if err := s.dir.syncOne(f.file); err != nil {
				return err
			}
		}
		return nil
	}
	var next atomic.Int64
	var once sync.Once
	var failure error
	var failed atomic.Bool
	work := func() {
		for !failed.Load() {
			i := int(next.Add(1)) - 1
			if i >= len(files) {
				return
			}
			if err := s.dir.syncOne(files[i].file); err != nil {
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
	d.stats.SyncSeconds.ObserveDuration(time.Since(began))
	return err
}
