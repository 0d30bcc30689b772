package node

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// scrubber compares the sealed segments of one log directory with their checksums, in passes, at the rate of ottla.scrub.bytes.per.second and the pace of
// ottla.scrub.interval.ms. It reads past the page cache, and what it finds is marked in the logs. Where it got to is kept in the directory, so that a pass survives a restart.
type scrubber struct {
	node *Node
	dir  *dir.Dir

	bytes, segments, errors *metric.Counter

	mu struct {
		sync.Mutex
		state      dir.Scrub
		done, all  int
		unreadable map[string]error // segments that the disk did not read in the present pass, by file
	}
	saved time.Time
	owed  int64 // bytes read since the last pause
}

const (
	// scrubAfter is how long a node that has never finished a pass runs before the first, and how often the settings are looked at.
	scrubAfter = time.Minute
	// scrubSaveEvery is how often the place in a pass is written down.
	scrubSaveEvery = 5 * time.Minute
	// maxScrubRot bounds how much damage of a directory is written down.
	maxScrubRot = 1000
)

// scrub starts a scrubber for every directory.
func (n *Node) scrub() {
	all := make([]*scrubber, 0, len(n.dirs))
	for _, d := range n.dirs {
		path := d.Path()
		s := &scrubber{node: n, dir: d, bytes: n.metrics.Counter(metric.ScrubbedBytes, path), segments: n.metrics.Counter(metric.ScrubbedSegments, path), errors: n.metrics.Counter(metric.ScrubErrors, path)}
		s.mu.unreadable = map[string]error{}
		state, err := dir.ReadScrub(d.FS(), path)
		if err != nil {
			n.log.Warn("how far the last check of the sealed segments got is not known: it begins anew", "dir", path, "error", err)
		}
		s.mu.state = state
		n.metrics.GaugeFunc(metric.ScrubLastSeconds, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			return float64(s.mu.state.CompletedMs) / 1000
		}, path)
		n.metrics.GaugeFunc(metric.ScrubProgressRatio, func() float64 {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.mu.all == 0 {
				return 1
			}
			return float64(s.mu.done) / float64(s.mu.all)
		}, path)
		all = append(all, s)
	}
	n.scrubbers.Store(&all)
	for _, s := range all {
		n.running.Go(s.run)
	}
}

func (s *scrubber) settings() config.Scrub { return s.node.dynamic.Load().Scrub }

// keptLog is a log of the directory, under its name there.
type keptLog struct {
	name string
	*plog.Log
}

func (s *scrubber) look() dir.Scrub {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.state
}

func (s *scrubber) change(f func(state *dir.Scrub)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.mu.state)
}

// run makes passes until the node stops or the directory fails.
func (s *scrubber) run() {
	n := s.node
	if err := s.remember(); err == nil {
		for s.wait(n.ctx) {
			if err = s.pass(n.ctx); err != nil {
				break
			}
		}
	}
	if s.dir.Err() == nil && s.look().Log != "" {
		s.save()
	}
}

// wait returns when the next pass is due; false when there will be none.
func (s *scrubber) wait(ctx context.Context) bool {
	for {
		settings, state := s.settings(), s.look()
		due := time.UnixMilli(state.BeganMs).Add(settings.Interval)
		switch {
		case state.Log != "":
			due = s.node.started // it was interrupted
		case state.BeganMs == 0:
			due = s.node.started.Add(min(scrubAfter, settings.Interval))
		}
		left := time.Until(due)
		if left <= 0 && settings.BytesPerSecond > 0 {
			return true
		}
		timer := time.NewTimer(max(min(left, scrubAfter), time.Millisecond))
		if settings.BytesPerSecond <= 0 {
			timer.Reset(scrubAfter)
		}
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
		if s.dir.Err() != nil {
			return false
		}
	}
}

// remember looks again at what an earlier run found, so that it is known from the start.
func (s *scrubber) remember() error {
	logs := s.logs()
	var last dir.ScrubRot
	for _, r := range s.look().Rot {
		if r.Log == last.Log && r.Segment == last.Segment {
			continue
		}
		last = r
		i := slices.IndexFunc(logs, func(l keptLog) bool { return l.name == r.Log })
		if i < 0 {
			continue
		}
		if _, _, _, err := s.survey(logs[i], r.Segment-1); err != nil {
			return err
		}
	}
	return nil
}

// logs lists the directory's logs by name, that of the metadata among them.
func (s *scrubber) logs() []keptLog {
	var out []keptLog
	for p := range s.node.partitions.All() {
		if p.Dir() == s.dir.Path() {
			out = append(out, keptLog{p.Name().String(), p.Log()})
		}
	}
	if s.dir == s.node.metadataDir() {
		out = append(out, keptLog{metadataPartition, s.node.metadata.Load().Log})
	}
	slices.SortFunc(out, func(a, b keptLog) int { return strings.Compare(a.name, b.name) })
	return out
}

