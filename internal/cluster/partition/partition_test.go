package partition

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/replica"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// fixture is a partition over a log on a file system in memory.
type fixture struct {
	*testing.T
	dir *dir.Dir
	p   *Partition
}

func newFixture(t *testing.T, fs vfs.FS, settings *Settings) *fixture {
	t.Helper()
	d, err := dir.Open(fs, "data", dir.Options{Meta: dir.Meta{ClusterID: "c", NodeID: 1}, Memory: dir.NewMemory(0), Handles: dir.NewHandles(0), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Abandon(); err != nil && !errors.Is(err, dir.ErrClosed) {
			t.Error(err)
		}
	})
	id := model.TopicID{1}
	log, err := plog.Open(d, "t-0", id, settings.Log)
	if err != nil {
		t.Fatal(err)
	}
	p := New(Options{Topic: "t", ID: id, Self: 1, Dir: "data", Log: log, Settings: settings, Clock: time.Now})
	p.Assume(replica.Role{Leader: 1, LeaderEpoch: 0, ISR: []int32{1}, Replicas: []int32{1}})
	return &fixture{t, d, p}
}

func plain() *Settings {
	return &Settings{MinInSync: 1, Log: plog.DefaultConfig(), Rules: batch.Rules{TimestampBeforeMs: 1 << 60, TimestampAfterMs: 1 << 60}}
}

func records(values ...string) []byte {
	var b batch.Builder
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	return b.Build()
}

func (f *fixture) produce(acks int16, values ...string) (*Ticket, Appended) {
	f.Helper()
	ticket := NewTicket(1)
	a, err := f.p.Produce(context.Background(), records(values...), 9, acks, ticket, 0)
	if err != nil {
		f.Fatal(err)
	}
	return ticket, a
}

func (f *fixture) await(t *Ticket, want model.ErrorCode) {
	f.Helper()
	if t.Await(time.After(10*time.Second), nil); !t.Ready() {
		f.Fatal("the ticket was not completed")
	}
	if got := t.Code(0); got != want {
		f.Fatalf("the slot ended with %v, want %v", got, want)
	}
}

// warm has one record, synced, and files that can be told to fail.
func warm(t *testing.T, settings *Settings) (*fixture, *vfs.Faulty) {
	t.Helper()
	fs := vfs.NewFaulty(vfs.NewMem(), nil)
	f := newFixture(t, fs, settings)
	first, _ := f.produce(-1, "warm")
	f.await(first, model.None)
	return f, fs
}

