package plog

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// dice decide what happens next: rapid's, which shrink, or plain ones.
type dice interface {
	between(low, high int, what string) int
}

// world is a log directory with the logs of several topics, and a twin of each. It lives in a bubble of testing/synctest: waiting for the committer is waiting until
// nothing moves, and a quarter of a second passes at once.
type world struct {
	dice
	mem     *vfs.Mem
	proc    *process
	d       *dir.Dir
	options dir.Options
	memory  int64 // 0 is the default
	files   int
	lies    lies         // of the disk: deliberate bugs
	tamper  func(*world) // called before every operation: deliberate bugs in memory
	reopens func(*twin)  // called when a log was opened: deliberate bugs of recovery
	twins   []*twin
	clock   int64 // ms
	topics  byte  // ids given
	builder batch.Builder
	keys    *KeyMap
	limited bool // the disk is full, or nearly

	scrub    *scrub
	held     []held
	bite     bite
	watching func(vfs.Call) vfs.Fault // beside the fault
	story    story
	starting bool
	powered  bool        // who is killed, is by a power cut
	mix      []operation // what random operations are thrown from

	mu sync.Mutex // held while the twins' states change, which a hook may look at
}

// bite is a fault that waits for its call.
type bite struct {
	mu     sync.Mutex
	left   int // changes until it bites
	fault  vfs.Fault
	kill   bool
	armed  bool
	bitten bool
	lost   bool // what bit was a sync
	story  *story
}

// held is what a reader holds on to.
type held struct {
	m     *twin
	slice Slice
	want  []byte
	cuts  int
}

// scrub is a cleaning under way: it goes on when it gets a token.
type scrub struct {
	m      *twin
	tokens chan struct{}
	done   chan error
}

const firstClock = 1_700_000_000_000

// newWorld makes a world by the dice.
func newWorld(d dice, o dir.Options) *world {
	w := &world{dice: d, mem: vfs.NewMem(), options: o, clock: firstClock, mix: operations, keys: NewKeyMap(1<<20, 0.9)}
	w.options.Meta = testMeta
	w.bite.story = &w.story
	w.options.Logger = slog.New(&w.story)
	return w
}

// roll throws the settings of the directory and of so many topics.
func (w *world) roll(topics int) {
	w.options.CheckpointBytes = []int64{1, 3000, 1 << 20}[w.between(0, 2, "checkpoint")]
	w.options.JournalBytes = -1
	if w.between(0, 1, "journal") == 1 {
		w.options = withJournal(w.options)
	}
	if w.between(0, 1, "little memory") == 1 {
		w.memory = 96 << 10
	}
	if w.between(0, 3, "few files") == 0 {
		w.files = 2
	}
	for i := range topics {
		w.addTopic("topic"+strconv.Itoa(i)+"-0", w.between(0, 3, "compacted") == 0)
	}
}

func (w *world) addTopic(name string, compacted bool) {
	c := testConfig()
	c.SegmentBytes = []int64{2500, 7000, 1 << 20}[w.between(0, 2, "segment.bytes")]
	c.SegmentMs = []int64{200, 1 << 40}[w.between(0, 1, "segment.ms")]
	c.ProducerExpirationMs = []int64{3000, 1 << 40}[w.between(0, 1, "producer.expiration")]
	c.DeleteRetentionMs = 500
	if w.between(0, 4, "durability") == 0 {
		c.Durability, c.FlushMs = Cache, 1000
		c.FlushMessages = int64(w.between(3, 30, "flush.messages"))
	}
	if compacted {
		c.CleanupDelete, c.CleanupCompact = false, true
	}
	m := &twin{name: name, config: c}
	w.twins = append(w.twins, m)
	w.birth(m)
}

// birth makes a topic, for the first time or again.
func (w *world) birth(m *twin) {
	w.topics++
	*m = twin{name: m.name, config: m.config, id: model.TopicID{0xa, w.topics}, writers: map[int64]*sender{}, cuts: m.cuts + 1}
	m.since = []content{m.content}
}

