package dir

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// deletedSuffix ends the name of a log's directory that waits for its removal.
const deletedSuffix = "-delete"

// DefaultCheckpointBytes is how much may be synced between two checkpoints, and so about how much a start after a crash has to scan.
const DefaultCheckpointBytes = 64 << 20

// Options are how a directory is opened. The zero value of each field but Meta means its default.
type Options struct {
	// Meta is who may use the directory. An empty ClusterID and NoNodeID take what is there; on a fresh directory a missing cluster or directory id is made up.
	Meta Meta
	// Memory and Handles are shared by all directories of a node.
	Memory  *Memory
	Handles *Handles
	// Syncs is how many files are synced at the same time.
	Syncs int
	// MinFreeBytes is the free space below which clients' appends are refused.
	MinFreeBytes int64
	// CheckpointBytes is how much may be synced between two checkpoints.
	CheckpointBytes int64
	// ReserveBytes is room that is kept on the disk and given up when everything else is used up; zero keeps none.
	ReserveBytes int64
	// StallAfter is how long a write or sync may take before the directory counts as hung; negative: for ever.
	StallAfter time.Duration
	// OnFailure is called once, with no lock held, when the directory goes offline.
	OnFailure func(error)
	// OnChange is called, with no lock held, when Hung, Full or Critical may have changed. It must not block.
	OnChange func()
	Logger   *slog.Logger
	// Metrics takes the histograms of the committer.
	Metrics *metric.Registry
	// JournalBytes is the size of the journal that small rounds are written to; negative: none. JournalAfter is how many rounds pass before it is made.
	JournalBytes int64
	JournalAfter int
	// Mutants are for tests of the test harness only.
	Mutants Mutants
}

// Dir is one log directory, open and locked.
type Dir struct {
	fs        vfs.FS
	path      string
	meta      Meta
	lock      io.Closer
	memory    *Memory
	share     *Share
	handles   *Handles
	logger    *slog.Logger
	mutants   Mutants
	onFailure func(error)
	onChange  func()
	minFree   int64
	clean     bool
	epoch     int64
	doomed    []string // logs that were deleted, found at the start

	err       atomic.Pointer[error]
	full      atomic.Bool
	critical  atomic.Bool // the disk is full to the last byte: see outOfSpace
	giving    atomic.Bool // the reserve is being removed
	fullAsked atomic.Int64
	free      atomic.Int64
	total     atomic.Int64
	spaceDue  atomic.Bool // the free space is to be looked at
	stats     Stats

	// The times, in nanoseconds, at which the present round began, something of it was synced last, and the canary began; 0 for none.
	roundBegan, progressed, probeBegan atomic.Int64
	stallAfter                         time.Duration
	hung                               atomic.Bool
	hungSince                          atomic.Int64
	reserved                           atomic.Int64 // size of the reserve
	reserveMade                        atomic.Bool  // the making of one has ended
	reserveBytes                       int64        // what was asked for

	newJournal atomic.Pointer[journal]

	awake   chan struct{}
	closing chan struct{}
	done    chan struct{}
	watched chan struct{} // the canary has ended
	later   later

	mu struct {
		sync.Mutex
		dirty   []dirtyLog
		awaited bool       // one of them is not held
		revived []dirtyLog // found after a crash, to be synced when there is time
		logs    map[string]Log
		found   map[string]*Found
		closed  bool
	}

	// turning is held by whoever runs rounds: the committer, a Help, and, once the committer has ended, Close, which keeps it. It guards what follows.
	turning sync.Mutex

	syncer          *syncer
	round           Round
	crowd           crowd
	spare           []dirtyLog
	plans           []plan // of the round's logs
	doubtful        []int  // which of them must be proven
	stalled         []dirtyLog
	stalledAt       time.Time
	spaceLooked     time.Time
	spaceBytes      int64
	spaceAfter      int64 // bytes after which the free space is asked for again
	low             int64 // free space below which the directory is full
	making          bool  // a reserve
	gaveUp          int64 // the size of the reserve that was given up last
	sinceCheckpoint int64
	checkpointEvery int64
	checkpointAt    int64
	journal         *journal
	journalBytes    int64
	journalAfter    int
	missed          int // rounds that a journal would have served better
	makingJournal   bool
	recoverySum     uint32          // checksum of the recovery-point file on disk
	manifestSum     uint32          // of the manifest on disk; 0 without one that may be believed
	inventoryOf     uint32          // the sum of the manifest to which the inventory of the start belongs; 0 without
	recorded        map[string]bool // names in the recovery-point file on disk
	behind          offsets         // start offsets that the manifest on disk has, and their own file perhaps not; nil when it has
	cleaned         bool            // there is a checkpoint of what is compacted
}

