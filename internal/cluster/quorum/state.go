package quorum

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// stateFile is Kafka's name for the file with the epoch and the vote.
const stateFile = "quorum-state"

// maxStateBytes bounds what is read of it.
const maxStateBytes = 64 << 10

// state is the content of the file, in Kafka's form. A leader that voted for itself is written without its vote, as Kafka does: it follows from leaderId.
type state struct {
	LeaderID         int32  `json:"leaderId"`
	LeaderEpoch      int32  `json:"leaderEpoch"`
	VotedID          int32  `json:"votedId"`
	VotedDirectoryID string `json:"votedDirectoryId"`
	DataVersion      int    `json:"data_version"`
}

// vote is what Raft must never forget.
type vote struct {
	term  uint64
	voted uint64 // Raft's number of a voter, 0 for none
}

// stateStore reads and replaces the file.
type stateStore struct {
	fs     vfs.FS
	path   string // the partition's directory
	self   int32
	voters *voters
}

// load returns the zero vote when there is no file yet.
func (s *stateStore) load() (vote, error) {
	name := filepath.Join(s.path, stateFile)
	data, err := readSmall(s.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return vote{}, nil
	}
	if err != nil {
		return vote{}, fmt.Errorf("read %s: %w", name, err)
	}
	var st state
	if err := json.Unmarshal(data, &st); err != nil {
		return vote{}, fmt.Errorf("read %s: %w: restore it from a copy, or remove this voter from the quorum and format it anew", name, err)
	}
	if st.DataVersion < 0 || st.DataVersion > 1 {
		return vote{}, fmt.Errorf("read %s: its version %d is newer than this build", name, st.DataVersion)
	}
	if st.LeaderEpoch < 0 {
		return vote{}, fmt.Errorf("read %s: the epoch %d is not possible", name, st.LeaderEpoch)
	}
	out := vote{term: uint64(st.LeaderEpoch)}
	id, directory := st.VotedID, model.TopicID{}
	if id < 0 && st.LeaderID == s.self {
		id = s.self
	} else if id >= 0 && st.VotedDirectoryID != "" {
		if directory, err = model.ParseTopicID(st.VotedDirectoryID); err != nil {
			return vote{}, fmt.Errorf("read %s: votedDirectoryId: %w", name, err)
		}
	}
	if id < 0 {
		return out, nil
	}
	voted, ok := s.voters.find(id, directory)
	if !ok {
		// The vote went to someone who is no voter any more. It must still keep this node from voting again in that epoch.
		voted = Voter{ID: id, DirectoryID: directory}
	}
	out.voted = voted.raftID()
	return out, nil
}

// save replaces the file; when it returns nil the vote survives a power cut.
func (s *stateStore) save(v vote) error {
	st := state{LeaderID: -1, LeaderEpoch: int32(v.term), VotedID: -1, VotedDirectoryID: model.TopicID{}.String(), DataVersion: 1}
	if voted, ok := s.voters.byID[v.voted]; ok {
		st.VotedID, st.VotedDirectoryID = voted.ID, voted.DirectoryID.String()
		if voted.ID == s.self && len(s.voters.list) == 1 { // the vote is the election
			st.LeaderID, st.VotedID, st.VotedDirectoryID = s.self, -1, model.TopicID{}.String()
		}
	}
	data, err := json.Marshal(st)
	if err != nil {
		return err
	}
	name := filepath.Join(s.path, stateFile)
	if err := replaceFile(s.fs, name, data); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

// replaceFile leaves the old or the new file after a crash, never a mixture.
func replaceFile(fsys vfs.FS, name string, data []byte) error {
	temporary := name + ".tmp"
	if err := fsys.Remove(temporary); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	f, err := fsys.Create(temporary)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := fsys.Rename(temporary, name); err != nil {
		return err
	}
	return fsys.SyncDir(filepath.Dir(name))
}

func readSmall(fsys vfs.FS, name string) (data []byte, err error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return io.ReadAll(io.NewSectionReader(f, 0, maxStateBytes))
}