// start opens the directory and every topic, which must have what was pledged.
func (w *world) start(pledges []pledge) error {
	w.starting = true
	defer func() { w.starting = false }()
	w.proc = newProcess(w.mem, w.lies)
	w.watch()
	d, err := dir.Open(w.proc, testDir, w.process())
	if err != nil {
		return fmt.Errorf("open the directory: %w", err)
	}
	w.d = d
	for i, m := range w.twins {
		if err := w.find(d, m, pledges[i]); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// process is the directory's options for a new process.
func (w *world) process() dir.Options {
	o := w.options
	o.Memory, o.Handles = dir.NewMemory(w.memory), dir.NewHandles(w.files)
	return o
}

// begin starts the world for the first time.
func (w *world) begin() error {
	pledges := make([]pledge, len(w.twins))
	for i, m := range w.twins {
		pledges[i] = m.pledge(false)
	}
	return w.start(pledges)
}

// find opens a topic's log after a start.
func (w *world) find(d *dir.Dir, m *twin, p pledge) error {
	x, s, err := m.examine(d, p)
	if err != nil {
		return err
	}
	if x == nil {
		w.mu.Lock()
		m.log, m.maybe = nil, false
		w.mu.Unlock()
		return nil
	}
	return w.adopt(m, x, s, p)
}

// opened is a log that was just opened, and what it has.
type opened struct {
	*Log
	got []batch.Batch
}

// examine opens a topic's log and compares it with what was pledged; nil when there is none and there need not be one. It changes nothing of the twin.
func (m *twin) examine(d *dir.Dir, p pledge) (*opened, content, error) {
	if p.states == nil { // there is no such topic
		if !slices.Contains(d.Names(), m.name) {
			return nil, content{}, nil
		}
		id, err := Identify(d, m.name)
		if id != (model.TopicID{}) || err != nil {
			return nil, content{}, fmt.Errorf("a deleted log is back, of topic %v (%v)", id, err)
		}
		return nil, content{}, Discard(d, m.name) // it was never complete
	}
	if p.maybe {
		id, err := Identify(d, m.name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, content{}, nil
		}
		if err != nil {
			return nil, content{}, err
		}
		if id == (model.TopicID{}) {
			return nil, content{}, Discard(d, m.name)
		}
	}
	l, err := Open(d, m.name, p.id, m.config)
	if err != nil {
		return nil, content{}, err
	}
	if err := l.Err(); err != nil {
		return nil, content{}, fmt.Errorf("recovery: %w", err)
	}
	x := &opened{Log: l}
	if x.got, err = readAll(l); err != nil {
		return nil, content{}, fmt.Errorf("read after recovery: %w", err)
	}
	s, err := p.check(l.StartOffset(), l.EndOffset(), x.got, func(s content) error { return m.genuine(l, s) })
	if err != nil {
		return nil, s, err
	}
	return x, s, epochsOf(l, x.got)
}

// readAll reads every batch from the log's start to its end; a compacted one may have none at the end.
func readAll(l *Log) ([]batch.Batch, error) {
	var out []batch.Batch
	for from, to := l.StartOffset(), l.EndOffset(); from < to; {
		s, err := l.Read(from, to, 1<<20, true)
		if err != nil {
			return out, fmt.Errorf("offset %d: %w", from, err)
		}
		if s.Len() == 0 {
			s.Close()
			if !l.mayHaveGaps() {
				return out, fmt.Errorf("nothing to be read at offset %d, before %d", from, to)
			}
			break
		}
		for b, err := range s.Batches() {
			if err != nil {
				s.Close()
				return out, err
			}
			out = append(out, b)
			from = b.NextOffset()
		}
		s.Close()
	}
	return out, nil
}

// epochsOf compares the leader epochs that a log knows with its batches.
func epochsOf(l *Log, got []batch.Batch) error {
	for i, b := range got {
		at := max(b.BaseOffset(), l.StartOffset())
		epoch := b.PartitionLeaderEpoch()
		if e := l.EpochAt(at); e != epoch {
			return fmt.Errorf("offset %d has leader epoch %d, the log says %d", at, epoch, e)
		}
		if i > 0 && got[i-1].PartitionLeaderEpoch() != epoch {
			e, end := l.EpochEnd(got[i-1].PartitionLeaderEpoch())
			if e != got[i-1].PartitionLeaderEpoch() || end > at || end < got[i-1].NextOffset() {
				return fmt.Errorf("leader epoch %d ends at offset %d, by the batches between %d and %d", e, end, got[i-1].NextOffset(), at)
			}
		}
	}
	return nil
}

// genuine compares what a log remembers of producers with the batches that were appended: all of it is true, and nobody whose last batch can be read is forgotten.
func (m *twin) genuine(l *Log, s content) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	want := s.writers()
	for id, p := range l.mu.producers {
		for _, a := range p.batches[:p.count] {
			if s.sent(id, p.epoch, a) == nil {
				return fmt.Errorf("producer %d of epoch %d is said to have sent sequence number %d at offset %d: it did not", id, p.epoch, a.lastSequence, a.lastOffset)
			}
		}
		if x := want[id]; x != nil && p.txnFirst != x.txnFirst && (x.txnFirst == NoOffset || x.txnFirst >= s.start) {
			return fmt.Errorf("producer %d has a transaction open since offset %d, the log says %d", id, x.txnFirst, p.txnFirst)
		}
	}
	for id, x := range want {
		last := x.last()
		if last == nil || last.last() < s.start || last.least() <= m.expired || last.last() < m.vague && last.mayGo() {
			continue
		}
		p := l.mu.producers[id]
		if p == nil {
			return fmt.Errorf("producer %d, whose last batch is at offset %d, is forgotten", id, last.last())
		}
		if a, ok := p.last(); !ok || p.epoch != x.epoch || a.lastOffset != last.last() || a.lastSequence != last.orig.LastSequence() {
			return fmt.Errorf("producer %d of epoch %d sent sequence number %d last, at offset %d; the log has epoch %d and %+v", id, x.epoch, last.orig.LastSequence(), last.last(), p.epoch, a)
		}
	}
	return nil
}

// sent finds the entry that a log remembers.
func (s content) sent(id int64, epoch int16, a appended) *entry {
	i, ok := slices.BinarySearchFunc(s.entries, a.lastOffset, func(e *entry, at int64) int { return int(e.last() - at) })
	if !ok {
		return nil
	}
	e := s.entries[i]
	b := e.orig
	if b.ProducerID() != id || b.ProducerEpoch() != epoch || b.LastSequence() != a.lastSequence || b.LastOffsetDelta() != a.offsetDelta {
		return nil
	}
	if b.MaxTimestamp() != a.timestamp && !e.loose && !b.IsTransactional() { // a snapshot has the time of the marker behind it, as Kafka's format has only one
		return nil
	}
	return e
}

// adopt makes what a crash left the twin's state.
func (w *world) adopt(m *twin, x *opened, s content, p pledge) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	m.log, m.maybe = x.Log, false
	m.cuts++
	w.story.add("%s: found offsets %d to %d, synced %d", m.name, s.start, s.end, m.log.SyncedOffset())
	least := max(p.least(p.synced), m.log.SyncedOffset())
	m.content = s
	m.since, m.cut = []content{s.upTo(min(least, s.end)), s}, 0
	if m.unproven = p.unproven; m.unproven { // after another kill, too, until a round has synced what is there
		m.since = append(p.states, s)
	}
	m.acked, m.starts = m.log.DurableStartOffset(), s.start
	if m.acked != s.start {
		return fmt.Errorf("it starts at offset %d, and %d is said to be on disk", s.start, m.acked)
	}
	if err := m.look(x.got); err != nil {
		return err
	}
	m.remember()
	m.cleanTo = 0 // it may be another past that came back
	for _, e := range m.entries {
		if e.loose {
			m.cleanTo = e.next()
		}
	}
	if w.reopens != nil {
		w.reopens(m)
	}
	return nil
}

