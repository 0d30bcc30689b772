package meta

import (
	"fmt"
	"slices"
	"time"

	"github.com/ottla/ottla/internal/invariant"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// Options of a Machine.
type Options struct {
	// NodeID is the controller that the machine runs on.
	NodeID int32
	// DefaultPartitions and DefaultReplicationFactor are what -1 means in CreateTopics: num.partitions and default.replication.factor. Zero is 1.
	DefaultPartitions        int32
	DefaultReplicationFactor int16
	// AlterConfig returns the resource's overrides after the operations, or an error with the code to answer (model.Error). current must not be
	// modified. Nil sets and deletes whatever is asked.
	AlterConfig func(r Resource, current map[string]string, ops []ConfigOp) (map[string]string, error)
	// ValidateConfig judges the complete overrides of a resource before they are taken. Nil takes all.
	ValidateConfig func(r Resource, overrides map[string]string) error
	// Publish gets every committed image, in order, with what differs from the one before. It is called in the shard's goroutine and must not wait.
	Publish func(*Image, *Delta)
	// MaxChangesPerInput bounds the partitions that one input about a broker changes; 20,000 when zero.
	MaxChangesPerInput int
}

// Machine is the metadata machine. See the package comment.
type Machine struct {
	opts  Options
	ahead *state // all records applied
	next  int64  // the offset of the next record

	// What was applied but is not published yet. Before the first publication nothing is queued: the first one lists everything.
	base  *Image
	queue []change

	// raises are the partitions of a broker that came back whose epochs are still to be raised, before it may be unfenced (meta.I5).
	raises map[int32]*returning
}

// change is one applied record on its way to be published.
type change struct {
	at      machine.Position
	message record.Message // nil when it was not readable
	opaque  []byte         // the value of a record that was not readable, or of a type or version that is not known
}

// New returns a machine with an empty image.
func New(opts Options) *Machine {
	if opts.DefaultPartitions == 0 {
		opts.DefaultPartitions = 1
	}
	if opts.DefaultReplicationFactor == 0 {
		opts.DefaultReplicationFactor = 1
	}
	if opts.MaxChangesPerInput == 0 {
		opts.MaxChangesPerInput = 20_000
	}
	if opts.AlterConfig == nil {
		opts.AlterConfig = SetAndDelete
	}
	if opts.ValidateConfig == nil {
		opts.ValidateConfig = func(Resource, map[string]string) error { return nil }
	}
	if opts.Publish == nil {
		opts.Publish = func(*Image, *Delta) {}
	}
	return &Machine{opts: opts, ahead: newState(emptyImage(opts.NodeID)), raises: map[int32]*returning{}}
}

// Image returns the image with everything applied, which runs ahead of what is committed and published.
func (m *Machine) Image() *Image { return m.ahead.seal() }

// Result is the outcome of one item of an input. Message is for the user, empty when Code is None.
type Result struct {
	Code    model.ErrorCode
	Message string
}

func failure(code model.ErrorCode, format string, args ...any) Result {
	return Result{code, fmt.Sprintf(format, args...)}
}

func resultOf(err error) Result {
	code, message := model.CodeOf(err)
	return Result{code, message}
}

// Step implements machine.Machine.
func (m *Machine) Step(_ time.Time, from machine.Caller, input any) machine.Out {
	var recs records
	var reply any
	switch in := input.(type) {
	case Bootstrap:
		reply = m.bootstrap(&recs, in)
	case RegisterBroker:
		reply = m.registerBroker(&recs, in)
	case UnfenceBroker:
		reply = m.unfenceBroker(&recs, in)
	case FenceBroker:
		reply = m.fenceBroker(&recs, in)
	case ShutDownBroker:
		reply = m.shutDownBroker(&recs, in)
	case AssignReplicas:
		reply = m.assignReplicas(&recs, in)
	case FailDirectories:
		reply = m.failDirectories(&recs, in)
	case UnregisterBroker:
		reply = m.unregisterBroker(&recs, in)
	case RegisterController:
		reply = m.registerController(&recs, in)
	case CreateTopics:
		reply = m.createTopics(&recs, in)
	case DeleteTopics:
		reply = m.deleteTopics(&recs, in)
	case CreatePartitions:
		reply = m.createPartitions(&recs, in)
	case AlterConfigs:
		reply = m.alterConfigs(&recs, in)
	case AllocateProducerIDs:
		reply = m.allocateProducerIDs(&recs, in)
	case machine.Refused:
		m.refused(in)
		return machine.Out{}
	case machine.Loaded:
		m.publishFirst()
		return machine.Out{}
	case nil, machine.Abandoned:
		return machine.Out{} // nobody is parked here, and no deadline is set
	default:
		invariant.Check(false, "the metadata machine got a %T", input)
	}
	return machine.Out{Records: recs, Replies: []machine.Reply{{To: from, Value: reply}}}
}

// refused takes back the soft state of an input whose records the log did not take.
func (m *Machine) refused(r machine.Refused) {
	switch in := r.Input.(type) {
	case RegisterBroker:
		delete(m.raises, in.ID)
	case UnfenceBroker:
		if back := m.raises[in.ID]; back != nil {
			back.done -= back.step
			back.step = 0
		}
	}
}

// Deadline implements machine.Machine: the machine does nothing by itself.
func (m *Machine) Deadline() time.Time { return time.Time{} }

// Apply implements machine.Machine.
func (m *Machine) Apply(at machine.Position, r machine.Record) {
	message, _, err := record.Decode(r.Value)
	if err != nil {
		message = nil
	}
	c := change{at: at, message: message}
	if _, unknown := message.(*record.Unknown); unknown || err != nil {
		c.opaque = slices.Clone(r.Value)
	}
	m.ahead.apply(c)
	m.next = at.Offset + 1
	if m.base != nil {
		m.queue = append(m.queue, c)
	}
}

// Committed publishes what is committed. The shard calls it after commits with the position below which everything is.
func (m *Machine) Committed(at machine.Position) {
	m.next = max(m.next, at.Offset)
	if m.base == nil {
		if m.ahead.image.position.Offset <= at.Offset && m.ahead.begun == nil {
			m.ahead.image.position = at
			m.publishFirst()
		}
		return
	}
	n := m.committedChanges(at.Offset)
	if n == 0 {
		return
	}
	var t touched
	for _, c := range m.queue[:n] {
		t.note(c.message)
	}
	var now *Image
	if n == len(m.queue) {
		now = m.ahead.seal()
		m.queue = nil
	} else {
		// More was applied meanwhile: what is committed of it is applied once more, to the image published last.
		behind := newState(*m.base)
		for _, c := range m.queue[:n] {
			behind.apply(c)
		}
		now = behind.seal()
		m.queue = m.queue[n:]
	}
	d := t.delta(m.base, now)
	m.base = now
	m.opts.Publish(now, d)
}

// committedChanges is how many of the queued changes lie below end and not in a metadata transaction that is still open there (meta.I3).
func (m *Machine) committedChanges(end int64) int {
	n, open := 0, false
	for i, c := range m.queue {
		if c.at.Offset >= end {
			break
		}
		switch c.message.(type) {
		case *record.BeginTransactionRecord:
			open = true
		case *record.EndTransactionRecord, *record.AbortTransactionRecord:
			open = false
		}
		if !open {
			n = i + 1
		}
	}
	return n
}

// publishFirst gives out the first image, once.
func (m *Machine) publishFirst() {
	if m.base != nil || m.ahead.begun != nil {
		return
	}
	m.base = m.ahead.seal()
	m.opts.Publish(m.base, Changes(nil, m.base))
}

// records collects the records of one input.
type records []machine.Record

func (r *records) add(m record.Message, version int16) {
	*r = append(*r, machine.Record{Value: record.Append(nil, m, version)})
}
