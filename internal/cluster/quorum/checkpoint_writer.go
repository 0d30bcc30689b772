package quorum

import (
	"errors"
	"path/filepath"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// checkpointBatch is the size at which a batch of a snapshot is closed.
const checkpointBatch = 512 << 10

// checkpointWriter writes a snapshot under a name that nobody takes for a whole one. Exactly one of seal and discard ends it.
type checkpointWriter struct {
	fs    vfs.FS
	path  string // the partition's directory
	end   machine.Position
	nowMs int64

	file  vfs.File
	size  int64
	next  int64 // offset of the next record
	build batch.Builder
}

func createCheckpoint(fsys vfs.FS, path string, end machine.Position, nowMs int64) (*checkpointWriter, error) {
	w := &checkpointWriter{fs: fsys, path: path, end: end, nowMs: nowMs}
	if err := remove(fsys, w.partName()); err != nil {
		return nil, err
	}
	file, err := fsys.Create(w.partName())
	if err != nil {
		return nil, err
	}
	w.file = file
	return w, nil
}

func (w *checkpointWriter) name() string     { return filepath.Join(w.path, checkpointName(w.end)) }
func (w *checkpointWriter) partName() string { return w.name() + partSuffix }

// header writes what comes first. Voters are nil where the log names none: then the protocol without them (kraft.version 0) is in force.
func (w *checkpointWriter) header(lastTimestamp int64, index uint64, voters []Voter) error {
	w.begin(true)
	w.build.Append(w.nowMs, controlKey(snapshotHeaderType), snapshotHeader(lastTimestamp, index))
	if voters != nil {
		w.build.Append(w.nowMs, controlKey(kraftVersionType), kraftVersionValue())
		w.build.Append(w.nowMs, controlKey(kraftVotersType), appendVoters(nil, voters))
	}
	err := w.flush()
	w.begin(false)
	return err
}

// record adds one data record.
func (w *checkpointWriter) record(r machine.Record) error {
	ts := r.Timestamp
	if ts == 0 {
		ts = w.nowMs
	}
	w.build.Append(ts, r.Key, r.Value)
	if w.build.Len() < checkpointBatch {
		return nil
	}
	err := w.flush()
	w.begin(false)
	return err
}

func (w *checkpointWriter) begin(control bool) {
	w.build.Reset(batch.Options{Control: control, BaseOffset: w.next, PartitionLeaderEpoch: w.end.Epoch})
}

func (w *checkpointWriter) flush() error {
	if w.build.Count() == 0 {
		return nil
	}
	b := w.build.Build()
	w.next = b.NextOffset()
	return w.raw(b)
}

// raw appends bytes that are made already.
func (w *checkpointWriter) raw(p []byte) error {
	_, err := w.file.WriteAt(p, w.size)
	w.size += int64(len(p))
	return err
}

// footer ends the records.
func (w *checkpointWriter) footer() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.begin(true)
	w.build.Append(w.nowMs, controlKey(snapshotFooterType), []byte{0, 0, 0})
	return w.flush()
}

// seal makes the file durable and gives it its name, durably. On an error nothing is left.
func (w *checkpointWriter) seal() error {
	if err := errors.Join(w.file.Sync(), w.file.Close()); err != nil {
		return errors.Join(err, remove(w.fs, w.partName()))
	}
	if err := w.fs.Rename(w.partName(), w.name()); err != nil {
		return errors.Join(err, remove(w.fs, w.partName()))
	}
	if err := w.fs.SyncDir(w.path); err != nil { // a name that may be lost must not be built upon
		return errors.Join(err, remove(w.fs, w.name()))
	}
	return nil
}

// discard removes what was written so far.
func (w *checkpointWriter) discard() error {
	return errors.Join(w.file.Close(), remove(w.fs, w.partName()))
}
