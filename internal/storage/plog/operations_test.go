package plog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// operation is something that a user, time or fate does to a world.
type operation struct {
	name   string
	weight int // of the dice, among all
	tabled bool
	do     func(w *world) error
}

// operations are all of them. The model throws dice over them; the table tries those that change something with every fault at every call.
var operations = []operation{
	{"append", 12, true, onTopic((*world).append)},
	{"append as an idempotent producer", 10, true, onTopic((*world).produce)},
	{"append in a transaction", 4, true, onTopic((*world).transact)},
	{"end a transaction", 3, true, onTopic((*world).endTransaction)},
	{"append compressed batches", 2, true, onTopic((*world).compressed)},
	{"append as a follower", 3, true, onTopic((*world).follow)},
	{"new leader epoch", 2, true, onTopic((*world).elect)},
	{"roll", 2, true, onTopic((*world).rollOver)},
	{"truncate", 3, true, onTopic((*world).truncate)},
	{"begin anew at an offset", 1, true, onTopic((*world).anew)},
	{"delete records", 3, true, onTopic((*world).deleteRecords)},
	{"retention", 2, true, onTopic((*world).retain)},
	{"compaction", 3, true, onTopic((*world).clean)},
	{"flush", 2, true, onTopic((*world).flush)},
	{"close and open a log", 1, true, onTopic((*world).closeLog)},
	{"delete a topic", 1, true, onTopic((*world).deleteTopic)},
	{"make a topic again", 2, true, (*world).makeAgain},
	{"stop and start", 1, true, (*world).stop},
	{"kill and start", 1, true, func(w *world) error { return w.crash(false) }},
	{"power cut and start", 1, true, func(w *world) error { return w.crash(true) }},
	{"sync", 4, false, onTopic((*world).settle)},
	{"idle", 3, false, func(*world) error { synctest.Wait(); return nil }},
	{"read", 10, false, onTopic((*world).read)},
	{"read everything", 1, false, onTopic((*world).verify)},
	{"hold what was read", 2, false, onTopic((*world).hold)},
	{"let go of what was read", 2, false, (*world).letGo},
	{"look for a time", 3, false, onTopic((*world).seekTime)},
	{"let a cleaning go on", 2, false, (*world).scrubOn},
	{"a disk that fills", 1, false, (*world).fill},
	{"space again", 1, false, func(w *world) error { w.space(); return nil }},
	{"a call fails soon", 1, false, (*world).failSoon},
	{"a call finds no space soon", 1, false, (*world).noSpaceSoon},
	{"a file cannot be read", 1, false, onTopic((*world).unreadable)},
	{"die soon", 1, false, func(w *world) error { w.arm(w.between(1, 40, "calls"), vfs.Fault{}, true); return nil }},
}

// onTopic makes an operation of one topic that exists.
func onTopic(f func(*world, *twin) error) func(*world) error {
	return func(w *world) error {
		m := w.pick()
		if m == nil {
			return nil
		}
		return f(w, m)
	}
}

func (w *world) append(m *twin) error {
	for range w.between(1, 4, "batches") {
		e := w.batch(m, w.between(1, 4, "records"), w.between(0, 300, "size"), batch.Options{})
		origin := Client
		if w.between(0, 3, "internal") == 0 {
			origin = Internal
		}
		if err := w.offer(m, e, m.leaderEpoch(), origin); err != nil && err != errRefused {
			return err
		}
	}
	if latest := m.latestEpoch(); latest > 0 && w.between(0, 5, "deposed") == 0 { // a leader of the past
		b := w.batch(m, 1, 1, batch.Options{}).orig
		if _, err := w.give(m, b, latest-1, Client); !errors.Is(err, model.FencedLeaderEpoch) && !errors.Is(err, model.KafkaStorageError) && err != errTrouble {
			return fmt.Errorf("append of a deposed leader: %v", err)
		}
	}
	return nil
}

func (w *world) compressed(m *twin) error {
	// No Zstd: its pooled decoders have channels, which a bubble of testing/synctest does not lend to the next.
	codec := []batch.Codec{batch.Gzip, batch.Snappy, batch.LZ4}[w.between(0, 2, "codec")]
	err := w.offer(m, w.batch(m, w.between(1, 9, "records"), w.between(0, 300, "size"), batch.Options{Codec: codec}), m.leaderEpoch(), Client)
	if err == errRefused {
		return nil
	}
	return err
}

