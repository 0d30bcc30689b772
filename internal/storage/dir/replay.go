package dir

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// replay applies what a crash left in the journal to the segments, and syncs them, before any log is opened. It returns the journal for further use, nil when there is none.
func (d *Dir) replay() (*journal, error) {
	name := filepath.Join(d.path, journalFile)
	f, err := d.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	p := replayer{dir: d, file: f, open: map[target]*patched{}}
	j, err := p.run()
	if err = errors.Join(err, p.close()); err != nil {
		return nil, errors.Join(fmt.Errorf("journal %s: %w", name, err), f.Close())
	}
	return j, nil
}

// replayer reads a journal once.
type replayer struct {
	dir    *Dir
	file   vfs.File
	header journalHeader
	open   map[target]*patched
	writes int
	strays []stray
	whole  []byte // of one frame
	have   []byte // what a segment has where a frame has something for it
}

// target is a segment that the journal has bytes of.
type target struct {
	log  string
	base int64
}

// patched is a segment to which the journal is applied. What follows on what came before gathers, so that a file that got a thousand small batches is read and compared once.
type patched struct {
	file vfs.File // nil when it was deleted since
	at   int64    // of what gathered
	data []byte
}

// gatherBytes bounds what gathers of one file.
const gatherBytes = 16 << 10

// room returns n bytes of a buffer that is used again.
func room(buf *[]byte, n int64) []byte {
	if int64(cap(*buf)) < n {
		*buf = make([]byte, max(n, 2*int64(cap(*buf))))
	}
	return (*buf)[:n]
}

// stray is a frame behind the end of a half's chain: a later frame of a round that a crash tore, one of an earlier life of the half, or one whose predecessor is damaged.
type stray struct {
	framed
	at    int64 // in the file
	holds bool
}

// chain is the frames of one half: consecutive sequence numbers, from its first.
type chain struct {
	half   int
	frames []framed
	end    int64 // position after the last
}

func (c chain) last() framed { return c.frames[len(c.frames)-1] }

func (p *replayer) run() (*journal, error) {
	size, err := p.file.Size()
	if err != nil {
		return nil, err
	}
	if err := p.dir.syncOne(p.file); err != nil { // what is read is believed: a power cut must not bring back what a killed process had marked as done with
		return nil, &syncError{err}
	}
	page := make([]byte, journalPage)
	if n, err := p.file.ReadAt(page, 0); err != nil && !errors.Is(err, io.EOF) || n < journalPage {
		return nil, fmt.Errorf("its first page cannot be read (%w): it was synced before it got its name, so the disk has lost it", err)
	}
	var ok bool
	if p.header, ok = parseJournalHeader(page, size); !ok {
		return nil, errors.New("its first page is damaged: acknowledged records may be in it; check the disk, and restore the file or remove it to go on without")
	}
	var chains []chain
	for i := range 2 {
		c, err := p.read(i)
		if err != nil {
			return nil, err
		}
		if len(c.frames) > 0 {
			chains = append(chains, c)
		}
	}
	newestSequence := uint64(0)
	for _, c := range chains {
		newestSequence = max(newestSequence, c.last().sequence)
	}
	if err := p.strayed(newestSequence); err != nil {
		return nil, err
	}
	if len(chains) == 0 {
		return newJournal(p.dir, p.file, p.header, 1), nil
	}
	newest := chains[len(chains)-1]
	if len(chains) == 2 && chains[0].last().sequence > newest.last().sequence {
		newest = chains[0]
		chains[0], chains[1] = chains[1], chains[0]
	}
	oldest, next := newest.last().oldest, newest.last().sequence+1
	began := time.Now()
	if err := p.apply(chains, oldest); err != nil {
		return nil, err
	}
	j := newJournal(p.dir, p.file, p.header, next)
	j.current, j.at, j.onDisk = newest.half, newest.end, oldest
	applied := time.Now()
	if oldest == newest.last().sequence && newest.last().count == 0 {
		return j, nil // it says already that nothing is needed
	}
	if err := p.sync(); err != nil {
		return nil, err
	}
	if p.writes > 0 {
		p.dir.logger.Info("journal applied", "directory", p.dir.path, "writes", p.writes, "files", len(p.open), "seconds", applied.Sub(began).Seconds(), "sync_seconds", time.Since(applied).Seconds())
	}
	return j, j.retire()
}

// read finds the frames of a half.
func (p *replayer) read(half int) (chain, error) {
	c := chain{half: half}
	start := journalPage + int64(half)*p.header.half
	var fixed [frameHeaderSize]byte
	for c.end+journalPage <= p.header.half {
		if _, err := p.file.ReadAt(fixed[:], start+c.end); err != nil {
			return c, err
		}
		f, err := parseFrameHeader(fixed[:], p.header.salt, p.header.half-c.end)
		if err != nil || len(c.frames) > 0 && f.sequence != c.last().sequence+1 {
			return c, p.readStrays(start, c.end)
		}
		holds, err := p.holds(f, start+c.end)
		if err != nil {
			return c, err
		}
		if !holds {
			return c, p.readStrays(start, c.end)
		}
		c.frames = append(c.frames, f)
		c.end += f.padded()
	}
	return c, nil
}

