package quorum

import (
	"bytes"
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Peek looks into the files of a metadata log that nobody has opened yet, and changes nothing. It gives the records of those batches that have a word in them, in their order: what Kafka's formatting
// left, the newest snapshot, the log. Damage ends a file without an error: who opens the log judges it.
func Peek(fsys vfs.FS, path, word string, f func(machine.Record) error) error {
	snapshots, err := checkpoints(fsys, path)
	if err != nil {
		return err
	}
	if err := peekInto(fsys, filepath.Join(filepath.Dir(path), bootstrapFile), 0, word, f); err != nil {
		return err
	}
	from := int64(0)
	if len(snapshots) > 0 {
		if err := peekInto(fsys, snapshots[0].name, 0, word, f); err != nil {
			return err
		}
		from = snapshots[0].End.Offset
	}
	entries, err := fsys.ReadDir(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name) != ".log" || e.IsDir {
			continue
		}
		if err := peekInto(fsys, filepath.Join(path, e.Name), from, word, f); err != nil {
			return err
		}
	}
	return nil
}

// peekInto gives the records of the batches of a file from an offset on.
func peekInto(fsys vfs.FS, name string, from int64, word string, f func(machine.Record) error) error {
	var r batch.Reader
	var refused error
	c := &Checkpoint{name: name, fs: fsys} // a segment has the same form
	_ = c.eachBatch(func(b batch.Batch) error {
		if b.IsControl() || b.NextOffset() <= from || b.Codec() == batch.None && !bytes.Contains(b, []byte(word)) {
			return nil
		}
		if err := r.Reset(b, 2*maxBatchBytes); err != nil {
			return err
		}
		for r.Next() {
			rec := r.Record()
			if refused = f(machine.Record{Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp}); refused != nil {
				return refused
			}
		}
		return r.Err()
	}) // what is damaged, or not there, tells nothing
	return refused
}