// produce sends the next batch of a producer, or one that must be recognised, or refused.
func (w *world) produce(m *twin) error {
	id := int64(w.between(1, 3, "producer"))
	x := m.writers[id]
	o := batch.Options{HasProducer: true, ProducerID: id}
	if x != nil {
		o.ProducerEpoch, o.BaseSequence = x.epoch, x.last().orig.LastSequence()+1
	}
	how := w.between(0, 9, "how")
	if x != nil && x.known(o.BaseSequence, o.BaseSequence+9) { // it was forgotten, began again, and was remembered after a crash
		return nil
	}
	switch {
	case x == nil || how < 5:
		err := w.offer(m, w.batch(m, w.between(1, 3, "records"), 10, o), m.leaderEpoch(), Client)
		if err == errRefused {
			return nil
		}
		return err
	case how < 8:
		return w.sendAgain(m, x.window[x.first(x.window[w.between(0, len(x.window)-1, "which")])])
	case how == 8:
		o.BaseSequence += int32(w.between(1, 5, "gap"))
		return w.refused(m, o, model.OutOfOrderSequenceNumber)
	case x.epoch > 0 && w.between(0, 1, "zombie") == 1:
		o.ProducerEpoch, o.BaseSequence = x.epoch-1, 0
		return w.refused(m, o, model.InvalidProducerEpoch)
	}
	o.ProducerEpoch, o.BaseSequence = x.epoch+1, 0
	if err := w.offer(m, w.batch(m, 1, 10, o), m.leaderEpoch(), Client); err != errRefused {
		return err
	}
	return nil
}

// transact sends the next batch of a transactional producer. What compaction makes of transactions has tests of its own.
func (w *world) transact(m *twin) error {
	if m.config.CleanupCompact {
		return nil
	}
	id := int64(w.between(4, 5, "producer"))
	o := batch.Options{HasProducer: true, ProducerID: id, Transactional: true}
	if x := m.writers[id]; x != nil {
		o.ProducerEpoch = x.epoch
		if last := x.last(); last != nil {
			o.BaseSequence = last.orig.LastSequence() + 1
		}
		if x.known(o.BaseSequence, o.BaseSequence+9) { // it was forgotten, began again, and was remembered after a crash
			return nil
		}
	}
	if err := w.offer(m, w.batch(m, w.between(1, 3, "records"), w.between(0, 100, "size"), o), m.leaderEpoch(), Client); err != errRefused {
		return err
	}
	return nil
}

// endTransaction writes the marker of a transaction that is open.
func (w *world) endTransaction(m *twin) error {
	id := int64(w.between(4, 5, "producer"))
	x := m.writers[id]
	if x == nil || x.txnFirst == NoOffset {
		return nil
	}
	w.builder.Reset(batch.Options{HasProducer: true, ProducerID: id, ProducerEpoch: x.epoch, BaseSequence: batch.NoSequence, Transactional: true, Control: true})
	r := record{timestamp: w.clock, key: string([]byte{0, 0, 0, byte(w.between(0, 1, "commit"))}), value: string(make([]byte, 6))}
	w.builder.Append(r.timestamp, []byte(r.key), []byte(r.value))
	if err := w.offer(m, &entry{orig: slices.Clone(w.builder.Build()), recs: []record{r}}, m.leaderEpoch(), Internal); err != errRefused {
		return err
	}
	return nil
}

// sendAgain sends a batch that the log must remember.
func (w *world) sendAgain(m *twin, e *entry) error {
	b := slices.Clone(e.orig)
	b.SetBaseOffset(0)
	a, err := w.give(m, b, m.leaderEpoch(), Client)
	if errors.Is(err, model.KafkaStorageError) || err == errTrouble {
		return nil
	}
	if err != nil || !a.Duplicate || a.BaseOffset != e.base() || a.LastOffset != e.last() || a.Timestamp != e.orig.MaxTimestamp() && !e.loose || a.End != e.next() {
		return fmt.Errorf("the batch at offsets %d to %d was sent again: %+v %v", e.base(), e.last(), a, err)
	}
	return nil
}

