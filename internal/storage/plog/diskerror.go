package plog

import (
	"errors"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// DiskError is a failure to read the log's files, told apart from a failure of whoever takes the bytes, and from damage. It is a model.KafkaStorageError.
type DiskError struct{ Err error }

// Error implements error.
func (e *DiskError) Error() string { return "read log: " + e.Err.Error() }

// Unwrap returns what happened, and what clients are told.
func (e *DiskError) Unwrap() []error { return []error{e.Err, model.KafkaStorageError} }

// diskError makes the error for a file that cannot be read. From the first on the log is read twice: see readable.
func (l *Log) diskError(err error) error {
	if l.dir.Err() != nil || l.dir.Hung() || vfs.IsOutOfFiles(err) || errors.Is(err, errReplaced) { // no news of the disk
		return &DiskError{err}
	}
	l.dir.Stats().ReadErrors.Add(1)
	if !l.unreadable.Swap(true) {
		l.dir.Logger().Error("a log cannot be read in places: its disk fails reads; what else it has is served", "log", l.name, "directory", l.dir.Path(), "error", err)
	}
	return &DiskError{err}
}

// readable reads the part of a slice that is in the file before it is served, if the log's disk has failed a read before: an answer that has begun cannot say any more that the
// rest is not to be had, and its reader would come back for it for ever. It returns how many bytes can be served.
func (l *Log) readable(s *Slice) (int64, error) {
	if s.inFile == 0 || !l.unreadable.Load() {
		return s.size(), nil
	}
	buffer := copyBuffers.Get().(*[copyBuffer]byte)
	defer copyBuffers.Put(buffer)
	sound := int64(0)
	err := s.fileParts(buffer[:vfsPage], func(p []byte) error {
		sound += int64(len(p))
		return nil
	})
	if err != nil {
		return sound, err
	}
	return s.size(), nil
}

// vfsPage is how finely a file that the disk fails to read is tried.
const vfsPage = 4 << 10
