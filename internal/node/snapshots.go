package node

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/cluster/quorum"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/metric"
)

// snapshotRetry is how long a failed snapshot is left alone: a full disk must not be asked again with every record.
const snapshotRetry = time.Minute

// snapshots keeps the metadata log short: it writes a snapshot of the published image when so many bytes, or so much time, of records are in none, and has what the snapshots
// make superfluous removed. It sleeps while nothing is due; an idle cluster gets none.
type snapshots struct {
	node *Node
	wake chan struct{}
	log  *slog.Logger

	made, failed *metric.Counter

	// rotten says that the log has damage for which a snapshot is to stand.
	rotten atomic.Bool

	mu struct {
		sync.Mutex
		bytes int64     // of the newest one
		at    time.Time // when this process made its newest, or started
	}

	// Of run.
	retry  time.Time // not before
	held   bool      // the image is no place for a snapshot: the next one may be
	remove time.Time // when the oldest snapshot will be too old; zero for never
}

func newSnapshots(n *Node) *snapshots {
	s := &snapshots{
		node: n, wake: make(chan struct{}, 1), log: n.loggers.Logger("quorum"),
		made: n.metrics.Counter(metric.MetadataSnapshots), failed: n.metrics.Counter(metric.MetadataSnapshotFailures),
	}
	s.mu.at = n.clock()
	return s
}

// register shows the figures, once the metadata log is open.
func (s *snapshots) register() {
	if base := s.node.quorum.Base(); base != nil {
		s.mu.bytes = base.Bytes
	}
	m := s.node.metrics
	m.GaugeFunc(metric.MetadataSnapshotBytes, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return float64(s.mu.bytes)
	})
	m.GaugeFunc(metric.MetadataSnapshotAge, func() float64 {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.node.clock().Sub(s.mu.at).Seconds()
	})
	m.GaugeFunc(metric.MetadataLogBytes, func() float64 { return float64(s.node.quorum.LogSize()) })
	m.GaugeFunc(metric.MetadataLogUnsaved, func() float64 { return float64(s.node.quorum.Growth().Bytes) })
}

// published wakes run. It never blocks.
func (s *snapshots) published() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// replace has a snapshot made as soon as there is anything that none stands for: a start then needs nothing of the log before it. It never blocks.
func (s *snapshots) replace() {
	s.rotten.Store(true)
	s.published()
}

// run makes and removes snapshots until the node stops.
func (s *snapshots) run() {
	s.retain()
	timer := time.NewTimer(math.MaxInt64)
	defer timer.Stop()
	for {
		timer.Reset(s.wait())
		select {
		case <-s.node.ctx.Done():
			return
		case <-s.wake:
			s.held = false
		case <-timer.C:
		}
		now := s.node.clock()
		if s.due(now) {
			s.take()
		} else if !s.remove.IsZero() && !now.Before(s.remove) {
			s.retain()
		}
	}
}

// due tells whether a snapshot is to be made now.
func (s *snapshots) due(now time.Time) bool {
	b, g := &s.node.static.Broker, s.node.quorum.Growth()
	if g.Bytes == 0 || s.held || now.Before(s.retry) {
		return false
	}
	return s.rotten.Load() || g.Bytes >= b.MetadataSnapshotBytes || b.MetadataSnapshotInterval > 0 && now.Sub(g.Since) >= b.MetadataSnapshotInterval
}

// wait is how long nothing will be due, unless an image is published.
func (s *snapshots) wait() time.Duration {
	b, g, now := &s.node.static.Broker, s.node.quorum.Growth(), s.node.clock()
	wait := time.Duration(math.MaxInt64)
	if g.Bytes > 0 && !s.held {
		switch {
		case s.rotten.Load() || g.Bytes >= b.MetadataSnapshotBytes:
			wait = 0
		case b.MetadataSnapshotInterval > 0:
			wait = g.Since.Add(b.MetadataSnapshotInterval).Sub(now)
		}
		if wait < math.MaxInt64 {
			wait = max(wait, s.retry.Sub(now), 0)
		}
	}
	if !s.remove.IsZero() {
		wait = min(wait, max(s.remove.Sub(now), time.Second)) // what it is about may have to wait for its successor
	}
	return wait
}

func (s *snapshots) take() {
	n := s.node
	image := n.image.Load()
	began := time.Now()
	c, err := n.quorum.Snapshot(n.ctx, image.Position().Offset, image.Records())
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, quorum.ErrClosed):
		return
	case errors.Is(err, quorum.ErrNothingNew) || errors.Is(err, quorum.ErrNotAligned):
		s.held = true
		return
	case err != nil:
		s.failed.Inc()
		s.retry = n.clock().Add(snapshotRetry)
		s.log.Error("no snapshot of the metadata could be written, so that its log grows on; it is tried again in a minute", "error", err)
		return
	}
	s.made.Inc()
	s.rotten.Store(false)
	s.mu.Lock()
	s.mu.bytes, s.mu.at = c.Bytes, n.clock()
	s.mu.Unlock()
	s.log.Info("a snapshot of the metadata was written", "offset", c.End.Offset, "epoch", c.End.Epoch, "bytes", c.Bytes, "took", time.Since(began))
	s.retain()
}

// retain has removed what metadata.max.retention.bytes and metadata.max.retention.ms no longer keep.
func (s *snapshots) retain() {
	b := &s.node.static.Broker
	older, err := s.node.quorum.Retain(b.MetadataRetentionBytes, b.MetadataRetention)
	if err != nil && s.node.ctx.Err() == nil {
		s.failed.Inc()
		s.log.Error("the metadata log could not be shortened; it is tried again after the next snapshot", "error", err)
	}
	s.remove = older
}

// metadataSegmentBytes is the size at which a segment of the metadata log is closed. A segment goes only as a whole, so that the log keeps to its retention only with segments
// that are smaller.
func metadataSegmentBytes(b *config.Broker) int64 {
	if b.MetadataRetentionBytes < 0 {
		return b.MetadataLogSegmentBytes
	}
	return min(b.MetadataLogSegmentBytes, max(b.MetadataRetentionBytes/4, leastMetadataSegment))
}

// leastMetadataSegment is the least that metadata.log.segment.bytes may be.
const leastMetadataSegment = 8 << 20
