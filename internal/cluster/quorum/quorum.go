package quorum

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Errors of a Quorum. ErrNotLeader is a model.NotController for errors.Is.
var (
	ErrNotLeader = fmt.Errorf("this node does not lead the metadata quorum: %w", error(model.NotController))
	ErrBusy      = errors.New("the metadata quorum has too much to write that is not committed yet")
	ErrClosed    = errors.New("the metadata quorum is closed")
)

const (
	// maxInFlightBytes bounds what was appended and is not committed.
	maxInFlightBytes = 64 << 20
	// One tick is 100 ms: a heartbeat every 200 ms, an election after one to two seconds without one, as Kafka's election timeout.
	tickInterval   = 100 * time.Millisecond
	heartbeatTicks = 2
	electionTicks  = 10
)

// Options of a Quorum.
type Options struct {
	// FS and Path are the partition's directory, where the quorum-state file is kept beside the log.
	FS   vfs.FS
	Path string
	Log  Log
	// NodeID and DirectoryID are this voter.
	NodeID      int32
	DirectoryID model.TopicID
	// Voters is the membership of a log that names none yet; otherwise the log's own is in force, and only addresses are taken from here.
	Voters    []Voter
	Transport Transport // nil when there is only one voter
	Clock     func() time.Time
	Logger    *slog.Logger
}

// Quorum is one voter of the metadata quorum and its log. See the package comment.
type Quorum struct {
	opts   Options
	log    Log
	store  *stateStore
	self   Voter
	voters *voters

	wake       chan struct{} // loop
	wakeWriter chan struct{}
	stop       context.Context // ends when Close is called or something failed
	cancel     context.CancelFunc
	running    sync.WaitGroup

	mu struct {
		sync.Mutex
		inbox    inbox
		toWrite  []work
		err      error
		watchers []func()
		changed  chan struct{} // closed and replaced when public changed
		public
		growth   Growth
		base     *Checkpoint // what the log's beginning stands on, nil when it has everything; the loop alone changes it
		inFlight []inFlight
		bytes    int
	}

	// Of the writer.
	cast   vote // what Raft asked to save
	saved  vote // on disk
	rooted bool // the name of the log's directory is on disk

	// Of the loop.
	raft      *raft.RawNode
	table     *table
	asked     vote                     // what the writer was asked to save last
	handed    int64                    // how much work the writer was given
	noticed   int64                    // how much of it is known to be done
	cut       cut                      // the last time that entries were replaced
	pending   []written                // writes whose responses wait for the sync
	inLog     int64                    // up to where the log holds what the table says, synced or not
	changes   map[uint64]batch.Batch   // LeaderChange batches by index, until they are committed
	granted   map[uint64]bool          // who voted for this node
	grantedIn uint64                   // in this term
	contact   map[uint64]*voterContact // what other voters said last
	member    int64                    // offset of the batch that names the voters, -1 when none does
	named     []Voter                  // as it does, nil when none does
	growth    Growth                   // what no snapshot stands for
	fetching  bool                     // a snapshot is on its way from the leader
	fetched   bool                     // it came, or cannot come: once that is carried out, others may make snapshots again
	arrival   *Checkpoint              // it came, and Raft has not asked to install it yet
	waits     map[uint64]int           // ticks since a snapshot was offered to another voter

	snapshots chan struct{} // has room for the one who makes, brings or removes snapshots
}

// cut is where entries were replaced: what the writer did up to the work with the number holds only below the offset.
type cut struct {
	number int64
	offset int64
}

// public is what callers see.
type public struct {
	epoch     int32 // -1 while this node does not lead
	term      int32
	leader    int32 // -1 when unknown
	next      int64 // while leading: the next offset
	committed int64
	replicas  []Replica
}

// inbox is what waits for the loop.
type inbox struct {
	proposals []proposal
	messages  []*raftpb.Message
	written   []written
	fetched   []fetched
	tasks     []func()
}

type proposal struct {
	epoch int32
	batch batch.Batch
}

// inFlight is an append that is not committed.
type inFlight struct {
	end  int64
	size int
}