func (w *world) refused(m *twin, o batch.Options, want model.ErrorCode) error {
	b := w.batch(m, 1, 10, o).orig
	if a, err := w.give(m, b, m.leaderEpoch(), Client); !errors.Is(err, want) && !errors.Is(err, model.KafkaStorageError) && err != errTrouble {
		return fmt.Errorf("producer %d of epoch %d with sequence number %d: %+v %v, want %v", o.ProducerID, o.ProducerEpoch, o.BaseSequence, a, err, want)
	}
	return nil
}

func (w *world) follow(m *twin) error {
	epoch := m.leaderEpoch() + int32(w.between(0, 1, "epoch"))
	if m.end > 0 && w.between(0, 3, "stray") == 0 {
		b := w.batch(m, 1, 1, batch.Options{}).orig
		b.SetBaseOffset(m.end - 1)
		b.SetPartitionLeaderEpoch(epoch)
		if _, err := w.give(m, b, epoch, Follower); !errors.Is(err, ErrNotContiguous) && !errors.Is(err, model.KafkaStorageError) && err != errTrouble {
			return fmt.Errorf("a replicated batch at the wrong place: %v", err)
		}
	}
	err := w.offer(m, w.batch(m, w.between(1, 3, "records"), w.between(0, 200, "size"), batch.Options{}), epoch, Follower)
	if err == errRefused {
		return nil
	}
	return err
}

func (w *world) elect(m *twin) error {
	epoch := m.leaderEpoch() + int32(w.between(0, 2, "epoch"))
	m.log.AssignLeaderEpoch(epoch)
	m.assignEpoch(epoch, m.end)
	return nil
}

// rollOver makes the next batch begin a segment.
func (w *world) rollOver(m *twin) error {
	c := *m.config
	c.SegmentMs = -1
	m.log.SetConfig(&c)
	defer m.log.SetConfig(m.config)
	return w.append(m)
}

func (w *world) truncate(m *twin) error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	low := max(m.start, min(m.cleanTo, m.end))
	to := low + int64(w.between(0, int(m.end-low), "to"))
	if w.between(0, 2, "a little") > 0 { // as a follower does
		to = max(low, m.end-int64(w.between(0, 8, "last")))
	}
	n := len(m.entries)
	for n > 0 && m.entries[n-1].last() >= to {
		n--
	}
	end := m.start
	if n < len(m.entries) && m.entries[n].base() > m.start {
		end = m.entries[n].base()
	} else if to >= m.end {
		end = m.end
	}
	whole := n < len(m.entries) && m.entries[n].base() < m.start // the start lies within the batch that is cut
	before := m.content
	w.mu.Lock()
	if whole {
		m.change(content{nil, m.start, m.start, m.start})
	} else if n < len(m.entries) {
		m.change(content{m.entries[:n:n], m.first, m.start, end})
	}
	w.mu.Unlock()
	m.cuts++
	m.vague = max(m.vague, m.cleanTo)
	err := m.log.TruncateTo(to)
	if err != nil {
		m.change(before)
		return w.explained(fmt.Errorf("truncate to %d: %w", to, err))
	}
	if n < len(before.entries) {
		m.hasCut()
	}
	m.cutEpochs(m.end)
	if whole {
		m.epochs = nil
	}
	if err := m.genuine(m.log, m.content); err != nil {
		return fmt.Errorf("truncate to %d: %w", to, err)
	}
	epochs := m.epochs
	m.remember()
	m.epochs = epochs
	return nil
}

func (w *world) anew(m *twin) error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	to := max(0, m.start+int64(w.between(-20, int(m.end-m.start)+20, "at")))
	before := m.content
	w.mu.Lock()
	m.acked = min(m.acked, to)
	m.change(content{nil, to, to, to})
	w.mu.Unlock()
	m.cuts++
	m.vague = max(m.vague, m.cleanTo) // a crash may leave the beginning of what is to go
	if err := m.log.TruncateFullyAndStartAt(to); err != nil {
		m.change(before)
		return w.explained(err)
	}
	m.hasCut()
	m.epochs, m.writers, m.cleanTo = nil, map[int64]*sender{}, 0
	return nil
}

