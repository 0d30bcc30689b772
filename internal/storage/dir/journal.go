package dir

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync/atomic"

	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	// DefaultJournalBytes is the size of a directory's journal when none is given.
	DefaultJournalBytes = 64 << 20
	// DefaultJournalAfter is how many rounds that would have gained by a journal pass before one is made.
	DefaultJournalAfter = 64
	// journalPerFile is how many bytes of a file it is cheaper to write twice than to sync by themselves; see docs/adr/0002-group-commit.md.
	journalPerFile = 256 << 10
	// spillBytes is the size at which a frame is written, and so the memory for it; a round may have several.
	spillBytes = 1 << 20
	// journalFreeFactor keeps a journal off a disk that has not this many times its size free.
	journalFreeFactor = 8
)

// journal takes the bytes of many small rounds, so that one sync of one file that was written before serves them all. The same bytes are in the segments too, written and
// not synced: the journal is read only after a crash. Half of it is used while the files that the other half stands for are synced in the background.
//
// Everything but half.clean belongs to the committer.
type journal struct {
	dir      *Dir
	file     vfs.File
	header   journalHeader
	sequence uint64 // of the next frame
	current  int
	at       int64 // where the next frame goes, in the current half
	ghost    bool  // there may be a frame already, which found no space for its last bytes: it has the next frame's number, and recovery may take it for that
	halves   [2]half
	// onDisk is the oldest sequence number that a recovery now would apply.
	onDisk uint64
}

// half is one half of a journal.
type half struct {
	first uint64             // sequence number of its first frame, 0 when it has none
	live  map[*Handle]string // the files it stands for, that were not synced since
	clean atomic.Bool        // all of them are synced: it may be written over
	done  chan struct{}      // closed when the retirement in the background has ended
}

func newJournal(d *Dir, f vfs.File, h journalHeader, sequence uint64) *journal {
	j := &journal{dir: d, file: direct(d.fs, f, filepath.Join(d.path, journalFile), h), header: h, sequence: sequence, onDisk: sequence}
	for i := range j.halves {
		j.halves[i].live = map[*Handle]string{}
		j.halves[i].clean.Store(true)
	}
	return j
}

// direct opens a journal once more, past the page cache, where the file system can do that: then it returns that file and closes the other.
func direct(fsys vfs.FS, f vfs.File, name string, h journalHeader) vfs.File {
	opener, ok := fsys.(vfs.DirectOpener)
	if !ok {
		return f
	}
	g, err := opener.OpenDirect(name)
	if err != nil {
		return f
	}
	first := pages(journalPage)[:journalPage]
	copy(first, h.encode())
	if _, err := g.WriteAt(first, 0); err != nil { // the same bytes as before: only to see whether it is possible
		_ = g.Close() // nothing is written that counts
		return f
	}
	_ = f.Close() // all that it wrote is synced
	return g
}

func (j *journal) start(half int) int64 { return journalPage + int64(half)*j.header.half }

// oldest is the first frame whose writes are not synced in their files.
func (j *journal) oldest() uint64 {
	if h := &j.halves[1-j.current]; !h.clean.Load() && h.first != 0 {
		return h.first
	}
	if first := j.halves[j.current].first; first != 0 {
		return first
	}
	return j.sequence
}

// spill writes what a round has gathered so far, to be synced by commit. false means that there is no room at the moment: the files must be synced themselves.
func (j *journal) spill(r *Round) (bool, error) {
	need := int64(len(r.frame.buf)+journalPage-1) &^ (journalPage - 1)
	if j.at+need > j.header.half-journalPage { // the last page of a half is for turning
		ok, err := j.turn()
		if !ok || err != nil {
			return false, err
		}
	}
	h := &j.halves[j.current]
	if h.first == 0 {
		h.first = j.sequence
		h.clean.Store(false)
	}
	for _, m := range r.framers {
		m.journaled = j.sequence
	}
	oldest, err := j.write(&r.frame, r.frames)
	if err != nil {
		if NoSpace(err) { // a file system that does not write in place
			return false, nil
		}
		return false, err
	}
	r.oldest = oldest
	r.frames++
	r.framers = r.framers[:0]
	r.frame.reset()
	return true, nil
}

// commit writes the rest of what a round has gathered, and syncs all of it.
func (j *journal) commit(r *Round) (bool, error) {
	if r.frame.count > 0 {
		if ok, err := j.spill(r); !ok || err != nil {
			return false, err
		}
	}
	if err := j.sync(r.oldest); err != nil {
		return false, err
	}
	for _, f := range r.covered {
		j.halves[j.current].live[f.handle] = f.name
		// What an earlier frame of the round said of it may stand in the half that is being retired: retiring syncs the file after that.
	}
	return true, nil
}

// write puts a frame at the end of the current half, after so many of the same round; it returns the oldest frame that counts once this one is synced.
func (j *journal) write(f *frame, after int) (oldest uint64, err error) {
	oldest = j.oldest()
	p := f.seal(j.header.salt, j.sequence, oldest, after)
	if _, err := j.file.WriteAt(p, j.start(j.current)+j.at); err != nil {
		j.ghost = true
		return 0, fmt.Errorf("write the journal: %w", err)
	}
	j.ghost = false
	j.dir.stats.JournalBytes.Add(int64(len(p)))
	j.sequence++
	j.at += int64(len(p))
	return oldest, nil
}