func TestAcksAllWaitsForTheSync(t *testing.T) { // I1, I2
	f, fs := warm(t, plain())
	release := stallSyncs(fs)
	all, appended := f.produce(-1, "a", "b")
	if appended.BaseOffset != 1 {
		t.Fatalf("base offset %d, want 1", appended.BaseOffset)
	}
	if all.Ready() || f.p.HighWatermark() != 1 {
		t.Fatalf("acknowledged, or shown up to %d, before the sync", f.p.HighWatermark())
	}
	result, err := f.p.Read(ReadRequest{Offset: 1, MaxBytes: 1 << 20, MinOne: true, LeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil || result.Records.Len() != 0 {
		t.Fatalf("a consumer sees %d bytes that are not synced, %v", result.Records.Len(), err)
	}
	release()
	f.await(all, model.None)
	if f.p.HighWatermark() < 3 {
		t.Fatalf("high watermark %d after the sync", f.p.HighWatermark())
	}
}

func TestAcksOneWaitsForTheWrite(t *testing.T) { // I1
	f, fs := warm(t, plain())
	release := stallSyncs(fs)
	defer release()
	one, _ := f.produce(1, "a")
	f.await(one, model.None)
	if f.p.HighWatermark() != 1 {
		t.Fatalf("high watermark %d: what is not synced is shown", f.p.HighWatermark())
	}
}

func TestWhatMayBeHeld(t *testing.T) {
	settings := plain()
	settings.Cache, settings.Log.Durability = true, plog.Cache
	f, _ := warm(t, settings)
	produce := func(value string, change func(*Ticket)) *Ticket {
		t.Helper()
		ticket := NewTicket(1)
		ticket.MayHold = true
		change(ticket)
		if _, err := f.p.Produce(t.Context(), records(value), 9, -1, ticket, 0); err != nil {
			t.Fatal(err)
		}
		return ticket
	}
	as := func(*Ticket) {}
	small := produce("b", as)
	if small.Held != f.p.log.Dir() {
		t.Fatalf("held in %v", small.Held)
	}
	small.Held.Help()
	f.await(small, model.None)
	unheld := func(what string, ticket *Ticket) {
		t.Helper()
		f.await(ticket, model.None) // the committer has written it
		if ticket.Held == f.p.log.Dir() {
			t.Errorf("held: %s", what)
		}
	}
	unheld("a large batch", produce(strings.Repeat("x", mostHeld), as))
	unheld("its owner will not help", produce("c", func(x *Ticket) { x.MayHold = false }))
	unheld("its owner helps another directory", produce("c", func(x *Ticket) { x.Held = new(dir.Dir) }))
	if _, err := f.p.Produce(t.Context(), records("nobody waits"), 9, 0, nil, 0); err != nil {
		t.Error(err)
	}
	for what, change := range map[string]func(*Settings){
		"flush.messages asks for a sync": func(s *Settings) { s.Log.FlushMessages = 1 },
		"every append is synced":         func(s *Settings) { s.Cache, s.Log.Durability = false, plog.Sync },
	} {
		settings, config := *settings, *settings.Log
		settings.Log = &config
		change(&settings)
		f.p.Configure(&settings)
		unheld(what, produce("d", as))
	}
	if ticket := NewTicket(0); !small.Reopen(1) || small.MayHold || small.Held != nil || ticket.Held != nil {
		t.Error("a ticket that is used again still holds something")
	}
}

func TestCacheDurabilityDoesNotWaitForTheSync(t *testing.T) {
	settings := plain()
	settings.Cache, settings.Log.Durability = true, plog.Cache
	f, fs := warm(t, settings)
	release := stallSyncs(fs)
	defer release()
	second, _ := f.produce(-1, "b")
	f.await(second, model.None)
}

func TestANewEpochFailsWhatWaits(t *testing.T) { // I3
	f, fs := warm(t, plain())
	release := stallSyncs(fs)
	defer release()
	waiting, _ := f.produce(-1, "a")
	f.p.Assume(replica.Role{Leader: 2, LeaderEpoch: 1, ISR: []int32{1, 2}, Replicas: []int32{1, 2}})
	f.await(waiting, model.NotLeaderForPartition)
	if _, err := f.p.Produce(t.Context(), records("b"), 9, -1, NewTicket(1), 0); !errors.Is(err, model.NotLeaderForPartition) {
		t.Fatalf("a follower took a produce: %v", err)
	}
}

func TestAFailedSyncFailsWhatWaits(t *testing.T) {
	f, fs := warm(t, plain())
	failSyncs(fs)
	waiting, _ := f.produce(-1, "a")
	f.await(waiting, model.KafkaStorageError)
	if _, err := f.p.Produce(t.Context(), records("b"), 9, -1, NewTicket(1), 0); !errors.Is(err, model.KafkaStorageError) {
		t.Fatalf("a failed log took a produce: %v", err)
	}
}

func TestWakersFireOnNews(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), plain())
	w := NewWaker()
	f.p.Watch(w)
	ticket, _ := f.produce(-1, "a")
	f.await(ticket, model.None)
	select {
	case <-w.C():
	case <-time.After(10 * time.Second):
		t.Fatal("the waker did not fire")
	}
	f.p.Watch(w)
	f.p.Unwatch(w)
	ticket, _ = f.produce(-1, "b")
	f.await(ticket, model.None)
	select {
	case <-w.C():
		t.Fatal("a waker that was taken away fired")
	default:
	}
}

func TestEpochChecks(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), plain())
	f.p.Assume(replica.Role{Leader: 1, LeaderEpoch: 4, ISR: []int32{1}, Replicas: []int32{1}})
	for epoch, want := range map[int32]model.ErrorCode{-1: model.None, 4: model.None, 3: model.FencedLeaderEpoch, 5: model.UnknownLeaderEpoch} {
		if got := f.p.CheckEpoch(epoch); got != want {
			t.Errorf("epoch %d: %v, want %v", epoch, got, want)
		}
	}
}

