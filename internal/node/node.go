package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/ottla/ottla/internal/broker/api"
	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/cluster/quorum"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Options start a node.
type Options struct {
	Static  *config.Static
	Loggers *Loggers
	// FS is the file system of the log directories; the real one when nil.
	FS    vfs.FS
	Clock func() time.Time
	// Version is what this build calls itself.
	Version string
	// ManyRest is told when many connections have come to rest, and left garbage of several KiB each: the process may give it back. Nil hears nothing.
	ManyRest func()
}

// Node is one running node.
type Node struct {
	static      *config.Static
	loggers     *Loggers
	log         *slog.Logger
	fs          vfs.FS
	clock       func() time.Time
	metrics     *metric.Registry
	incarnation model.TopicID
	version     string
	manyRest    func()
	started     time.Time

	ctx    context.Context
	cancel context.CancelCauseFunc
	fatal  chan error

	sockets     []boundListener
	addresses   Addresses
	admin       *admin.Server
	memory      *dir.Memory
	handles     *dir.Handles
	descriptors int // how many the system allows, 0 for unknown
	dirs        []*dir.Dir
	clusterID   string

	quorum     *quorum.Quorum
	meta       *meta.Machine
	controller *shard.Shard
	metadata   atomic.Pointer[metadataLog] // once it is open
	snapshots  *snapshots
	running    sync.WaitGroup // shards and deletions
	serving    sync.WaitGroup // the admin listener
	opened     atomic.Pointer[[]*dir.Dir]

	image      atomic.Pointer[meta.Image]
	dynamic    atomic.Pointer[config.Dynamic]
	partitions *partition.Registry
	broker     *api.Broker
	server     *server.Server
	phase      atomic.Value // admin.Phase
	dirsDone   atomic.Int64 // of the start
	dirsTotal  atomic.Int64
	logsDone   atomic.Int64
	logsTotal  atomic.Int64
	recovering atomic.Bool // the logs of the start are being opened
	flushes    *flushes
	scrubbers  atomic.Pointer[[]*scrubber]
	placed     *placedLogs
	registered []model.TopicID // the log directories that the broker is registered with
	tending    chan struct{}   // a directory hangs or is full, or no longer so
	cleaning   chan struct{}   // retention is to be looked at now

	mu struct {
		sync.Mutex
		active       bool                                  // this incarnation is registered: roles may be assumed (I2)
		open         map[model.TopicID]map[int32]openedLog // opened at start, not taken over yet
		deleting     map[string]chan struct{}              // logs whose directory still has the name
		coordinators map[int32]*coordinator
		brokerEpoch  int64
		places       map[string][]*dir.Dir // where each log is
		counts       map[*dir.Dir]int      // logs in each directory
		missing      map[model.TopicID]*dir.Dir
	}
	apply    sync.Mutex // one change of the partition table at a time
	stopOnce sync.Once
	stopErr  error
}

// Open starts a node and returns when it serves. On an error everything that was begun is undone.
func Open(ctx context.Context, o Options) (*Node, error) {
	static, err := absolute(o.Static)
	if err != nil {
		return nil, err
	}
	n := &Node{
		static: static, loggers: o.Loggers, log: o.Loggers.Logger("node"), fs: o.FS, clock: o.Clock, metrics: metric.NewRegistry(),
		incarnation: model.TopicID(uuid.New()), version: o.Version, manyRest: o.ManyRest, started: time.Now(), fatal: make(chan error, 1), partitions: partition.NewRegistry(), descriptors: descriptorLimit(),
	}
	if n.fs == nil {
		n.fs = vfs.OS()
	}
	if n.clock == nil {
		n.clock = time.Now
	}
	n.flushes = newFlushes(n.clock)
	n.snapshots = newSnapshots(n)
	n.placed, n.tending, n.cleaning = newPlacedLogs(), make(chan struct{}, 1), make(chan struct{}, 1)
	n.ctx, n.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	n.mu.open = map[model.TopicID]map[int32]openedLog{}
	n.mu.deleting = map[string]chan struct{}{}
	n.mu.coordinators = map[int32]*coordinator{}
	n.phase.Store(admin.Starting)
	if err := n.start(ctx); err != nil {
		n.abandon()
		return nil, err
	}
	n.phase.Store(admin.Serving)
	return n, nil
}