// deleteRecords moves the start, as a partition does: never beyond the high watermark.
func (w *world) deleteRecords(m *twin) error {
	synced := min(m.log.SyncedOffset(), m.end)
	if synced <= m.start {
		return nil
	}
	to := m.start + int64(w.between(0, int(synced-m.start), "start"))
	w.mu.Lock()
	m.change(content{m.entries, m.first, to, m.end})
	w.mu.Unlock()
	m.moveEpochs(to)
	if err := m.log.SetStartOffset(to); err != nil {
		return w.explained(err)
	}
	return w.maintain(m, m.config)
}

func (w *world) retain(m *twin) error {
	c := *m.config
	if !c.CleanupDelete {
		return w.maintain(m, &c)
	}
	if w.between(0, 1, "by") == 0 {
		c.RetentionMs = int64(w.between(0, 4000, "retention.ms"))
	} else {
		c.RetentionBytes = int64(w.between(0, 20_000, "retention.bytes"))
	}
	return w.maintain(m, &c)
}

// maintain lets time pass for a log, and checks that it deletes what it must and nothing else.
func (w *world) maintain(m *twin, c *Config) error {
	m.log.SetConfig(c)
	defer m.log.SetConfig(m.config)
	upTo := min(m.log.SyncedOffset(), m.end)
	bases := m.bases()
	var sizes, times []int64
	for i, base := range bases {
		size, newest := m.measure(base, m.baseAfter(bases, i))
		sizes, times = append(sizes, size), append(times, newest)
	}
	total := int64(0)
	for _, s := range sizes {
		total += s
	}
	must := func(i int) bool { // by Kafka's rules
		last := i+1 == len(bases)
		end := m.baseAfter(bases, i)
		if end > upTo || last && sizes[i] == 0 {
			return false
		}
		return end <= m.start && !last || c.CleanupDelete && (c.RetentionMs >= 0 && w.clock-times[i] > c.RetentionMs || c.RetentionBytes >= 0 && total-c.RetentionBytes >= sizes[i])
	}
	want := 0
	for ; want < len(bases) && must(want); want++ {
		total -= sizes[want]
	}
	if want > 0 {
		if start := m.baseAfter(bases, want-1); start > m.start {
			w.mu.Lock()
			m.change(content{m.entries, m.first, start, m.end})
			w.mu.Unlock()
			m.moveEpochs(start)
		}
	}
	maps.DeleteFunc(m.writers, func(_ int64, x *sender) bool {
		return x.txnFirst == NoOffset && w.clock-x.timestamp >= c.ProducerExpirationMs
	})
	m.expired = max(m.expired, w.clock-c.ProducerExpirationMs)
	if n := m.log.Maintain(time.UnixMilli(w.clock), upTo); n != want && !w.trouble() {
		return fmt.Errorf("%d segments of %v (%v bytes, newest %v; retention %d ms, %d bytes; start %d, up to %d, clock %d) were deleted, want %d", n, bases, sizes, times, c.RetentionMs, c.RetentionBytes, m.start, upTo, w.clock, want)
	}
	return nil
}

// bases are where the log's segments begin.
func (m *twin) bases() []int64 {
	var out []int64
	for _, s := range *m.log.segments.Load() {
		out = append(out, s.base)
	}
	return out
}

func (m *twin) baseAfter(bases []int64, i int) int64 {
	if i+1 < len(bases) {
		return bases[i+1]
	}
	return m.end
}

// measure is how many bytes a range of offsets has, and its newest time.
func (m *twin) measure(from, to int64) (size, newest int64) {
	newest = -1
	for _, e := range m.entries {
		if e.now != nil && e.base() >= from && e.last() < to {
			size += int64(len(e.now))
			newest = max(newest, e.now.MaxTimestamp())
		}
	}
	return size, newest
}

// flush does what flush.ms asks for.
func (w *world) flush(m *twin) error {
	if m.config.Durability != Cache {
		return w.settle(m)
	}
	w.space()
	for range 2 { // once to begin, once when it is due
		m.log.Flush(time.UnixMilli(w.clock))
		w.clock += m.config.FlushMs
	}
	written := m.log.WrittenOffset()
	if !m.log.CutPending() {
		return w.explained(w.until("flush", func() bool { return m.log.SyncedOffset() >= min(written, m.log.EndOffset()) }))
	}
	return nil
}

