package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	kafka "github.com/segmentio/kafka-go"
)

type segmentio struct {
	bootstrap string
	client    *kafka.Client
}

func openSegmentio(bootstrap string) (Client, error) {
	return &segmentio{bootstrap, &kafka.Client{Addr: kafka.TCP(bootstrap), Timeout: callLimit, Transport: &kafka.Transport{MetadataTTL: 200 * time.Millisecond}}}, nil
}

func (s *segmentio) Close() { s.client.Transport.(*kafka.Transport).CloseIdleConnections() }

type segmentioProducer struct{ w *kafka.Writer }

func (s *segmentio) Producer(o ProducerOptions) (Producer, error) {
	if o.Idempotent {
		return nil, NotOffered("kafka-go has no idempotent producer")
	}
	w := &kafka.Writer{
		Addr:         kafka.TCP(s.bootstrap),
		RequiredAcks: map[int]kafka.RequiredAcks{-1: kafka.RequireAll, 0: kafka.RequireNone, 1: kafka.RequireOne}[o.Acks],
		Compression: map[string]kafka.Compression{
			"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
		}[o.Codec],
		BatchTimeout:           2 * time.Millisecond,
		AllowAutoTopicCreation: true,
		MaxAttempts:            20,
		WriteTimeout:           30 * time.Second,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
			return int(m.WriterData.(int32))
		}),
	}
	if o.Batched {
		w.BatchTimeout = 20 * time.Millisecond
	}
	if o.MaxBytes > 0 {
		w.BatchBytes = int64(o.MaxBytes)
	}
	return segmentioProducer{w}, nil
}

func (p segmentioProducer) Send(records ...Record) ([]int64, error) {
	var ms []kafka.Message
	for _, r := range records {
		m := kafka.Message{Topic: r.Topic, Key: r.Key, Value: r.Value, WriterData: r.Partition}
		if r.Timestamp != 0 {
			m.Time = time.UnixMilli(r.Timestamp)
		}
		for _, h := range r.Headers {
			m.Headers = append(m.Headers, kafka.Header{Key: h.Key, Value: []byte(h.Value)})
		}
		ms = append(ms, m)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	for {
		err := p.w.WriteMessages(ctx, ms...)
		var several kafka.WriteErrors
		if errors.As(err, &several) {
			err = several[0]
		}
		// The first write makes the topic and leaves it to the caller to come again.
		if errors.Is(err, kafka.UnknownTopicOrPartition) || errors.Is(err, kafka.LeaderNotAvailable) {
			select {
			case <-ctx.Done():
			case <-time.After(50 * time.Millisecond):
				continue
			}
		}
		return nil, err
	}
}

func (p segmentioProducer) Close() error { return p.w.Close() }

// segmentioConsumer reads partitions with one Reader each; a group's generation says which.
// (Reader's own group mode does not tell what it was assigned.)
type segmentioConsumer struct {
	options   ConsumerOptions
	bootstrap string
	records   chan Record
	errs      chan error
	stop      context.CancelFunc
	done      sync.WaitGroup
	group     *kafka.ConsumerGroup
	mu        struct {
		sync.Mutex
		owned      map[int32]bool
		generation *kafka.Generation
	}
}

func (s *segmentio) Consumer(o ConsumerOptions) (Consumer, error) {
	if o.Instance != "" {
		return nil, NotOffered("kafka-go has no static membership")
	}
	if o.Assignor == "cooperative" {
		return nil, NotOffered("kafka-go has eager assignors only")
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &segmentioConsumer{options: o, bootstrap: s.bootstrap, records: make(chan Record), errs: make(chan error, 64), stop: cancel}
	c.mu.owned = map[int32]bool{}
	if o.Group == "" {
		for _, p := range o.Assign {
			c.mu.owned[p] = true
			c.done.Go(func() { c.read(ctx, p, o.Offset) })
		}
		return c, nil
	}
	start := kafka.FirstOffset
	if o.Latest {
		start = kafka.LastOffset
	}
	group, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID: o.Group, Brokers: []string{s.bootstrap}, Topics: []string{o.Topic}, StartOffset: start,
		SessionTimeout: o.Session, HeartbeatInterval: min(o.Session/6, 500*time.Millisecond), JoinGroupBackoff: 200 * time.Millisecond,
		RebalanceTimeout: 10 * time.Second, GroupBalancers: []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
	})
	if err != nil {
		cancel()
		return nil, err
	}
	c.group = group
	c.done.Go(func() { c.generations(ctx) })
	return c, nil
}