// Open locks the directory at path, making it if it is missing, proves that it is this node's, reads its checkpoints and lists its logs, and starts its committer.
func Open(fsys vfs.FS, path string, o Options) (*Dir, error) {
	if err := makeDurably(fsys, path); err != nil {
		return nil, fmt.Errorf("log directory %s: %w", path, err)
	}
	if _, _, err := inspect(fsys, path, o.Meta); err != nil {
		return nil, err // before the lock, which would leave a file behind
	}
	lock, err := fsys.Lock(filepath.Join(path, lockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("log directory %s is in use (%w): stop the other process, or choose another directory in log.dirs", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock log directory %s: %w", path, err)
	}
	d := newDir(fsys, path, lock, o)
	if err := d.lookForReserve(); err != nil {
		return nil, errors.Join(fmt.Errorf("log directory %s: %w", path, err), lock.Close())
	}
	if err := d.load(o.Meta); err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	d.share = d.memory.newShare(d.wake)
	d.lookAtSpace(time.Now())
	go d.run()
	if d.stallAfter > 0 {
		go d.watch()
	} else {
		close(d.watched)
	}
	return d, nil
}

func newDir(fsys vfs.FS, path string, lock io.Closer, o Options) *Dir {
	d := &Dir{
		fs: fsys, path: path, lock: lock, memory: o.Memory, handles: o.Handles, logger: o.Logger, mutants: o.Mutants, onFailure: o.OnFailure, onChange: o.OnChange,
		reserveBytes: o.ReserveBytes, stallAfter: o.StallAfter, watched: make(chan struct{}),
		minFree: o.MinFreeBytes, checkpointEvery: o.CheckpointBytes, journalBytes: o.JournalBytes, journalAfter: o.JournalAfter,
		awake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}), spaceAfter: spaceEveryBytes,
	}
	if d.memory == nil {
		d.memory = NewMemory(0)
	}
	if d.handles == nil {
		d.handles = NewHandles(0)
	}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	metrics := o.Metrics
	if metrics == nil {
		metrics = metric.NewRegistry()
	}
	d.stats.SyncSeconds = metrics.Histogram(metric.DirSyncSeconds, path)
	d.stats.RoundSeconds = metrics.Histogram(metric.DirRoundSeconds, path)
	d.stats.ProbeSeconds = metrics.Histogram(metric.DirProbeSeconds, path)
	if d.stallAfter == 0 {
		d.stallAfter = DefaultStallAfter
	}
	if d.minFree <= 0 {
		d.minFree = DefaultMinFreeBytes
	}
	if d.checkpointEvery <= 0 {
		d.checkpointEvery = DefaultCheckpointBytes
	}
	d.checkpointAt = d.checkpointEvery
	if d.journalBytes == 0 {
		d.journalBytes = DefaultJournalBytes
	}
	if d.journalAfter <= 0 {
		d.journalAfter = DefaultJournalAfter
	}
	width := o.Syncs
	if width <= 0 {
		width = DefaultSyncs
	}
	d.syncer = newSyncer(d, width)
	d.round.dir = d
	d.crowd = newCrowd(&d.stats)
	d.mu.logs = map[string]Log{}
	d.mu.found = map[string]*Found{}
	return d
}

