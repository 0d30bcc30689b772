package meta

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/machine/meta/record"
)

// keptKey names a record that the machine does not act on but must not lose: what Kafka keeps about quotas, ACLs, credentials and tokens.
type keptKey struct {
	kind keptKind
	id   string
}

// keptKind is the kind of a kept record, in the order in which Kafka's snapshots have them.
type keptKind int8

const (
	keptQuota keptKind = iota
	keptACL
	keptScram
	keptToken
)

type keptOrder struct{}

func (keptOrder) Compare(a, b keptKey) int {
	return cmp.Or(cmp.Compare(a.kind, b.kind), strings.Compare(a.id, b.id))
}

// changeKept applies the records of which only the newest of each key is kept, and tells whether the record was one.
func (s *state) changeKept(m record.Message) bool {
	switch r := m.(type) {
	case *record.ClientQuotaRecord:
		key := keptKey{keptQuota, quotaID(r)}
		if r.Remove {
			s.image.kept = s.image.kept.Delete(key)
		} else {
			s.image.kept = s.image.kept.Set(key, r)
		}
	case *record.AccessControlEntryRecord:
		s.image.kept = s.image.kept.Set(keptKey{keptACL, string(r.ID[:])}, r)
	case *record.RemoveAccessControlEntryRecord:
		s.image.kept = s.image.kept.Delete(keptKey{keptACL, string(r.ID[:])})
	case *record.UserScramCredentialRecord:
		s.image.kept = s.image.kept.Set(scramKey(r.Name, r.Mechanism), r)
	case *record.RemoveUserScramCredentialRecord:
		s.image.kept = s.image.kept.Delete(scramKey(r.Name, r.Mechanism))
	case *record.DelegationTokenRecord:
		s.image.kept = s.image.kept.Set(keptKey{keptToken, r.TokenID}, r)
	case *record.RemoveDelegationTokenRecord:
		s.image.kept = s.image.kept.Delete(keptKey{keptToken, r.TokenID})
	default:
		return false
	}
	return true
}

func scramKey(name string, mechanism int8) keptKey {
	return keptKey{keptScram, name + "\x00" + string(rune(uint8(mechanism)))}
}

// quotaID tells quotas apart: the entity, whose parts have no order, and the name of what is limited.
func quotaID(r *record.ClientQuotaRecord) string {
	parts := make([]string, 0, len(r.Entity))
	for _, e := range r.Entity {
		part := appendPart(nil, e.EntityType)
		if e.EntityName != nil { // null is the default of the type
			part = appendPart(append(part, 1), *e.EntityName)
		}
		parts = append(parts, string(part))
	}
	slices.Sort(parts)
	var id []byte
	for _, part := range parts {
		id = appendPart(id, part)
	}
	return string(appendPart(id, r.Key))
}

func appendPart(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// clearELR forgets the eligible leader replicas of a topic, or of all when it has no name (KIP-966). It tells whether the topic is there.
func (s *state) clearELR(r *record.ClearElrRecord) bool {
	if r.TopicName != "" {
		t := s.image.TopicByName(r.TopicName)
		if t == nil {
			return false
		}
		s.clearTopicELR(t)
		return true
	}
	for t := range s.image.Topics() { // the iterator walks the map as it is now
		s.clearTopicELR(t)
	}
	return true
}

func (s *state) clearTopicELR(t *Topic) {
	for number := range t.Partitions {
		if p := &t.Partitions[number]; len(p.EligibleLeaderReplicas) > 0 || len(p.LastKnownELR) > 0 {
			s.changePartition(&record.PartitionChangeRecord{
				TopicID: t.ID, PartitionID: int32(number), Leader: leaderUnchanged, LeaderRecoveryState: -1,
				EligibleLeaderReplicas: []int32{}, LastKnownELR: []int32{},
			})
		}
	}
}
