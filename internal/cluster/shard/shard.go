package shard

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/machine"
)

// Log is what a shard needs of a log. Append never waits for the disk.
type Log interface {
	// Admit says whether an append may be tried now.
	Admit() error
	// Append puts the records at the end as one batch and returns the position of the first.
	Append(records []machine.Record) (machine.Position, error)
	// End returns the next offset to be written, and the epoch in force.
	End() machine.Position
	// Committed returns the offset below which everything is committed, and the epoch in force.
	Committed() machine.Position
	// Err returns why the log can no longer be used, or nil.
	Err() error
	// Watch has f called, with no lock held, whenever Committed, the epoch or Err changed.
	Watch(f func())
	// Load gives every data record from offset from up to End, in order.
	Load(from int64, f func(machine.Position, machine.Record) error) error
}

// committer is implemented by machines that publish what is committed.
type committer interface {
	Committed(at machine.Position)
}

// Options of a shard.
type Options struct {
	Name string
	// Clock gives the time that machines see; time.Now when nil.
	Clock func() time.Time
	// MaxBatchBytes bounds one batch, keys and values together; 1 MiB when zero.
	MaxBatchBytes int
	// MailboxLimit bounds the inputs that wait to be stepped; 100,000 when zero.
	MailboxLimit int
}

// Shard runs one machine over one log.
type Shard struct {
	log     Log
	machine machine.Machine
	opts    Options
	wake    chan struct{}
	ready   chan struct{} // closed when the log is loaded

	mu struct {
		sync.Mutex
		mailbox []*Call
		gone    []*Call // callers that stopped waiting
		state   state
	}

	// Of the goroutine in Run.
	epoch   int32
	waiting map[machine.Caller]*Call
	parked  []parked
	callers machine.Caller
	batch   []machine.Record
	bytes   int
	told    machine.Position
}

type state int

const (
	loading state = iota
	serving
	closed
)

// parked is a reply that waits for the log to commit up to end.
type parked struct {
	end   int64
	call  *Call
	reply any
}

// New returns a shard that is not running yet; calls made before Run has loaded the log fail with ErrLoading.
func New(log Log, m machine.Machine, opts Options) *Shard {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.MaxBatchBytes == 0 {
		opts.MaxBatchBytes = 1 << 20
	}
	if opts.MailboxLimit == 0 {
		opts.MailboxLimit = 100_000
	}
	s := &Shard{log: log, machine: m, opts: opts, wake: make(chan struct{}, 1), ready: make(chan struct{}), waiting: map[machine.Caller]*Call{}}
	log.Watch(s.Wake)
	return s
}

// Ready is closed when the log is loaded and calls are served.
func (s *Shard) Ready() <-chan struct{} { return s.ready }

// Wake makes Run look at its mailbox and at the log.
func (s *Shard) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Call hands an input to the machine. It never blocks.
func (s *Shard) Call(input any) *Call {
	c := &Call{input: input, done: make(chan struct{})}
	s.mu.Lock()
	state, full := s.mu.state, len(s.mu.mailbox) >= s.opts.MailboxLimit
	if state == serving && !full {
		s.mu.mailbox = append(s.mu.mailbox, c)
	}
	s.mu.Unlock()
	switch {
	case state == loading:
		return failed(input, ErrLoading)
	case state == closed:
		return failed(input, ErrClosed)
	case full:
		return failed(input, ErrBusy)
	}
	s.Wake()
	return c
}

// Abandon tells the machine that nobody waits for the call any more; its Result becomes ErrClosed.
func (s *Shard) Abandon(c *Call) {
	s.mu.Lock()
	if s.mu.state == serving {
		s.mu.gone = append(s.mu.gone, c)
	}
	s.mu.Unlock()
	s.Wake()
}

// Run loads the log and serves calls until ctx ends or the log fails, which is the error. Everything that waits then fails with it.
func (s *Shard) Run(ctx context.Context) error {
	err := s.run(ctx)
	s.mu.Lock()
	s.mu.state = closed
	left := s.mu.mailbox
	s.mu.mailbox, s.mu.gone = nil, nil
	s.mu.Unlock()
	reason := err
	if reason == nil {
		reason = ErrClosed
	}
	for _, c := range left {
		c.finish(nil, reason)
	}
	s.failAll(reason)
	return err
}

func (s *Shard) run(ctx context.Context) error {
	if err := s.load(ctx); err != nil {
		return err
	}
	s.mu.Lock()
	s.mu.state = serving
	s.mu.Unlock()
	close(s.ready)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		var due <-chan time.Time
		if at := s.machine.Deadline(); !at.IsZero() {
			timer.Reset(max(0, at.Sub(s.opts.Clock())))
			due = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.wake:
		case <-due:
		}
		if err := s.round(); err != nil {
			return err
		}
	}
}

// load replays the log and waits until its end is committed (I4).
func (s *Shard) load(ctx context.Context) error {
	s.epoch = s.log.End().Epoch
	if err := s.log.Load(0, func(at machine.Position, r machine.Record) error {
		s.machine.Apply(at, r)
		return nil
	}); err != nil {
		return fmt.Errorf("load shard %s: %w", s.opts.Name, err)
	}
	end := s.log.End().Offset
	for s.log.Committed().Offset < end {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.wake:
		}
		if err := s.log.Err(); err != nil {
			return fmt.Errorf("load shard %s: %w", s.opts.Name, err)
		}
	}
	s.tell(s.log.Committed())
	s.take(0, s.machine.Step(s.opts.Clock(), 0, machine.Loaded{}), nil)
	return s.flush()
}