func (n *Node) start(ctx context.Context) error {
	dynamic, err := config.ResolveBroker(n.static, nil, nil)
	if err != nil {
		return err
	}
	n.dynamic.Store(dynamic)
	if err := n.listen(ctx); err != nil {
		return err
	}
	if err := n.startAdmin(ctx); err != nil {
		return err
	}
	if err := n.openDirs(); err != nil {
		return err
	}
	n.locate()
	n.opened.Store(&n.dirs)
	if err := n.writeAddresses(); err != nil {
		n.log.Warn("the addresses cannot be written down; scripts that look for them there will not find them", "error", err)
	}
	if err := n.startController(ctx); err != nil {
		return err
	}
	if err := n.register(ctx); err != nil {
		return err
	}
	if err := n.startServer(); err != nil {
		return err
	}
	n.running.Go(n.maintain)
	n.running.Go(n.tend)
	n.running.Go(n.tellController)
	n.running.Go(n.flush)
	n.running.Go(newCleaner(n).run)
	n.running.Go(n.snapshots.run)
	n.scrub()
	return nil
}

// Failed receives why the node can no longer go on: a disk that holds the metadata, or all disks, failed.
func (n *Node) Failed() <-chan error { return n.fatal }

func (n *Node) fail(err error) {
	select {
	case n.fatal <- err:
	default:
	}
}

// Addresses returns the addresses that were taken.
func (n *Node) Addresses() Addresses { return n.addresses }

// ClusterID returns the cluster's id.
func (n *Node) ClusterID() string { return n.clusterID }

// Metrics returns the node's metrics.
func (n *Node) Metrics() *metric.Registry { return n.metrics }

// Close stops the node: it stops accepting, answers or fails what is parked, syncs, writes the clean markers. The error says what kept the stop from being clean.
func (n *Node) Close(ctx context.Context) error {
	n.stopOnce.Do(func() { n.stopErr = n.stop(ctx) })
	return n.stopErr
}

func (n *Node) stop(ctx context.Context) error {
	n.phase.Store(admin.Stopping)
	var failed []error
	if n.server != nil {
		if err := n.server.Shutdown(ctx); err != nil {
			failed = append(failed, err)
		}
	}
	n.announceStop(ctx)
	n.cancel(errStopping)
	for p := range n.partitions.All() {
		p.Close(model.NotLeaderForPartition)
	}
	for _, d := range n.dirs {
		if d.Hung() { // so that nobody waits for it any longer
			d.Offline(errors.New("it did not answer when the node stopped"))
		}
	}
	n.running.Wait()
	if n.quorum != nil {
		if err := unlessHung(n.metadataDir(), n.quorum.Close); err != nil {
			failed = append(failed, fmt.Errorf("close the metadata quorum: %w", err))
		}
	}
	for _, d := range n.dirs {
		if err := unlessHung(d, func() error { return d.Close(n.epoch()) }); err != nil {
			failed = append(failed, fmt.Errorf("close log directory %s: %w", d.Path(), err))
		}
	}
	if n.admin != nil {
		if err := n.admin.Shutdown(ctx); err != nil {
			failed = append(failed, fmt.Errorf("stop the admin listener: %w", err))
		}
		n.serving.Wait()
	}
	return errors.Join(failed...)
}

var errStopping = errors.New("the node is stopping")

// abandon undoes a start that failed half-way.
func (n *Node) abandon() {
	n.cancel(errStopping)
	for _, s := range n.sockets {
		_ = s.socket.Close() // nobody was served
	}
	if n.quorum != nil {
		_ = n.quorum.Close() // the start's error says what is wrong
	}
	n.running.Wait()
	for _, d := range n.dirs {
		if err := d.Abandon(); err != nil {
			n.log.Warn("letting go of a log directory failed", "dir", d.Path(), "error", err)
		}
	}
	if n.admin != nil {
		_ = n.admin.Shutdown(context.Background()) // the start's error says what is wrong
		n.serving.Wait()
	}
}

// retentionDelay is how long after the start retention is applied first, as in Kafka.
const retentionDelay = 30 * time.Second

// maintain applies retention and forgets silent producers, at the pace of log.retention.check.interval.ms, and faster while a disk is full. Logs that are compacted are the
// cleaner's, as in Kafka.
func (n *Node) maintain() {
	timer := time.NewTimer(min(n.untilMaintenance(), retentionDelay))
	defer timer.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-timer.C:
		case <-n.cleaning:
		}
		cleaned := n.dynamic.Load().Cleaner.Enable
		for p := range n.partitions.All() {
			if !cleaned || !p.Settings().Log.CleanupCompact {
				p.Maintain()
			}
		}
		timer.Reset(n.untilMaintenance())
	}
}
