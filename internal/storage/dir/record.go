package dir

import (
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
)

// checkpointShare keeps the checkpoint's own bytes to this part of what is synced between two of them.
const checkpointShare = 32

// checkpoint writes what needs asks for. Any error but a want of space takes the directory offline.
func (d *Dir) checkpoint(r *Round, needs Needs) error {
	if needs&NeedRecovery != 0 {
		d.sinceCheckpoint = 0
	}
	err := d.writeCheckpoint(r, needs)
	switch {
	case err == nil:
	case NoSpace(err) && !r.final:
		d.outOfSpace(err, true)
		d.fill()
		d.logger.Error("no space for a checkpoint: the old one stays", "directory", d.path, "error", err)
	default:
		d.fail(err)
	}
	return err
}

// writeCheckpoint replaces the checkpoint files. The manifest goes first and is on disk before the others: from then on it alone tells recovery points, so that no crash
// can mix old and new ones. The text files are for Kafka, and for a start without the manifest.
func (d *Dir) writeCheckpoint(r *Round, needs Needs) error {
	logs, entries := d.fillIn(r, needs)
	if err := d.writeEntries(needs, entries); err != nil {
		return err
	}
	for _, l := range logs {
		l.Checkpointed()
	}
	return nil
}

// fillIn asks every log for its entry.
func (d *Dir) fillIn(r *Round, needs Needs) ([]Log, map[string]*Entry) {
	d.mu.Lock()
	logs := make([]Log, 0, len(d.mu.logs))
	for _, l := range d.mu.logs {
		logs = append(logs, l)
	}
	found := maps.Clone(d.mu.found)
	d.mu.Unlock()

	entries := make(map[string]*Entry, len(logs)+len(found))
	for name, f := range found { // nobody opened it yet: what is known stays known
		entries[name] = &Entry{RecoveryPoint: f.RecoveryPoint, StartOffset: f.StartOffset, HighWatermark: f.HighWatermark, Cleaned: f.Cleaned, State: f.State}
	}
	for _, l := range logs {
		e := &Entry{RecoveryPoint: -1, StartOffset: -1, HighWatermark: -1, Cleaned: -1}
		l.Checkpoint(r, needs, e)
		entries[l.Name()] = e
	}
	return logs, entries
}

func (d *Dir) writeEntries(needs Needs, entries map[string]*Entry) error {
	names := slices.Sorted(maps.Keys(entries))
	recovery, starts, watermarks, cleaned := offsets{}, offsets{}, offsets{}, offsets{}
	var known []string // in the manifest
	for _, name := range names {
		e := entries[name]
		if e.RecoveryPoint >= 0 {
			recovery[name] = e.RecoveryPoint
			known = append(known, name)
		}
		if e.StartOffset >= 0 {
			starts[name] = e.StartOffset
		}
		if e.Cleaned >= 0 {
			cleaned[name] = e.Cleaned
		}
		if e.HighWatermark >= 0 {
			watermarks[name] = e.HighWatermark
		}
	}
	if err := d.writeCleaned(needs, cleaned); err != nil {
		return err
	}
	if needs&NeedRecovery == 0 { // starts only grow but with a new manifest
		return d.writeStarts(needs, starts)
	}
	text := encodeOffsets(recovery)
	sum := crc32.Checksum(text, castagnoli)
	manifest := encodeManifest(known, entries, sum, d.recoverySum)
	if d.mutants&ManifestLast != 0 {
		if err := d.replaceCheckpoint(file{recoveryFile, text}); err != nil {
			return err
		}
	}
	if err := d.replaceBehind(); err != nil {
		return err
	}
	if err := d.replaceCheckpoint(file{manifestFile, manifest}); err != nil {
		return err
	}
	d.behind = starts
	d.manifestSum = crc32.Checksum(manifest, castagnoli)
	d.checkpointAt = max(d.checkpointEvery, checkpointShare*int64(len(manifest)))
	recorded := make(map[string]bool, len(recovery))
	for _, o := range [...]offsets{recovery, starts, cleaned} {
		for name := range o {
			recorded[name] = true
		}
	}
	maps.Copy(d.recorded, recorded) // until the last file is replaced the disk has names of both
	// The recovery points last: when one before finds no space, the file that the manifests are compared with is still the old one.
	if err := d.replaceCheckpoint(file{startFile, encodeOffsets(starts)}, file{replicationFile, encodeOffsets(watermarks)}, file{recoveryFile, text}); err != nil {
		return err
	}
	d.recoverySum, d.recorded, d.behind = sum, recorded, nil
	d.stats.Checkpoints.Add(1)
	return nil
}

// replaceBehind gives the start offsets that only the manifest has their own file too, before a manifest with lower ones takes its place: of the two the greater counts, and a crash between
// the files must not bring back one that is older than both.
func (d *Dir) replaceBehind() error {
	if d.behind == nil {
		return nil
	}
	if err := d.replaceCheckpoint(file{startFile, encodeOffsets(d.behind)}); err != nil {
		return err
	}
	d.behind = nil
	return nil
}

// writeStarts replaces the checkpoint of start offsets where that was asked for.
func (d *Dir) writeStarts(needs Needs, starts offsets) error {
	if needs&NeedStart == 0 {
		return nil
	}
	for name := range starts { // a log that takes the name of a deleted one must not get its start
		d.recorded[name] = true
	}
	err := d.replaceCheckpoint(file{startFile, encodeOffsets(starts)})
	if err == nil {
		d.behind = nil
	}
	return err
}

// writeCleaned replaces the checkpoint of what is compacted, where there is or was anything.
func (d *Dir) writeCleaned(needs Needs, cleaned offsets) error {
	if needs&(NeedCleaned|NeedRecovery) == 0 || !d.cleaned && len(cleaned) == 0 {
		return nil
	}
	if err := d.replaceCheckpoint(file{cleanerFile, encodeOffsets(cleaned)}); err != nil {
		return err
	}
	d.cleaned = true
	for name := range cleaned {
		d.recorded[name] = true
	}
	return nil
}

func (d *Dir) replaceCheckpoint(files ...file) error {
	if err := replace(d.fs, d.path, files...); err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	return nil
}
