package partition

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/replica"
	"github.com/ottla/ottla/internal/storage/plog"
)

// Settings are what a partition takes from its topic's configuration.
type Settings struct {
	// Rules is the template for judging produced batches; the time and the request's version are filled in per batch.
	Rules batch.Rules
	// MinInSync is min.insync.replicas.
	MinInSync int32
	// Cache is ottla.durability=cache: what is written counts, without waiting for the sync.
	Cache bool
	// CompactOnly is cleanup.policy=compact: records go by compaction alone.
	CompactOnly bool
	// Log is what the log itself takes.
	Log *plog.Config
}

// Options make a partition.
type Options struct {
	Topic    string
	ID       model.TopicID
	Index    int32
	Self     int32
	Dir      string // path of the log directory
	Log      *plog.Log
	Settings *Settings
	Clock    func() time.Time
	// Flush, if set, hears in how many milliseconds flush.ms demands a call of Flush. It is called with no lock held and must not block.
	Flush func(ms int64)
}

// Partition is one partition on this broker.
type Partition struct {
	topic    string
	id       model.TopicID
	index    int32
	self     int32
	dir      string
	log      *plog.Log
	clock    func() time.Time
	flush    func(ms int64)
	settings atomic.Pointer[Settings]

	// For readers, who take no lock.
	highWatermark atomic.Int64
	leaderEpoch   atomic.Int32 // -1 while this broker does not lead

	mu struct {
		sync.Mutex
		replica   replica.Replica
		written   queue // acks=1
		committed queue // acks=all
		wakers    []*Waker
		watchers  []func() // of the shard that runs over this partition
		start     int64    // the log's start that is on disk, as last seen
		err       error    // the log failed or was closed
	}
}

// New returns a partition over an opened log. Everything that the log has kept is committed: a log on one replica recovers only what it has synced, or syncs
// what it recovers.
func New(o Options) *Partition {
	p := &Partition{topic: o.Topic, id: o.ID, index: o.Index, self: o.Self, dir: o.Dir, log: o.Log, clock: o.Clock, flush: o.Flush}
	p.settings.Store(o.Settings)
	p.mu.replica = replica.New(o.Self, o.Log.EndOffset())
	p.mu.replica.Limit(o.Settings.MinInSync)
	p.highWatermark.Store(o.Log.EndOffset())
	p.leaderEpoch.Store(-1)
	p.mu.err = o.Log.Lost()
	o.Log.OnProgress(p.progress)
	return p
}

// Topic returns the name of the partition's topic.
func (p *Partition) Topic() string { return p.topic }

// TopicID returns the id of the partition's topic.
func (p *Partition) TopicID() model.TopicID { return p.id }

// Index returns the partition's number.
func (p *Partition) Index() int32 { return p.index }

// Name returns topic and number.
func (p *Partition) Name() model.TopicPartition {
	return model.TopicPartition{Topic: p.topic, Partition: p.index}
}

// Log returns the partition's log, for reading and for figures.
func (p *Partition) Log() *plog.Log { return p.log }

// Dir returns the path of the log directory that holds the partition.
func (p *Partition) Dir() string { return p.dir }

// HighWatermark returns the offset below which everything is committed and visible.
func (p *Partition) HighWatermark() int64 { return p.highWatermark.Load() }

// LastStableOffset returns the offset below which no transaction is open. There are no transactions yet, so it is the high watermark.
func (p *Partition) LastStableOffset() int64 { return p.highWatermark.Load() }

// LeaderEpoch returns the epoch in which this broker leads the partition, or -1.
func (p *Partition) LeaderEpoch() int32 { return p.leaderEpoch.Load() }

// Settings returns the settings in force.
func (p *Partition) Settings() *Settings { return p.settings.Load() }

// Configure puts new settings into force.
func (p *Partition) Configure(s *Settings) {
	p.settings.Store(s)
	p.log.SetConfig(s.Log)
	p.mu.Lock()
	p.mu.replica.Limit(s.MinInSync)
	p.mu.Unlock()
	p.progress() // a topic that now takes the page cache's word may be further along
}

// Assume takes over a role from the metadata. What waits from an older epoch fails first (I3).
func (p *Partition) Assume(role replica.Role) {
	p.mu.Lock()
	before := p.mu.replica.Role()
	if !p.mu.replica.Assume(role) {
		p.mu.Unlock()
		return
	}
	var failed []waiter
	if role.LeaderEpoch != before.LeaderEpoch {
		failed = p.mu.committed.drain(p.mu.written.drain(nil))
	}
	epoch := int32(-1)
	if p.mu.replica.Leads() {
		epoch = role.LeaderEpoch
	}
	p.leaderEpoch.Store(epoch)
	wakers, watchers := p.takeWakersLocked()
	p.mu.Unlock()
	for _, w := range failed {
		w.ticket.Complete(w.slot, model.NotLeaderForPartition)
	}
	fire(wakers, watchers)
	p.progress()
}