// look takes what a reader gets for every entry.
func (m *twin) look(got []batch.Batch) error {
	i := 0
	for _, e := range m.entries {
		if e.last() < m.start {
			continue
		}
		var b batch.Batch
		if i < len(got) && got[i].LastOffset() == e.last() {
			b = got[i]
			i++
		}
		if err := e.see(b); err != nil {
			return err
		}
	}
	return nil
}

// remember takes over what the log knows of producers and epochs, once it was found genuine: after a crash or a cut that may be less than there was.
func (m *twin) remember() {
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	m.epochs = slices.Clone([]epochStart(m.log.mu.epochs))
	m.writers = map[int64]*sender{}
	for id, p := range m.log.mu.producers {
		x := &sender{epoch: p.epoch, timestamp: p.timestamp, txnFirst: p.txnFirst}
		for _, a := range p.batches[:p.count] {
			x.window = append(x.window, m.sent(id, p.epoch, a))
		}
		m.writers[id] = x
	}
}

// pledges are what a crash now must keep.
func (w *world) pledges(killed bool) []pledge {
	out := make([]pledge, len(w.twins))
	for i, m := range w.twins {
		if m.log != nil {
			out[i] = m.pledge(killed)
		}
	}
	return out
}

// crash kills the process, or cuts the power, and starts again.
func (w *world) crash(power bool) error {
	w.proc.kill()
	w.bite.mu.Lock()
	power = power || w.bite.lost // in a round that is not over: after a failed sync nobody knows what the page cache has that the disk has not
	w.bite.mu.Unlock()
	pledges := w.pledges(!power)
	if err := w.leave(); err != nil {
		return err
	}
	if power {
		w.mem = w.mem.Crash(uint64(w.between(0, 1000, "seed")))
	}
	w.space()
	return w.startAgain(pledges, power)
}

