package node

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/broker/api"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/cluster/quorum"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/plog"
)

// metadataPartition is the directory of the metadata log.
const metadataPartition = model.MetadataTopic + "-0"

// metadataLog is the log of the metadata, under the quorum that drives it.
type metadataLog struct {
	*plog.Log
	quorum *quorum.Quorum
}

// rot is the damage for which no snapshot stands.
func (m *metadataLog) rot() (out []*plog.RotError) {
	from := int64(0)
	if base := m.quorum.Base(); base != nil {
		from = base.End.Offset
	}
	for _, r := range m.Rot() {
		if r.To > from {
			out = append(out, r)
		}
	}
	return out
}

// maxMetadataBatch bounds what one request may change: 10,000 partitions fit.
const maxMetadataBatch = 8 << 20

// startController opens the metadata log, takes the lead of its quorum and loads the machine.
func (n *Node) startController(ctx context.Context) error {
	d := n.metadataDir()
	settings := plog.DefaultConfig()
	settings.SegmentBytes, settings.SegmentMs = metadataSegmentBytes(&n.static.Broker), n.static.Broker.MetadataLogSegmentMs
	settings.RetentionMs, settings.RetentionBytes = -1, -1
	log, err := plog.Open(d, metadataPartition, model.MetadataTopicID, settings)
	if err != nil {
		return fmt.Errorf("open the metadata log: %w", err)
	}
	n.quorum, err = quorum.Open(quorum.Options{
		FS: n.fs, Path: filepath.Join(d.Path(), metadataPartition), Log: quorum.NewPlog(log), NodeID: n.static.Broker.NodeID, DirectoryID: d.ID(),
		Voters: []quorum.Voter{{ID: n.static.Broker.NodeID, DirectoryID: d.ID(), Endpoints: n.voterEndpoints()}},
		Clock:  n.clock, Logger: n.loggers.Logger("quorum"),
	})
	if err != nil {
		return fmt.Errorf("open the metadata quorum: %w", err)
	}
	n.metadata.Store(&metadataLog{log, n.quorum})
	n.snapshots.register()
	if _, err := n.quorum.Lead(ctx); err != nil {
		return fmt.Errorf("lead the metadata quorum: %w", err)
	}
	n.meta = meta.New(meta.Options{
		NodeID: n.static.Broker.NodeID, DefaultPartitions: n.static.Broker.NumPartitions, DefaultReplicationFactor: n.static.Broker.DefaultReplicationFactor,
		AlterConfig: alterConfig, ValidateConfig: n.validateConfig, Publish: n.publish,
	})
	n.controller = shard.New(n.quorum, n.meta, shard.Options{Name: "controller", Clock: n.clock, MaxBatchBytes: maxMetadataBatch})
	n.running.Go(func() {
		if err := n.controller.Run(n.ctx); err != nil && n.ctx.Err() == nil {
			n.fail(fmt.Errorf("FATAL: the metadata log failed: %w", err))
		}
	})
	select {
	case <-n.controller.Ready():
		return nil
	case err := <-n.fatal:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// refuseLevel refuses a cluster whose metadata.version this release cannot work with, before anything of it is changed. What cannot be read yet, such as the end of a log that is only in the
// journal, is judged once the log is open.
func (n *Node) refuseLevel() error {
	level := int16(0)
	err := quorum.Peek(n.fs, filepath.Join(n.static.Broker.MetadataLogDir, metadataPartition), meta.MetadataVersion, func(r machine.Record) error {
		if set := meta.LevelIn(r); set != 0 {
			level = set
		}
		return nil
	})
	if err != nil || level == 0 {
		return nil //nolint:nilerr // who opens the directory says what is wrong with it
	}
	if err := checkLevel(level); err != nil {
		return fmt.Errorf("log directory %s: %w; nothing in it was changed", n.static.Broker.MetadataLogDir, err)
	}
	return nil
}

func checkLevel(level int16) error {
	if level < meta.LowestMetadataVersion || level > meta.MetadataVersion44 {
		return fmt.Errorf("the cluster's metadata.version is %d, and this release works with %d (3.3-IV3) to %d (4.4-IV2): bring it there with kafka-features upgrade or downgrade of the Apache Kafka that the directory comes from, stop that, and start again",
			level, meta.LowestMetadataVersion, meta.MetadataVersion44)
	}
	return nil
}

func (n *Node) voterEndpoints() []quorum.Endpoint {
	var out []quorum.Endpoint
	for _, e := range n.endpoints(n.static.Broker.AdvertisedControllers) {
		out = append(out, quorum.Endpoint{Listener: e.Listener, Host: e.Host, Port: e.Port})
	}
	return out
}

// ask calls the controller and waits.
func ask[R any](ctx context.Context, n *Node, input any) (R, error) {
	return answer[R](ctx, n.controller.Call(input))
}

// answer waits for a call of the controller.
func answer[R any](ctx context.Context, call *shard.Call) (R, error) {
	var none R
	select {
	case <-call.Done():
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
	reply, err := call.Result()
	if err != nil {
		return none, err
	}
	return reply.(R), nil
}

// register begins the cluster if it is new, opens this broker's logs and makes the broker known under a new incarnation, which raises the epochs of what it led
// before (I2).
func (n *Node) register(ctx context.Context) error {
	formatted, err := n.quorum.Formatted()
	if err != nil {
		return err
	}
	begun, err := ask[meta.BootstrapReply](ctx, n, meta.Bootstrap{Records: formatted})
	if err == nil && begun.Code != model.None {
		err = &model.Error{Code: begun.Code, Message: begun.Message}
	}
	if err != nil {
		return fmt.Errorf("begin the cluster's metadata: %w", err)
	}
	if err := checkLevel(n.image.Load().Level()); err != nil {
		return err
	}
	n.recovering.Store(true)
	if err := n.openLogs(n.image.Load()); err != nil {
		return err
	}
	n.recovering.Store(false)
	n.registered = n.directoryIDs()
	broker := n.static.Broker
	var rack *string
	if broker.Rack != "" {
		rack = &broker.Rack
	}
	features := []meta.SupportedFeature{{Name: meta.MetadataVersion, Min: meta.LowestMetadataVersion, Max: meta.MetadataVersion44}, {Name: "kraft.version", Min: 0, Max: 1}}
	controller := n.controller.Call(meta.RegisterController{ // waited for at the end: both registrations share a sync
		ID: broker.NodeID, IncarnationID: n.incarnation, Endpoints: n.endpoints(broker.AdvertisedControllers), Features: features,
	})
	reply, err := ask[meta.BrokerReply](ctx, n, meta.RegisterBroker{
		ID: broker.NodeID, IncarnationID: n.incarnation, Endpoints: n.endpoints(broker.Advertised), Features: features, Rack: rack,
		Directories: n.registered, CleanShutdown: n.cleanStart(),
	})
	for err == nil && reply.Code == model.None && reply.Again {
		reply, err = ask[meta.BrokerReply](ctx, n, meta.UnfenceBroker{ID: broker.NodeID, Epoch: reply.Epoch})
	}
	if err == nil && reply.Code != model.None {
		err = &model.Error{Code: reply.Code, Message: reply.Message}
	}
	if err != nil {
		return fmt.Errorf("register the broker: %w", err)
	}
	if _, err := answer[meta.Result](ctx, controller); err != nil {
		return fmt.Errorf("register the controller: %w", err)
	}
	n.mu.Lock()
	n.mu.brokerEpoch = reply.Epoch
	n.mu.Unlock()
	return nil
}

// announceStop writes down that this broker stops in order, so that the next process in its place, Apache Kafka for one, need not wait for the end of its session. It is a
// courtesy: where the metadata log does not take it any more, the stop goes on.
func (n *Node) announceStop(ctx context.Context) {
	n.mu.Lock()
	epoch, active := n.mu.brokerEpoch, n.mu.active
	n.mu.Unlock()
	if !active {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, announceTimeout)
	defer cancel()
	reply, err := ask[meta.BrokerReply](ctx, n, meta.ShutDownBroker{ID: n.static.Broker.NodeID, Epoch: epoch})
	if err == nil && reply.Code != model.None {
		err = &model.Error{Code: reply.Code, Message: reply.Message}
	}
	if err != nil {
		n.log.Warn("the metadata does not say that this broker stopped in order: another broker in its place waits for the end of its session", "error", err)
	}
}

// announceTimeout bounds how long a stop waits for the metadata log to take a note.
const announceTimeout = time.Second

// openLogs opens, and after a crash recovers, every log that the metadata gives to this broker, several at a time; what else lies in the directories is reported.
func (n *Node) openLogs(image *meta.Image) error {
	type task struct {
		topic    *meta.Topic
		index    int32
		settings *partition.Settings
	}
	tasks := make(chan task)
	var failed error
	var mu sync.Mutex
	var workers sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for t := range tasks {
				log, err := n.openLog(t.topic, t.index, t.settings)
				n.logsDone.Add(1)
				mu.Lock()
				if err != nil && failed == nil {
					failed = err
				} else if err == nil {
					if n.mu.open[t.topic.ID] == nil {
						n.mu.open[t.topic.ID] = map[int32]openedLog{}
					}
					n.mu.open[t.topic.ID][t.index] = log
				}
				mu.Unlock()
			}
		})
	}
	known := map[string]bool{metadataPartition: true}
	n.logsTotal.Store(int64(image.PartitionCount()))
	for topic := range image.Topics() {
		settings := n.topicSettings(image, topic.Name)
		for i := range topic.Partitions {
			known[model.TopicPartition{Topic: topic.Name, Partition: int32(i)}.String()] = true
			tasks <- task{topic, int32(i), settings}
		}
	}
	close(tasks)
	workers.Wait()
	if failed != nil {
		return failed
	}
	return n.removeStrays(known)
}