func (w *world) closeLog(m *twin) error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	w.space()
	m.cuts++
	if err := m.log.Close(); err != nil {
		return w.explained(err)
	}
	w.mu.Lock()
	m.settled()
	w.mu.Unlock()
	epochs, writers := m.epochs, m.writers
	p := m.pledge(false)
	p.safe, p.synced = m.end, m.end
	if err := w.find(w.d, m, p); err != nil {
		if w.trouble() {
			return errTrouble
		}
		if w.explained(err) == nil { // it could not be opened: a node stops there
			return w.crash(true)
		}
		return err
	}
	m.epochs, m.writers = epochs, writers // nothing may be forgotten, but an epoch without records, as in Kafka
	m.cutEpochs(m.end)
	return w.explained(w.verify(m))
}

func (w *world) deleteTopic(m *twin) error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	w.space()
	m.cuts++
	m.maybe = true
	if err := m.log.Delete(); err != nil {
		return w.explained(err)
	}
	w.mu.Lock()
	m.log, m.maybe = nil, false
	w.mu.Unlock()
	return nil
}

// makeAgain makes a deleted topic anew, under its old name.
func (w *world) makeAgain() error {
	for _, m := range w.twins {
		if m.log != nil {
			continue
		}
		w.mu.Lock()
		w.birth(m)
		w.mu.Unlock()
		if err := w.find(w.d, m, m.pledge(false)); err != nil {
			if w.trouble() {
				return errTrouble
			}
			if w.explained(err) == nil {
				return w.crash(true)
			}
			return fmt.Errorf("%s: %w", m.name, err)
		}
		return w.append(m)
	}
	return nil
}

func (w *world) stop() error {
	if err := w.scrubEnd(); err != nil {
		return err
	}
	w.space()
	for _, h := range w.held {
		h.slice.Close()
	}
	w.held = nil
	if err := w.d.Close(1); err != nil {
		if !w.bite.bitten {
			return err
		}
		return w.crash(!w.proc.dead())
	}
	pledges := w.pledges(false)
	for i, m := range w.twins {
		if m.log != nil {
			pledges[i] = pledge{id: m.id, states: []content{m.content}, start: m.start, starts: m.start, safe: m.end, synced: m.end}
		}
	}
	w.proc.kill()
	if err := w.leave(); err != nil {
		return err
	}
	type known struct {
		epochs  []epochStart
		writers map[int64]*sender
	}
	before := make([]known, len(w.twins))
	for i, m := range w.twins {
		before[i] = known{m.epochs, m.writers}
	}
	if err := w.start(pledges); err != nil {
		if !w.explainedStart(err) {
			return err
		}
		w.proc.kill()
		if err := w.leave(); err != nil {
			return err
		}
		w.mem = w.mem.Crash(uint64(w.between(0, 1000, "seed")))
		return w.startAgain(pledges, true)
	}
	if clean, _ := w.d.CleanStart(); !clean {
		return errors.New("a clean stop was taken for a crash")
	}
	for i, m := range w.twins {
		if m.log == nil {
			continue
		}
		m.epochs, m.writers = before[i].epochs, before[i].writers // nothing may be forgotten, but an epoch without records, as in Kafka
		m.cutEpochs(m.end)
		if err := w.verify(m); err != nil {
			return fmt.Errorf("%s after a clean stop: %w", m.name, err)
		}
	}
	return nil
}

func (w *world) read(m *twin) error {
	if w.between(0, 9, "outside") == 0 {
		for _, from := range []int64{m.start - 1, m.end + 1} {
			if _, err := m.log.Read(from, m.end, 100, true); !errors.Is(err, model.OffsetOutOfRange) {
				return fmt.Errorf("read at offset %d of %d to %d: %v", from, m.start, m.end, err)
			}
		}
	}
	from := m.start + int64(w.between(0, int(m.end-m.start), "from"))
	to := from + int64(w.between(0, int(m.end-from), "to"))
	limit := w.between(1, 3000, "bytes")
	minOne := w.between(0, 3, "min one") > 0
	s, err := m.log.Read(from, to, limit, minOne)
	if err != nil {
		return w.explained(fmt.Errorf("read %d to %d: %w", from, to, err))
	}
	defer s.Close()
	want := m.visible(from, to)
	var got []batch.Batch
	for b, err := range s.Batches() {
		if err != nil {
			return err
		}
		got = append(got, b)
	}
	if len(got) > len(want) || len(got) == 0 && len(want) > 0 && (minOne || len(want[0].now) <= limit) {
		return fmt.Errorf("read %d to %d: %d batches, there are %d", from, to, len(got), len(want))
	}
	if err := sameAs(want[:len(got)], got); err != nil {
		return fmt.Errorf("read %d to %d: %w", from, to, err)
	}
	if s.Len() > limit && (len(got) > 1 || !minOne) {
		return fmt.Errorf("read of %d bytes returned %d", limit, s.Len())
	}
	return nil
}