// startAgain starts, and once more when a fault kept it from that.
func (w *world) startAgain(pledges []pledge, power bool) error {
	err := w.start(pledges)
	if err == nil || !w.explainedStart(err) {
		return err
	}
	w.proc.kill()
	if err := w.leave(); err != nil {
		return err
	}
	if power || w.powered {
		w.mem = w.mem.Crash(uint64(w.between(0, 1000, "seed")))
	}
	return w.start(pledges)
}

// explainedStart tells whether a fault explains that a start failed.
func (w *world) explainedStart(err error) bool {
	return w.proc.dead() || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC)
}

// leave ends what the process had under way.
func (w *world) leave() error {
	w.bite.mu.Lock()
	w.bite.armed, w.bite.bitten, w.bite.kill, w.bite.lost = false, false, false, false
	w.bite.mu.Unlock()
	if s := w.scrub; s != nil {
		w.scrub = nil
		close(s.tokens)
		<-s.done
	}
	for _, h := range w.held {
		h.slice.Close()
	}
	w.held = nil
	if err := w.d.Abandon(); err != nil && !errors.Is(err, dir.ErrClosed) {
		return fmt.Errorf("abandon: %w", err)
	}
	return nil
}

// end lets go of everything.
func (w *world) end() {
	if w.d == nil {
		return
	}
	w.proc.kill()
	_ = w.leave() // the test has its verdict
}

// space takes the limit off the disk.
func (w *world) space() {
	if w.limited {
		w.mem.SetCapacity(0)
		w.limited = false
	}
}

// trouble tells whether the process is dead or its directory offline.
func (w *world) trouble() bool { return w.proc.dead() || w.d.Err() != nil }

