package meta

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// RegisterBroker announces a broker process. The reply is a BrokerReply.
type RegisterBroker struct {
	ID            int32
	IncarnationID model.TopicID // of this process
	Endpoints     []Endpoint
	Features      []SupportedFeature
	Rack          *string
	Directories   []model.TopicID
	// Fenced registers the broker so that it may not lead before UnfenceBroker.
	Fenced bool
	// CleanShutdown says that the broker's previous process closed all its logs completely. Otherwise no partition goes on in the epoch in which the
	// broker led it before.
	CleanShutdown bool
}

// UnfenceBroker lets a registered broker lead. The reply is a BrokerReply.
type UnfenceBroker struct {
	ID    int32
	Epoch int64
}

// FenceBroker takes the broker's leaderships away. The reply is a BrokerReply.
type FenceBroker struct {
	ID    int32
	Epoch int64
}

// ShutDownBroker notes that an active broker has stopped in order, as a controlled shutdown of Kafka's ends: it is fenced, and so the next process under its id, Ottla or Apache
// Kafka, need not wait for the end of its session. It is for a broker that is alone: what it leads is left as it is. The reply is a BrokerReply.
type ShutDownBroker struct {
	ID    int32
	Epoch int64
}

// UnregisterBroker forgets a broker, whose leaderships move before. The reply is a BrokerReply.
type UnregisterBroker struct{ ID int32 }

// BrokerReply answers inputs about one broker.
type BrokerReply struct {
	Result
	Epoch  int64
	Fenced bool
	// Again asks to send the input again (after RegisterBroker: to send UnfenceBroker): the broker has more partitions than one input may change, and
	// the next ones follow then.
	Again bool
}

func (m *Machine) registerBroker(recs *records, in RegisterBroker) BrokerReply {
	image := &m.ahead.image
	if r := m.checkRegistration(in); r.Code != model.None {
		return BrokerReply{Result: r}
	}
	old := image.Broker(in.ID)
	if old != nil && old.IncarnationID == in.IncarnationID {
		return BrokerReply{Epoch: old.Epoch, Fenced: old.Fenced, Again: m.raises[in.ID] != nil} // sent again: the answer got lost
	}
	epoch := m.next
	delete(m.raises, in.ID)
	// A broker that is still fenced may have come back unclean before and been stopped before all its epochs were raised, unless it was fenced by its own shutdown.
	clean := in.CleanShutdown && (old == nil || !old.Fenced || old.InControlledShutdown)
	back := &returning{clean: clean, fenced: in.Fenced, directories: in.Directories}
	back.collect(image, in.ID)
	if len(back.partitions) > m.opts.MaxChangesPerInput && !back.fenced {
		back.fenced = true
		back.collect(image, in.ID)
	}
	directories := in.Directories
	if image.Level() < directoriesLevel {
		directories = nil
	}
	recs.add(&record.RegisterBrokerRecord{
		BrokerID: in.ID, IncarnationID: in.IncarnationID, BrokerEpoch: epoch, EndPoints: recordEndpoints(in.Endpoints),
		Features: recordFeatures(in.Features), Rack: in.Rack, Fenced: back.fenced, LogDirs: directories,
	}, m.versions().registerBroker)
	back.change(recs, image, in.ID, m.opts.MaxChangesPerInput)
	if !back.finished() {
		m.raises[in.ID] = back
	}
	again := back.fenced && !in.Fenced || !back.finished()
	if !back.fenced {
		again = m.elect(recs, &Broker{ID: in.ID, Directories: in.Directories}) || again
	}
	return BrokerReply{Epoch: epoch, Fenced: back.fenced, Again: again}
}

func (m *Machine) checkRegistration(in RegisterBroker) Result {
	image := &m.ahead.image
	if image.features[MetadataVersion] == 0 {
		return failure(model.InvalidRegistration, "broker %d cannot be registered before the cluster's metadata.version is set", in.ID)
	}
	if in.ID < 0 || len(in.Endpoints) == 0 {
		return failure(model.InvalidRegistration, "broker %d cannot be registered: its id must not be negative and it needs at least one endpoint", in.ID)
	}
	if len(in.Directories) == 0 {
		return failure(model.InvalidRegistration, "broker %d cannot be registered without a log directory", in.ID)
	}
	for i, d := range in.Directories {
		if reserved(d) || slices.Contains(in.Directories[:i], d) {
			return failure(model.InvalidRegistration, "broker %d names log directory %s twice, or gives a reserved id", in.ID, d)
		}
		for _, other := range image.brokers {
			if other.ID != in.ID && slices.Contains(other.Directories, d) {
				return failure(model.InvalidRegistration, "log directory %s of broker %d belongs to broker %d: each broker needs directories of its own", d, in.ID, other.ID)
			}
		}
	}
	old := image.Broker(in.ID)
	if old == nil || old.Fenced || old.IncarnationID == in.IncarnationID || len(old.Directories) == 0 { // below 3.7-IV2 directories are not registered
		return Result{}
	}
	// Whoever holds a directory's lock proves that its previous process is gone; without one in common both may be alive.
	for _, d := range old.Directories {
		if slices.Contains(in.Directories, d) {
			return Result{}
		}
	}
	return failure(model.DuplicateBrokerRegistration, "another broker is registered as %d, with other log directories: stop it or unregister it first", in.ID)
}

