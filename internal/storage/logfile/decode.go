package logfile

import (
	"encoding/binary"
	"fmt"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/group"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// decoder says what a record means; nil when it is an application's.
type decoder func(b batch.Batch, r *batch.Record) *Decoded

// decoderFor chooses by the topic whose log it is.
func decoderFor(topic string) decoder {
	var own decoder
	switch topic {
	case model.ConsumerOffsetsTopic:
		own = decodeOffsets
	case model.MetadataTopic:
		own = decodeMetadata
	}
	return func(b batch.Batch, r *batch.Record) *Decoded {
		switch {
		case b.IsControl():
			return decodeControl(r)
		case own != nil:
			return own(b, r)
		}
		return nil
	}
}

// offsetBody is a committed offset, or the removal of one.
type offsetBody struct {
	Group       string `json:"group"`
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Deleted     bool   `json:"deleted,omitempty"`
	Offset      *int64 `json:"offset,omitempty"`
	LeaderEpoch *int32 `json:"leader_epoch,omitempty"`
	Metadata    string `json:"metadata,omitempty"`
	CommitMs    *int64 `json:"commit_timestamp,omitempty"`
	ExpireMs    *int64 `json:"expire_timestamp,omitempty"`
	TopicID     string `json:"topic_id,omitempty"`
}

// groupBody is a group's generation, or the end of the group.
type groupBody struct {
	Group        string       `json:"group"`
	Deleted      bool         `json:"deleted,omitempty"`
	ProtocolType string       `json:"protocol_type,omitempty"`
	Generation   *int32       `json:"generation,omitempty"`
	Protocol     *string      `json:"protocol,omitempty"`
	Leader       *string      `json:"leader,omitempty"`
	SinceMs      *int64       `json:"current_state_timestamp,omitempty"`
	Members      []memberBody `json:"members,omitempty"`
}

type memberBody struct {
	ID           string  `json:"member_id"`
	InstanceID   *string `json:"group_instance_id,omitempty"`
	ClientID     string  `json:"client_id"`
	ClientHost   string  `json:"client_host"`
	RebalanceMs  int32   `json:"rebalance_timeout"`
	SessionMs    int32   `json:"session_timeout"`
	Subscription *Bytes  `json:"subscription"`
	Assignment   *Bytes  `json:"assignment"`
}

func decodeOffsets(_ batch.Batch, r *batch.Record) *Decoded {
	stored, err := group.ParseRecord(r.Key, r.Value)
	out := &Decoded{Type: "offset_commit"}
	if stored.Kind == "group" {
		out.Type = "group_metadata"
	}
	if err != nil {
		if stored.Kind == "" {
			out.Type = "unknown"
		}
		out.Error = err.Error()
		return out
	}
	if len(r.Value) >= 2 {
		out.Version = new(int16(binary.BigEndian.Uint16(r.Value)))
	}
	if stored.Kind == "group" {
		body := groupBody{Group: stored.Group, Deleted: stored.Metadata == nil}
		if g := stored.Metadata; g != nil {
			body.ProtocolType, body.Generation, body.Protocol, body.Leader, body.SinceMs = g.ProtocolType, &g.Generation, g.Protocol, g.Leader, &g.SinceMs
			for _, m := range g.Members {
				body.Members = append(body.Members, memberBody{m.ID, m.InstanceID, m.ClientID, m.ClientHost, m.RebalanceMs, m.SessionMs, show(m.Subscription, Base64), show(m.Assignment, Base64)})
			}
		}
		out.Body = body
		return out
	}
	body := offsetBody{Group: stored.Group, Topic: stored.Topic, Partition: stored.Partition, Deleted: stored.Offset == nil}
	if o := stored.Offset; o != nil {
		body.Offset, body.LeaderEpoch, body.Metadata, body.CommitMs = &o.Offset, &o.LeaderEpoch, o.Metadata, &o.CommitMs
		if o.ExpireMs >= 0 {
			body.ExpireMs = &o.ExpireMs
		}
		if !o.TopicID.IsZero() {
			body.TopicID = o.TopicID.String()
		}
	}
	out.Body = body
	return out
}

func decodeMetadata(_ batch.Batch, r *batch.Record) *Decoded {
	m, version, err := record.Decode(r.Value)
	if err != nil {
		return &Decoded{Type: "unknown", Error: err.Error()}
	}
	if u, ok := m.(*record.Unknown); ok {
		return &Decoded{Type: "unknown", Version: &version, Error: fmt.Sprintf("record type %d is not known to this build", u.Key)}
	}
	return &Decoded{Type: m.TypeName(), Version: &version, Body: m}
}

// The types of control records.
var controlTypes = map[int16]string{0: "ABORT", 1: "COMMIT", 2: "LeaderChange", 3: "SnapshotHeader", 4: "SnapshotFooter", 5: "KRaftVersion", 6: "KRaftVoters"}

type markerBody struct {
	CoordinatorEpoch int32 `json:"coordinator_epoch"`
}

type leaderBody struct {
	Leader   int32   `json:"leader_id"`
	Voters   []int32 `json:"voters"`
	Granting []int32 `json:"granting_voters"`
}

func decodeControl(r *batch.Record) *Decoded {
	if len(r.Key) < 4 {
		return &Decoded{Type: "control", Error: "its key is too short"}
	}
	kind := int16(binary.BigEndian.Uint16(r.Key[2:]))
	name, ok := controlTypes[kind]
	if !ok {
		return &Decoded{Type: "control", Error: fmt.Sprintf("control type %d is not known to this build", kind)}
	}
	out := &Decoded{Type: name}
	if len(r.Value) < 2 {
		out.Error = "its value is too short"
		return out
	}
	out.Version = new(int16(binary.BigEndian.Uint16(r.Value)))
	body := r.Value[2:]
	switch kind {
	case 0, 1:
		if len(body) >= 4 {
			out.Body = markerBody{int32(binary.BigEndian.Uint32(body))}
			return out
		}
		out.Error = "its value is too short"
	case 2:
		if b, ok := leaderChange(body); ok {
			out.Body = b
			return out
		}
		out.Error = "its value is not as version 0 has it"
	default:
		out.Body, out.Error = decodeKRaft(kind, body)
	}
	return out
}

// leaderChange reads the leader and the voters of a LeaderChange record.
func leaderChange(p []byte) (out leaderBody, ok bool) {
	if len(p) < 4 {
		return out, false
	}
	out.Leader = int32(binary.BigEndian.Uint32(p))
	p = p[4:]
	for _, list := range []*[]int32{&out.Voters, &out.Granting} {
		n, k := binary.Uvarint(p)
		if k <= 0 || n == 0 || n-1 > uint64(len(p)/5) {
			return out, false
		}
		p = p[k:]
		*list = make([]int32, 0, n-1)
		for range n - 1 {
			if len(p) < 5 || p[4] != 0 {
				return out, false
			}
			*list = append(*list, int32(binary.BigEndian.Uint32(p)))
			p = p[5:]
		}
	}
	return out, true
}