// explained drops an error that a fault explains.
func (w *world) explained(err error) error {
	if w.trouble() {
		return nil
	}
	w.bite.mu.Lock()
	defer w.bite.mu.Unlock()
	if w.bite.bitten && errors.Is(err, w.bite.fault.Err) {
		return nil
	}
	return err
}

// arm makes the nth change from now fail, or kill the process.
func (w *world) arm(n int, fault vfs.Fault, kill bool) {
	w.bite.mu.Lock()
	if w.bite.bitten && errors.Is(w.bite.fault.Err, syscall.EIO) { // the directory is about to go offline, and for that
		w.bite.mu.Unlock()
		return
	}
	w.story.add("  in %d calls: %v", n, fault.Err)
	w.bite.left, w.bite.fault, w.bite.kill, w.bite.armed, w.bite.bitten = n, fault, kill, true, false
	w.bite.mu.Unlock()
	w.watch()
}

// watch sets the process's hook where one is needed.
func (w *world) watch() {
	w.bite.mu.Lock()
	armed := w.bite.armed
	w.bite.mu.Unlock()
	if !armed && w.watching == nil {
		w.proc.watch(nil)
		return
	}
	proc := w.proc
	proc.watch(func(c vfs.Call) vfs.Fault {
		if w.watching != nil {
			if f := w.watching(c); f.Err != nil {
				return f
			}
		}
		return w.bite.before(proc, c)
	})
}

