package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// checkpointSuffix ends the name of a snapshot of the metadata.
const checkpointSuffix = ".checkpoint"

// remedySnapshot is for a damaged snapshot that is not needed.
const remedySnapshot = "nothing: an older snapshot or the log itself is read instead, and the next snapshot replaces it"

// checkpoints checks the snapshots of the metadata log. One that is damaged costs nothing while the log reaches back to another; without any the log's beginning has nothing
// to stand on.
func (c *logCheck) checkpoints(entries []vfs.DirEntry) error {
	if topic, _, _ := dir.SplitName(c.name); topic != model.MetadataTopic {
		return nil
	}
	sound, damaged := c.start == 0, 0
	from := len(c.findings)
	for _, e := range entries {
		if len(e.Name) < 20 || filepath.Ext(e.Name) != checkpointSuffix {
			continue
		}
		offset, err := strconv.ParseInt(e.Name[:20], 10, 64)
		if err != nil || offset < c.start {
			continue
		}
		at, problem, err := checkpointDamage(c.fs, filepath.Join(c.path, e.Name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // the node has removed it meanwhile
		}
		if err != nil {
			return err
		}
		if problem == "" {
			sound = true
			continue
		}
		damaged++
		c.find(SeverityHint, e.Name, at, remedySnapshot, "%s", problem)
	}
	switch {
	case sound:
	case damaged == 0:
		c.find(SeverityDamage, "", 0, remedyRestore, "the metadata log begins at offset %d and there is no snapshot of what was before", c.start)
	default:
		for i := from; i < len(c.findings); i++ {
			c.findings[i].Severity, c.findings[i].Remedy = SeverityDamage, remedyRestore
		}
	}
	return nil
}

// checkpointDamage tells where a snapshot is not as it was written, and how; no problem is "".
func checkpointDamage(fsys vfs.FS, path string) (at int64, problem string, err error) {
	f, err := fsys.OpenRead(path)
	if err != nil {
		return 0, "", err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return 0, "", err
	}
	s, next, control := newScanner(f, 0, size), int64(0), 0
	var last batch.Batch
	for {
		ok, err := s.step()
		if err != nil {
			return 0, "", err
		}
		if !ok {
			break
		}
		if s.head.BaseOffset() != next {
			return s.at, fmt.Sprintf("a batch begins at offset %d where %d comes next", s.head.BaseOffset(), next), nil
		}
		next = s.head.NextOffset()
		last = append(last[:0], s.head...)
		if s.head.IsControl() {
			control++
		}
	}
	switch {
	case s.damage != nil:
		return s.damage.Position, s.damage.Reason, nil
	case control < 2 || !last.IsControl(): // header and footer
		return size, "the snapshot has no footer: its end is missing", nil
	}
	return 0, "", nil
}
