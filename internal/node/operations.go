package node

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strings"
	"time"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/machine/group"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/internal/service/admin"
	"github.com/ottla/ottla/internal/storage/dir"
)

// startAdmin opens the admin listener first, so that health answers while logs are recovered.
func (n *Node) startAdmin(ctx context.Context) error {
	address := n.static.Broker.AdminListener
	if address == "" {
		return nil
	}
	var listen net.ListenConfig
	socket, err := listen.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("the admin listener %s cannot be opened: %w: set ottla.admin.listener to another address, or to nothing to do without", address, err)
	}
	n.addresses.Admin = socket.Addr().String()
	n.admin, err = admin.New(admin.Options{Socket: socket, Metrics: n.metrics.Gatherer(), Health: n.health, Config: n.settings, Logger: n.loggers.Logger("admin")})
	if err != nil {
		return err
	}
	n.serving.Go(func() {
		if err := n.admin.Serve(); err != nil && n.ctx.Err() == nil {
			n.log.Error("the admin listener ended", "error", err)
		}
	})
	return nil
}

// health tells how the node is doing. It asks nothing that could wait for a disk.
func (n *Node) health() admin.Health {
	h := admin.Health{
		NodeID: n.static.Broker.NodeID, Version: n.version, Started: n.started, Phase: n.phase.Load().(admin.Phase),
		Recovery: admin.Recovery{
			DirectoriesDone: int(n.dirsDone.Load()), DirectoriesTotal: int(n.dirsTotal.Load()), LogsDone: int(n.logsDone.Load()), LogsTotal: int(n.logsTotal.Load()),
		}, Problems: []string{},
	}
	dirs := n.opened.Load()
	if dirs == nil {
		return h
	}
	h.ClusterID = n.clusterID
	counts := map[string]int{}
	rot := map[string][]admin.Rot{}
	for p := range n.partitions.All() {
		rot[p.Dir()] = append(rot[p.Dir()], rotOf(p.Dir(), p.Name(), p.Log().Rot())...)
		h.Partitions.Total++
		counts[p.Dir()]++
		switch {
		case p.Err() != nil:
			h.Partitions.Offline++
		case p.LeaderEpoch() >= 0:
			h.Partitions.Leading++
		}
	}
	if m, path := n.metadata.Load(), n.static.Broker.MetadataLogDir; m != nil {
		rot[path] = append(rot[path], rotOf(path, metadataName, m.rot())...)
	}
	for _, d := range *dirs {
		out := admin.Directory{
			Path: d.Path(), ID: d.ID().String(), Online: d.Err() == nil, Stalled: d.Hung(), Full: d.Full(n.clock()), Partitions: counts[d.Path()],
			FreeBytes: d.FreeBytes(), TotalBytes: d.TotalBytes(), ReserveBytes: d.ReserveBytes(),
		}
		if err := d.Err(); err != nil {
			out.Error, out.Stalled, out.Full = err.Error(), false, false
		}
		out.Rot = rot[d.Path()]
		h.Problems = append(append(h.Problems, n.scrubbed(d, &out)...), n.problems(d)...)
		h.Directories = append(h.Directories, out)
	}
	return h
}

// problems says what is wrong with a directory, and what to do.
func (n *Node) problems(d *dir.Dir) (out []string) {
	say := func(format string, args ...any) {
		out = append(out, "log directory "+d.Path()+" "+fmt.Sprintf(format, args...))
	}
	switch {
	case d.Err() != nil:
		say("is offline: repair or replace its disk, then restart the node")
		return out
	case d.Hung():
		say("does not answer for %.0f seconds: its partitions are refused until it does; look at its disk", d.Stalled(time.Now()).Seconds())
	}
	switch {
	case d.Critical():
		say("is full to the last byte (%d bytes are free): delete topics or records, shorten their retention, or give it more space", d.FreeBytes())
	case d.Full(n.clock()):
		say("is full (%d bytes are free): clients' records are refused until there is more; delete topics or records, shorten their retention, or give it more space", d.FreeBytes())
	}
	if reads := d.Stats().ReadErrors.Load(); reads > 0 {
		say("has failed %d reads: its disk is failing; replace it", reads)
	}
	return out
}

// settings is the configuration in force.
func (n *Node) settings() []admin.Setting {
	entries := config.DescribeBroker(n.dynamic.Load())
	out := make([]admin.Setting, len(entries))
	for i, e := range entries {
		out[i] = admin.Setting{Name: e.Name, Value: e.Value, Source: sourceName(e.Source), ReadOnly: e.ReadOnly, Sensitive: e.Sensitive}
	}
	return out
}

func sourceName(s config.Source) string {
	switch s {
	case config.FromBroker:
		return "dynamic_broker_config"
	case config.FromClusterDefault:
		return "dynamic_default_broker_config"
	case config.FromStatic:
		return "static_broker_config"
	}
	return "default_config"
}