func (b *bite) before(proc *process, c vfs.Call) vfs.Fault {
	if !changes[c.Op] {
		return vfs.Fault{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.armed {
		return vfs.Fault{}
	}
	if b.left--; b.left > 0 {
		return vfs.Fault{}
	}
	b.armed, b.bitten = false, true
	b.lost = b.fault.Err != nil && !b.kill && (c.Op == vfs.OpSync || c.Op == vfs.OpSyncDir)
	b.story.add("bitten: %s %s at %d, %d bytes", c.Op, c.Path, c.Offset, c.Len)
	if b.kill {
		proc.kill()
		return vfs.Fault{}
	}
	if vfs.IsNoSpace(b.fault.Err) && (c.Op == vfs.OpSync || c.Op == vfs.OpSyncDir || c.Op == vfs.OpRemove || c.Op == vfs.OpTruncate) {
		b.bitten = false // nothing of that kind needs space
		return vfs.Fault{}
	}
	return b.fault
}

// failed tells whether a call has failed, or half failed, in this process.
func (b *bite) failed() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bitten
}

// until waits for a condition that moves with the directory. Ten minutes of nobody's time are enough for anything.
func (w *world) until(what string, ok func() bool) error {
	for range 2000 {
		synctest.Wait()
		if ok() {
			return nil
		}
		if w.trouble() {
			return fmt.Errorf("waiting for %s: %w", what, errors.Join(w.d.Err(), errTrouble))
		}
		<-time.After(300 * time.Millisecond)
	}
	return fmt.Errorf("no %s", what)
}

var errTrouble = errors.New("there is trouble")

// settle waits until everything of a twin is acknowledged.
func (w *world) settle(m *twin) error {
	if m.log == nil {
		return nil
	}
	w.space()
	l := m.log
	if m.config.Durability == Cache {
		l.SetConfig(m.durable())
		defer l.SetConfig(m.config)
	}
	err := w.until("sync of "+m.name, func() bool {
		return l.SyncedOffset() == l.EndOffset() && l.DurableStartOffset() == l.StartOffset() && !l.CutPending()
	})
	if err != nil {
		return w.explained(fmt.Errorf("%w: end %d, written %d, synced %d, start %d, on disk %d, cut pending %v", err,
			l.EndOffset(), l.WrittenOffset(), l.SyncedOffset(), l.StartOffset(), l.DurableStartOffset(), l.CutPending()))
	}
	if l.doubtful { // as a killed process left it, and no round had a reason to sync that: a power cut may bring back what was cut
		return nil
	}
	w.mu.Lock()
	m.settled()
	w.mu.Unlock()
	return nil
}

func (m *twin) durable() *Config {
	c := *m.config
	c.Durability = Sync
	return &c
}

// check compares what every log says of itself at the moment.
func (w *world) check() error {
	for _, m := range w.twins {
		if m.log == nil {
			continue
		}
		if m.log.StartOffset() != m.start || m.log.EndOffset() != m.end {
			return fmt.Errorf("%s has offsets %d to %d, want %d to %d", m.name, m.log.StartOffset(), m.log.EndOffset(), m.start, m.end)
		}
		if s, x, e := m.log.SyncedOffset(), m.log.WrittenOffset(), m.log.EndOffset(); s > x || x > e {
			return fmt.Errorf("%s: synced %d, written %d, end %d", m.name, s, x, e)
		}
	}
	return nil
}

// do does one operation, and what follows when a fault bit.
func (w *world) do(o operation) error {
	w.story.add("%s", o.name)
	if err := w.done(o); err != nil {
		return fmt.Errorf("%w; before:\n%s", err, w.story.String())
	}
	return nil
}

func (w *world) done(o operation) error {
	if w.tamper != nil {
		w.tamper(w)
	}
	w.clock += int64(w.between(-2, 40, "clock"))
	if err := o.do(w); err != nil {
		if w.trouble() && errors.Is(err, errTrouble) {
			err = nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", o.name, err)
		}
	}
	if w.trouble() {
		// After a failed sync only a power cut tells what the disk has.
		if err := w.crash(!w.proc.dead() || w.powered); err != nil {
			return fmt.Errorf("%s, and a fault: %w", o.name, err)
		}
	}
	if err := w.check(); err != nil {
		return fmt.Errorf("after %s: %w", o.name, err)
	}
	return nil
}

// verify compares everything that can be asked of a log with its twin.
func (w *world) verify(m *twin) error {
	got, err := readAll(m.log)
	if err != nil {
		return err
	}
	if err := sameAs(m.visible(m.start, m.end), got); err != nil {
		return err
	}
	for e := int32(-1); e <= m.latestEpoch()+1; e++ {
		wantEpoch, wantEnd := m.epochEnd(e)
		if epoch, end := m.log.EpochEnd(e); epoch != wantEpoch || end != wantEnd {
			return fmt.Errorf("leader epoch %d ends as (%d, %d), want (%d, %d); the log has %v, want %v", e, epoch, end, wantEpoch, wantEnd, m.log.mu.epochs, m.epochs)
		}
	}
	m.log.mu.Lock()
	defer m.log.mu.Unlock()
	if !slices.Equal(slices.Sorted(maps.Keys(m.log.mu.producers)), slices.Sorted(maps.Keys(m.writers))) {
		return fmt.Errorf("it knows producers %v, want %v", slices.Sorted(maps.Keys(m.log.mu.producers)), slices.Sorted(maps.Keys(m.writers)))
	}
	for id, x := range m.writers {
		p := m.log.mu.producers[id]
		if p.epoch != x.epoch || int(p.count) != len(x.window) || p.txnFirst != x.txnFirst {
			return fmt.Errorf("producer %d: it has epoch %d, %d batches and a transaction since %d, want %d, %d and %d", id, p.epoch, p.count, p.txnFirst, x.epoch, len(x.window), x.txnFirst)
		}
		for i, e := range x.window {
			if p.batches[i].lastOffset != e.last() {
				return fmt.Errorf("producer %d: it has the batch at offset %d, want %d", id, p.batches[i].lastOffset, e.last())
			}
		}
	}
	return nil
}

func sameAs(want []*entry, got []batch.Batch) error {
	for i := range min(len(want), len(got)) {
		if string(want[i].now) != string(got[i]) {
			return fmt.Errorf("batch %d is at offset %d to %d of epoch %d, want %d to %d of epoch %d", i, got[i].BaseOffset(), got[i].LastOffset(), got[i].PartitionLeaderEpoch(), want[i].base(), want[i].last(), want[i].orig.PartitionLeaderEpoch())
		}
	}
	if len(want) != len(got) {
		return fmt.Errorf("%d batches, want %d", len(got), len(want))
	}
	return nil
}

// pick chooses a topic that exists, nil when there is none.
func (w *world) pick() *twin {
	m := w.twins[w.between(0, len(w.twins)-1, "topic")]
	if m.log == nil {
		return nil
	}
	w.story.add("  %s, offsets %d to %d, written %d, synced %d, start on disk %d", m.name, m.start, m.end, m.log.WrittenOffset(), m.log.SyncedOffset(), m.log.DurableStartOffset())
	return m
}

// batch makes one of n records.
func (w *world) batch(m *twin, n, size int, o batch.Options) *entry {
	w.builder.Reset(o)
	e := &entry{recs: make([]record, n)}
	for i := range n {
		r := &e.recs[i]
		r.timestamp = w.clock + int64(w.between(-30, 10, "time"))
		r.key = "k" + strconv.Itoa(w.between(0, 9, "key"))
		r.value = strconv.FormatInt(m.end, 10) + "/" + strconv.Itoa(i) + ":" + filler[:size]
		value := []byte(r.value)
		if m.config.CleanupCompact && w.between(0, 4, "tombstone") == 0 {
			r.value, r.tombstone, value = "", true, nil
		}
		w.builder.Append(r.timestamp, []byte(r.key), value)
	}
	e.orig = slices.Clone(w.builder.Build())
	return e
}

var filler = strings.Repeat("abcdefghijklmnopqrstuvwxyz", 40)

// offer appends an entry, which the log must take at its end.
func (w *world) offer(m *twin, e *entry, epoch int32, origin Origin) error {
	b := slices.Clone(e.orig)
	e.orig.SetBaseOffset(m.end)
	e.orig.SetPartitionLeaderEpoch(epoch)
	e.now = e.orig
	for i := range e.recs {
		e.recs[i].offset = m.end + int64(i)
	}
	if origin == Follower {
		b = slices.Clone(e.orig)
	}
	before := m.content
	w.mu.Lock()
	m.change(content{append(m.entries, e), m.first, m.start, e.next()}) // the committer may be faster than we are
	w.mu.Unlock()
	a, err := w.give(m, b, epoch, origin)
	if err != nil {
		m.content = before
		if errors.Is(err, model.KafkaStorageError) && (w.trouble() || w.limited || w.d.Full(time.Now())) {
			return errRefused
		}
		if errors.Is(err, model.RecordListTooLarge) && origin == Client && int64(len(b)) > m.log.Config().SegmentBytes {
			return errRefused
		}
		return err
	}
	if a.Duplicate || a.BaseOffset != e.base() || a.LastOffset != e.last() || a.End != e.next() || a.Timestamp != e.orig.MaxTimestamp() {
		return fmt.Errorf("append: %+v, want offsets %d to %d", a, e.base(), e.last())
	}
	m.assignEpoch(epoch, e.base())
	if id := e.orig.ProducerID(); id >= 0 {
		if m.writers[id] == nil {
			m.writers[id] = &sender{epoch: e.orig.ProducerEpoch(), txnFirst: NoOffset}
		}
		m.writers[id].add(e)
	}
	return nil
}

var errRefused = errors.New("refused, as it may be")

// give appends as a caller must: waiting for memory when there is none.
func (w *world) give(m *twin, b batch.Batch, epoch int32, origin Origin) (Appended, error) {
	for tries := 0; ; tries++ {
		a, err := m.log.Append(b, epoch, time.Now(), origin)
		if !errors.Is(err, ErrBudget) {
			return a, err
		}
		if w.trouble() {
			return a, errTrouble
		}
		if tries == 1000 {
			return a, fmt.Errorf("no memory: %+v", w.d.Share().Stats())
		}
		w.space()
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		err = m.log.WaitRoom(ctx, Internal)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			return a, err
		}
	}
}
