package dir

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Names of the files that give a directory its identity.
const (
	metaFile   = "meta.properties"
	formatFile = "ottla.format"
	lockFile   = ".lock"
)

// formatVersion is the newest layout of a directory that this build reads and writes; see docs/format/directory.md.
const formatVersion = 1

// NoNodeID stands for "whatever the directory says".
const NoNodeID = -1

// Meta is the identity of a log directory, as Kafka's meta.properties has it.
type Meta struct {
	ClusterID   string
	NodeID      int32
	DirectoryID model.TopicID
}

// ReadMeta reads the identity of the directory at path without taking its lock, so that a node can learn its cluster id before it opens anything.
// fs.ErrNotExist when the directory was never used.
func ReadMeta(fsys vfs.FS, path string) (Meta, error) {
	data, err := vfs.ReadSmall(fsys, filepath.Join(path, metaFile))
	if err != nil {
		return Meta{}, err
	}
	return parseMeta(filepath.Join(path, metaFile), data)
}

func parseMeta(name string, data []byte) (Meta, error) {
	if err := unsealProperties(data); err != nil {
		return Meta{}, fmt.Errorf("%s is damaged: %w: restore the file from a backup", name, err)
	}
	properties := parseProperties(data)
	m := Meta{ClusterID: properties["cluster.id"], NodeID: NoNodeID}
	if v := properties["version"]; v != "1" {
		return Meta{}, fmt.Errorf("%s has version %q, want 1: it was written by another release; open the directory with that one", name, v)
	}
	if m.ClusterID == "" {
		return Meta{}, fmt.Errorf("%s has no cluster.id: restore the file from a backup, or move the directory away to start empty", name)
	}
	if v, ok := properties["node.id"]; ok {
		id, err := strconv.ParseInt(v, 10, 32)
		if err != nil || id < 0 {
			return Meta{}, fmt.Errorf("%s has node.id %q, want a number from 0: restore the file from a backup", name, v)
		}
		m.NodeID = int32(id)
	}
	if v, ok := properties["directory.id"]; ok {
		id, err := model.ParseTopicID(v)
		if err != nil {
			return Meta{}, fmt.Errorf("%s has a bad directory.id: %w", name, err)
		}
		m.DirectoryID = id
	}
	return m, nil
}

func (m Meta) encode() []byte {
	return sealProperties(fmt.Sprintf("cluster.id=%s\ndirectory.id=%s\nnode.id=%d\nversion=1\n", m.ClusterID, m.DirectoryID, m.NodeID))
}

// parseProperties reads the subset of Java's properties that meta.properties uses: key=value lines and comments.
func parseProperties(data []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		out[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return out
}

// inspect reads the identity of a directory and refuses one that is not for us. It changes nothing. fresh means that there is no identity yet. A directory that Apache
// Kafka formatted is as good as one of ours: it only has no marker of our format yet.
func inspect(fsys vfs.FS, path string, want Meta) (have Meta, fresh bool, err error) {
	formatName := filepath.Join(path, formatFile)
	format, formatErr := vfs.ReadSmall(fsys, formatName)
	if formatErr != nil && !errors.Is(formatErr, fs.ErrNotExist) {
		return Meta{}, false, fmt.Errorf("log directory %s: %w", path, formatErr)
	}
	have, metaErr := ReadMeta(fsys, path)
	switch {
	case metaErr != nil && !errors.Is(metaErr, fs.ErrNotExist):
		return Meta{}, false, metaErr
	}
	if formatErr == nil {
		if err := checkFormat(formatName, format); err != nil {
			return Meta{}, false, err
		}
	}
	if metaErr == nil {
		return have, false, checkMeta(path, have, want)
	}
	return want, true, refuseOrphans(fsys, path, want)
}

// refuseOrphans refuses a directory that has logs but no identity: something was lost, or it is not ours.
func refuseOrphans(fsys vfs.FS, path string, want Meta) error {
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return fmt.Errorf("log directory %s: %w", path, err)
	}
	for _, e := range entries {
		if e.IsDir && looksLikeLog(e.Name) {
			return fmt.Errorf("log directory %s has logs (such as %s) but no %s: restore the file from a backup, or choose another directory in log.dirs", path, e.Name, metaFile)
		}
	}
	if want.NodeID == NoNodeID {
		return fmt.Errorf("log directory %s is new and needs a node id: set node.id", path)
	}
	return nil
}