// pass goes once over all sealed segments, from where an earlier run was interrupted. An error says that the scrubber must end.
func (s *scrubber) pass(ctx context.Context) error {
	logs, began := s.logs(), time.Now()
	s.saved = began
	state := s.look()
	if state.Log == "" {
		s.change(func(x *dir.Scrub) { x.BeganMs = began.UnixMilli() })
	}
	s.mu.Lock()
	s.mu.done, s.mu.all = 0, len(logs)
	clear(s.mu.unreadable)
	s.mu.Unlock()
	var total plog.Surveyed
	segments := 0
	for _, l := range logs {
		after := int64(-1)
		if l.name == state.Log {
			after = state.Segment
		}
		for l.name >= state.Log {
			base, found, ok, err := s.survey(l, after)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			after, segments = base, segments+1
			total.Batches, total.Bytes, total.Rot = total.Batches+found.Batches, total.Bytes+found.Bytes, append(total.Rot, found.Rot...)
			s.change(func(x *dir.Scrub) { x.Log, x.Segment = l.name, base })
			if len(found.Rot) > 0 || time.Since(s.saved) >= scrubSaveEvery {
				s.save()
			}
		}
		s.mu.Lock()
		s.mu.done++
		s.mu.Unlock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	s.change(func(x *dir.Scrub) { x.Log, x.Segment, x.CompletedMs = "", 0, time.Now().UnixMilli() })
	s.mu.Lock()
	s.mu.done, s.mu.all = 0, 0
	s.mu.Unlock()
	if segments > 0 || len(state.Rot) > 0 {
		s.save()
		s.node.log.Info("sealed segments compared with their checksums", "dir", s.dir.Path(), "logs", len(logs), "segments", segments, "bytes", total.Bytes, "batches", total.Batches,
			"damaged_ranges", len(total.Rot), "seconds", time.Since(began).Seconds())
	}
	return nil
}

// survey looks at the first sealed segment behind one. A segment that the disk does not read is counted and passed over.
func (s *scrubber) survey(l keptLog, after int64) (base int64, found plog.Surveyed, ok bool, err error) {
	name := ""
	base, found, ok, err = l.SurveySegment(after, func(path string) (vfs.File, error) {
		name = path
		f, err := vfs.OpenCold(s.dir.FS(), path)
		if err != nil {
			return nil, err
		}
		return &scrubbedFile{File: f, scrubber: s}, nil
	})
	switch {
	case s.node.ctx.Err() != nil:
		return 0, found, false, context.Cause(s.node.ctx)
	case s.dir.Err() != nil:
		return 0, found, false, s.dir.Err()
	case err != nil && !errors.Is(err, plog.ErrClosed):
		s.errors.Inc()
		s.mu.Lock()
		s.mu.unreadable[name] = err
		s.mu.Unlock()
		s.node.log.Error("a sealed segment cannot be read: its disk fails there", "log", l.name, "dir", s.dir.Path(), "file", name, "error", err)
	case err == nil && ok:
		s.segments.Inc()
	}
	if len(found.Rot) > 0 && l.name == metadataPartition {
		s.node.snapshots.replace() // what is in memory is sound
	}
	return base, found, ok, nil
}

// save writes down where the pass is, and what is damaged. It is a hint: a failure is reported only.
func (s *scrubber) save() {
	s.saved = time.Now()
	var rot []dir.ScrubRot
	for _, l := range s.logs() {
		for _, r := range l.Rot() {
			if len(rot) < maxScrubRot {
				rot = append(rot, dir.ScrubRot{Log: l.name, Segment: r.Segment, Position: r.Position, Until: r.Until, From: r.From, To: r.To, Reason: r.Detail})
			}
		}
	}
	s.change(func(x *dir.Scrub) { x.Rot = rot })
	if err := s.dir.WriteScrub(s.look()); err != nil {
		s.node.log.Warn("how far the check of the sealed segments got cannot be written down; after a restart it begins anew", "dir", s.dir.Path(), "error", err)
	}
}

// scrubbedFile is a file that is read at the scrubber's rate, and no further once the node stops.
type scrubbedFile struct {
	vfs.File
	scrubber *scrubber
}

func (f *scrubbedFile) ReadAt(p []byte, at int64) (int, error) {
	if err := f.scrubber.pause(int64(len(p))); err != nil {
		return 0, err
	}
	n, err := f.File.ReadAt(p, at)
	f.scrubber.bytes.Add(int64(n))
	return n, err
}

// pause keeps the rate. It waits seldom, for as long as a second's bytes take, so that the check wakes the processor about once a second.
func (s *scrubber) pause(bytes int64) error {
	ctx := s.node.ctx
	s.owed += bytes
	rate := s.settings().BytesPerSecond
	if s.owed < rate && ctx.Err() == nil {
		return nil
	}
	for rate <= 0 && ctx.Err() == nil { // switched off meanwhile
		timer := time.NewTimer(scrubAfter)
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		rate = s.settings().BytesPerSecond
	}
	if ctx.Err() == nil {
		timer := time.NewTimer(time.Duration(min(float64(s.owed)/float64(rate)*float64(time.Second), math.MaxInt64/2)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		s.owed = 0
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return nil
}