// Open reads what is there and starts taking part in the quorum. It returns before a leader is known; see Lead.
func Open(opts Options) (*Quorum, error) {
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	q := &Quorum{
		opts: opts, log: opts.Log, wake: make(chan struct{}, 1), wakeWriter: make(chan struct{}, 1),
		table: newTable(opts.Log), changes: map[uint64]batch.Batch{}, contact: map[uint64]*voterContact{}, member: -1,
		waits: map[uint64]int{}, snapshots: make(chan struct{}, 1),
	}
	q.stop, q.cancel = context.WithCancel(context.Background())
	q.mu.changed = make(chan struct{})
	if err := q.recover(); err != nil {
		q.cancel()
		return nil, fmt.Errorf("open the metadata quorum in %s: %w", opts.Path, err)
	}
	opts.Log.OnProgress(q.wakeLoop)
	q.running.Go(q.loop)
	q.running.Go(q.writer)
	return q, nil
}

// recover loads the table, the membership and the vote, and makes Raft of them.
func (q *Quorum) recover() error {
	if err := q.scan(); err != nil {
		return err
	}
	list := q.named
	if list == nil {
		list = q.opts.Voters
	}
	list = readdress(list, q.opts.Voters)
	var err error
	if q.voters, err = newVoters(list); err != nil {
		return err
	}
	q.self = Voter{ID: q.opts.NodeID, DirectoryID: q.opts.DirectoryID}
	self, ok := q.voters.byID[q.self.raftID()]
	if !ok {
		return fmt.Errorf("node %d with the log directory %s is no voter of this quorum, whose voters are %s: was the directory copied from, or node.id changed to, another node?",
			q.self.ID, q.self.DirectoryID, describeVoters(list))
	}
	if len(list) > 1 && q.opts.Transport == nil {
		return fmt.Errorf("the metadata log has %d voters (%s) and this release runs one: remove the others with kafka-metadata-quorum before the directory moves in", len(list), describeVoters(list))
	}
	q.self = self
	if err := q.opts.FS.MkdirAll(q.opts.Path); err != nil { // the writer syncs its name
		return err
	}
	q.store = &stateStore{fs: q.opts.FS, path: q.opts.Path, self: q.self.ID, voters: q.voters}
	v, err := q.store.load()
	if err != nil {
		return err
	}
	q.cast, q.saved = v, v
	lastTerm, err := q.table.Term(q.table.last())
	if err != nil {
		return err
	}
	if lastTerm > v.term {
		v = vote{term: lastTerm} // entries of a new term got to the disk before the term itself did: no vote was cast in it
	}
	q.asked = v
	if v.term > 0 {
		q.table.hard = &raftpb.HardState{Term: new(v.term), Vote: new(v.voted), Commit: new(q.table.before)}
	}
	q.table.conf = &raftpb.ConfState{Voters: q.voters.raftIDs()}
	if base := q.mu.base; base != nil && q.table.before > 0 {
		q.table.snap = q.raftSnapshot(q.table.before, base.End)
	}
	q.inLog = q.log.EndOffset()
	q.mu.public = public{epoch: -1, term: int32(v.term), leader: -1, committed: q.table.start}
	return q.startRaft()
}

// readdress gives voters the endpoints that this node was told now: an address may change from start to start, who votes does not.
func readdress(list, told []Voter) []Voter {
	out := slices.Clone(list)
	for i := range out {
		for _, v := range told {
			if v.ID == out[i].ID && v.DirectoryID == out[i].DirectoryID && len(v.Endpoints) > 0 {
				out[i].Endpoints = v.Endpoints
			}
		}
	}
	return out
}

func (q *Quorum) startRaft() error {
	node, err := raft.NewRawNode(&raft.Config{
		ID: q.self.raftID(), ElectionTick: electionTicks, HeartbeatTick: heartbeatTicks, Storage: q.table, AsyncStorageWrites: true,
		MaxSizePerMsg: 1 << 20, MaxInflightMsgs: 64, CheckQuorum: true, PreVote: true, DisableProposalForwarding: true,
		Logger: raftLogger{q.opts.Logger},
	})
	if err != nil {
		return err
	}
	q.raft = node
	if q.alone() {
		return q.raft.Campaign()
	}
	return nil
}

func (q *Quorum) alone() bool { return len(q.voters.list) == 1 }

func describeVoters(list []Voter) string {
	s := ""
	for i, v := range list {
		if i > 0 {
			s += ", "
		}
		s += fmt.Sprintf("%d with %s", v.ID, v.DirectoryID)
	}
	return s
}

// Close ends the node's part in the quorum and closes the log. What was appended and is not committed may or may not survive.
func (q *Quorum) Close() error {
	q.setErr(ErrClosed)
	q.running.Wait()
	q.notify()
	return q.log.Close()
}

