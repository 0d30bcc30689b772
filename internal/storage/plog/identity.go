package plog

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// identityFile is Kafka's file that says which topic a log's directory belongs to.
const identityFile = "partition.metadata"

// errTorn says that the identity was never synced: nothing in the log was ever acknowledged.
var errTorn = errors.New("the log was never complete on disk")

// writeIdentity writes partition.metadata, to be synced before anything else of the log. What a torn earlier attempt left is replaced.
func (l *Log) writeIdentity(r *dir.Round) (err error) {
	name := filepath.Join(l.path, identityFile)
	f, err := r.FS().Create(name)
	if errors.Is(err, fs.ErrExist) {
		if err = r.FS().Remove(name); err == nil {
			f, err = r.FS().Create(name)
		}
	}
	if err != nil {
		return err
	}
	if err := r.Write(f, encodeIdentity(l.id), 0); err != nil {
		return errors.Join(err, f.Close())
	}
	r.First(f)
	return nil
}

func encodeIdentity(id model.TopicID) []byte {
	body := "version: 0\ntopic_id: " + id.String() + "\n"
	return fmt.Appendf(nil, "%s%s%08x", body, identitySeal, crc32.Checksum([]byte(body), castagnoli))
}

// identitySeal begins the line in which a partition.metadata of ours has the checksum of the lines before. Kafka reads two lines, and writes no more.
const identitySeal = "ottla_crc32c: "

// tornIdentity tells whether the bytes are the beginning of an identity, with zeros or nothing behind it: what a write leaves that a crash or a full disk ended.
func tornIdentity(data []byte) bool {
	const begin, seal, digits = "version: 0\ntopic_id: ", "\n" + identitySeal, 8
	lines := len(begin) + len(model.TopicID{}.String())
	written := strings.TrimRight(string(data), "\x00")
	if len(written) < lines {
		return strings.HasPrefix(begin, written) || strings.HasPrefix(written, begin)
	}
	rest := written[lines:]
	whole := len(rest) <= 1 && len(written) == len(data) // as Kafka writes it
	return !whole && len(rest) < len(seal)+digits && strings.HasPrefix(written, begin) && (strings.HasPrefix(seal, rest) || strings.HasPrefix(rest, seal))
}

func parseIdentity(data []byte) (model.TopicID, error) {
	if tornIdentity(data) {
		return model.TopicID{}, errTorn
	}
	body, sum, sealed := strings.Cut(string(data), "\n"+identitySeal)
	if sealed && sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(body+"\n"), castagnoli)) {
		return model.TopicID{}, fmt.Errorf("%s is damaged: it is not what was written, its checksum differs", identityFile)
	}
	lines := strings.Split(strings.TrimSpace(body), "\n")
	if len(lines) > 2 {
		return model.TopicID{}, fmt.Errorf("%s is damaged: its third line is %q", identityFile, lines[2])
	}
	if len(lines) < 2 || lines[0] != "version: 0" {
		return model.TopicID{}, fmt.Errorf("%s is damaged: its first line is %q, want \"version: 0\"", identityFile, lines[0])
	}
	value, ok := strings.CutPrefix(lines[1], "topic_id: ")
	if !ok {
		return model.TopicID{}, fmt.Errorf("%s is damaged: no topic_id", identityFile)
	}
	id, err := model.ParseTopicID(value)
	if err != nil {
		return model.TopicID{}, fmt.Errorf("%s is damaged: %w", identityFile, err)
	}
	return id, nil
}

func readIdentity(fsys vfs.FS, path string) (model.TopicID, error) {
	data, err := vfs.ReadSmall(fsys, filepath.Join(path, identityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return model.TopicID{}, errTorn
	}
	if err != nil {
		return model.TopicID{}, err
	}
	return parseIdentity(data)
}

// IdentityError says that a directory has the log of another topic of the same name.
type IdentityError struct {
	Log        string
	Have, Want model.TopicID
}

// Error implements error.
func (e *IdentityError) Error() string {
	return fmt.Sprintf("log %s belongs to topic id %s, not %s: the topic was deleted and made again; the old log must be discarded first", e.Log, e.Have, e.Want)
}

// Identify tells to which topic id a log belongs that was found in the directory and is not open. A log that was never complete on disk has the zero id.
func Identify(d *dir.Dir, name string) (model.TopicID, error) {
	found := d.Adopt(name)
	if found == nil {
		return model.TopicID{}, fs.ErrNotExist
	}
	defer d.Return(name, found)
	if found.State != nil {
		if st, err := parseState(found.State); err == nil {
			return st.id, nil
		}
	}
	id, err := readIdentity(d.FS(), filepath.Join(d.Path(), name))
	if errors.Is(err, errTorn) {
		return model.TopicID{}, nil
	}
	return id, err
}

// Discard deletes a log that was found in the directory and is not open, such as that of a topic that was deleted meanwhile.
func Discard(d *dir.Dir, name string) error {
	found := d.Adopt(name)
	if found == nil {
		return nil
	}
	if err := discard(d, name); err != nil {
		d.Return(name, found)
		return err
	}
	return nil
}

func discard(d *dir.Dir, name string) error {
	target := filepath.Join(d.Path(), deletedName(name))
	if err := d.FS().Rename(filepath.Join(d.Path(), name), target); err != nil {
		return fmt.Errorf("discard log %s: %w", name, err)
	}
	if err := d.FS().SyncDir(d.Path()); err != nil {
		err = fmt.Errorf("sync directory %s: %w", d.Path(), err)
		d.Offline(err)
		return err
	}
	d.RemoveLater(target, 0)
	return nil
}
