package main

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const callLimit = 30 * time.Second

type franz struct {
	bootstrap string
	client    *kgo.Client
	admin     *kadm.Client
}

func openFranz(bootstrap string) (Client, error) {
	c, err := kgo.NewClient(kgo.SeedBrokers(bootstrap), kgo.MetadataMinAge(100*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return &franz{bootstrap: bootstrap, client: c, admin: kadm.NewClient(c)}, nil
}

func (f *franz) Close() { f.client.Close() }

type franzProducer struct{ c *kgo.Client }

func (f *franz) Producer(o ProducerOptions) (Producer, error) {
	codecs := map[string]kgo.CompressionCodec{
		"": kgo.NoCompression(), "none": kgo.NoCompression(), "gzip": kgo.GzipCompression(),
		"snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	acks := map[int]kgo.Acks{-1: kgo.AllISRAcks(), 0: kgo.NoAck(), 1: kgo.LeaderAck()}
	opts := []kgo.Opt{
		kgo.SeedBrokers(f.bootstrap), kgo.AllowAutoTopicCreation(), kgo.RequiredAcks(acks[o.Acks]),
		kgo.ProducerBatchCompression(codecs[o.Codec]), kgo.RecordPartitioner(kgo.ManualPartitioner()),
	}
	if !o.Idempotent || o.Acks != -1 {
		opts = append(opts, kgo.DisableIdempotentWrite())
	}
	if o.Batched {
		opts = append(opts, kgo.ProducerLinger(20*time.Millisecond))
	}
	if o.MaxBytes > 0 {
		opts = append(opts, kgo.ProducerBatchMaxBytes(int32(o.MaxBytes)))
	}
	c, err := kgo.NewClient(opts...)
	return franzProducer{c}, err
}

func (p franzProducer) Send(records ...Record) ([]int64, error) {
	var rs []*kgo.Record
	for _, r := range records {
		k := &kgo.Record{Topic: r.Topic, Partition: r.Partition, Key: r.Key, Value: r.Value}
		if r.Timestamp != 0 {
			k.Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kgo.RecordHeader{Key: h.Key, Value: []byte(h.Value)})
		}
		rs = append(rs, k)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	results := p.c.ProduceSync(ctx, rs...)
	if err := results.FirstErr(); err != nil {
		return nil, err
	}
	var offsets []int64
	for _, r := range rs {
		offsets = append(offsets, r.Offset)
	}
	return offsets, nil
}

func (p franzProducer) Close() error { p.c.Close(); return nil }

type franzConsumer struct {
	c  *kgo.Client
	mu struct {
		sync.Mutex
		owned map[int32]bool
	}
}

func (f *franz) Consumer(o ConsumerOptions) (Consumer, error) {
	fc := &franzConsumer{}
	fc.mu.owned = map[int32]bool{}
	opts := []kgo.Opt{kgo.SeedBrokers(f.bootstrap), kgo.FetchMaxWait(o.FetchWait)}
	if o.Group == "" {
		at := kgo.NewOffset().At(o.Offset)
		parts := map[int32]kgo.Offset{}
		for _, p := range o.Assign {
			parts[p], fc.mu.owned[p] = at, true
		}
		opts = append(opts, kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{o.Topic: parts}))
	} else {
		reset := kgo.NewOffset().AtStart()
		if o.Latest {
			reset = kgo.NewOffset().AtEnd()
		}
		opts = append(opts, kgo.ConsumeTopics(o.Topic), kgo.ConsumerGroup(o.Group), kgo.ConsumeResetOffset(reset),
			kgo.DisableAutoCommit(), kgo.SessionTimeout(o.Session), kgo.HeartbeatInterval(min(o.Session/6, 500*time.Millisecond)),
			kgo.OnPartitionsAssigned(fc.change(true)), kgo.OnPartitionsRevoked(fc.change(false)), kgo.OnPartitionsLost(fc.change(false)))
		switch o.Assignor {
		case "eager":
			opts = append(opts, kgo.Balancers(kgo.RangeBalancer()))
		case "cooperative":
			opts = append(opts, kgo.Balancers(kgo.CooperativeStickyBalancer()))
		}
		if o.Instance != "" {
			opts = append(opts, kgo.InstanceID(o.Instance))
		}
	}
	var err error
	fc.c, err = kgo.NewClient(opts...)
	return fc, err
}

func (c *franzConsumer) change(gained bool) func(context.Context, *kgo.Client, map[string][]int32) {
	return func(_ context.Context, _ *kgo.Client, changed map[string][]int32) {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, parts := range changed {
			for _, p := range parts {
				if gained {
					c.mu.owned[p] = true
				} else {
					delete(c.mu.owned, p)
				}
			}
		}
	}
}

func (c *franzConsumer) Partitions() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.mu.owned))
}

func (c *franzConsumer) Poll(limit time.Duration) ([]Record, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	fetches := c.c.PollFetches(ctx)
	var out []Record
	for _, r := range fetches.Records() {
		rec := Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Timestamp: r.Timestamp.UnixMilli(), Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			rec.Headers = append(rec.Headers, Header{h.Key, string(h.Value)})
		}
		out = append(out, rec)
	}
	if err := fetches.Err(); err != nil && ctx.Err() == nil {
		return out, err
	}
	return out, nil
}