// Role returns the role assumed last.
func (p *Partition) Role() replica.Role {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.replica.Role()
}

// takeWakersLocked takes all wakers, which fire once, and the watchers, which stay.
func (p *Partition) takeWakersLocked() ([]*Waker, []func()) {
	wakers := p.mu.wakers
	p.mu.wakers = nil
	return wakers, p.mu.watchers
}

func fire(wakers []*Waker, watchers []func()) {
	for _, w := range wakers {
		w.fire()
	}
	for _, f := range watchers {
		f()
	}
}

// progress is called by the directory's committer whenever the log's written or synced end moved, or the log failed.
func (p *Partition) progress() {
	written, durable := p.reached()
	failure := p.log.Err()
	var buf [16]waiter
	p.mu.Lock()
	done := p.mu.written.pop(written, buf[:0])
	moved := failure == nil && p.mu.replica.Durable(p.self, durable)
	code := model.None
	if moved {
		p.highWatermark.Store(p.mu.replica.HighWatermark())
		p.log.SetHighWatermark(p.mu.replica.HighWatermark())
	}
	done = p.mu.committed.pop(p.mu.replica.HighWatermark(), done)
	if start := p.log.DurableStartOffset(); start != p.mu.start {
		p.mu.start, moved = start, true
	}
	var failed []waiter
	if failure != nil && p.mu.err == nil {
		p.mu.err = failure
		code, _ = model.CodeOf(failure)
		failed = p.mu.committed.drain(p.mu.written.drain(nil))
		moved = true
	}
	if p.mu.err == nil && p.log.ShortOfSpace() { // nobody knows when there will be some: who has records taken tries again, and hears then how they fared
		failed, code = p.mu.committed.drain(p.mu.written.drain(nil)), model.KafkaStorageError
	}
	var wakers []*Waker
	var watchers []func()
	if moved {
		wakers, watchers = p.takeWakersLocked()
	}
	p.mu.Unlock()
	for _, w := range done {
		w.ticket.Complete(w.slot, model.None)
	}
	for _, w := range failed {
		w.ticket.Complete(w.slot, code)
	}
	fire(wakers, watchers)
	if p.flush == nil || !p.settings.Load().Cache {
		return
	}
	if left := p.Flush(); left > 0 {
		p.flush(left)
	}
}

// reached tells up to where acks=1 and up to where the high watermark may take records. Under Kafka's page-cache rule it is what is written, unless that is as much as
// flush.messages lets be unsynced: then, as in Kafka, nobody hears of it before the sync.
func (p *Partition) reached() (written, durable int64) {
	synced := p.log.SyncedOffset()
	written = p.log.WrittenOffset()
	s := p.settings.Load()
	switch {
	case !s.Cache:
		return written, synced
	case written-synced >= s.Log.FlushMessages:
		return synced, synced
	}
	return written, written
}

// Flush does what flush.ms demands; see plog.Log.Flush.
func (p *Partition) Flush() int64 { return p.log.Flush(p.clock()) }

// GiveUp fails whoever waits for the disk, because it hangs: who has records taken tries again, and hears then how they fared.
func (p *Partition) GiveUp() {
	p.mu.Lock()
	failed := p.mu.committed.drain(p.mu.written.drain(nil))
	p.mu.Unlock()
	for _, w := range failed {
		w.ticket.Complete(w.slot, model.KafkaStorageError)
	}
}

// Close fails whoever waits and wakes whoever reads, with the code that tells why: the partition is deleted or the node stops. The log is the caller's to close.
func (p *Partition) Close(code model.ErrorCode) {
	p.mu.Lock()
	if p.mu.err == nil {
		p.mu.err = code
	}
	failed := p.mu.committed.drain(p.mu.written.drain(nil))
	p.leaderEpoch.Store(-1)
	wakers, watchers := p.takeWakersLocked()
	p.mu.Unlock()
	for _, w := range failed {
		w.ticket.Complete(w.slot, code)
	}
	fire(wakers, watchers)
}

// Err returns why the partition can no longer be used, or nil.
func (p *Partition) Err() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.err
}
