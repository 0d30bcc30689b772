package dir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"
)

// Dirty tells the committer that the log has something to stage. It never blocks.
func (d *Dir) Dirty(l Log, m *Member) {
	d.crowd.add()
	was := m.dirty.Swap(awaited)
	if was == awaited {
		return
	}
	d.mu.Lock()
	if was == clean {
		d.mu.dirty = append(d.mu.dirty, dirtyLog{l, m})
	}
	d.mu.awaited = true
	d.mu.Unlock()
	d.wake()
}

// Revive asks for a round for a log that a crash left with more than is known to be synced. What clients write goes first: some logs at a time join each round.
func (d *Dir) Revive(l Log, m *Member) {
	d.mu.Lock()
	d.mu.revived = append(d.mu.revived, dirtyLog{l, m})
	d.mu.Unlock()
	d.wake()
}

// revivedAtOnce is how many revived logs join a round: few enough for a client's append not to wait long for their syncs.
const revivedAtOnce = 32

// takeRevivedLocked adds the next revived logs to a round. One that is dirty has a round of its own, which does all of it.
func (d *Dir) takeRevivedLocked(logs []dirtyLog) []dirtyLog {
	n := min(revivedAtOnce, len(d.mu.revived))
	for _, l := range d.mu.revived[:n] {
		if d.mu.logs[l.Name()] == l.Log && l.member.dirty.Swap(awaited) == clean {
			logs = append(logs, l)
		}
	}
	clear(d.mu.revived[:n])
	if d.mu.revived = d.mu.revived[n:]; len(d.mu.revived) == 0 {
		d.mu.revived = nil
	}
	return logs
}

func (d *Dir) wake() {
	select {
	case d.awake <- struct{}{}:
	default:
	}
}

// dirtyLog is a log with its place.
type dirtyLog struct {
	Log
	member *Member
}

// run is the committer: parked while nothing is dirty, without a timer unless a full disk keeps bytes waiting.
func (d *Dir) run() {
	defer close(d.done)
	var retry <-chan time.Time
	for {
		select {
		case <-d.awake:
		case <-retry:
		case <-d.closing:
			return
		}
		retry = nil
		if d.turns() {
			retry = time.After(spaceRetry)
		}
	}
}

// turns runs rounds until nothing is left to do or the directory is being closed, and tells whether some logs wait for space.
func (d *Dir) turns() (stalled bool) {
	d.turning.Lock()
	defer d.turning.Unlock()
	for d.turn() {
		select {
		case <-d.closing:
			return false
		default:
		}
	}
	return len(d.stalled) > 0
}

// turn runs one round over what is dirty, and over what could not be written before if there may be space again. It returns false when there was nothing to do.
func (d *Dir) turn() bool {
	// Whoever is ready to append now joins this round instead of waiting for the next.
	runtime.Gosched()
	d.crowd.gather(d.closing)
	now := time.Now()
	if d.full.Load() && now.Sub(d.spaceLooked) >= spaceRetry || d.spaceDue.Load() {
		d.spaceDue.Store(false)
		d.lookAtSpace(now)
	}
	d.mu.Lock()
	logs := d.takeRevivedLocked(d.takeDirtyLocked())
	more := len(d.mu.revived) > 0
	d.mu.Unlock()
	if len(d.stalled) > 0 && now.Sub(d.stalledAt) >= spaceRetry {
		for _, l := range d.stalled {
			l.member.stalled = false
			if !slices.ContainsFunc(logs, func(x dirtyLog) bool { return x.member == l.member }) {
				logs = append(logs, l)
			}
		}
		clear(d.stalled)
		d.stalled = d.stalled[:0]
	}
	if len(logs) > 0 {
		served := d.crowd.begin()
		d.commitAll(logs)
		d.crowd.end(served, time.Since(now))
	}
	clear(logs)
	d.spare = logs[:0]
	return len(logs) > 0 || more
}

