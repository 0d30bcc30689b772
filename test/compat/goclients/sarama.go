package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type saramaLib struct {
	bootstrap string
	client    sarama.Client
	admin     sarama.ClusterAdmin
}

func saramaConfig() *sarama.Config {
	sarama.Logger = log.New(io.Discard, "", 0)
	c := sarama.NewConfig()
	c.Version = sarama.MaxVersion
	c.ApiVersionsRequest = true
	c.Net.DialTimeout, c.Net.ReadTimeout, c.Net.WriteTimeout = 10*time.Second, 30*time.Second, 10*time.Second
	return c
}

func openSarama(bootstrap string) (Client, error) {
	client, err := sarama.NewClient([]string{bootstrap}, saramaConfig())
	if err != nil {
		return nil, err
	}
	admin, err := sarama.NewClusterAdminFromClient(client)
	return &saramaLib{bootstrap, client, admin}, err
}

func (s *saramaLib) Close() { s.admin.Close() }

type saramaProducer struct {
	p    sarama.SyncProducer
	acks bool
}

func (s *saramaLib) Producer(o ProducerOptions) (Producer, error) {
	c := saramaConfig()
	c.Producer.RequiredAcks = sarama.RequiredAcks(o.Acks)
	c.Producer.Compression = map[string]sarama.CompressionCodec{
		"": sarama.CompressionNone, "none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP,
		"snappy": sarama.CompressionSnappy, "lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	}[o.Codec]
	c.Producer.Partitioner = sarama.NewManualPartitioner
	c.Producer.Return.Successes = true
	c.Producer.Retry.Max = 20
	c.Producer.Retry.Backoff = 250 * time.Millisecond
	if o.Idempotent {
		c.Producer.Idempotent, c.Net.MaxOpenRequests = true, 1
	}
	if o.Batched {
		c.Producer.Flush.Frequency = 20 * time.Millisecond
	}
	if o.MaxBytes > 0 {
		c.Producer.MaxMessageBytes = o.MaxBytes
	}
	p, err := sarama.NewSyncProducer([]string{s.bootstrap}, c)
	return saramaProducer{p, o.Acks != 0}, err
}

func (p saramaProducer) Send(records ...Record) ([]int64, error) {
	var ms []*sarama.ProducerMessage
	for _, r := range records {
		m := &sarama.ProducerMessage{Topic: r.Topic, Partition: r.Partition}
		if r.Key != nil {
			m.Key = sarama.ByteEncoder(r.Key)
		}
		if r.Value != nil {
			m.Value = sarama.ByteEncoder(r.Value)
		}
		if r.Timestamp != 0 {
			m.Timestamp = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, sarama.RecordHeader{Key: []byte(h.Key), Value: []byte(h.Value)})
		}
		ms = append(ms, m)
	}
	if err := p.p.SendMessages(ms); err != nil {
		var several sarama.ProducerErrors
		if errors.As(err, &several) {
			return nil, several[0].Err
		}
		return nil, err
	}
	if !p.acks {
		return nil, nil
	}
	var offsets []int64
	for _, m := range ms {
		offsets = append(offsets, m.Offset)
	}
	return offsets, nil
}

func (p saramaProducer) Close() error { return p.p.Close() }

// saramaConsumer feeds one channel from a group's sessions or from partition consumers.
type saramaConsumer struct {
	records chan Record
	errs    chan error
	stop    context.CancelFunc
	done    sync.WaitGroup
	close   func() error
	mu      struct {
		sync.Mutex
		owned   map[int32]bool
		session sarama.ConsumerGroupSession
	}
}