// load reads everything that the directory knows and removes the clean marker.
func (d *Dir) load(want Meta) error {
	have, fresh, err := inspect(d.fs, d.path, want)
	if err != nil {
		return err
	}
	before, err := d.lookAtTurn()
	if err != nil {
		return fmt.Errorf("log directory %s: %w", d.path, err)
	}
	if before.foreign() {
		if err := d.forgetOurs(before); err != nil {
			return err
		}
	}
	if fresh {
		if _, err := d.markTurn(before); err != nil { // its name gets to the disk with those of the identity
			return err
		}
		if have, err = create(d.fs, d.path, want); err != nil {
			return fmt.Errorf("log directory %s: %w", d.path, err)
		}
	}
	d.meta = have
	if err := d.adopt(); err != nil {
		return fmt.Errorf("log directory %s: %w", d.path, err)
	}
	if d.mutants&SkipReplay == 0 {
		if d.journal, err = d.replay(); err != nil {
			return err
		}
	}
	if err := d.list(); err != nil {
		return err
	}
	if err := d.loadCheckpoints(); err != nil {
		return err
	}
	if err := d.listLogs(before); err != nil {
		return err
	}
	if err := d.takeStarts(before); err != nil {
		return fmt.Errorf("log directory %s: %w", d.path, err)
	}
	if !fresh {
		if err := d.beginTurn(before); err != nil {
			return err
		}
	}
	if d.clean, d.epoch, err = takeMarker(d.fs, d.path, d.mutants&KeepMarker != 0); err != nil {
		return err
	}
	if !d.clean && !fresh { // a killed process may have replaced checkpoints and renamed deleted logs: a power cut would still take that back
		if err := d.fs.SyncDir(d.path); err != nil {
			return fmt.Errorf("sync directory %s: %w", d.path, err)
		}
	}
	for _, name := range d.doomed { // their names are on the disk now
		d.later.after(0, func() { d.remove(name) })
	}
	d.doomed = nil
	for _, f := range d.mu.found {
		f.Clean, f.Recorded = d.clean, f.RecoveryPoint
	}
	return nil
}

func (d *Dir) loadCheckpoints() error {
	d.recorded = map[string]bool{}
	recovery, recoveryBytes, damaged := d.readOffsets(recoveryFile) // the manifest can stand in for it
	starts, _, err := d.readOffsets(startFile)
	if err != nil {
		return err
	}
	watermarks, _, err := d.readOffsets(replicationFile)
	if err != nil { // a hint only
		d.logger.Warn("high watermarks are not known and begin at what is synced", "directory", d.path, "error", err)
	}
	cleaned, _, err := d.readOffsets(cleanerFile)
	if err != nil { // without it everything is looked at again
		d.logger.Warn("how far logs are compacted is not known: they are compacted from their beginning", "directory", d.path, "error", err)
	}
	d.cleaned = len(cleaned) > 0
	for name, offset := range cleaned {
		d.recorded[name] = true
		if f := d.mu.found[name]; f != nil {
			f.Cleaned = offset
		}
	}
	d.recoverySum = crc32.Checksum(recoveryBytes, castagnoli)
	states, err := d.loadManifest(damaged)
	if err != nil {
		return err
	}
	for name, offset := range recovery {
		d.recorded[name] = true
		if f := d.mu.found[name]; f != nil {
			f.RecoveryPoint = offset
		}
	}
	for name, offset := range starts {
		d.recorded[name] = true
		if f := d.mu.found[name]; f != nil {
			f.StartOffset = offset
		}
	}
	behind := false
	for name, s := range states {
		d.recorded[name] = true
		if f := d.mu.found[name]; f != nil { // the start may have moved since the manifest, or a crash may have come before the checkpoint had it
			behind = behind || s.StartOffset > f.StartOffset
			f.RecoveryPoint, f.State, f.StartOffset = s.RecoveryPoint, s.State, max(f.StartOffset, s.StartOffset)
		}
	}
	if behind {
		d.behind = offsets{}
		for name, f := range d.mu.found {
			if f.StartOffset >= 0 {
				d.behind[name] = f.StartOffset
			}
		}
	}
	for name, offset := range watermarks {
		if f := d.mu.found[name]; f != nil {
			f.HighWatermark = offset
		}
	}
	return nil
}