func (c *segmentioConsumer) generations(ctx context.Context) {
	for ctx.Err() == nil {
		g, err := c.group.Next(ctx)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, kafka.ErrGroupClosed) && !errors.Is(err, kafka.ErrGenerationEnded) {
				c.fail(err)
			}
			continue
		}
		c.mu.Lock()
		clear(c.mu.owned)
		c.mu.generation = g
		for _, a := range g.Assignments[c.options.Topic] {
			c.mu.owned[int32(a.ID)] = true
		}
		c.mu.Unlock()
		for _, a := range g.Assignments[c.options.Topic] {
			g.Start(func(ctx context.Context) { c.read(ctx, int32(a.ID), a.Offset) })
		}
	}
}

func (c *segmentioConsumer) read(ctx context.Context, partition int32, offset int64) {
	r := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{c.bootstrap}, Topic: c.options.Topic, Partition: int(partition), MinBytes: 1, MaxBytes: 10 << 20,
		MaxWait: c.options.FetchWait, ReadBatchTimeout: 30 * time.Second,
	})
	defer r.Close()
	if err := r.SetOffset(offset); err != nil {
		c.fail(err)
		return
	}
	for {
		m, err := r.ReadMessage(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			c.fail(fmt.Errorf("read %s-%d: %w", c.options.Topic, partition, err))
			continue
		}
		rec := Record{Topic: m.Topic, Partition: int32(m.Partition), Offset: m.Offset, Timestamp: m.Time.UnixMilli(), Key: m.Key, Value: m.Value}
		for _, h := range m.Headers {
			rec.Headers = append(rec.Headers, Header{h.Key, string(h.Value)})
		}
		select {
		case c.records <- rec:
		case <-ctx.Done():
			return
		}
	}
}

// fail keeps the error for Poll; when nobody asks, the oldest ones are enough.
func (c *segmentioConsumer) fail(err error) {
	select {
	case c.errs <- err:
	default:
	}
}

func (c *segmentioConsumer) Partitions() []int32 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.mu.owned))
}

func (c *segmentioConsumer) Poll(limit time.Duration) (got []Record, err error) {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case r := <-c.records:
			got = append(got, r)
			if len(got) >= 500 {
				return got, nil
			}
			timer.Reset(5 * time.Millisecond)
		case err := <-c.errs:
			return got, err
		case <-timer.C:
			return got, nil
		}
	}
}

func (c *segmentioConsumer) Commit(topic string, partition int32, offset int64, sync bool) error {
	c.mu.Lock()
	g := c.mu.generation
	c.mu.Unlock()
	commit := func() error { return g.CommitOffsets(map[string]map[int]int64{topic: {int(partition): offset}}) }
	if sync {
		return commit()
	}
	go func() {
		if err := commit(); err != nil {
			c.fail(err)
		}
	}()
	return nil
}

func (c *segmentioConsumer) Close() error {
	c.stop()
	var err error
	if c.group != nil {
		err = c.group.Close()
	}
	c.done.Wait()
	return err
}

func first(errs map[string]error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *segmentio) CreateTopic(name string, partitions int, configs map[string]string) error {
	t := kafka.TopicConfig{Topic: name, NumPartitions: partitions, ReplicationFactor: 1}
	for k, v := range configs {
		t.ConfigEntries = append(t.ConfigEntries, kafka.ConfigEntry{ConfigName: k, ConfigValue: v})
	}
	answer, err := s.client.CreateTopics(context.Background(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{t}})
	if err != nil {
		return err
	}
	return first(answer.Errors)
}

func (s *segmentio) DeleteTopic(name string) error {
	answer, err := s.client.DeleteTopics(context.Background(), &kafka.DeleteTopicsRequest{Topics: []string{name}})
	if err != nil {
		return err
	}
	return first(answer.Errors)
}

func (s *segmentio) metadata(topics ...string) (*kafka.MetadataResponse, error) {
	return s.client.Metadata(context.Background(), &kafka.MetadataRequest{Topics: topics})
}