// fail ends everything after an error that must not be survived (I5).
func (q *Quorum) fail(err error) {
	if q.setErr(err) {
		q.opts.Logger.Error("the metadata quorum failed", "error", err)
		q.notify()
	}
}

// setErr tells whether err was the first one.
func (q *Quorum) setErr(err error) bool {
	q.mu.Lock()
	first := q.mu.err == nil
	if first {
		q.mu.err = err
		q.mu.epoch, q.mu.leader = -1, -1
	}
	q.mu.Unlock()
	q.cancel()
	return first
}

// notify tells everyone that something visible changed. It runs without the lock.
func (q *Quorum) notify() {
	q.mu.Lock()
	watchers := slices.Clone(q.mu.watchers)
	close(q.mu.changed)
	q.mu.changed = make(chan struct{})
	q.mu.Unlock()
	for _, f := range watchers {
		f()
	}
}

func (q *Quorum) wakeLoop() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Err is why the quorum can no longer be used, or nil. After Close it is ErrClosed.
func (q *Quorum) Err() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.mu.err
}

// Watch has f called, with no lock held, whenever Committed, End's epoch or Err changed.
func (q *Quorum) Watch(f func()) {
	q.mu.Lock()
	q.mu.watchers = append(q.mu.watchers, f)
	q.mu.Unlock()
}

// Lead waits until this node leads, and returns the position at which its epoch began to take records.
func (q *Quorum) Lead(ctx context.Context) (machine.Position, error) {
	for {
		q.mu.Lock()
		epoch, next, err, changed := q.mu.epoch, q.mu.next, q.mu.err, q.mu.changed
		q.mu.Unlock()
		if err != nil {
			return machine.Position{}, err
		}
		if epoch >= 0 {
			return machine.Position{Epoch: epoch, Offset: next}, nil
		}
		select {
		case <-ctx.Done():
			return machine.Position{}, ctx.Err()
		case <-changed:
		}
	}
}

// Admit says whether an append may be tried now.
func (q *Quorum) Admit() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.admitLocked()
}

func (q *Quorum) admitLocked() error {
	switch {
	case q.mu.err != nil:
		return q.mu.err
	case q.mu.epoch < 0:
		return ErrNotLeader
	case q.mu.bytes >= maxInFlightBytes:
		return ErrBusy
	}
	return nil
}

// Append puts the records at the end as one batch and returns the position of the first. It never waits for the disk.
func (q *Quorum) Append(records []machine.Record) (machine.Position, error) {
	b := buildBatch(records, q.opts.Clock().UnixMilli())
	if b == nil || len(b) > maxBatchBytes {
		return machine.Position{}, fmt.Errorf("append %d records in %d bytes to the metadata log: a batch has 1 to %d bytes", len(records), len(b), maxBatchBytes)
	}
	q.mu.Lock()
	if err := q.admitLocked(); err != nil {
		q.mu.Unlock()
		return machine.Position{}, err
	}
	at := machine.Position{Epoch: q.mu.epoch, Offset: q.mu.next}
	b.SetBaseOffset(at.Offset)
	b.SetPartitionLeaderEpoch(at.Epoch)
	q.mu.next = b.NextOffset()
	q.mu.inFlight = append(q.mu.inFlight, inFlight{q.mu.next, len(b)})
	q.mu.bytes += len(b)
	q.mu.inbox.proposals = append(q.mu.inbox.proposals, proposal{at.Epoch, b})
	q.mu.Unlock()
	q.wakeLoop()
	return at, nil
}

// buildBatch makes a batch that nobody else refers to; nil when there are no records.
func buildBatch(records []machine.Record, nowMs int64) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{})
	for _, r := range records {
		ts := r.Timestamp
		if ts == 0 {
			ts = nowMs
		}
		b.Append(ts, r.Key, r.Value)
	}
	return b.Build()
}

// End returns the next offset to be written and the epoch; the epoch is -1 while this node does not lead.
func (q *Quorum) End() machine.Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.mu.epoch < 0 {
		return machine.Position{Epoch: -1, Offset: q.log.EndOffset()}
	}
	return machine.Position{Epoch: q.mu.epoch, Offset: q.mu.next}
}

// Committed returns the offset below which everything is committed, and the epoch as End does.
func (q *Quorum) Committed() machine.Position {
	q.mu.Lock()
	defer q.mu.Unlock()
	return machine.Position{Epoch: q.mu.epoch, Offset: q.mu.committed}
}