// reserved tells whether the id is one of the first hundred, which Kafka keeps for meanings such as "unassigned".
func reserved(id model.TopicID) bool {
	low := id[15]
	id[15] = 0
	return id.IsZero() && low < 100
}

func (m *Machine) checkEpoch(id int32, epoch int64) (*Broker, Result) {
	b := m.ahead.image.Broker(id)
	if b == nil {
		return nil, failure(model.BrokerIDNotRegistered, "broker %d is not registered", id)
	}
	if b.Epoch != epoch {
		return nil, failure(model.StaleBrokerEpoch, "broker %d is registered with epoch %d, not %d", id, b.Epoch, epoch)
	}
	return b, Result{}
}

func (m *Machine) unfenceBroker(recs *records, in UnfenceBroker) BrokerReply {
	b, r := m.checkEpoch(in.ID, in.Epoch)
	if b == nil {
		return BrokerReply{Result: r}
	}
	if back := m.raises[in.ID]; back != nil {
		back.change(recs, &m.ahead.image, in.ID, m.opts.MaxChangesPerInput)
		if !back.finished() || len(*recs) > 0 {
			return BrokerReply{Epoch: b.Epoch, Fenced: true, Again: true}
		}
		delete(m.raises, in.ID)
	}
	if b.Fenced {
		recs.add(&record.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: -1}, registrationChangeVersion)
	}
	again := m.elect(recs, b)
	return BrokerReply{Epoch: b.Epoch, Again: again}
}

func (m *Machine) fenceBroker(recs *records, in FenceBroker) BrokerReply {
	b, r := m.checkEpoch(in.ID, in.Epoch)
	if b == nil {
		return BrokerReply{Result: r}
	}
	if !b.Fenced {
		recs.add(&record.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: 1}, registrationChangeVersion)
	}
	out := &returning{clean: true, fenced: true}
	out.collect(&m.ahead.image, in.ID)
	out.change(recs, &m.ahead.image, in.ID, m.opts.MaxChangesPerInput)
	return BrokerReply{Epoch: b.Epoch, Fenced: true, Again: !out.finished()}
}

func (m *Machine) shutDownBroker(recs *records, in ShutDownBroker) BrokerReply {
	b, r := m.checkEpoch(in.ID, in.Epoch)
	if b == nil {
		return BrokerReply{Result: r}
	}
	if b.Active() { // one that is fenced may still have epochs to raise
		recs.add(&record.BrokerRegistrationChangeRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch, Fenced: 1, InControlledShutdown: 1}, shutDownVersion)
	}
	return BrokerReply{Epoch: b.Epoch, Fenced: true}
}

func (m *Machine) unregisterBroker(recs *records, in UnregisterBroker) BrokerReply {
	b := m.ahead.image.Broker(in.ID)
	if b == nil {
		return BrokerReply{Result: failure(model.BrokerIDNotRegistered, "broker %d is not registered", in.ID)}
	}
	out := &returning{clean: true, fenced: true}
	out.collect(&m.ahead.image, in.ID)
	out.change(recs, &m.ahead.image, in.ID, m.opts.MaxChangesPerInput)
	if !out.finished() {
		return BrokerReply{Epoch: b.Epoch, Fenced: b.Fenced, Again: true}
	}
	recs.add(&record.UnregisterBrokerRecord{BrokerID: b.ID, BrokerEpoch: b.Epoch}, firstVersion)
	delete(m.raises, in.ID)
	return BrokerReply{Epoch: b.Epoch, Fenced: true}
}

// RegisterController announces a controller process, where the level of metadata.version has a record for that. The reply is a Result.
type RegisterController struct {
	ID            int32
	IncarnationID model.TopicID
	Endpoints     []Endpoint
	Features      []SupportedFeature
}

func (m *Machine) registerController(recs *records, in RegisterController) Result {
	if !m.ahead.image.RegistersControllers() {
		return Result{}
	}
	recs.add(&record.RegisterControllerRecord{
		ControllerID: in.ID, IncarnationID: in.IncarnationID, EndPoints: recordEndpoints(in.Endpoints), Features: recordFeatures(in.Features),
	}, firstVersion)
	return Result{}
}
