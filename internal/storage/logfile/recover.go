package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"path/filepath"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Recovery is what Recover did.
type Recovery struct {
	Path    string   `json:"path"`
	Needed  bool     `json:"needed"` // else nothing was changed
	Logs    int      `json:"logs"`
	Damaged []string `json:"damaged"` // logs whose synced part is not as it was written: left untouched
}

// Recover opens a log directory once, as its node would at its start: the journal is brought to the segments, ends that a crash tore are cut and kept aside, and the
// directory is closed cleanly, so that every segment stands alone. A directory that was closed cleanly, by Ottla or by Apache Kafka, is left as it is, to the byte. What happens is told to logger.
func Recover(fsys vfs.FS, path string, logger *slog.Logger) (_ *Recovery, err error) {
	view, err := dir.Look(fsys, path)
	if err != nil {
		return nil, err
	}
	out := &Recovery{Path: path, Damaged: []string{}}
	if view.Clean && (!view.Journal || view.Running) { // a journal that is left counts no more once Apache Kafka had the directory
		return out, nil
	}
	if !view.Ours {
		return nil, fmt.Errorf("%s is a directory of Apache Kafka (it has no %s), which recovers it at its own start", path, dir.FormatFile)
	}
	out.Needed = true
	d, err := dir.Open(fsys, path, dir.Options{Meta: dir.Meta{NodeID: dir.NoNodeID}, Logger: logger})
	if err != nil {
		return nil, err
	}
	if err := out.openLogs(d); err != nil {
		return nil, errors.Join(err, d.Abandon())
	}
	// The broker epoch stays unknown: for the cluster this broker did not stop cleanly.
	if err := d.Close(dir.NoBrokerEpoch); err != nil {
		return nil, fmt.Errorf("close %s after its recovery: %w", path, err)
	}
	return out, nil
}

func (r *Recovery) openLogs(d *dir.Dir) error {
	compacted, err := compactedTopics(d.FS(), d.Path())
	if err != nil {
		return err
	}
	for _, name := range d.Names() {
		id, err := plog.Identify(d, name)
		if err != nil {
			return fmt.Errorf("log %s: %w", filepath.Join(d.Path(), name), err)
		}
		settings := plog.DefaultConfig()
		settings.RetentionMs, settings.RetentionBytes = -1, -1
		topic, _, _ := dir.SplitName(name)
		settings.CleanupCompact = compacted(topic)
		l, err := plog.Open(d, name, id, settings)
		if err != nil {
			return err
		}
		r.Logs++
		if l.Err() != nil {
			r.Damaged = append(r.Damaged, name)
		}
	}
	return nil
}

// compactedTopics reads from the metadata log which topics compaction may have left gaps of offsets in. Without a metadata log in the directory any may have some.
func compactedTopics(fsys vfs.FS, path string) (func(topic string) bool, error) {
	policies := map[string]bool{}
	path = filepath.Join(path, model.MetadataTopic+"-0")
	if _, err := fsys.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return func(string) bool { return true }, nil
	}
	note := func(e Entry) error {
		r, ok := e.(RecordEntry)
		if !ok || r.Decoded == nil {
			return nil
		}
		if c, ok := r.Decoded.Body.(*record.ConfigRecord); ok && (c.Name == "cleanup.policy" || c.Name == "log.cleanup.policy") {
			if c.Value != nil && strings.Contains(*c.Value, "compact") { // once compacted, always with gaps
				policies[c.ResourceName] = true
			}
		}
		return nil
	}
	err := Cat(fsys, path, CatOptions{To: AllOffsets, FromMs: math.MinInt64, ToMs: math.MaxInt64}, note)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return nil, err
	}
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // what the log had before it is in the snapshots
		if filepath.Ext(e.Name) != checkpointSuffix {
			continue
		}
		err := Dump(fsys, filepath.Join(path, e.Name), DumpOptions{Records: true, To: AllOffsets}, note)
		if err != nil && !errors.Is(err, ErrDamaged) {
			return nil, err
		}
	}
	return func(topic string) bool {
		return policies[topic] || policies[""] || topic == model.ConsumerOffsetsTopic || topic == model.TransactionStateTopic
	}, nil
}