// hold reads and holds on to it.
func (w *world) hold(m *twin) error {
	synced := min(m.log.SyncedOffset(), m.end)
	if synced <= m.start || len(w.held) > 4 {
		return nil
	}
	from := m.start + int64(w.between(0, int(synced-m.start), "from"))
	s, err := m.log.Read(from, synced, w.between(1, 5000, "bytes"), true)
	if err != nil {
		return w.explained(err)
	}
	if s.Len() == 0 {
		s.Close()
		return nil
	}
	var want []byte
	for _, e := range m.visible(from, synced) {
		if len(want) < s.Len() {
			want = append(want, e.now...)
		}
	}
	w.held = append(w.held, held{m, s, want, m.cuts})
	return nil
}

// letGo looks once more at what is held longest.
func (w *world) letGo() error {
	if len(w.held) == 0 {
		return nil
	}
	h := w.held[0]
	w.held = w.held[1:]
	defer h.slice.Close()
	got, err := h.slice.AppendTo(nil)
	if h.cuts != h.m.cuts {
		return nil // who reads a log that is cut or closed gets what there is
	}
	if err != nil {
		return w.explained(err)
	}
	if !bytes.Equal(got, h.want) {
		return fmt.Errorf("%s: what a reader holds has changed: %d bytes, want %d", h.m.name, len(got), len(h.want))
	}
	return nil
}

func (w *world) seekTime(m *twin) error {
	ask := w.clock - int64(w.between(-60, 2000, "ago"))
	var want, greatest Stamp
	found, any := false, false
	for _, e := range m.entries {
		if e.now == nil {
			continue
		}
		for _, r := range e.recs {
			if r.gone || r.offset < m.start {
				continue
			}
			s := Stamp{r.offset, r.timestamp, e.orig.PartitionLeaderEpoch()}
			if !found && r.timestamp >= ask {
				want, found = s, true
			}
			if !any || r.timestamp > greatest.Timestamp {
				greatest, any = s, true
			}
		}
	}
	got, ok, err := m.log.OffsetForTimestamp(ask, m.end)
	if err != nil {
		return w.explained(err)
	}
	if ok != found || got != want && ok {
		return fmt.Errorf("time %d: %+v %v, want %+v %v", ask, got, ok, want, found)
	}
	got, ok, err = m.log.MaxTimestamp(m.end)
	if err != nil {
		return w.explained(err)
	}
	hidden := false // the greatest of what the files have is deleted, or was in a batch that compaction emptied, as in Kafka
	for _, e := range m.entries {
		hidden = hidden || e.now != nil && e.now.RecordCount() == 0 && e.now.MaxTimestamp() >= greatest.Timestamp
		for _, r := range e.recs {
			hidden = hidden || e.now != nil && r.offset < m.start && r.timestamp >= greatest.Timestamp
		}
	}
	if ok && got != greatest || ok && !any || !ok && any && !hidden {
		return fmt.Errorf("greatest time: %+v %v, want %+v %v", got, ok, greatest, any)
	}
	return nil
}

// clean begins a cleaning, and lets it come as far as the dice say.
func (w *world) clean(m *twin) error {
	if !m.config.CleanupCompact || w.scrub != nil || m.log.CutPending() {
		return nil
	}
	upTo := min(m.log.SyncedOffset(), m.end)
	now := time.UnixMilli(w.clock)
	if m.log.Cleanable(now, upTo).DirtyBytes == 0 {
		return nil
	}
	m.expect(now, upTo)
	s := &scrub{m: m, tokens: make(chan struct{}), done: make(chan error, 1)}
	w.scrub = s
	o := CleanOptions{Now: now, UpTo: upTo, Keys: w.keys, BufferBytes: 2048, MaxBatchBytes: 1 << 20, Serial: func(f func() error) error { return f() },
		Throttle: func(context.Context, int) error { <-s.tokens; return nil }}
	l := m.log
	go func() {
		_, err := l.Clean(context.Background(), o)
		s.done <- err
	}()
	return w.scrubOn()
}

