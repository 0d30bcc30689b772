package shard

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/machine"
)

// fakeLog commits when the test says so.
type fakeLog struct {
	mu        sync.Mutex
	records   []machine.Record
	batches   []int
	epoch     int32
	committed int64
	admit     error
	broken    error
	skew      int64 // added to the offset that Append reports
	watch     func()
}

func (l *fakeLog) Admit() error { l.mu.Lock(); defer l.mu.Unlock(); return l.admit }
func (l *fakeLog) Err() error   { l.mu.Lock(); defer l.mu.Unlock(); return l.broken }
func (l *fakeLog) End() machine.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return machine.Position{Epoch: l.epoch, Offset: int64(len(l.records))}
}
func (l *fakeLog) Committed() machine.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return machine.Position{Epoch: l.epoch, Offset: l.committed}
}
func (l *fakeLog) Watch(f func()) { l.watch = f }
func (l *fakeLog) Append(rs []machine.Record) (machine.Position, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	at := machine.Position{Epoch: l.epoch, Offset: int64(len(l.records)) + l.skew}
	l.records = append(l.records, rs...)
	l.batches = append(l.batches, len(rs))
	return at, nil
}
func (l *fakeLog) Load(from int64, f func(machine.Position, machine.Record) error) error {
	for i, r := range l.records[from:] {
		if err := f(machine.Position{Epoch: l.epoch, Offset: from + int64(i)}, r); err != nil {
			return err
		}
	}
	return nil
}
func (l *fakeLog) set(f func()) {
	l.mu.Lock()
	f()
	l.mu.Unlock()
	l.watch()
}
func (l *fakeLog) commit() { l.set(func() { l.committed = int64(len(l.records)) }) }

// journal keeps the strings that were put into it. "wait" parks its caller until "go".
type journal struct {
	lines   []string
	offsets []int64
	parked  []machine.Caller
	refused int
	gone    int
	due     time.Time
	told    machine.Position
}

func (j *journal) Apply(at machine.Position, r machine.Record) {
	j.lines = append(j.lines, string(r.Value))
	j.offsets = append(j.offsets, at.Offset)
}
func (j *journal) Deadline() time.Time           { return j.due }
func (j *journal) Committed(at machine.Position) { j.told = at }
func (j *journal) reply(c machine.Caller) machine.Reply {
	return machine.Reply{To: c, Value: strings.Join(j.lines, ",")}
}
func (j *journal) Step(now time.Time, from machine.Caller, input any) machine.Out {
	switch in := input.(type) {
	case nil:
		j.due = time.Time{}
		return machine.Out{Records: []machine.Record{{Value: []byte("due")}}}
	case machine.Refused:
		j.refused++
	case machine.Abandoned:
		j.gone++
	case string:
		switch in {
		case "read":
			return machine.Out{Replies: []machine.Reply{j.reply(from)}}
		case "wait":
			j.parked = append(j.parked, from)
		case "go":
			out := machine.Out{Replies: []machine.Reply{j.reply(from)}}
			for _, c := range j.parked {
				out.Replies = append(out.Replies, j.reply(c))
			}
			j.parked = nil
			return out
		case "later":
			j.due = now.Add(time.Minute)
			return machine.Out{Replies: []machine.Reply{j.reply(from)}}
		default:
			return machine.Out{Records: []machine.Record{{Value: []byte(in)}}, Replies: []machine.Reply{{To: from, Value: in}}}
		}
	}
	return machine.Out{}
}

type bench struct {
	*testing.T
	log   *fakeLog
	m     *journal
	s     *Shard
	ended chan error
}

// start runs a shard inside the calling test's bubble.
func start(t *testing.T, log *fakeLog, opts Options) *bench {
	b := &bench{T: t, log: log, m: &journal{}, ended: make(chan error, 1)}
	b.s = New(log, b.m, opts)
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() { b.ended <- b.s.Run(ctx) }()
	synctest.Wait()
	return b
}

func (b *bench) pending(c *Call) {
	b.Helper()
	synctest.Wait()
	select {
	case <-c.Done():
		b.Fatal("answered before the log committed")
	default:
	}
}

func (b *bench) want(c *Call, reply any, err error) {
	b.Helper()
	synctest.Wait()
	select {
	case <-c.Done():
	default:
		b.Fatal("not answered")
	}
	if r, e := c.Result(); r != reply || !errors.Is(e, err) {
		b.Fatalf("got %v, %v; want %v, %v", r, e, reply, err)
	}
}