func (s *segmentio) Topics() (names []string, err error) {
	m, err := s.metadata()
	if err != nil {
		return nil, err
	}
	for _, t := range m.Topics {
		names = append(names, t.Name)
	}
	return names, nil
}

func (s *segmentio) Leaders(topic string) (int, error) {
	m, err := s.metadata(topic)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, t := range m.Topics {
		if t.Name != topic {
			continue
		}
		for _, p := range t.Partitions {
			if p.Error == nil && p.Leader.Port != 0 {
				count++
			}
		}
	}
	return count, nil
}

func (s *segmentio) AddPartitions(topic string, total int) error {
	answer, err := s.client.CreatePartitions(context.Background(), &kafka.CreatePartitionsRequest{
		Topics: []kafka.TopicPartitionsConfig{{Name: topic, Count: int32(total)}}})
	if err != nil {
		return err
	}
	return first(answer.Errors)
}

func (s *segmentio) config(kind kafka.ResourceType, name string) (map[string]string, error) {
	answer, err := s.client.DescribeConfigs(context.Background(), &kafka.DescribeConfigsRequest{
		Resources: []kafka.DescribeConfigRequestResource{{ResourceType: kind, ResourceName: name}}})
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for _, r := range answer.Resources {
		if r.Error != nil {
			return nil, r.Error
		}
		for _, e := range r.ConfigEntries {
			out[e.ConfigName] = e.ConfigValue
		}
	}
	return out, nil
}

func (s *segmentio) TopicConfig(topic string) (map[string]string, error) {
	return s.config(kafka.ResourceTypeTopic, topic)
}

func (s *segmentio) BrokerConfig() (map[string]string, error) {
	m, err := s.metadata()
	if err != nil {
		return nil, err
	}
	return s.config(kafka.ResourceTypeBroker, strconv.Itoa(m.Brokers[0].ID))
}

func (s *segmentio) AlterTopic(topic, key, value string) error {
	answer, err := s.client.IncrementalAlterConfigs(context.Background(), &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet}}}}})
	if err != nil {
		return err
	}
	return answer.Resources[0].Error
}

func (s *segmentio) DeleteRecords(string, int32, int64) error {
	return NotOffered("kafka-go cannot delete records")
}

func (s *segmentio) OffsetAt(topic string, partition int32, at int64) (int64, error) {
	request := map[int64]kafka.OffsetRequest{-1: kafka.LastOffsetOf(int(partition)), -2: kafka.FirstOffsetOf(int(partition))}
	ask, special := request[at]
	if !special {
		ask = kafka.TimeOffsetOf(int(partition), time.UnixMilli(at))
	}
	answer, err := s.client.ListOffsets(context.Background(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {ask}}})
	if err != nil {
		return 0, err
	}
	p := answer.Topics[topic][0]
	switch {
	case p.Error != nil:
		return 0, p.Error
	case at == -1:
		return p.LastOffset, nil
	case at == -2:
		return p.FirstOffset, nil
	}
	for o := range p.Offsets {
		return o, nil
	}
	return -1, nil
}

func (s *segmentio) Committed(group, topic string, partition int32) (int64, error) {
	answer, err := s.client.OffsetFetch(context.Background(), &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {int(partition)}}})
	if err != nil {
		return -1, err
	}
	return answer.Topics[topic][0].CommittedOffset, answer.Topics[topic][0].Error
}

func (s *segmentio) Groups() (names []string, err error) {
	answer, err := s.client.ListGroups(context.Background(), &kafka.ListGroupsRequest{})
	if err != nil {
		return nil, err
	}
	for _, g := range answer.Groups {
		names = append(names, g.GroupID)
	}
	return names, answer.Error
}

func (s *segmentio) Group(group string) (string, int, error) {
	answer, err := s.client.DescribeGroups(context.Background(), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return "", 0, err
	}
	return answer.Groups[0].GroupState, len(answer.Groups[0].Members), answer.Groups[0].Error
}

func (s *segmentio) DeleteGroup(group string) error {
	answer, err := s.client.DeleteGroups(context.Background(), &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil {
		return err
	}
	return first(answer.Errors)
}

func (s *segmentio) Cluster() (int, error) {
	m, err := s.metadata()
	if err != nil {
		return 0, err
	}
	return len(m.Brokers), nil
}
