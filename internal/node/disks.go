package node

import (
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/dir"
)

// diskFailure tells an error of the disk or the system from a refusal of what lies there: with the first the node goes on without the directory.
func diskFailure(err error) bool {
	_, ok := errors.AsType[syscall.Errno](err)
	return ok
}

// dirFailed is called by a directory that goes offline. Without its metadata, or without any directory, a node cannot go on.
func (n *Node) dirFailed(path string, err error) {
	n.log.Error("a log directory is offline: its partitions are not served until the disk is repaired and the node restarted", "dir", path, "error", err)
	alive := 0
	if dirs := n.opened.Load(); dirs != nil {
		for _, d := range *dirs {
			if d.Err() == nil {
				alive++
			}
		}
	}
	switch {
	case path == n.static.Broker.MetadataLogDir:
		n.fail(fmt.Errorf("FATAL: the node stops because the log directory of its metadata failed: %w", err))
	case alive == 0 && n.opened.Load() != nil:
		n.fail(fmt.Errorf("FATAL: the node stops because its last log directory failed: %w", err))
	}
	n.placed.kick()
}

// dirChanged is called by a directory that begins or ceases to hang or to be full. It does not wait.
func (n *Node) dirChanged() {
	select {
	case n.tending <- struct{}{}:
	default:
	}
}

// tend follows the directories: who waits for one that hangs is told, and one that is full is cleaned of what may go.
func (n *Node) tend() {
	hung := map[*dir.Dir]bool{}
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-n.tending:
		}
		full := false
		for _, d := range n.dirs {
			full = full || d.Full(n.clock())
			if d.Hung() == hung[d] {
				continue
			}
			if hung[d] = d.Hung(); hung[d] {
				n.eachIn(d, (*partition.Partition).GiveUp)
			}
		}
		if full {
			select {
			case n.cleaning <- struct{}{}:
			default:
			}
		}
	}
}

func (n *Node) eachIn(d *dir.Dir, f func(*partition.Partition)) {
	for p := range n.partitions.All() {
		if p.Dir() == d.Path() {
			f(p)
		}
	}
}

// fullCheckInterval is how often retention is applied while a directory is full.
const fullCheckInterval = 5 * time.Second

// untilMaintenance is the time to the next look at retention.
func (n *Node) untilMaintenance() time.Duration {
	every := n.static.Broker.LogRetentionCheckInterval
	for _, d := range n.dirs {
		if d.Full(n.clock()) {
			every = min(every, fullCheckInterval)
		}
	}
	return every
}

// unlessHung runs what waits for a directory, and does not wait for it any longer when the directory hangs.
func unlessHung(d *dir.Dir, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-tick.C:
			if d.Hung() {
				return fmt.Errorf("it is left as it is: %w", d.HungError())
			}
		}
	}
}

// missingDir stands for a directory that the metadata names and this node does not have.
func (n *Node) missingDir(id model.TopicID) *dir.Dir {
	n.mu.Lock()
	defer n.mu.Unlock()
	if d := n.mu.missing[id]; d != nil {
		return d
	}
	why := fmt.Errorf("the log directory with id %v is not among those of log.dirs that work: name it there again or repair its disk; or, if it is lost, delete the topics that lived there", id)
	if id == meta.LostDirectory || id == meta.UnassignedDirectory {
		why = errors.New("it is not known which log directory has the log, and some do not work: repair them; or delete the topic")
	}
	if n.mu.missing == nil {
		n.mu.missing = map[model.TopicID]*dir.Dir{}
	}
	d := dir.Unavailable(n.fs, id.String(), why, dir.Options{Meta: dir.Meta{ClusterID: n.clusterID, NodeID: n.static.Broker.NodeID, DirectoryID: id}, Memory: n.memory, Handles: n.handles})
	n.mu.missing[id] = d
	return d
}
