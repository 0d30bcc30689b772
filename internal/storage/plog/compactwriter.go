package plog

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// cleanWriter writes the segment that replaces a group. As long as what it is given is what the only segment of its group has, there is no file: most of what is clean stays as
// it is, and is neither written nor synced again.
type cleanWriter struct {
	pass    *pass
	name    string
	file    vfs.File
	segment *segment
	source  *segment // the group's first
	at      int64    // bytes taken
	flushed int64
	pending []byte
	aborted []abortedTxn // for the transaction index
	changed bool         // something is not as it was
}

func (w *cleanWriter) write(b batch.Batch) error {
	if w.at+int64(len(b)) > maxSegmentBytes {
		return fmt.Errorf("the segment at offset %d grows beyond %d bytes when it is cleaned", w.segment.base, int64(maxSegmentBytes))
	}
	if w.changed && w.file == nil {
		if err := w.create(); err != nil {
			return err
		}
	}
	s := w.segment
	s.summary.add(b)
	s.sparse.add(s.base, b.LastOffset(), w.at, len(b), int64(w.pass.config.IndexIntervalBytes), s.summary)
	w.at += int64(len(b))
	if !w.changed {
		return nil
	}
	w.pending = append(w.pending, b...)
	if len(w.pending) < len(w.pass.buffer) {
		return nil
	}
	return w.flush()
}

// create makes the file, and copies what was unchanged so far.
func (w *cleanWriter) create() (err error) {
	l := w.pass.log
	if err := removeIfThere(l.dir.FS(), w.name); err != nil {
		return err
	}
	w.file, err = l.dir.FS().Create(w.name)
	if errors.Is(err, fs.ErrNotExist) {
		return ErrCleanAborted // the log's directory is gone
	}
	if err != nil {
		return err
	}
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	for w.flushed < w.at {
		p := buffer[:min(int64(len(buffer)), w.at-w.flushed)]
		if err := l.readExactly(w.source, p, w.flushed); err != nil {
			return err
		}
		if err := w.put(p); err != nil {
			return err
		}
	}
	return nil
}

func (w *cleanWriter) flush() error {
	if len(w.pending) == 0 {
		return nil
	}
	err := w.put(w.pending)
	w.pending = w.pending[:0]
	return err
}

func (w *cleanWriter) put(p []byte) error {
	if err := w.pass.paced(len(p)); err != nil {
		return err
	}
	if _, err := w.file.WriteAt(p, w.flushed); err != nil {
		return err
	}
	w.flushed += int64(len(p))
	w.pass.stats.BytesWritten += int64(len(p))
	return nil
}

// finish has everything on disk but the names.
func (w *cleanWriter) finish() error {
	if w.file == nil { // nothing is left of the segment's end, or of all of it
		if err := w.create(); err != nil {
			return err
		}
	}
	if err := w.flush(); err != nil {
		return err
	}
	if err := w.sync(w.file); err != nil {
		return err
	}
	if len(w.aborted) == 0 {
		return nil
	}
	if err := w.writeTxns(); err != nil {
		return err
	}
	return w.pass.log.syncDirectory() // of two files that change their names together, none may be lost to a start that sees the other
}

func (w *cleanWriter) sync(f vfs.File) error {
	d := w.pass.log.dir
	err := d.SyncFile(f)
	if err != nil {
		d.Offline(err)
	}
	return err
}

func (w *cleanWriter) txnName() string {
	return w.pass.log.fileName(w.segment.base, txnIndexSuffix+cleanedSuffix)
}

func (w *cleanWriter) writeTxns() (err error) {
	fsys := w.pass.log.dir.FS()
	if err := removeIfThere(fsys, w.txnName()); err != nil {
		return err
	}
	f, err := fsys.Create(w.txnName())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	var data []byte
	for _, a := range w.aborted {
		data = appendTxn(data, a)
	}
	if _, err := f.WriteAt(data, 0); err != nil {
		return err
	}
	return w.sync(f)
}

// close ends the writing; failed, nothing of it is left.
func (w *cleanWriter) close(failed bool) error {
	if w.file == nil {
		return nil
	}
	err := w.file.Close()
	if failed || err != nil {
		w.pass.log.forgo(w.name, w.txnName())
	}
	return err
}

// forgo removes files that a cleaning wrote for nothing. What stays is remembered: it must be gone before another cleaning, whose files it would be taken for by a start.
func (l *Log) forgo(names ...string) {
	for _, name := range names {
		if err := removeIfThere(l.dir.FS(), name); err != nil {
			l.dir.Logger().Warn("could not remove what a cleaning left; the next one and the next start try again", "file", name, "error", err)
			l.leftovers = append(l.leftovers, name)
		}
	}
}

func (l *Log) removeLeftovers() error {
	for len(l.leftovers) > 0 {
		if err := removeIfThere(l.dir.FS(), l.leftovers[0]); err != nil {
			return fmt.Errorf("what an earlier cleaning left is still there: %w", err)
		}
		l.leftovers = l.leftovers[1:]
	}
	return nil
}