func (j *journal) sync(oldest uint64) error {
	if j.dir.mutants&SkipJournalSync == 0 {
		if err := j.dir.syncOne(j.file); err != nil {
			return &syncError{fmt.Errorf("sync the journal: %w", err)}
		}
	}
	j.dir.stats.JournalSyncs.Add(1)
	j.onDisk = max(j.onDisk, oldest) // a round without frames tells nothing new
	return nil
}

// mark writes and syncs a frame without writes, which tells a recovery what it need not apply any more.
func (j *journal) mark() error {
	var empty frame
	empty.reset()
	oldest, err := j.write(&empty, maxAfter)
	if err != nil {
		return err
	}
	return j.sync(oldest)
}

// turn goes to the other half, if that is clean, and has the files of the full one synced in the background.
func (j *journal) turn() (bool, error) {
	other := &j.halves[1-j.current]
	if !other.clean.Load() {
		j.dir.stats.JournalFull.Add(1)
		return false, nil
	}
	if first := other.first; first != 0 || j.ghost { // a recovery must not ask for frames that are half written over, nor find two with the same number
		other.first = 0
		if err := j.mark(); err != nil {
			other.first = first
			if NoSpace(err) {
				return false, nil
			}
			return false, err
		}
	}
	full := &j.halves[j.current]
	files := full.live
	full.live = map[*Handle]string{}
	full.done = make(chan struct{})
	done := full.done
	if !j.dir.later.now(func() {
		defer close(done)
		if err := j.syncAll(files); err != nil {
			j.dir.fail(err)
			return
		}
		full.clean.Store(true)
	}) {
		close(done)
	}
	j.current = 1 - j.current
	j.at = 0
	return true, nil
}

// syncAll syncs files by name. One that is gone was deleted, and needs no sync.
func (j *journal) syncAll(files map[*Handle]string) error {
	d := j.dir
	open := make([]syncFile, 0, len(files))
	defer func() {
		for _, f := range open {
			if d.handles.Release(f.handle) != nil {
				d.handles.closeErrors.Add(1)
			}
		}
	}()
	for h, name := range files {
		f, err := d.handles.Acquire(d.fs, h, name, false)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("retire the journal: %w", err)
		}
		open = append(open, syncFile{handle: h, file: f, name: name})
		if len(open) >= d.handles.Limit()/2 { // not all of 10,000 at once
			if err := d.syncer.files(open); err != nil {
				return fmt.Errorf("retire the journal: %w", err)
			}
			for _, f := range open {
				if d.handles.Release(f.handle) != nil {
					d.handles.closeErrors.Add(1)
				}
			}
			open = open[:0]
		}
	}
	if err := d.syncer.files(open); err != nil {
		return fmt.Errorf("retire the journal: %w", err)
	}
	return nil
}

// synced says that a file was synced by itself.
func (j *journal) synced(h *Handle) { delete(j.halves[j.current].live, h) }

// mayHave tells whether a recovery now could apply writes to a log.
func (j *journal) mayHave(m *Member) bool { return m.journaled >= j.onDisk }

// retire syncs every file the journal stands for, and then makes the journal forget them on disk: files that are cut or removed afterwards are not brought back.
func (j *journal) retire() error {
	for i := range j.halves {
		h := &j.halves[i]
		if h.done != nil {
			<-h.done
			h.done = nil
			if err := j.dir.Err(); err != nil {
				return err
			}
		}
		if err := j.syncAll(h.live); err != nil {
			return err
		}
		clear(h.live)
		h.first = 0
		h.clean.Store(true)
	}
	if j.at+journalPage > j.header.half {
		j.current, j.at = 1-j.current, 0
	}
	j.halves[j.current].first = j.sequence
	j.halves[j.current].clean.Store(false)
	return j.mark()
}

// createJournal writes a journal's file from end to end, so that later writes change no metadata, and gives it its name only when all of it is on disk.
func createJournal(fsys vfs.FS, path string, bytes int64, salt uint64, stop <-chan struct{}) (_ vfs.File, _ journalHeader, err error) {
	h := journalHeader{salt, (bytes - journalPage) / 2 / journalPage * journalPage}
	name := filepath.Join(path, journalFile)
	f, err := fsys.Create(name + temporarySuffix)
	if err != nil {
		return nil, h, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.Close(), fsys.Remove(name+temporarySuffix))
		}
	}()
	zeros := make([]byte, min(1<<20, h.half))
	for at, end := int64(journalPage), journalPage+2*h.half; at < end; at += int64(len(zeros)) {
		select {
		case <-stop:
			return nil, h, ErrClosed
		default:
		}
		if _, err := f.WriteAt(zeros[:min(int64(len(zeros)), end-at)], at); err != nil {
			return nil, h, err
		}
	}
	if _, err := f.WriteAt(h.encode(), 0); err != nil {
		return nil, h, err
	}
	if err := f.Sync(); err != nil {
		return nil, h, &syncError{err}
	}
	if err := fsys.Rename(name+temporarySuffix, name); err != nil {
		return nil, h, err
	}
	if err := fsys.SyncDir(path); err != nil {
		return nil, h, &syncError{err}
	}
	return f, h, nil
}