func (p *replayer) holds(f framed, at int64) (bool, error) {
	whole := room(&p.whole, f.length)
	if _, err := p.file.ReadAt(whole, at); err != nil {
		return false, err
	}
	return frameHolds(whole), nil
}

// readStrays finds the frames of a half from a position on.
func (p *replayer) readStrays(start, from int64) error {
	var fixed [frameHeaderSize]byte
	for at := from; at+journalPage <= p.header.half; at += journalPage {
		if _, err := p.file.ReadAt(fixed[:], start+at); err != nil {
			return err
		}
		f, err := parseFrameHeader(fixed[:], p.header.salt, p.header.half-at)
		if err != nil {
			continue
		}
		holds, err := p.holds(f, start+at)
		if err != nil {
			return err
		}
		p.strays = append(p.strays, stray{f, start + at, holds})
		if holds {
			at += f.padded() - journalPage
		}
	}
	return nil
}

// strayed refuses a journal in which a frame is missing that was synced, as a later one proves, and wipes later frames of a round that was torn: with the next frames they
// could make a chain again.
func (p *replayer) strayed(newest uint64) error {
	wiped := false
	for _, s := range p.strays {
		if s.sequence <= newest {
			continue // of an earlier life of the half
		}
		if s.holds && s.sequence > uint64(s.after)+1 {
			synced := s.sequence - uint64(s.after) - 1
			if missing := max(newest+1, s.oldest); missing <= synced {
				return fmt.Errorf("frame %d is damaged, and needed: acknowledged records may be in it; check the disk, and restore the file or remove it to go on without", missing)
			}
		}
		if _, err := p.file.WriteAt(zeroPage[:], s.at); err != nil {
			return err
		}
		wiped = true
	}
	if !wiped {
		return nil
	}
	if err := p.dir.syncOne(p.file); err != nil {
		return &syncError{err}
	}
	return nil
}

// apply brings every frame from oldest on to the segments, in order. All of them must be there: each was synced before the next was written.
func (p *replayer) apply(chains []chain, oldest uint64) error {
	expect := oldest
	for _, c := range chains {
		at := journalPage + int64(c.half)*p.header.half
		for _, f := range c.frames {
			if f.sequence >= oldest {
				if f.sequence != expect {
					return fmt.Errorf("frame %d is damaged, and needed: acknowledged records may be in it; check the disk, and restore the file or remove it to go on without", expect)
				}
				expect++
				whole := room(&p.whole, f.length)
				if _, err := p.file.ReadAt(whole, at); err != nil {
					return err
				}
				if err := parseFrame(whole, f.count, p.write); err != nil {
					return fmt.Errorf("frame %d: %w", f.sequence, err)
				}
			}
			at += f.padded()
		}
	}
	return p.finish()
}

// write repeats one write, if its segment is still there.
func (p *replayer) write(w journaled) error {
	x, ok := p.open[target{w.log, w.base}]
	if !ok {
		if _, _, ok := splitName(w.log); !ok {
			return fmt.Errorf("%w: %q is no log", errFrame, w.log)
		}
		f, err := p.dir.fs.Open(filepath.Join(p.dir.path, w.log, fmt.Sprintf("%020d.log", w.base)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err != nil {
			f = nil
		}
		x = &patched{file: f}
		p.open[target{w.log, w.base}] = x
	}
	if x.file == nil {
		return nil
	}
	p.writes++
	if w.at == x.at+int64(len(x.data)) && len(x.data)+len(w.data) <= gatherBytes {
		x.data = append(x.data, w.data...)
		return nil
	}
	if err := p.patch(x.file, x.data, x.at); err != nil {
		return err
	}
	x.at, x.data = w.at, x.data[:0]
	if len(w.data) <= gatherBytes {
		x.data = append(x.data, w.data...)
		return nil
	}
	x.at += int64(len(w.data))
	return p.patch(x.file, w.data, w.at)
}

// patch brings bytes to a file. Those that are there already are left: they only need a sync.
func (p *replayer) patch(f vfs.File, data []byte, at int64) error {
	if len(data) == 0 {
		return nil
	}
	have := room(&p.have, int64(len(data)))
	n, err := f.ReadAt(have, at)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if n == len(have) && bytes.Equal(have, data) {
		return nil
	}
	_, err = f.WriteAt(data, at)
	return err
}

// finish brings what still gathers to its files.
func (p *replayer) finish() error {
	for _, x := range p.open {
		if x.file != nil {
			if err := p.patch(x.file, x.data, x.at); err != nil {
				return err
			}
			x.data = nil
		}
	}
	return nil
}

// replaySyncs is how many files are synced at the same time while nobody else wants the disk.
const replaySyncs = 16

func (p *replayer) sync() error {
	files := make([]vfs.File, 0, len(p.open))
	for _, x := range p.open {
		if x.file != nil {
			files = append(files, x.file)
		}
	}
	s := newSyncer(p.dir, max(replaySyncs, p.dir.syncer.width))
	return s.each(len(files), func(i int) error { return p.dir.syncOne(files[i]) })
}

func (p *replayer) close() error {
	var err error
	for _, x := range p.open {
		if x.file != nil {
			err = errors.Join(err, x.file.Close())
		}
	}
	return err
}