// round steps everything that arrived, appends what came of it and releases what is committed.
func (s *Shard) round() error {
	if err := s.log.Err(); err != nil {
		return fmt.Errorf("shard %s: %w", s.opts.Name, err)
	}
	if now := s.log.End(); now.Epoch != s.epoch {
		return fmt.Errorf("shard %s: the log's epoch moved from %d to %d", s.opts.Name, s.epoch, now.Epoch)
	}
	s.mu.Lock()
	calls, gone := s.mu.mailbox, s.mu.gone
	s.mu.mailbox, s.mu.gone = nil, nil
	s.mu.Unlock()
	now := s.opts.Clock()
	for _, c := range calls {
		s.callers++
		c.caller = s.callers
		s.waiting[c.caller] = c
		if err := s.take(c.caller, s.machine.Step(now, c.caller, c.input), c.input); err != nil {
			return err
		}
	}
	for _, c := range gone {
		if s.waiting[c.caller] != c || c.caller == 0 {
			continue // answered meanwhile
		}
		if err := s.take(0, s.machine.Step(now, 0, machine.Abandoned{Caller: c.caller}), nil); err != nil {
			return err
		}
		s.finish(c.caller, nil, ErrClosed)
	}
	if at := s.machine.Deadline(); !at.IsZero() && !at.After(now) {
		if err := s.take(0, s.machine.Step(now, 0, nil), nil); err != nil {
			return err
		}
	}
	if err := s.flush(); err != nil {
		return err
	}
	s.release()
	return nil
}

// take applies the records of one Step, adds them to the round's batch and parks the replies at the new end.
func (s *Shard) take(from machine.Caller, out machine.Out, input any) error {
	if len(out.Records) > 0 {
		size := 0
		for _, r := range out.Records {
			size += len(r.Key) + len(r.Value) + 32
		}
		refusal := s.log.Admit()
		if refusal == nil && size > s.opts.MaxBatchBytes {
			refusal = ErrTooBig
		}
		if refusal != nil {
			return s.refuse(from, out, input, refusal)
		}
		if s.bytes+size > s.opts.MaxBatchBytes {
			if err := s.flush(); err != nil {
				return err
			}
		}
		at := s.log.End()
		at.Offset += int64(len(s.batch))
		for _, r := range out.Records {
			s.machine.Apply(at, r)
			at.Offset++
		}
		s.batch = append(s.batch, out.Records...)
		s.bytes += size
	}
	end := s.log.End().Offset + int64(len(s.batch))
	for _, r := range out.Replies {
		if call := s.waiting[r.To]; call != nil {
			delete(s.waiting, r.To)
			s.parked = append(s.parked, parked{end: end, call: call, reply: r.Value})
		}
	}
	return nil
}

// refuse fails everyone whom the refused Step would have answered, and lets the machine's soft state follow.
func (s *Shard) refuse(from machine.Caller, out machine.Out, input any, refusal error) error {
	s.finish(from, nil, refusal)
	for _, r := range out.Replies {
		s.finish(r.To, nil, refusal)
	}
	follow := s.machine.Step(s.opts.Clock(), 0, machine.Refused{Caller: from, Input: input, Err: refusal})
	if len(follow.Records) > 0 {
		return fmt.Errorf("shard %s: the machine wants to write after a refusal (%w)", s.opts.Name, refusal)
	}
	return s.take(0, follow, nil)
}

// flush appends the round's records as one batch (I2, I3).
func (s *Shard) flush() error {
	if len(s.batch) == 0 {
		return nil
	}
	want := s.log.End()
	at, err := s.log.Append(s.batch)
	if err != nil {
		return fmt.Errorf("shard %s: append %d records: %w", s.opts.Name, len(s.batch), err)
	}
	if at != want || at.Epoch != s.epoch {
		return fmt.Errorf("shard %s: records applied at %v were appended at %v", s.opts.Name, want, at)
	}
	clear(s.batch)
	s.batch, s.bytes = s.batch[:0], 0
	return nil
}

// release finishes the calls whose records are committed in this epoch (I1).
func (s *Shard) release() {
	committed := s.log.Committed()
	if committed.Epoch != s.epoch {
		return // the next round notices the new epoch and fails everything
	}
	s.tell(committed)
	n := 0
	for n < len(s.parked) && s.parked[n].end <= committed.Offset {
		s.parked[n].call.finish(s.parked[n].reply, nil)
		s.parked[n] = parked{}
		n++
	}
	s.parked = s.parked[n:]
	if len(s.parked) == 0 {
		s.parked = nil
	}
}

func (s *Shard) tell(committed machine.Position) {
	if m, ok := s.machine.(committer); ok && committed != s.told {
		s.told = committed
		m.Committed(committed)
	}
}

func (s *Shard) finish(caller machine.Caller, reply any, err error) {
	if call := s.waiting[caller]; call != nil {
		delete(s.waiting, caller)
		call.finish(reply, err)
	}
}

func (s *Shard) failAll(err error) {
	for caller := range s.waiting {
		s.finish(caller, nil, err)
	}
	for _, p := range s.parked {
		p.call.finish(nil, err)
	}
	s.parked = nil
}