func (c *franzConsumer) Commit(topic string, partition int32, offset int64, sync bool) error {
	commit := map[string]map[int32]kgo.EpochOffset{topic: {partition: {Epoch: -1, Offset: offset}}}
	if !sync {
		c.c.CommitOffsets(context.Background(), commit, nil)
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), callLimit)
	defer cancel()
	failed := make(chan error, 1)
	c.c.CommitOffsetsSync(ctx, commit, onCommit(failed))
	return <-failed
}

func (c *franzConsumer) Close() error { c.c.Close(); return nil }

func limited() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), callLimit)
}

func (f *franz) CreateTopic(name string, partitions int, configs map[string]string) error {
	ctx, cancel := limited()
	defer cancel()
	values := map[string]*string{}
	for k, v := range configs {
		values[k] = &v
	}
	_, err := f.admin.CreateTopic(ctx, int32(partitions), 1, values, name)
	return err
}

func (f *franz) DeleteTopic(name string) error {
	ctx, cancel := limited()
	defer cancel()
	_, err := f.admin.DeleteTopic(ctx, name)
	return err
}

func (f *franz) Topics() ([]string, error) {
	ctx, cancel := limited()
	defer cancel()
	topics, err := f.admin.ListTopics(ctx)
	return topics.Names(), err
}

func (f *franz) Leaders(topic string) (int, error) {
	ctx, cancel := limited()
	defer cancel()
	topics, err := f.admin.ListTopics(ctx, topic)
	count := 0
	for _, p := range topics[topic].Partitions {
		if p.Leader >= 0 {
			count++
		}
	}
	return count, err
}

func (f *franz) AddPartitions(topic string, total int) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := f.admin.UpdatePartitions(ctx, total, topic)
	if err != nil {
		return err
	}
	return answers.Error()
}

func configsOf(answers kadm.ResourceConfigs, err error) (map[string]string, error) {
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, a := range answers {
		if a.Err != nil {
			return nil, a.Err
		}
		for _, c := range a.Configs {
			out[c.Key] = c.MaybeValue()
		}
	}
	return out, nil
}

func (f *franz) TopicConfig(topic string) (map[string]string, error) {
	ctx, cancel := limited()
	defer cancel()
	return configsOf(f.admin.DescribeTopicConfigs(ctx, topic))
}

func (f *franz) BrokerConfig() (map[string]string, error) {
	ctx, cancel := limited()
	defer cancel()
	brokers, err := f.admin.ListBrokers(ctx)
	if err != nil {
		return nil, err
	}
	return configsOf(f.admin.DescribeBrokerConfigs(ctx, brokers.NodeIDs()...))
}

func (f *franz) AlterTopic(topic, key, value string) error {
	ctx, cancel := limited()
	defer cancel()
	answers, err := f.admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: key, Value: &value}}, topic)
	if err != nil {
		return err
	}
	return answers[0].Err
}

func (f *franz) DeleteRecords(topic string, partition int32, before int64) error {
	ctx, cancel := limited()
	defer cancel()
	offsets := kadm.Offsets{}
	offsets.Add(kadm.Offset{Topic: topic, Partition: partition, At: before})
	answers, err := f.admin.DeleteRecords(ctx, offsets)
	if err != nil {
		return err
	}
	return answers.Error()
}

func (f *franz) OffsetAt(topic string, partition int32, at int64) (int64, error) {
	ctx, cancel := limited()
	defer cancel()
	var answers kadm.ListedOffsets
	var err error
	switch at {
	case -1:
		answers, err = f.admin.ListEndOffsets(ctx, topic)
	case -2:
		answers, err = f.admin.ListStartOffsets(ctx, topic)
	default:
		answers, err = f.admin.ListOffsetsAfterMilli(ctx, at, topic)
	}
	if err != nil {
		return 0, err
	}
	o, _ := answers.Lookup(topic, partition)
	return o.Offset, o.Err
}

func (f *franz) Committed(group, topic string, partition int32) (int64, error) {
	ctx, cancel := limited()
	defer cancel()
	answers, err := f.admin.FetchOffsets(ctx, group)
	o, ok := answers.Lookup(topic, partition)
	if err != nil || !ok {
		return -1, err
	}
	return o.At, o.Err
}

func (f *franz) Groups() ([]string, error) {
	ctx, cancel := limited()
	defer cancel()
	groups, err := f.admin.ListGroups(ctx)
	return groups.Groups(), err
}

func (f *franz) Group(group string) (string, int, error) {
	ctx, cancel := limited()
	defer cancel()
	groups, err := f.admin.DescribeGroups(ctx, group)
	if err != nil {
		return "", 0, err
	}
	return groups[group].State, len(groups[group].Members), groups[group].Err
}

func (f *franz) DeleteGroup(group string) error {
	ctx, cancel := limited()
	defer cancel()
	_, err := f.admin.DeleteGroup(ctx, group)
	return err
}

func (f *franz) Cluster() (int, error) {
	ctx, cancel := limited()
	defer cancel()
	m, err := f.admin.BrokerMetadata(ctx)
	return len(m.Brokers), err
}

// onCommit turns kgo's callback into one error, the first one in the answer.
func onCommit(done chan<- error) func(*kgo.Client, *kmsg.OffsetCommitRequest, *kmsg.OffsetCommitResponse, error) {
	return func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, answer *kmsg.OffsetCommitResponse, err error) {
		if err == nil {
			for _, t := range answer.Topics {
				for _, p := range t.Partitions {
					err = cmp.Or(err, kerr.ErrorForCode(p.ErrorCode))
				}
			}
		}
		done <- err
	}
}