// loadManifest returns what the manifest has of each log, nothing when it is not to be believed. Where the recovery points cannot be read, it stands in for them or the start is refused.
func (d *Dir) loadManifest(damaged error) (map[string]*Entry, error) {
	name := filepath.Join(d.path, manifestFile)
	data, err := vfs.ReadSmall(d.fs, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, damaged
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", name, err)
	case damaged != nil:
		m, err := ParseManifest(data)
		if err != nil {
			return nil, damaged
		}
		d.logger.Warn("the manifest tells what is synced, and the damaged file is written anew with the next checkpoint", "directory", d.path, "error", damaged)
		return m.Entries, nil
	}
	states, err := parseManifest(data, d.recoverySum)
	if err != nil {
		d.logger.Warn("the manifest is not used: logs are read from their files", "directory", d.path, "error", err)
		return nil, nil
	}
	d.manifestSum = crc32.Checksum(data, castagnoli)
	return states, nil
}

// readOffsets reads a checkpoint; a missing one is empty. A bad one stops the start: it is replaced as a whole, so it is not torn but rotten.
func (d *Dir) readOffsets(base string) (offsets, []byte, error) {
	name := filepath.Join(d.path, base)
	data, err := vfs.ReadSmall(d.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) == 0 { // Kafka makes its checkpoints empty; ours never are. It goes before there is a manifest, beside which an empty one would be damage
		if _, err := d.fs.Stat(filepath.Join(d.path, manifestFile)); errors.Is(err, fs.ErrNotExist) {
			if err := d.fs.Remove(name); err != nil {
				return nil, nil, fmt.Errorf("remove %s, which is empty: %w", name, err)
			}
			return nil, nil, d.fs.SyncDir(d.path)
		}
	}
	o, err := parseOffsets(data)
	if err != nil {
		return nil, data, fmt.Errorf("%s is damaged (%w): restore it from a backup, or have `ottla log repair %s` make it anew; without it records may return that were deleted, or a torn end be taken for good", name, err, d.path)
	}
	return o, data, nil
}

// Done is closed when the committer has ended: nothing is written any more, but by Close.
func (d *Dir) Done() <-chan struct{} { return d.done }

// Closed tells whether Close or Abandon began.
func (d *Dir) Closed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.closed
}

// FS is the file system of the directory.
func (d *Dir) FS() vfs.FS { return d.fs }

// Path is where the directory is.
func (d *Dir) Path() string { return d.path }

// Meta is the directory's identity.
func (d *Dir) Meta() Meta { return d.meta }

// ID is the directory's uuid.
func (d *Dir) ID() model.TopicID { return d.meta.DirectoryID }

// CleanStart tells whether the last user stopped cleanly, and the broker epoch it had then (NoBrokerEpoch when unknown).
func (d *Dir) CleanStart() (bool, int64) { return d.clean, d.epoch }

// Stats counts what the committer did.
func (d *Dir) Stats() *Stats { return &d.stats }

// Share is the directory's claim on the node's memory for the ends of logs.
func (d *Dir) Share() *Share { return d.share }

// Memory is the node's memory for the ends of logs.
func (d *Dir) Memory() *Memory { return d.memory }

// Handles is the node's cap on open files.
func (d *Dir) Handles() *Handles { return d.handles }

// Logger is where the directory and its logs report.
func (d *Dir) Logger() *slog.Logger { return d.logger }

// Mutants are the deliberate bugs that are switched on; zero outside of tests of the test harness.
func (d *Dir) Mutants() Mutants { return d.mutants }