func (s *saramaLib) Consumer(o ConsumerOptions) (Consumer, error) {
	c := saramaConfig()
	c.Consumer.MaxWaitTime = o.FetchWait
	c.Consumer.Return.Errors = true
	c.Consumer.Offsets.AutoCommit.Enable = false
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	if o.Latest {
		c.Consumer.Offsets.Initial = sarama.OffsetNewest
	}
	ctx, cancel := context.WithCancel(context.Background())
	sc := &saramaConsumer{records: make(chan Record), errs: make(chan error, 64), stop: cancel}
	sc.mu.owned = map[int32]bool{}
	if o.Group == "" {
		return sc, sc.assign(ctx, s.bootstrap, c, o)
	}
	c.Consumer.Group.Session.Timeout = o.Session
	c.Consumer.Group.Heartbeat.Interval = min(o.Session/6, 500*time.Millisecond)
	c.Consumer.Group.Rebalance.Timeout = 20 * time.Second
	c.Consumer.Group.InstanceId = o.Instance
	switch o.Assignor {
	case "eager":
		c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{sarama.NewBalanceStrategyRange()}
	case "cooperative":
		cancel()
		return nil, NotOffered("sarama has eager assignors only")
	}
	g, err := sarama.NewConsumerGroup([]string{s.bootstrap}, o.Group, c)
	if err != nil {
		cancel()
		return nil, err
	}
	sc.close = g.Close
	sc.done.Go(func() {
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{o.Topic}, sc); err != nil && ctx.Err() == nil {
				sc.fail(err)
				pause(ctx)
			}
		}
	})
	go func() {
		for err := range g.Errors() {
			sc.fail(err)
		}
	}()
	return sc, nil
}

// pause keeps a member that cannot join from spinning while the node is away.
func pause(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// fail keeps the error for Poll; when nobody asks, the oldest ones are enough.
func (c *saramaConsumer) fail(err error) {
	select {
	case c.errs <- err:
	default:
	}
}

func (c *saramaConsumer) assign(ctx context.Context, bootstrap string, config *sarama.Config, o ConsumerOptions) error {
	consumer, err := sarama.NewConsumer([]string{bootstrap}, config)
	if err != nil {
		return err
	}
	var parts []sarama.PartitionConsumer
	c.close = func() error {
		for _, pc := range parts {
			if err := pc.Close(); err != nil {
				return err
			}
		}
		return consumer.Close()
	}
	for _, p := range o.Assign {
		pc, err := consumer.ConsumePartition(o.Topic, p, o.Offset)
		if err != nil {
			return err
		}
		parts, c.mu.owned[p] = append(parts, pc), true
		c.done.Go(func() { c.forward(ctx, pc.Messages(), nil) })
		go func() {
			for err := range pc.Errors() {
				c.fail(err)
			}
		}()
	}
	return nil
}

func (c *saramaConsumer) forward(ctx context.Context, from <-chan *sarama.ConsumerMessage, session sarama.ConsumerGroupSession) {
	for {
		select {
		case <-ctx.Done():
			return
		case m, ok := <-from:
			if !ok {
				return
			}
			r := Record{Topic: m.Topic, Partition: m.Partition, Offset: m.Offset, Timestamp: m.Timestamp.UnixMilli(), Key: m.Key, Value: m.Value}
			for _, h := range m.Headers {
				r.Headers = append(r.Headers, Header{string(h.Key), string(h.Value)})
			}
			select {
			case c.records <- r:
			case <-ctx.Done():
				return
			}
		}
	}
}

func (c *saramaConsumer) Setup(session sarama.ConsumerGroupSession) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.session = session
	clear(c.mu.owned)
	for _, parts := range session.Claims() {
		for _, p := range parts {
			c.mu.owned[p] = true
		}
	}
	return nil
}

func (c *saramaConsumer) Cleanup(sarama.ConsumerGroupSession) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.session = nil
	clear(c.mu.owned)
	return nil
}

func (c *saramaConsumer) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	c.forward(session.Context(), claim.Messages(), session)
	return nil
}

func (c *saramaConsumer) Partitions() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.mu.owned))
}

func (c *saramaConsumer) Poll(limit time.Duration) (got []Record, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case r := <-c.records:
			got = append(got, r)
			if len(got) < 500 {
				timer.Reset(5 * time.Millisecond)
				continue
			}
			return got, nil
		case err := <-c.errs:
			return got, err
		case <-timer.C:
			return got, nil
		}
	}
}

