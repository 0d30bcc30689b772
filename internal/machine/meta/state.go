package meta

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// maxPartitionNumber bounds what a damaged record can make an image allocate.
const maxPartitionNumber = 1 << 20

// state is an image in the making. Copying a topic of 10,000 partitions for each of 10,000 records would cost 100 million copies, so that topics which
// no sealed image refers to are owned and changed in place; seal gives them all away.
type state struct {
	image Image
	owned map[model.TopicID]*Topic
	// begun is the image before the open metadata transaction; nil outside of one.
	begun *Image
	// last holds the slices of the partition applied before: most partitions have equal ones, and then share them.
	last Partition
}

func newState(from Image) *state { return &state{image: from, owned: map[model.TopicID]*Topic{}} }

// seal returns the image as it is now; what it refers to will not be changed any more.
func (s *state) seal() *Image {
	clear(s.owned)
	sealed := s.image
	return &sealed
}

// apply changes the state as the record says. Records that contradict the state change nothing and are counted; those that are not known are kept besides (meta.I6).
func (s *state) apply(c change) {
	s.image.position = machine.Position{Epoch: c.at.Epoch, Offset: c.at.Offset + 1}
	if c.opaque != nil {
		s.image.opaque = s.image.opaque.Append(c.opaque)
	}
	if c.opaque != nil || !s.change(c.message) {
		s.image.unknownRecords++
	}
}

// change tells whether the record was understood.
func (s *state) change(m record.Message) bool {
	switch r := m.(type) {
	case *record.TopicRecord:
		return s.addTopic(r)
	case *record.PartitionRecord:
		return s.addPartition(r)
	case *record.PartitionChangeRecord:
		return s.changePartition(r)
	case *record.RemoveTopicRecord:
		return s.removeTopic(r)
	case *record.ConfigRecord:
		s.setConfig(r)
	case *record.FeatureLevelRecord:
		s.setFeature(r)
	case *record.ProducerIdsRecord:
		s.image.nextProducerID = max(s.image.nextProducerID, r.NextProducerID)
	case *record.RegisterControllerRecord:
		s.putController(&Controller{ID: r.ControllerID, IncarnationID: r.IncarnationID, Endpoints: endpointsOf(r.EndPoints), Features: featuresOf(r.Features)})
	case *record.UnregisterControllerRecord:
		s.image.controllers = slices.DeleteFunc(slices.Clone(s.image.controllers), func(c *Controller) bool { return c.ID == r.ControllerID })
	case *record.BeginTransactionRecord:
		s.begun = s.seal()
	case *record.EndTransactionRecord:
		s.begun = nil
	case *record.AbortTransactionRecord:
		return s.abort()
	case *record.ClearElrRecord:
		return s.clearELR(r)
	case *record.NoOpRecord, *record.ZkMigrationStateRecord: // the second one has had no effect since Kafka 4.0
	default:
		return s.changeBroker(m) || s.changeKept(m)
	}
	return true
}

func (s *state) abort() bool {
	if s.begun == nil {
		return false
	}
	at := s.image.position
	s.image, s.begun = *s.begun, nil
	s.image.position = at
	clear(s.owned)
	return true
}

func (s *state) addTopic(r *record.TopicRecord) bool {
	if s.image.TopicByID(r.TopicID) != nil || s.image.TopicByName(r.Name) != nil {
		return false
	}
	t := &Topic{Name: r.Name, ID: r.TopicID, Internal: model.IsInternal(r.Name)}
	s.put(t)
	if strings.ContainsAny(t.Name, "._") {
		s.image.folded = s.image.folded.Set(fold(t.Name), t.Name)
	}
	return true
}

func (s *state) put(t *Topic) {
	s.image.byID = s.image.byID.Set(t.ID, t)
	s.image.byName = s.image.byName.Set(t.Name, t)
	s.owned[t.ID] = t
}

// own returns the topic ready to be changed in place, or nil when there is none.
func (s *state) own(id model.TopicID) *Topic {
	if t := s.owned[id]; t != nil {
		return t
	}
	t := s.image.TopicByID(id)
	if t == nil {
		return nil
	}
	mine := *t
	mine.Partitions = slices.Clone(t.Partitions)
	s.put(&mine)
	return &mine
}