// expect notes what a cleaning may do.
func (m *twin) expect(now time.Time, upTo int64) {
	newest := map[string]int64{}
	for _, e := range m.entries {
		for _, r := range e.recs {
			if r.offset < upTo {
				newest[r.key] = r.offset
			}
		}
	}
	for _, e := range m.entries {
		if e.base() >= upTo {
			break
		}
		e.loose = true
		for i := range e.recs {
			r := &e.recs[i]
			if r.offset < newest[r.key] || r.tombstone && r.horizon > 0 && now.UnixMilli() >= r.horizon {
				r.mayGo = true
			}
			if r.tombstone && r.horizon == 0 {
				r.horizon = now.UnixMilli() + m.config.DeleteRetentionMs
			}
		}
	}
	m.cleanTo = max(m.cleanTo, upTo)
}

// scrubOn lets a cleaning do a few steps.
func (w *world) scrubOn() error {
	s := w.scrub
	if s == nil {
		return nil
	}
	for range w.between(0, 12, "steps") {
		synctest.Wait()
		select {
		case s.tokens <- struct{}{}:
		case err := <-s.done:
			return w.scrubbed(err)
		}
	}
	synctest.Wait()
	select {
	case err := <-s.done:
		return w.scrubbed(err)
	default:
		return nil
	}
}

// scrubEnd lets a cleaning come to its end, whatever that is.
func (w *world) scrubEnd() error {
	s := w.scrub
	if s == nil {
		return nil
	}
	close(s.tokens)
	return w.scrubbed(<-s.done)
}

// scrubbed takes what a cleaning left into the twin.
func (w *world) scrubbed(err error) error {
	m := w.scrub.m
	w.scrub = nil
	if err != nil && !errors.Is(err, ErrCleanAborted) {
		if w.limited && dir.NoSpace(err) {
			return nil
		}
		return w.explained(err)
	}
	got, err := readAll(m.log)
	if err != nil {
		return w.explained(fmt.Errorf("read after compaction: %w", err))
	}
	if err := m.holds(m.start, m.end, got); err != nil {
		return fmt.Errorf("after compaction: %w", err)
	}
	return m.look(got)
}

// fill leaves the disk a few pages.
func (w *world) fill() error {
	if w.limited {
		return nil
	}
	free, total, err := w.mem.FreeSpace(testDir)
	if err != nil {
		return err
	}
	w.mem.SetCapacity(total - free + int64(w.between(0, 12, "pages"))*4096)
	w.limited = true
	return nil
}

func (w *world) failSoon() error {
	w.arm(w.between(1, 40, "calls"), vfs.Fault{Err: syscall.EIO, Short: w.between(0, 600, "short"), After: w.between(0, 3, "after") == 0}, false)
	return nil
}

func (w *world) noSpaceSoon() error {
	w.arm(w.between(1, 40, "calls"), vfs.Fault{Err: syscall.ENOSPC, Short: w.between(0, 600, "short")}, false)
	return nil
}

// unreadable has one read of a file fail: the error is the disk's, and the next reader gets everything.
func (w *world) unreadable(m *twin) error {
	bitten := false
	if w.bite.armed || w.watching != nil {
		return nil
	}
	w.proc.watch(func(c vfs.Call) vfs.Fault {
		if c.Op == vfs.OpRead && !bitten {
			bitten = true
			return vfs.Fault{Err: syscall.EIO}
		}
		return vfs.Fault{}
	})
	got, err := readAll(m.log)
	w.watch()
	if w.trouble() {
		return nil
	}
	if _, disk := errors.AsType[*DiskError](err); err != nil && !(disk && bitten && errors.Is(err, syscall.EIO)) {
		return fmt.Errorf("a file could not be read (%v): %w", bitten, err)
	}
	if err == nil && bitten {
		if err := sameAs(m.visible(m.start, m.end), got); err != nil {
			return fmt.Errorf("a file could not be read: %w", err)
		}
	}
	return w.explained(w.verify(m))
}