func (c *saramaConsumer) Commit(topic string, partition int32, offset int64, sync bool) error {
	c.mu.Lock()
	session := c.mu.session
	c.mu.Unlock()
	if session == nil {
		return errors.New("no session to commit in")
	}
	// A mark only moves forward and a reset only back; the records read were not marked.
	session.MarkOffset(topic, partition, offset, "note")
	if sync {
		session.Commit()
	} else {
		go session.Commit()
	}
	return nil
}

func (c *saramaConsumer) Close() error {
	c.stop()
	c.done.Wait()
	return c.close()
}

func (s *saramaLib) CreateTopic(name string, partitions int, configs map[string]string) error {
	entries := map[string]*string{}
	for k, v := range configs {
		entries[k] = &v
	}
	return s.admin.CreateTopic(name, &sarama.TopicDetail{NumPartitions: int32(partitions), ReplicationFactor: 1, ConfigEntries: entries}, false)
}

func (s *saramaLib) DeleteTopic(name string) error { return s.admin.DeleteTopic(name) }

func (s *saramaLib) Topics() ([]string, error) {
	topics, err := s.admin.ListTopics()
	return slices.Collect(maps.Keys(topics)), err
}

func (s *saramaLib) Leaders(topic string) (int, error) {
	found, err := s.admin.DescribeTopics([]string{topic})
	if err != nil {
		return 0, err
	}
	count := 0
	for _, p := range found[0].Partitions {
		if p.Leader >= 0 {
			count++
		}
	}
	return count, nil
}

func (s *saramaLib) AddPartitions(topic string, total int) error {
	return s.admin.CreatePartitions(topic, int32(total), nil, false)
}

func (s *saramaLib) config(kind sarama.ConfigResourceType, name string) (map[string]string, error) {
	entries, err := s.admin.DescribeConfig(sarama.ConfigResource{Type: kind, Name: name})
	out := map[string]string{}
	for _, e := range entries {
		out[e.Name] = e.Value
	}
	return out, err
}

func (s *saramaLib) TopicConfig(topic string) (map[string]string, error) {
	return s.config(sarama.TopicResource, topic)
}

func (s *saramaLib) BrokerConfig() (map[string]string, error) {
	brokers, _, err := s.admin.DescribeCluster()
	if err != nil {
		return nil, err
	}
	return s.config(sarama.BrokerResource, strconv.Itoa(int(brokers[0].ID())))
}

func (s *saramaLib) AlterTopic(topic, key, value string) error {
	return s.admin.IncrementalAlterConfig(sarama.TopicResource, topic,
		map[string]sarama.IncrementalAlterConfigsEntry{key: {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value}}, false)
}

func (s *saramaLib) DeleteRecords(topic string, partition int32, before int64) error {
	return s.admin.DeleteRecords(topic, map[int32]int64{partition: before})
}

func (s *saramaLib) OffsetAt(topic string, partition int32, at int64) (int64, error) {
	return s.client.GetOffset(topic, partition, at)
}

func (s *saramaLib) Committed(group, topic string, partition int32) (int64, error) {
	answer, err := s.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {partition}})
	if err != nil {
		return -1, err
	}
	b := answer.GetBlock(topic, partition)
	if b == nil {
		return -1, fmt.Errorf("the answer has no %s-%d", topic, partition)
	}
	if b.Err != sarama.ErrNoError {
		return -1, b.Err
	}
	return b.Offset, nil
}

func (s *saramaLib) Groups() ([]string, error) {
	groups, err := s.admin.ListConsumerGroups()
	return slices.Collect(maps.Keys(groups)), err
}

func (s *saramaLib) Group(group string) (string, int, error) {
	found, err := s.admin.DescribeConsumerGroups([]string{group})
	if err != nil {
		return "", 0, err
	}
	return found[0].State, len(found[0].Members), nil
}

func (s *saramaLib) DeleteGroup(group string) error { return s.admin.DeleteConsumerGroup(group) }

func (s *saramaLib) Cluster() (int, error) {
	brokers, _, err := s.admin.DescribeCluster()
	return len(brokers), err
}
