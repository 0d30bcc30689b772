package quorum

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// checkpointSuffix ends the name of a snapshot of the metadata: OFFSET-EPOCH.checkpoint, both of them of the log's end that it stands for.
const checkpointSuffix = ".checkpoint"

// maxCheckpointBytes bounds what is read of one.
const maxCheckpointBytes = 4 << 30

// Checkpoint is a snapshot of the metadata, in Kafka's format: batches of control and data records that stand for everything below an offset of the log. The one at offset 0,
// which Kafka's formatting makes, names the voters and what a new cluster begins with.
type Checkpoint struct {
	End  machine.Position // what it stands for lies below
	name string
	fs   vfs.FS
}

// checkpoints lists what is there, the newest first. Half-written ones have another suffix.
func checkpoints(fsys vfs.FS, path string) (out []Checkpoint, err error) {
	entries, err := fsys.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := len(entries) - 1; i >= 0; i-- { // names have fixed widths
		stem, ok := strings.CutSuffix(entries[i].Name, checkpointSuffix)
		if !ok || entries[i].IsDir || len(stem) != 31 || stem[20] != '-' {
			continue
		}
		offset, err := strconv.ParseInt(stem[:20], 10, 64)
		epoch, err2 := strconv.ParseInt(stem[21:], 10, 32)
		if err != nil || err2 != nil {
			continue
		}
		out = append(out, Checkpoint{machine.Position{Epoch: int32(epoch), Offset: offset}, filepath.Join(path, entries[i].Name), fsys})
	}
	return out, nil
}

// eachBatch gives every batch of the file.
func (c Checkpoint) eachBatch(f func(batch.Batch) error) (err error) {
	file, err := c.fs.OpenRead(c.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	data, err := io.ReadAll(io.NewSectionReader(file, 0, maxCheckpointBytes))
	for err == nil && len(data) > 0 {
		var b batch.Batch
		if b, data, err = batch.Next(data); err == nil {
			err = b.Check()
		}
		if err == nil {
			err = f(b)
		}
	}
	if err != nil {
		return fmt.Errorf("read the metadata snapshot %s: %w", c.name, err)
	}
	return nil
}

// Records gives every data record, as of the last position that the snapshot stands for.
func (c Checkpoint) Records(f func(machine.Position, machine.Record) error) error {
	at := machine.Position{Epoch: c.End.Epoch, Offset: c.End.Offset - 1}
	var r batch.Reader
	return c.eachBatch(func(b batch.Batch) error {
		if b.IsControl() {
			return nil
		}
		if err := r.Reset(b, maxBatchBytes); err != nil {
			return err
		}
		for r.Next() {
			rec := r.Record()
			if err := f(at, machine.Record{Key: rec.Key, Value: rec.Value, Timestamp: rec.Timestamp}); err != nil {
				return err
			}
		}
		return r.Err()
	})
}

// voters returns the voters that the snapshot names, nil for none.
func (c Checkpoint) voters() (list []Voter, err error) {
	err = c.eachBatch(func(b batch.Batch) error {
		if !b.IsControl() {
			return nil
		}
		named, ok, err := votersIn(b)
		if ok {
			list = named
		}
		return err
	})
	return list, err
}

// findBase chooses the snapshot that the log's beginning needs: the newest that the log can follow, or the one at offset 0 that came with the directory.
func (q *Quorum) findBase() error {
	list, err := checkpoints(q.opts.FS, q.opts.Path)
	if err != nil {
		return err
	}
	start, end := q.log.StartOffset(), q.log.EndOffset()
	for _, c := range list {
		if c.End.Offset >= start && c.End.Offset <= end {
			q.base = &c
			return nil
		}
	}
	if start > 0 {
		return fmt.Errorf("the metadata log begins at offset %d and there is no snapshot of what was before (%s): restore it from a copy of the directory", start, "*"+checkpointSuffix)
	}
	return nil
}

// bootstrapFile is where Kafka's formatting before 4.4 left what a cluster begins with, in the log directory itself.
const bootstrapFile = "bootstrap.checkpoint"

func (q *Quorum) bootstrapFile() string {
	return filepath.Join(filepath.Dir(q.opts.Path), bootstrapFile)
}

// formatted tells whether Kafka's formatting left that file.
func (q *Quorum) formatted() (bool, error) {
	_, err := q.opts.FS.Stat(q.bootstrapFile())
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Formatted returns what Kafka's formatting left: the records that a cluster begins with. It is nil when there are none.
func (q *Quorum) Formatted() (records []machine.Record, err error) {
	c := Checkpoint{name: q.bootstrapFile(), fs: q.opts.FS}
	there, err := q.formatted()
	if err != nil {
		return nil, err
	}
	if !there {
		if q.base == nil || q.base.End.Offset != 0 {
			return nil, nil
		}
		c = *q.base
	}
	err = c.Records(func(_ machine.Position, r machine.Record) error {
		records = append(records, machine.Record{Value: append([]byte(nil), r.Value...)})
		return nil
	})
	return records, err
}
