package dir

import (
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// Round is one turn of the committer. It is the seam between logs and the way their bytes become durable: logs write through it and name what must be safe,
// the round decides how: it syncs the files, or writes the bytes seen in Append once more to the directory's journal and syncs only that.
type Round struct {
	dir   *Dir
	now   time.Time
	final bool // the directory is being closed

	bytes   int64
	files   []syncFile
	first   []vfs.File
	dirs    []string
	asked   map[string]struct{} // what dirs holds
	scratch []byte

	// For the journal.
	member   *Member // of the log that stages
	framing  bool    // so far, everything appended is in the frame or in frames written
	limit    int64   // bytes that are cheaper to write twice
	appended int64   // bytes seen in Append
	frame    frame
	framers  []*Member  // whose bytes the frame has
	frames   int        // written in this round
	covered  []syncFile // files that need no sync of their own if the frames are synced
	oldest   uint64
}

// syncFile is a file that must be synced before the round may be settled. It stays acquired until then, so that a failed write-back cannot hide behind a closed descriptor.
type syncFile struct {
	handle *Handle
	file   vfs.File
	name   string
}

// Now is when the round began.
func (r *Round) Now() time.Time { return r.now }

// kept tells whether the log that stages may not have what is left of the disk.
func (r *Round) kept() bool {
	return r.member != nil && !r.member.Essential && r.dir.critical.Load() && !r.final
}

// Open acquires a file of a log for the rest of the round, creating it if fresh.
func (r *Round) Open(h *Handle, name string, fresh bool) (vfs.File, error) {
	if fresh && r.kept() {
		return nil, errReserved
	}
	r.touch()
	f, err := r.dir.handles.Acquire(r.dir.fs, h, name, fresh)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Release ends Open.
func (r *Round) Release(h *Handle) error { return r.dir.handles.Release(h) }

// Write writes p to the file of a log at position at.
func (r *Round) Write(f vfs.File, p []byte, at int64) error {
	if r.kept() {
		return errReserved
	}
	n, err := f.WriteAt(p, at)
	r.bytes += int64(n)
	r.dir.stats.WrittenBytes.Add(int64(n))
	return err
}

// Append is Write for bytes of a log's segment that this round must make durable.
func (r *Round) Append(f vfs.File, log string, base int64, p []byte, at int64) error {
	if err := r.Write(f, p, at); err != nil {
		return err
	}
	r.appended += int64(len(p))
	if !r.framing {
		return nil
	}
	if r.appended > r.limit {
		r.framing = false
		return nil
	}
	r.frame.append(log, base, at, p)
	if n := len(r.framers); n == 0 || r.framers[n-1] != r.member {
		r.framers = append(r.framers, r.member)
	}
	if len(r.frame.buf) < spillBytes {
		return nil
	}
	var err error
	r.framing, err = r.dir.journal.spill(r)
	return err
}

// Sync asks for the contents and size of a file that the caller has acquired with Open; the round takes over the acquisition. appended says that everything in it that is
// not durable yet went through Append in this round.
func (r *Round) Sync(h *Handle, f vfs.File, appended bool) {
	x := syncFile{h, f, f.Name()}
	if appended {
		r.covered = append(r.covered, x)
	} else {
		r.files = append(r.files, x)
	}
}

// First takes over a small file that must be on disk before anything else of its log is written: BarrierFirst syncs and closes it.
func (r *Round) First(f vfs.File) { r.first = append(r.first, f) }

// BarrierFirst syncs and closes what First took over, several files at a time.
func (r *Round) BarrierFirst() error {
	err := r.dir.syncer.each(len(r.first), func(i int) error { return r.Barrier(r.first[i]) })
	for _, f := range r.first {
		if failure := f.Close(); err == nil && failure != nil {
			err = failure
		}
	}
	clear(r.first)
	r.first = r.first[:0]
	return err
}

// SyncDir asks for the entries of a directory.
func (r *Round) SyncDir(path string) {
	if _, asked := r.asked[path]; !asked {
		if r.asked == nil {
			r.asked = map[string]struct{}{}
		}
		r.asked[path] = struct{}{}
		r.dirs = append(r.dirs, path)
	}
}

// Barrier syncs a file at once: what follows in this round must not reach the disk before what precedes.
func (r *Round) Barrier(f vfs.File) error {
	if err := r.dir.syncOne(f); err != nil {
		return &syncError{err}
	}
	return nil
}

// BarrierDir syncs a directory's entries at once.
func (r *Round) BarrierDir(path string) error {
	if r.dir.mutants&SkipDirSync != 0 {
		return nil
	}
	r.dir.stats.DirSyncs.Add(1)
	if err := r.dir.fs.SyncDir(path); err != nil {
		return &syncError{fmt.Errorf("sync directory %s: %w", path, err)}
	}
	return nil
}

// Scratch returns a buffer of MaxChunk bytes for gathering small pieces; it is the round's.
func (r *Round) Scratch() []byte {
	if r.scratch == nil {
		r.scratch = make([]byte, MaxChunk)
	}
	return r.scratch
}

// FS is the file system of the directory.
func (r *Round) FS() vfs.FS {
	r.touch()
	return r.dir.fs
}

// touch notes that the log that stages may change its files.
func (r *Round) touch() {
	if r.member != nil {
		r.member.touched = true
	}
}

// Mutants are the deliberate bugs that are switched on; zero outside of tests of the test harness.
func (r *Round) Mutants() Mutants { return r.dir.mutants }

// begin makes the round ready for so many logs.
func (r *Round) begin(now time.Time, logs int) {
	r.now, r.frames = now, 0
	j := r.dir.journal
	if r.framing = j != nil; r.framing {
		r.frame.reset()
		r.limit = min(int64(logs)*journalPerFile, j.header.half/2)
	}
}

// expect tells how many bytes are coming. What is too much for the journal is not begun there: half of it would be written twice before the round knew.
func (r *Round) expect(bytes int64) { r.framing = r.framing && bytes <= r.limit }

// finish releases what the round acquired.
func (r *Round) finish() {
	for _, files := range [...][]syncFile{r.files, r.covered} {
		for _, f := range files {
			if err := r.dir.handles.Release(f.handle); err != nil {
				r.dir.handles.closeErrors.Add(1)
			}
		}
		clear(files)
	}
	clear(r.asked)
	clear(r.framers)
	r.files, r.covered, r.framers, r.dirs = r.files[:0], r.covered[:0], r.framers[:0], r.dirs[:0]
	r.bytes, r.appended = 0, 0
}

// sync makes everything that was named durable: the journal in place of many small files if there is one, else the files, and the directories, several at a time.
func (r *Round) sync() error {
	d := r.dir
	if d.mutants&AckBeforeSync != 0 {
		return nil
	}
	if len(r.covered) > 0 {
		done := false
		if r.framing {
			var err error
			if done, err = d.journal.commit(r); err != nil {
				return err
			}
		} else if d.journal == nil && r.appended <= int64(len(r.covered))*journalPerFile {
			d.missJournal()
		}
		if !done { // finish must find each of them once
			r.files = append(r.files, r.covered...)
			clear(r.covered)
			r.covered = r.covered[:0]
		}
	}
	if err := d.syncer.each(len(r.files)+len(r.dirs), func(i int) error {
		if i < len(r.files) {
			return d.syncer.file(r.files[i].handle, r.files[i].file)
		}
		return r.BarrierDir(r.dirs[i-len(r.files)])
	}); err != nil {
		return err
	}
	if d.journal != nil {
		for _, f := range r.files {
			d.journal.synced(f.handle)
		}
	}
	return nil
}
