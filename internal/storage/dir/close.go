package dir

import (
	"errors"
	"fmt"
	"path/filepath"
)

// Closer is a log that takes part in Dir.Close.
type Closer interface {
	Log
	// Place is where the log keeps its membership.
	Place() *Member
	// BeginClose refuses appends from now on and makes Stage write what only a closed log has: hints, snapshots.
	BeginClose()
}

// Close writes and syncs everything all logs have, writes the checkpoint and, if nothing failed, the clean marker with the broker's epoch; then it lets the
// directory go. The logs are closed by it. The error says what kept the stop from being clean.
func (d *Dir) Close(brokerEpoch int64) error {
	if !d.stop() {
		return ErrClosed
	}
	err := d.Err()
	if err == nil && d.mutants&EarlyMarker != 0 {
		err = writeMarker(d.fs, d.path, brokerEpoch)
	}
	if err == nil {
		err = d.finalRound()
	}
	if err == nil {
		if err = d.checkpoint(&d.round, NeedRecovery|NeedStart); err == nil {
			err = d.dropJournal()
		}
		if err == nil {
			err = d.writeInventory()
		}
		if err == nil {
			err = writeMarker(d.fs, d.path, brokerEpoch)
		}
	}
	return errors.Join(err, d.letGo())
}

// Abandon lets the directory go as it is, as a crash would.
func (d *Dir) Abandon() error {
	if !d.stop() {
		return ErrClosed
	}
	err := ErrClosed
	if d.err.CompareAndSwap(nil, &err) {
		d.failLogs(err)
	}
	return d.letGo()
}

// stop ends the committer; false when somebody else did before.
func (d *Dir) stop() bool {
	d.mu.Lock()
	if d.mu.closed {
		d.mu.Unlock()
		return false
	}
	d.mu.closed = true
	d.mu.Unlock()
	close(d.closing)
	<-d.done
	d.turning.Lock() // for good: nobody helps from here on
	d.later.close()
	return true
}

// writeBackAbove is the number of logs from which one write-back of the whole file system is cheaper than each file's own.
const writeBackAbove = 256

// writeBack has the file system write what is dirty in one go, so that syncing thousands of segments one by one, which alone counts, finds little to do.
func (d *Dir) writeBack(logs int) {
	fs, ok := d.fs.(interface{ WriteBack(name string) error })
	if !ok || logs < writeBackAbove {
		return
	}
	if err := fs.WriteBack(d.path); err != nil {
		d.logger.Warn("writing back the file system failed; every file is synced by itself all the same", "directory", d.path, "error", err)
	}
}

// finalRound stages every log once more.
func (d *Dir) finalRound() error {
	d.mu.Lock()
	logs := make([]dirtyLog, 0, len(d.mu.logs))
	for _, l := range d.mu.logs {
		if c, ok := l.(Closer); ok {
			logs = append(logs, dirtyLog{l, c.Place()})
		}
	}
	d.mu.Unlock()
	for _, l := range logs {
		l.Log.(Closer).BeginClose()
	}
	d.round.final = true
	for _, l := range d.stalled { // each gets its last try now
		l.member.stalled = false
	}
	d.stalled = nil
	d.writeBack(len(logs))
	d.commitAll(logs)
	if err := d.Err(); err != nil {
		return err
	}
	if len(d.stalled) > 0 {
		return fmt.Errorf("log directory %s has no space for what was appended to %s: the stop is not clean", d.path, d.stalled[0].Name())
	}
	return nil
}

// dropJournal removes the journal, of which nothing is needed any more.
func (d *Dir) dropJournal() error {
	d.takeJournal()
	if d.journal == nil {
		return nil
	}
	err := d.journal.retire()
	if err != nil {
		return err
	}
	err = d.journal.file.Close()
	d.journal = nil
	if err != nil {
		return err
	}
	return d.fs.Remove(filepath.Join(d.path, journalFile))
}

func (d *Dir) letGo() error {
	d.takeJournal()
	var err error
	if d.journal != nil {
		err = d.journal.file.Close()
	}
	d.share.close()
	return errors.Join(err, d.lock.Close())
}