func TestRepliesWaitForTheCommit(t *testing.T) { // I1
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &fakeLog{}, Options{})
		one := b.s.Call("one")
		read := b.s.Call("read")
		b.pending(one)
		b.pending(read) // it saw what is not committed
		b.log.commit()
		b.want(one, "one", nil)
		b.want(read, "one", nil)
		if b.m.told.Offset != 1 {
			t.Fatalf("the machine was told of %v", b.m.told)
		}
	})
}

func TestAnswersOnlyAfterTheLoadedEndIsCommitted(t *testing.T) { // I4
	synctest.Test(t, func(t *testing.T) {
		log := &fakeLog{records: []machine.Record{{Value: []byte("old")}}}
		b := start(t, log, Options{})
		b.want(b.s.Call("read"), nil, ErrLoading)
		log.commit()
		synctest.Wait()
		b.want(b.s.Call("read"), "old", nil)
	})
}

func TestRecordsOfOneInputStayInOneBatch(t *testing.T) { // I2
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &fakeLog{}, Options{MaxBatchBytes: 80})
		for range 5 {
			b.s.Call("0123456789") // 42 bytes as counted: one fits, two do not
		}
		b.want(b.s.Call(strings.Repeat("x", 100)), nil, ErrTooBig)
		if len(b.log.records) != 5 || b.m.refused != 1 {
			t.Fatalf("%d records, %d refusals", len(b.log.records), b.m.refused)
		}
		for _, n := range b.log.batches {
			if n != 1 {
				t.Fatalf("batches %v", b.log.batches)
			}
		}
	})
}

func TestARefusalFailsItsOwnInputOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		b := start(t, &fakeLog{admit: full}, Options{})
		b.want(b.s.Call("lost"), nil, full)
		b.want(b.s.Call("read"), "", nil)
		b.log.set(func() { b.log.admit = nil })
		kept := b.s.Call("kept")
		synctest.Wait()
		b.log.commit()
		b.want(kept, "kept", nil)
		b.want(b.s.Call("read"), "kept", nil)
	})
}

func TestAForeignOffsetOrEpochDropsTheMachine(t *testing.T) { // I3
	for name, hurt := range map[string]func(*fakeLog){
		"offset": func(l *fakeLog) { l.skew = 3 },
		"epoch":  func(l *fakeLog) { l.epoch++ },
		"error":  func(l *fakeLog) { l.broken = errors.New("i/o error") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := start(t, &fakeLog{}, Options{})
				parked := b.s.Call("parked")
				b.pending(parked)
				b.log.set(func() { hurt(b.log) })
				b.s.Call("next")
				if err := <-b.ended; err == nil {
					t.Fatal("the shard ended without an error")
				}
				if _, err := parked.Result(); err == nil {
					t.Fatal("what was parked did not fail")
				}
				b.want(b.s.Call("after"), nil, ErrClosed)
			})
		})
	}
}

func TestDeadlinesStepTheMachine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &fakeLog{}, Options{})
		b.want(b.s.Call("later"), "", nil)
		<-time.After(time.Minute) // of the bubble
		synctest.Wait()
		b.log.commit()
		b.want(b.s.Call("read"), "due", nil)
	})
}

func TestParkedCallersAndAbandonment(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &fakeLog{}, Options{})
		first, second := b.s.Call("wait"), b.s.Call("wait")
		b.pending(first)
		b.s.Abandon(second)
		b.want(second, nil, ErrClosed)
		b.want(b.s.Call("go"), "", nil)
		b.want(first, "", nil)
		if b.m.gone != 1 {
			t.Fatalf("%d abandoned, want 1", b.m.gone)
		}
	})
}

func TestTheMailboxIsBounded(t *testing.T) { // I5
	synctest.Test(t, func(t *testing.T) {
		b := start(t, &fakeLog{}, Options{MailboxLimit: 2})
		b.s.mu.Lock() // the machine's goroutine cannot drain now
		b.s.mu.mailbox = make([]*Call, 2)
		for i := range b.s.mu.mailbox {
			b.s.mu.mailbox[i] = &Call{input: "read", done: make(chan struct{})}
		}
		b.s.mu.Unlock()
		b.want(b.s.Call("read"), nil, ErrBusy)
	})
}