// takeDirtyLocked takes the dirty logs, whose list is given back as spare.
func (d *Dir) takeDirtyLocked() []dirtyLog {
	logs := d.mu.dirty
	d.mu.dirty, d.mu.awaited = d.spare[:0], false
	return logs
}

// maxRoundLogs bounds the logs of one round, and so the files that are open at once for it. Where few may be open, it has fewer.
const maxRoundLogs = 1000

// commitAll runs as many rounds as the logs need.
func (d *Dir) commitAll(logs []dirtyLog) {
	for part := range slices.Chunk(logs, min(maxRoundLogs, max(1, d.handles.Limit()/2))) {
		d.commit(part, time.Now())
	}
}

// commit is one round.
func (d *Dir) commit(logs []dirtyLog, now time.Time) {
	if d.Err() != nil {
		for _, l := range logs {
			l.member.dirty.Store(clean)
			l.Fail(d.Err())
		}
		return
	}
	d.roundBegan.Store(now.UnixNano())
	defer d.endRound()
	d.takeJournal()
	r := &d.round
	r.begin(now, len(logs))
	err := d.stage(r, logs)
	if err == nil {
		for _, l := range logs {
			l.Written()
		}
		if err = r.sync(); err != nil {
			err = fmt.Errorf("sync in log directory %s: %w", d.path, err)
		}
		if failure := d.Err(); err == nil && failure != nil { // a sync in the background failed: what it lost ours were told is there
			err = failure
		}
	}
	bytes := r.bytes
	r.finish()
	if err != nil {
		d.fail(err)
	}
	d.stats.Rounds.Add(1)
	d.stats.RoundLogs.Add(int64(len(logs)))
	if err == nil {
		d.stats.SyncedBytes.Add(bytes)
		d.sinceCheckpoint += bytes
		d.spaceBytes += bytes
	}
	d.stats.RoundSeconds.ObserveDuration(time.Since(now))
	for _, l := range logs {
		l.Settle(err)
	}
	if err != nil {
		return
	}
	if d.spaceBytes >= d.spaceAfter || now.Sub(d.spaceLooked) >= spaceEvery {
		d.lookAtSpace(now)
	}
	if d.sinceCheckpoint >= d.checkpointAt {
		_ = d.checkpoint(r, NeedRecovery|NeedStart) // the directory knows: offline, or full with the old checkpoint still good
	}
}

// endRound is the end of what the canary watches.
func (d *Dir) endRound() {
	d.roundBegan.Store(0)
	d.progressed.Store(0)
	if d.hung.Load() {
		d.judge(time.Now())
	}
}

// plan is what a round knows of a log before it stages.
type plan struct {
	needs Needs
	err   error // why the log is left to a later round
}

// stage lets every log write. Logs that find no space keep what they have for later; the others go on.
func (d *Dir) stage(r *Round, logs []dirtyLog) error {
	if err := d.prepare(r, logs); err != nil {
		return err
	}
	if err := d.begin(r, logs); err != nil {
		return err
	}
	defer func() { r.member = nil }()
	for i, l := range logs {
		err := d.plans[i].err
		if err == nil {
			r.member = l.member
			err = l.Stage(r)
		}
		if err == nil {
			continue
		}
		if !NoSpace(err) {
			return fmt.Errorf("log %s: %w", l.Name(), err)
		}
		d.stall(l, err)
	}
	return nil
}