// alterConfig computes a resource's overrides after the operations of an admin request.
func alterConfig(r meta.Resource, current map[string]string, ops []meta.ConfigOp) (map[string]string, error) {
	in := make([]config.Op, len(ops))
	for i, op := range ops {
		in[i] = config.Op{Kind: config.OpKind(op.Op), Key: op.Name, Value: op.Value}
	}
	out, err := config.ApplyOps(config.Resource(r.Type), current, in)
	return out, api.ConfigError(err)
}

// validateConfig judges the complete overrides of a resource.
func (n *Node) validateConfig(r meta.Resource, overrides map[string]string) error {
	var err error
	switch r.Type {
	case meta.TopicResource:
		err = config.ValidateTopicOverrides(n.dynamic.Load(), overrides)
	case meta.BrokerResource:
		image := n.meta.Image()
		self := strconv.Itoa(int(n.static.Broker.NodeID))
		if r.Name == "" {
			err = config.ValidateBrokerOverrides(n.static, overrides, image.Config(meta.BrokerResource, self), false)
		} else {
			err = config.ValidateBrokerOverrides(n.static, image.Config(meta.BrokerResource, ""), overrides, true)
		}
	case meta.ClientMetricsResource:
		err = config.ValidateClientMetricsOverrides(overrides)
	case meta.GroupResource:
		err = config.ValidateGroupOverrides(n.dynamic.Load(), overrides)
	}
	return api.ConfigError(err)
}

// resolve makes the dynamic configuration of an image.
func (n *Node) resolve(image *meta.Image) {
	self := strconv.Itoa(int(n.static.Broker.NodeID))
	dynamic, err := config.ResolveBroker(n.static, maps.Clone(image.Config(meta.BrokerResource, "")), maps.Clone(image.Config(meta.BrokerResource, self)))
	if err != nil {
		n.log.Warn("stored broker settings are skipped", "error", err)
	}
	n.dynamic.Store(dynamic)
}
