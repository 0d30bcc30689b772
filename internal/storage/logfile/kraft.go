package logfile

import (
	"encoding/binary"

	"github.com/ottla/ottla/internal/kafka/model"
)

// The bodies of the control records of the metadata log and its snapshots.
type (
	snapshotHeaderBody struct {
		LastContainedLogTimestamp int64   `json:"last_contained_log_timestamp"`
		RaftIndex                 *uint64 `json:"ottla_raft_index,omitempty"` // Ottla's own, see docs/format/cluster-metadata.md
	}
	snapshotFooterBody struct{}
	kraftVersionBody   struct {
		Version int16 `json:"kraft_version"`
	}
	kraftVotersBody struct {
		Voters []kraftVoter `json:"voters"`
	}
	kraftVoter struct {
		ID          int32           `json:"voter_id"`
		DirectoryID string          `json:"voter_directory_id"`
		Endpoints   []kraftEndpoint `json:"endpoints"`
		MinVersion  int16           `json:"min_supported_version"`
		MaxVersion  int16           `json:"max_supported_version"`
	}
	kraftEndpoint struct {
		Name string `json:"name"`
		Host string `json:"host"`
		Port uint16 `json:"port"`
	}
)

// raftIndexTag is the tagged field in which Ottla keeps Raft's number of the last entry that a snapshot stands for.
const raftIndexTag = 0x6f74

// decodeKRaft reads what follows the version of a control record of the metadata log.
func decodeKRaft(kind int16, body []byte) (out any, problem string) {
	r := &flexible{p: body}
	switch kind {
	case 3:
		b := snapshotHeaderBody{LastContainedLogTimestamp: int64(r.uint(8))}
		r.tagged(func(tag uint64, field []byte) {
			if tag == raftIndexTag && len(field) == 8 {
				b.RaftIndex = new(binary.BigEndian.Uint64(field))
			}
		})
		out = b
	case 4:
		r.tags()
		out = snapshotFooterBody{}
	case 5:
		out = kraftVersionBody{int16(r.uint(2))}
		r.tags()
	case 6:
		b := kraftVotersBody{Voters: []kraftVoter{}}
		for range r.length(27) {
			v := kraftVoter{ID: int32(r.uint(4)), DirectoryID: model.TopicID(r.take(16)).String(), Endpoints: []kraftEndpoint{}}
			for range r.length(5) {
				v.Endpoints = append(v.Endpoints, kraftEndpoint{r.string(), r.string(), uint16(r.uint(2))})
				r.tags()
			}
			v.MinVersion, v.MaxVersion = int16(r.uint(2)), int16(r.uint(2))
			r.tags()
			r.tags()
			b.Voters = append(b.Voters, v)
		}
		r.tags()
		out = b
	default:
		return map[string]*Bytes{"value": show(body, Base64)}, ""
	}
	if r.bad || len(r.p) != 0 {
		return nil, "its value is not as version 0 has it"
	}
	return out, ""
}

// flexible walks a value of Kafka's flexible encoding; behind the end everything is zero and bad is set.
type flexible struct {
	p   []byte
	bad bool
}

func (r *flexible) take(n int) []byte {
	if n < 0 || n > len(r.p) {
		r.p, r.bad = nil, true
		return make([]byte, min(max(n, 0), 16))
	}
	out := r.p[:n]
	r.p = r.p[n:]
	return out
}

func (r *flexible) uint(size int) (n uint64) {
	for _, b := range r.take(size) {
		n = n<<8 | uint64(b)
	}
	return n
}

func (r *flexible) uvarint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.p, r.bad = nil, true
		return 0
	}
	r.p = r.p[n:]
	return v
}

// length reads a compact length of elements of at least size bytes.
func (r *flexible) length(size int) int {
	v := r.uvarint()
	if v == 0 || v-1 > uint64(len(r.p)/size) {
		r.p, r.bad = nil, true
		return 0
	}
	return int(v - 1)
}

func (r *flexible) string() string { return string(r.take(r.length(1))) }

func (r *flexible) tags() { r.tagged(func(uint64, []byte) {}) }

func (r *flexible) tagged(f func(tag uint64, field []byte)) {
	for count := r.uvarint(); count > 0 && !r.bad; count-- {
		tag, size := r.uvarint(), r.uvarint()
		if size > uint64(len(r.p)) {
			r.p, r.bad = nil, true
			return
		}
		f(tag, r.take(int(size)))
	}
}