func TestDeleteBefore(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), plain())
	ticket, _ := f.produce(-1, "a", "b", "c")
	f.await(ticket, model.None)
	if err := f.p.DeleteBefore(9); !errors.Is(err, model.OffsetOutOfRange) {
		t.Fatalf("beyond the high watermark: %v", err)
	}
	for _, offset := range []int64{2, 3} {
		if err := errors.Join(f.p.DeleteBefore(offset), f.p.AwaitDeleted(offset, time.After(10*time.Second), nil)); err != nil {
			t.Fatalf("before %d: %v", offset, err)
		}
		if start := f.p.Log().DurableStartOffset(); start != offset {
			t.Fatalf("the log starts at %d on disk, want %d", start, offset)
		}
		if _, err := f.p.Read(ReadRequest{Offset: offset - 1, MaxBytes: 100, LeaderEpoch: -1, LastFetchedEpoch: -1}); !errors.Is(err, model.OffsetOutOfRange) {
			t.Fatalf("a deleted record can be read: %v", err)
		}
	}
}

func TestSettling(t *testing.T) {
	f, fs := warm(t, plain())
	release := stallSyncs(fs)
	one, _ := f.produce(1, "a", "b")
	f.await(one, model.None)
	if got := f.p.Settling(); got != 3 || f.p.HighWatermark() != 1 {
		t.Fatalf("settles at %d with the high watermark at %d, want 3 and 1", got, f.p.HighWatermark())
	}
	if err := f.p.AwaitCommitted(3, closedTime, nil); err != error(model.RequestTimedOut) {
		t.Fatalf("waited for a stalled sync: %v", err)
	}
	release()
	if err := f.p.AwaitCommitted(3, time.After(10*time.Second), nil); err != nil || f.p.HighWatermark() != 3 {
		t.Fatalf("after the sync: %v, high watermark %d", err, f.p.HighWatermark())
	}
	f.p.Assume(replica.Role{Leader: 1, LeaderEpoch: 1, ISR: []int32{1, 2}, Replicas: []int32{1, 2}})
	if _, appended := f.produce(1, "c"); f.p.Settling() != 3 {
		t.Fatalf("settles at %d, which the follower does not have: it was appended at %d", f.p.Settling(), appended.BaseOffset)
	}
	f.p.Assume(replica.Role{Leader: 2, LeaderEpoch: 2, ISR: []int32{1, 2}, Replicas: []int32{1, 2}})
	if err := f.p.AwaitCommitted(4, nil, nil); err != error(model.NotLeaderForPartition) {
		t.Fatalf("waited as a follower: %v", err)
	}
}

func TestShardLogRoundTrip(t *testing.T) {
	f := newFixture(t, vfs.NewMem(), plain())
	log := NewShardLog(f.p)
	moved := make(chan struct{}, 100)
	log.Watch(func() { moved <- struct{}{} })
	at, err := log.Append([]machine.Record{{Key: []byte("k"), Value: []byte("v1")}, {Key: []byte("k")}})
	if err != nil || at != (machine.Position{Offset: 0}) {
		t.Fatalf("appended at %v, %v", at, err)
	}
	for log.Committed().Offset < 2 {
		select {
		case <-moved:
		case <-time.After(10 * time.Second):
			t.Fatal("never committed")
		}
	}
	var got []machine.Record
	if err := log.Load(0, func(_ machine.Position, r machine.Record) error { got = append(got, r); return nil }); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || string(got[0].Value) != "v1" || got[1].Value != nil || string(got[1].Key) != "k" {
		t.Fatalf("loaded %+v", got)
	}
}

// stallSyncs holds every sync of a log's file until the returned function is called.
func stallSyncs(fs *vfs.Faulty) (release func()) {
	gate := vfs.NewGate()
	fs.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*.log", Fault: vfs.Fault{Gate: gate}}})
	return gate.Open
}

func failSyncs(fs *vfs.Faulty) {
	fs.SetInjector(vfs.Rules{{Op: vfs.OpSync, Path: "*.log", Fault: vfs.Fault{Err: errors.New("i/o error")}}})
}