// Names lists the logs that were found and not yet adopted, sorted.
func (d *Dir) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	names := make([]string, 0, len(d.mu.found))
	for name := range d.mu.found {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ErrClosed says that the directory was closed.
var ErrClosed = errors.New("log directory is closed")

// Adopt hands over what was found for a log that is being opened, nil when there was nothing. The caller Adds the log next.
func (d *Dir) Adopt(name string) *Found {
	d.mu.Lock()
	defer d.mu.Unlock()
	f := d.mu.found[name]
	delete(d.mu.found, name)
	return f
}

// Add makes an opened log a member.
func (d *Dir) Add(l Log) error {
	if err := d.Err(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.mu.closed:
		return ErrClosed
	case d.mu.logs[l.Name()] != nil:
		return fmt.Errorf("log %s is open already in %s", l.Name(), d.path)
	}
	d.mu.logs[l.Name()] = l
	return nil
}

// Recorded tells whether the checkpoint on disk has an entry of this name, perhaps of an earlier log. Only who has the turn may ask.
func (d *Dir) Recorded(name string) bool { return d.recorded[name] }

// Leave ends a membership. With found, the log was closed, and what was found for it is kept for whoever adopts it next; without, it was deleted.
func (d *Dir) Leave(l Log, found *Found) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.logs[l.Name()] == l {
		delete(d.mu.logs, l.Name())
		if found != nil {
			d.mu.found[l.Name()] = found
		}
	}
}

// Return gives back what Adopt handed over, because the log could not be opened.
func (d *Dir) Return(name string, f *Found) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f != nil {
		d.mu.found[name] = f
	}
}

// Later runs f after the delay, unless the directory is closed before: whatever f does must also be done by the next start. On a full disk nothing is delayed.
func (d *Dir) Later(delay time.Duration, f func()) {
	if d.full.Load() {
		delay = 0
	}
	d.later.after(delay, f)
}

// RemoveLater removes a directory that was renamed to end in -delete.
func (d *Dir) RemoveLater(path string, delay time.Duration) {
	d.Later(delay, func() { d.remove(path) })
}

// remove removes what waits for its removal. A failure is reported and left to the next start.
func (d *Dir) remove(path string) {
	if err := d.fs.RemoveAll(path); err != nil {
		d.logger.Warn("could not remove a deleted log; the next start tries again", "path", path, "error", err)
	}
}

// Err returns why the directory is offline, or nil.
func (d *Dir) Err() error {
	if p := d.err.Load(); p != nil {
		return *p
	}
	return nil
}

// Offline takes the directory offline because of an error outside of a round, such as that of a sync in the background.
func (d *Dir) Offline(err error) { d.fail(err) }

// SyncFile syncs a file outside of a round. An error must be given to Offline.
func (d *Dir) SyncFile(f vfs.File) error {
	if err := d.syncOne(f); err != nil {
		return &syncError{err}
	}
	return nil
}

func failure(format string, args ...any) error {
	return &model.Error{Code: model.KafkaStorageError, Message: fmt.Sprintf(format, args...)}
}

func (d *Dir) offline(why error) error {
	return failure("log directory %s is offline: %v; check the disk, then restart the node", d.path, why)
}

// fail takes the directory offline for good.
func (d *Dir) fail(err error) {
	err = d.offline(err)
	if !d.err.CompareAndSwap(nil, &err) {
		return
	}
	d.logger.Error("log directory goes offline", "directory", d.path, "error", err)
	d.failLogs(err)
	d.share.close() // what it holds is lost: the others may have the memory
	if d.onFailure != nil {
		d.onFailure(err)
	}
}

func (d *Dir) failLogs(err error) {
	d.mu.Lock()
	logs := make([]Log, 0, len(d.mu.logs))
	for _, l := range d.mu.logs {
		logs = append(logs, l)
	}
	d.mu.Unlock()
	for _, l := range logs {
		l.Fail(err)
	}
}