// registerMetrics shows figures that someone else counts already.
func (n *Node) registerMetrics() {
	m := n.metrics
	gauge := func(f *metric.Family, value func() float64, labels ...string) { m.GaugeFunc(f, value, labels...) }
	gauge(metric.BuildInfo, func() float64 { return 1 }, n.version, runtime.Version())
	gauge(metric.Topics, func() float64 { return float64(n.image.Load().TopicCount()) })
	gauge(metric.Partitions, func() float64 { return float64(n.count(func(*partition.Partition) bool { return true })) })
	gauge(metric.OfflinePartitions, func() float64 { return float64(n.count(func(p *partition.Partition) bool { return p.Err() != nil })) })
	gauge(metric.Groups, n.countGroups)
	gauge(metric.FetchSessions, func() float64 { sessions, _, _ := n.broker.Sessions.Size(); return float64(sessions) })
	gauge(metric.FetchSessionPartitions, func() float64 { _, partitions, _ := n.broker.Sessions.Size(); return float64(partitions) })
	m.CounterFunc(metric.FetchSessionEvictions, func() float64 { _, _, evictions := n.broker.Sessions.Size(); return float64(evictions) })
	for _, d := range n.dirs {
		registerDir(m, d)
	}
	m.GaugesFunc(metric.RottenOffsets, n.rottenOffsets)
	gauge(metric.OpenFiles, func() float64 { return float64(n.handles.Stats().Open) })
	gauge(metric.OpenFilesLimit, func() float64 { return float64(n.handles.Stats().Limit) })
	m.CounterFunc(metric.FileOpens, func() float64 { return float64(n.handles.Stats().Opens) })
	share := n.dirs[0].Share()
	gauge(metric.TailMemoryBytes, func() float64 { return float64(share.Stats().Total) })
	gauge(metric.TailMemoryLimit, func() float64 { return float64(share.Stats().Budget) })
	gauge(metric.TailMemoryPinned, func() float64 { return float64(share.Stats().Pinned) })
	m.CounterFunc(metric.TailMemoryRefused, func() float64 { return float64(share.Stats().Refused) })
}

func registerDir(m *metric.Registry, d *dir.Dir) {
	path, s := d.Path(), d.Stats()
	m.GaugeFunc(metric.DirOnline, func() float64 {
		if d.Err() != nil {
			return 0
		}
		return 1
	}, path)
	m.GaugeFunc(metric.DirStalled, func() float64 {
		if d.Hung() {
			return 1
		}
		return 0
	}, path)
	m.GaugeFunc(metric.DirStalledSeconds, func() float64 { return d.Stalled(time.Now()).Seconds() }, path)
	m.GaugeFunc(metric.DirFull, func() float64 {
		switch {
		case d.Critical():
			return 2
		case d.Full(time.Now()):
			return 1
		}
		return 0
	}, path)
	m.GaugeFunc(metric.DirSizeBytes, func() float64 { return float64(d.TotalBytes()) }, path)
	m.GaugeFunc(metric.DirReserveBytes, func() float64 { return float64(d.ReserveBytes()) }, path)
	m.GaugeFunc(metric.DirFreeBytes, func() float64 { return float64(d.FreeBytes()) }, path)
	m.GaugeFunc(metric.TailMemoryUnwritten, func() float64 { return float64(d.Share().Stats().Unwritten) }, path)
	for family, value := range map[*metric.Family]func() int64{
		metric.DirRounds: s.Rounds.Load, metric.DirRoundLogs: s.RoundLogs.Load, metric.DirSyncs: s.Syncs.Load, metric.DirDirectorySyncs: s.DirSyncs.Load,
		metric.DirWrittenBytes: s.WrittenBytes.Load, metric.DirSyncedBytes: s.SyncedBytes.Load, metric.DirCheckpoints: s.Checkpoints.Load, metric.DirNoSpace: s.NoSpace.Load,
		metric.DirGathers: s.Gathers.Load, metric.DirGathersInVain: s.GathersInVain.Load, metric.DirStalls: s.Stalls.Load, metric.DirReadErrors: s.ReadErrors.Load,
	} {
		m.CounterFunc(family, func() float64 { return float64(value()) }, path)
	}
}

func (n *Node) count(what func(*partition.Partition) bool) int {
	total := 0
	for p := range n.partitions.All() {
		if what(p) {
			total++
		}
	}
	return total
}

// countPatience is how long the count of groups waits for coordinators: one whose disk hangs must not keep all metrics from being shown.
const countPatience = 2 * time.Second

// countGroups asks every coordinator; one that does not answer now is left out.
func (n *Node) countGroups() float64 {
	var calls []*shard.Call
	for _, c := range n.All() {
		calls = append(calls, c.Call(group.Stats{}))
	}
	patience, cancel := context.WithTimeout(n.ctx, countPatience)
	defer cancel()
	total := 0
	for _, call := range calls {
		reply, err := call.Wait(patience.Done())
		if err != nil {
			continue
		}
		for state, count := range reply.(group.StatsReply).Groups {
			if !strings.EqualFold(state, "dead") {
				total += count
			}
		}
	}
	return float64(total)
}