func (s *state) addPartition(r *record.PartitionRecord) bool {
	if r.PartitionID < 0 || r.PartitionID > maxPartitionNumber {
		return false
	}
	t := s.own(r.TopicID)
	if t == nil {
		return false
	}
	for int(r.PartitionID) >= len(t.Partitions) {
		t.Partitions = append(t.Partitions, Partition{Leader: NoLeader})
		s.image.partitions++
	}
	p := Partition{
		Replicas: r.Replicas, ISR: r.ISR, Directories: r.Directories,
		RemovingReplicas: r.RemovingReplicas, AddingReplicas: r.AddingReplicas,
		EligibleLeaderReplicas: r.EligibleLeaderReplicas, LastKnownELR: r.LastKnownELR,
		Leader: r.Leader, LeaderEpoch: r.LeaderEpoch, PartitionEpoch: r.PartitionEpoch, LeaderRecoveryState: r.LeaderRecoveryState,
	}
	s.share(&p)
	t.Partitions[r.PartitionID] = p
	return true
}

// share lets the partition use the slices of the one before it where they are equal, and drops empty ones.
func (s *state) share(p *Partition) {
	p.Replicas = shared(s.last.Replicas, p.Replicas)
	p.ISR = shared(s.last.ISR, p.ISR)
	p.ISR = shared(p.Replicas, p.ISR)
	p.Directories = shared(s.last.Directories, p.Directories)
	p.RemovingReplicas = shared(nil, p.RemovingReplicas)
	p.AddingReplicas = shared(nil, p.AddingReplicas)
	p.EligibleLeaderReplicas = shared(nil, p.EligibleLeaderReplicas)
	p.LastKnownELR = shared(nil, p.LastKnownELR)
	s.last = *p
}

func shared[T comparable](before, now []T) []T {
	if len(now) == 0 {
		return nil
	}
	if slices.Equal(before, now) {
		return before
	}
	return now
}

func (s *state) changePartition(r *record.PartitionChangeRecord) bool {
	t := s.own(r.TopicID)
	if t == nil || t.Partition(r.PartitionID) == nil {
		return false
	}
	p := &t.Partitions[r.PartitionID]
	replace(&p.Replicas, r.Replicas)
	replace(&p.ISR, r.ISR)
	replace(&p.Directories, r.Directories)
	replace(&p.RemovingReplicas, r.RemovingReplicas)
	replace(&p.AddingReplicas, r.AddingReplicas)
	replace(&p.EligibleLeaderReplicas, r.EligibleLeaderReplicas)
	replace(&p.LastKnownELR, r.LastKnownELR)
	if r.LeaderRecoveryState >= 0 {
		p.LeaderRecoveryState = r.LeaderRecoveryState
	}
	if r.Leader != leaderUnchanged {
		p.Leader = r.Leader
		p.LeaderEpoch++
	}
	p.PartitionEpoch++
	s.share(p)
	return true
}

// leaderUnchanged in a PartitionChangeRecord says that the leader stays; any other value, also the present leader, raises the leader epoch.
const leaderUnchanged int32 = -2

// replace takes a changed slice; null says unchanged.
func replace[T any](field *[]T, changed []T) {
	if changed != nil {
		*field = changed
	}
}

func (s *state) removeTopic(r *record.RemoveTopicRecord) bool {
	t := s.image.TopicByID(r.TopicID)
	if t == nil {
		return false
	}
	delete(s.owned, t.ID)
	s.image.byID = s.image.byID.Delete(t.ID)
	s.image.byName = s.image.byName.Delete(t.Name)
	s.image.folded = s.image.folded.Delete(fold(t.Name))
	s.image.configs = s.image.configs.Delete(Resource{TopicResource, t.Name})
	s.image.partitions -= len(t.Partitions)
	return true
}

func (s *state) setConfig(r *record.ConfigRecord) {
	resource := Resource{ResourceType(r.ResourceType), r.ResourceName}
	old, _ := s.image.configs.Get(resource)
	now := maps.Clone(old)
	if r.Value == nil {
		delete(now, r.Name)
	} else {
		if now == nil {
			now = map[string]string{}
		}
		now[r.Name] = *r.Value
	}
	if len(now) == 0 {
		s.image.configs = s.image.configs.Delete(resource)
		return
	}
	s.image.configs = s.image.configs.Set(resource, now)
}

func (s *state) setFeature(r *record.FeatureLevelRecord) {
	now := maps.Clone(s.image.features)
	if now == nil {
		now = map[string]int16{}
	}
	if r.FeatureLevel == 0 {
		delete(now, r.Name)
	} else {
		now[r.Name] = r.FeatureLevel
	}
	s.image.features = now
}

func (s *state) putController(c *Controller) {
	list := slices.DeleteFunc(slices.Clone(s.image.controllers), func(o *Controller) bool { return o.ID == c.ID })
	list = append(list, c)
	slices.SortFunc(list, func(a, b *Controller) int { return cmp.Compare(a.ID, b.ID) })
	s.image.controllers = list
}
