package quorum

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"github.com/ottla/ottla/internal/kafka/model"
)

// Voter is one member of the quorum. A node whose directory was replaced is another voter, because it has forgotten its votes.
type Voter struct {
	ID          int32
	DirectoryID model.TopicID
	Endpoints   []Endpoint
}

// Endpoint is where a voter's controller listener is reached.
type Endpoint struct {
	Listener string
	Host     string
	Port     uint16
}

// raftID is the voter's number in Raft: a hash of both halves of its identity, because Raft knows a member by one number for all time.
func (v Voter) raftID() uint64 {
	h := fnv.New64a()
	var id [4]byte
	binary.BigEndian.PutUint32(id[:], uint32(v.ID))
	h.Write(id[:])
	h.Write(v.DirectoryID[:])
	return h.Sum64()
}

// voters is the membership by Raft's numbers.
type voters struct {
	list []Voter
	byID map[uint64]Voter
}

func newVoters(list []Voter) (*voters, error) {
	v := &voters{list: list, byID: map[uint64]Voter{}}
	for _, one := range list {
		id := one.raftID()
		if other, taken := v.byID[id]; taken {
			return nil, fmt.Errorf("voters %d and %d of the metadata quorum cannot be told apart: each needs its own node id", other.ID, one.ID)
		}
		if id == 0 || id >= math.MaxUint64-1 { // reserved by Raft
			return nil, fmt.Errorf("voter %d with directory %s has a reserved number: format its directory anew", one.ID, one.DirectoryID)
		}
		v.byID[id] = one
	}
	return v, nil
}

// find returns the voter with the node id and, unless that is zero, the directory id.
func (v *voters) find(id int32, directory model.TopicID) (Voter, bool) {
	for _, one := range v.list {
		if one.ID == id && (directory.IsZero() || one.DirectoryID == directory) {
			return one, true
		}
	}
	return Voter{}, false
}

func (v *voters) raftIDs() []uint64 {
	ids := make([]uint64, 0, len(v.list))
	for _, one := range v.list {
		ids = append(ids, one.raftID())
	}
	return ids
}
