package node

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"sync"

	"github.com/google/uuid"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// absolute makes the paths of the log directories absolute, as admin clients expect to see them.
func absolute(static *config.Static) (*config.Static, error) {
	out := *static
	out.Broker.LogDirs = make([]string, len(static.Broker.LogDirs))
	for i, path := range append(slices.Clone(static.Broker.LogDirs), static.Broker.MetadataLogDir) {
		path, err := filepath.Abs(path)
		if err != nil {
			return nil, fmt.Errorf("log directory %s: %w", path, err)
		}
		if i == len(out.Broker.LogDirs) {
			out.Broker.MetadataLogDir = path
		} else {
			out.Broker.LogDirs[i] = path
		}
	}
	return &out, nil
}

// openDirs locks and opens every log directory. All of them belong to one cluster; a fresh one joins it, and the first ever names it.
func (n *Node) openDirs() error {
	if err := n.refuseLevel(); err != nil {
		return err
	}
	n.memory, n.handles = dir.NewMemory(n.static.Broker.LogMemoryBytes), dir.NewHandles(n.logFiles(0))
	for _, path := range n.static.Broker.LogDirs {
		known, err := dir.ReadMeta(n.fs, path)
		switch {
		case errors.Is(err, fs.ErrNotExist), diskFailure(err): // of the second Open tells
			continue
		case err != nil:
			return err
		case n.clusterID != "" && known.ClusterID != n.clusterID:
			return fmt.Errorf("log directory %s belongs to cluster %s, another one to %s: log.dirs must name directories of one cluster", path, known.ClusterID, n.clusterID)
		}
		n.clusterID = known.ClusterID
	}
	if n.clusterID == "" {
		n.clusterID = model.TopicID(uuid.New()).String()
	}
	n.dirsTotal.Store(int64(len(n.static.Broker.LogDirs)))
	opened, failed := make([]*dir.Dir, len(n.static.Broker.LogDirs)), make([]error, len(n.static.Broker.LogDirs))
	var opening sync.WaitGroup
	for i, path := range n.static.Broker.LogDirs { // each is a disk of its own, that may have a journal to be read
		opening.Go(func() {
			opened[i], failed[i] = n.openDir(path)
			n.dirsDone.Add(1)
		})
	}
	opening.Wait()
	n.dirs = slices.DeleteFunc(opened, func(d *dir.Dir) bool { return d == nil })
	return errors.Join(failed...)
}

// openDir opens a directory, or makes what stands for one that its disk does not let be opened: without its metadata a node cannot start, but without others.
func (n *Node) openDir(path string) (*dir.Dir, error) {
	o := n.dirOptions(path)
	d, err := dir.Open(n.fs, path, o)
	if err == nil || !diskFailure(err) || path == n.static.Broker.MetadataLogDir {
		return d, err
	}
	if known, err := dir.ReadMeta(n.fs, path); err == nil {
		o.Meta.DirectoryID = known.DirectoryID
	}
	n.log.Error("a log directory cannot be opened: the node starts without it, and its partitions are not served until the disk is repaired and the node restarted", "dir", path, "error", err)
	return dir.Unavailable(n.fs, path, err, o), nil
}

func (n *Node) dirOptions(path string) dir.Options {
	b := &n.static.Broker
	stall := b.LogStall
	if stall == 0 {
		stall = -1
	}
	return dir.Options{
		Meta: dir.Meta{ClusterID: n.clusterID, NodeID: b.NodeID}, Memory: n.memory, Handles: n.handles, MinFreeBytes: b.LogMinFreeBytes, ReserveBytes: b.LogReserveBytes,
		StallAfter: stall, Metrics: n.metrics, Logger: n.loggers.Logger("storage"), OnFailure: func(err error) { n.dirFailed(path, err) }, OnChange: n.dirChanged,
	}
}

func (n *Node) metadataDir() *dir.Dir {
	for _, d := range n.dirs {
		if d.Path() == n.static.Broker.MetadataLogDir {
			return d
		}
	}
	return n.dirs[0]
}

// directoryIDs lists the ids of the directories that work.
func (n *Node) directoryIDs() []model.TopicID {
	var out []model.TopicID
	for _, d := range n.dirs {
		if d.Err() == nil {
			out = append(out, d.ID())
		}
	}
	return out
}

// cleanStart tells whether every directory was closed cleanly by a broker, and not by somebody who repaired it.
func (n *Node) cleanStart() bool {
	for _, d := range n.dirs {
		if clean, epoch := d.CleanStart(); !clean || epoch == dir.NoBrokerEpoch {
			return false
		}
	}
	return true
}

// logDir shows a directory to the API.
type logDir struct{ *dir.Dir }

// FreeSpace tells how many bytes are left on the directory's file system, and how many there are. A disk that hangs is not asked.
func (d logDir) FreeSpace() (free, total int64, err error) {
	if d.Hung() {
		return d.FreeBytes(), d.TotalBytes(), nil
	}
	return d.FS().FreeSpace(d.Path())
}