func checkFormat(name string, data []byte) error {
	v := parseProperties(data)["version"]
	version, err := strconv.Atoi(v)
	switch {
	case err != nil || version < 1:
		return fmt.Errorf("%s has version %q, want a number from 1: restore the file from a backup", name, v)
	case version > formatVersion:
		return fmt.Errorf("%s has format version %d and this release reads up to %d: start the newer release of Ottla that wrote it", name, version, formatVersion)
	}
	return nil
}

func checkMeta(path string, have, want Meta) error {
	switch {
	case want.ClusterID != "" && want.ClusterID != have.ClusterID:
		return fmt.Errorf("log directory %s belongs to cluster %s, this node to cluster %s: choose another directory in log.dirs, or move this one away", path, have.ClusterID, want.ClusterID)
	case want.NodeID != NoNodeID && have.NodeID != NoNodeID && want.NodeID != have.NodeID:
		return fmt.Errorf("log directory %s belongs to node %d, this is node %d: set node.id=%d, or choose another directory in log.dirs", path, have.NodeID, want.NodeID, have.NodeID)
	case have.DirectoryID.IsZero():
		return fmt.Errorf("log directory %s has no directory.id in %s: restore the file from a backup", path, metaFile)
	}
	return nil
}

// create gives a fresh directory its identity.
func create(fsys vfs.FS, path string, m Meta) (Meta, error) {
	if m.ClusterID == "" {
		m.ClusterID = NewID().String()
	}
	if m.DirectoryID.IsZero() {
		m.DirectoryID = NewID()
	}
	return m, replace(fsys, path, format(), file{metaFile, m.encode()})
}

func format() file {
	return file{formatFile, fmt.Appendf(nil, "# The layout of this log directory. Apache Kafka does not read this file.\nversion=%d\n", formatVersion)}
}

// adopt gives a directory of Apache Kafka the marker of our format.
func (d *Dir) adopt() error {
	_, err := d.fs.Stat(filepath.Join(d.path, formatFile))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	d.logger.Info("a log directory of Apache Kafka is taken over as it is", "directory", d.path, "cluster_id", d.meta.ClusterID, "node_id", d.meta.NodeID)
	return replace(d.fs, d.path, format())
}

// NewID makes a random Kafka uuid that does not begin with a dash, as Kafka's own never do, so that it can be given on a command line.
func NewID() model.TopicID {
	for {
		var id model.TopicID
		rand.Read(id[:]) //nolint:errcheck // crypto/rand.Read never returns an error
		id[6] = id[6]&0x0f | 0x40
		id[8] = id[8]&0x3f | 0x80
		if !strings.HasPrefix(id.String(), "-") {
			return id
		}
	}
}

// looksLikeLog tells whether a name is a partition's directory: topic-partition, or one that is being deleted.
func looksLikeLog(name string) bool {
	if strings.HasSuffix(name, deletedSuffix) {
		return true
	}
	_, _, ok := splitName(name)
	return ok
}

// splitName splits topic-0 into the topic and the partition.
func splitName(name string) (topic string, partition int32, ok bool) {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return "", 0, false
	}
	p, err := strconv.ParseInt(name[i+1:], 10, 32)
	if err != nil || p < 0 || strconv.FormatInt(p, 10) != name[i+1:] {
		return "", 0, false
	}
	if model.ValidateTopicName(name[:i]) != nil {
		return "", 0, false
	}
	return name[:i], int32(p), true
}
