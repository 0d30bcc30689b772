package quorum

import (
	"encoding/binary"
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

// A snapshot of the metadata is a file OFFSET-EPOCH.checkpoint, both of them of the log's end that it stands for. Until it is whole its name ends in .part as well; Kafka
// renames one to .deleted before it removes it.
const (
	checkpointSuffix = ".checkpoint"
	partSuffix       = ".part"
	deletedSuffix    = ".deleted"
)

// indexTag is the tagged field of a SnapshotHeader record in which Ottla keeps Raft's number of the last entry that the snapshot stands for. Kafka skips what it does not know.
const indexTag = 0x6f74

// Checkpoint is a snapshot of the metadata, in Kafka's format: batches of control and data records that stand for everything below an offset of the log. The one at offset 0,
// which Kafka's formatting makes, names the voters and what a new cluster begins with.
type Checkpoint struct {
	End           machine.Position // what it stands for lies below
	Bytes         int64
	LastTimestamp int64   // of the last batch that it stands for
	Voters        []Voter // nil when it names none
	index         uint64  // Raft's number of the last entry that it stands for; 0 when it does not say
	name          string  // of the file
	fs            vfs.FS
}

func checkpointName(end machine.Position) string {
	return fmt.Sprintf("%020d-%010d%s", end.Offset, end.Epoch, checkpointSuffix)
}

// checkpoints lists what is there, the newest first.
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
		out = append(out, Checkpoint{
			End: machine.Position{Epoch: int32(epoch), Offset: offset}, Bytes: entries[i].Size, name: filepath.Join(path, entries[i].Name), fs: fsys,
		})
	}
	return out, nil
}

// sweep removes what a crash left half-written or half-removed, as Kafka does.
func sweep(fsys vfs.FS, path string) error {
	entries, err := fsys.ReadDir(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name, checkpointSuffix+partSuffix) || strings.HasSuffix(e.Name, checkpointSuffix+deletedSuffix) {
			err = errors.Join(err, remove(fsys, filepath.Join(path, e.Name)))
		}
	}
	return err
}

func remove(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// checkpointWindow is how much of a file is read at once, unless a batch is larger.
const checkpointWindow = 1 << 20

// eachBatch gives every batch of the file, each checked. They alias a buffer that is used again.
func (c *Checkpoint) eachBatch(f func(batch.Batch) error) (err error) {
	file, err := c.fs.OpenRead(c.name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	defer func() {
		if err != nil {
			err = fmt.Errorf("read the metadata snapshot %s: %w", c.name, err)
		}
	}()
	size, err := file.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, min(checkpointWindow, size))
	for at := int64(0); at < size; {
		p := buf[:min(int64(len(buf)), size-at)]
		if n, err := file.ReadAt(p, at); n < len(p) {
			return errors.Join(err, io.ErrUnexpectedEOF)
		}
		for taken := 0; ; {
			b, _, err := batch.Next(p[taken:])
			if errors.Is(err, batch.ErrTruncated) && at+int64(len(p)) < size { // the rest of it lies behind the window
				if taken == 0 && len(buf) > 2*maxBatchBytes {
					return fmt.Errorf("at byte %d: a batch of more than %d bytes", at, maxBatchBytes)
				} else if taken == 0 {
					buf = make([]byte, 2*len(buf))
				}
				at += int64(taken)
				break
			}
			if err == nil {
				err = b.Check()
			}
			if err != nil {
				return fmt.Errorf("at byte %d: %w", at+int64(taken), err)
			}
			if err := f(b); err != nil {
				return err
			}
			if taken += len(b); taken == len(p) {
				at += int64(taken)
				break
			}
		}
	}
	return nil
}

// verify reads all of it, and fills in what its control records tell. A snapshot that is not whole has no footer.
func (c *Checkpoint) verify() error {
	next, begun, ended := int64(0), false, false
	err := c.eachBatch(func(b batch.Batch) error {
		switch {
		case ended:
			return errors.New("something follows its footer")
		case b.BaseOffset() != next:
			return fmt.Errorf("a batch begins at offset %d, where %d comes next", b.BaseOffset(), next)
		case !b.IsControl() && !begun:
			return errors.New("it has no header")
		}
		next = b.NextOffset()
		if !b.IsControl() {
			return nil
		}
		named, ok, err := votersIn(b)
		if err != nil {
			return err
		}
		if ok {
			c.Voters = named
		}
		var r batch.Reader
		if err := r.Reset(b, maxBatchBytes); err != nil {
			return err
		}
		for r.Next() {
			switch rec := r.Record(); controlTypeOf(rec.Key) {
			case snapshotHeaderType:
				begun = true
				if c.LastTimestamp, c.index, err = parseSnapshotHeader(rec.Value); err != nil {
					return err
				}
			case snapshotFooterType:
				ended = true
			}
		}
		return r.Err()
	})
	if err != nil {
		return err
	}
	if !begun || !ended {
		return fmt.Errorf("read the metadata snapshot %s: it has no header or no footer", c.name)
	}
	return nil
}

// Records gives every data record, as of the last position that the snapshot stands for.
func (c *Checkpoint) Records(f func(machine.Position, machine.Record) error) error {
	at := machine.Position{Epoch: c.End.Epoch, Offset: c.End.Offset - 1}
	var r batch.Reader
	return c.eachBatch(func(b batch.Batch) error {
		if b.IsControl() {
			return nil
		}
		if err := r.Reset(b, 2*maxBatchBytes); err != nil {
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

// snapshotHeader is the value of a SnapshotHeader record.
func snapshotHeader(lastTimestamp int64, index uint64) []byte {
	value := binary.BigEndian.AppendUint64([]byte{0, 0}, uint64(lastTimestamp))
	if index == 0 {
		return append(value, 0)
	}
	value = binary.AppendUvarint(append(value, 1), indexTag)
	return binary.BigEndian.AppendUint64(binary.AppendUvarint(value, 8), index)
}

func parseSnapshotHeader(value []byte) (lastTimestamp int64, index uint64, err error) {
	c := &cursor{b: value}
	if version := c.uint16(); version != 0 {
		return 0, 0, fmt.Errorf("SnapshotHeader record: its version %d is newer than this build", version)
	}
	lastTimestamp = int64(binary.BigEndian.Uint64(c.take(8)))
	c.tagged(func(tag uint64, field []byte) {
		if tag == indexTag && len(field) == 8 {
			index = binary.BigEndian.Uint64(field)
		}
	})
	if c.bad || len(c.b) != 0 {
		return 0, 0, fmt.Errorf("SnapshotHeader record: %w", errShort)
	}
	return lastTimestamp, index, nil
}