// prepare has everything on disk that must be there before the logs change their files, in this order: what they were found with, what the journal holds of them, the checkpoint.
func (d *Dir) prepare(r *Round, logs []dirtyLog) error {
	d.plans = d.plans[:0]
	for _, l := range logs {
		l.member.dirty.Store(clean) // before Stage looks: what is appended from here on makes it dirty again
		d.plans = append(d.plans, plan{needs: l.Prepare()})
	}
	if err := d.prove(r, logs); err != nil {
		return err
	}
	var coming int64
	retire := false
	for i, l := range logs {
		if x := &d.plans[i]; x.err == nil {
			coming += l.member.Coming
			retire = retire || x.needs&NeedJournal != 0 && d.journal != nil && d.journal.mayHave(l.member)
		}
	}
	r.expect(coming)
	if retire && d.mutants&KeepJournal == 0 {
		err := d.journal.retire()
		if err != nil && (!NoSpace(err) || r.final) {
			return err
		}
		d.postpone(NeedJournal, err)
	}
	var needs Needs
	for i := range d.plans {
		if x := &d.plans[i]; x.err == nil {
			x.needs &^= NeedJournal | NeedProof
			needs |= x.needs
		}
	}
	if needs == 0 {
		return nil
	}
	err := d.checkpoint(r, needs)
	if err := d.Err(); err != nil {
		return err
	}
	d.postpone(needs, err)
	return nil
}

// postpone leaves the logs to a later round that need what found no space.
func (d *Dir) postpone(needs Needs, err error) {
	for i := range d.plans {
		if x := &d.plans[i]; x.err == nil && x.needs&needs != 0 {
			x.err = err
		}
	}
}

// prove has the logs that were found after a crash sync what was found, several at a time.
func (d *Dir) prove(r *Round, logs []dirtyLog) error {
	d.doubtful = d.doubtful[:0]
	for i := range logs {
		if d.plans[i].needs&NeedProof != 0 {
			d.doubtful = append(d.doubtful, i)
		}
	}
	return d.syncer.each(len(d.doubtful), func(n int) error {
		i := d.doubtful[n]
		err := logs[i].Prove(r)
		if err != nil && !NoSpace(err) {
			return fmt.Errorf("log %s: %w", logs[i].Name(), err)
		}
		d.plans[i].err = err
		return nil
	})
}

// begin has new logs make their identities, which are synced together. Those that need something on disk before do not, when it is not there: a log that takes the name of a deleted one
// would be taken for that one by the next start.
func (d *Dir) begin(r *Round, logs []dirtyLog) error {
	for i, l := range logs {
		if d.plans[i].err != nil {
			continue
		}
		if err := l.Begin(r); err != nil && !NoSpace(err) {
			return fmt.Errorf("log %s: %w", l.Name(), err)
		}
	}
	return r.BarrierFirst()
}

// missJournal counts a round that a journal would have served better, and has one made in the background when there were enough.
func (d *Dir) missJournal() {
	if d.journalBytes < 0 || d.makingJournal {
		return
	}
	if d.missed++; d.missed <= d.journalAfter {
		return
	}
	d.makingJournal = true
	if free := d.free.Load(); free != 0 && free < journalFreeFactor*d.journalBytes {
		return
	}
	d.later.now(func() {
		id := NewID()
		f, h, err := createJournal(d.fs, d.path, d.journalBytes, binary.BigEndian.Uint64(id[:]), d.closing)
		switch {
		case err == nil:
			d.newJournal.Store(newJournal(d, f, h, 1))
		case errors.Is(err, ErrClosed), NoSpace(err):
			d.logger.Info("the directory goes on without a journal", "directory", d.path, "error", err)
		default:
			d.fail(fmt.Errorf("make the journal: %w", err))
		}
	})
}

// takeJournal takes a journal that was made in the background into use.
func (d *Dir) takeJournal() {
	if j := d.newJournal.Swap(nil); j != nil {
		d.journal = j
	}
}

// stall keeps a log that found no space for a later round.
func (d *Dir) stall(l dirtyLog, err error) {
	d.stats.NoSpace.Add(1)
	if !l.member.stalled {
		l.member.stalled = true
		d.stalled = append(d.stalled, l)
	}
	d.stalledAt = d.round.now
	d.outOfSpace(err, l.member.Essential)
	if x, ok := l.Log.(interface{ OutOfSpace() }); ok {
		x.OutOfSpace()
	}
	if d.fill() {
		d.logger.Error("log directory ran out of space or of open files: what was appended waits in memory, clients' appends are refused until there is some again", "directory", d.path, "log", l.Name(), "error", err)
	}
}
