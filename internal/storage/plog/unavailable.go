package plog

import (
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// Unavailable stands for a log that cannot be opened because its directory is offline: it is empty, and Err says why. Nothing of it is on any disk.
func Unavailable(d *dir.Dir, name string, id model.TopicID, cfg *Config, why error) *Log {
	l := newLog(d, name, id, cfg)
	l.begin(0, time.Now())
	l.failure.Store(&why)
	l.lost.Store(&why)
	return l
}

// Lost says why nothing of the log can be read or appended any more: its directory is offline, or it never came to be opened. Unlike Err it is nil for a log that is damaged,
// of which what is sound can be read.
func (l *Log) Lost() error {
	if p := l.lost.Load(); p != nil {
		return *p
	}
	return nil
}

// OutOfSpace implements what package dir asks of logs: what was staged waits for space. Whoever waits for it hears so.
func (l *Log) OutOfSpace() {
	l.short.Store(true)
	l.notify()
}

// ShortOfSpace tells whether what was appended could not be written for want of space, and has not been since.
func (l *Log) ShortOfSpace() bool { return l.short.Load() }

// Stuck says why what is appended now would not reach the disk for a long time: it hangs, or has no room even for what may have the last of it.
func (l *Log) Stuck() error {
	if l.ShortOfSpace() {
		return failure(model.KafkaStorageError, "log directory %s has no space left, not even for the node's own records: free some", l.dir.Path())
	}
	return l.usable()
}

// Hung tells whether the log's disk hangs.
func (l *Log) Hung() bool { return l.dir.Hung() }

// usable refuses to ask anything of a disk that hangs.
func (l *Log) usable() error {
	if l.dir.Hung() {
		return l.dir.HungError()
	}
	return nil
}
