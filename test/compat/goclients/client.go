package main

import (
	"fmt"
	"time"
)

// Record is what every library's record is compared as.
type Record struct {
	Topic     string
	Partition int32
	Offset    int64
	Timestamp int64 // ms
	Key       []byte
	Value     []byte // nil: null
	Headers   []Header
}

type Header struct{ Key, Value string }

// NotOffered says that the client itself lacks the thing; the table shows it as such.
type NotOffered string

func (n NotOffered) Error() string { return string(n) }

type ProducerOptions struct {
	Acks       int // -1, 0, 1
	Codec      string
	Idempotent bool
	Batched    bool
	MaxBytes   int
}

type ConsumerOptions struct {
	Topic     string
	Group     string
	Assign    []int32 // without a group
	Offset    int64   // for Assign: -2 earliest, -1 latest
	Latest    bool    // of a group without commits
	Instance  string
	Assignor  string // "", eager, cooperative
	Session   time.Duration
	FetchWait time.Duration
}

// Producer sends records and returns their offsets once all are answered.
type Producer interface {
	Send(records ...Record) ([]int64, error)
	Close() error
}

type Consumer interface {
	Poll(limit time.Duration) ([]Record, error)
	Partitions() []int32
	Commit(topic string, partition int32, offset int64, sync bool) error
	Close() error
}

// Client is one library. Admin methods it lacks return NotOffered.
type Client interface {
	Producer(ProducerOptions) (Producer, error)
	Consumer(ConsumerOptions) (Consumer, error)
	CreateTopic(name string, partitions int, configs map[string]string) error
	DeleteTopic(name string) error
	Topics() ([]string, error)
	// Leaders returns the number of partitions that have a leader.
	Leaders(topic string) (int, error)
	AddPartitions(topic string, total int) error
	TopicConfig(topic string) (map[string]string, error)
	BrokerConfig() (map[string]string, error)
	AlterTopic(topic, key, value string) error
	DeleteRecords(topic string, partition int32, before int64) error
	// OffsetAt takes a timestamp, -2 for the earliest and -1 for the latest.
	OffsetAt(topic string, partition int32, at int64) (int64, error)
	Committed(group, topic string, partition int32) (int64, error)
	Groups() ([]string, error)
	Group(group string) (state string, members int, err error)
	DeleteGroup(group string) error
	Cluster() (nodes int, err error)
	Close()
}

func open(library, bootstrap string) (Client, error) {
	switch library {
	case "franz":
		return openFranz(bootstrap)
	case "sarama":
		return openSarama(bootstrap)
	case "segmentio":
		return openSegmentio(bootstrap)
	}
	return nil, fmt.Errorf("unknown library %q", library)
}

func (r Record) String() string {
	value := "null"
	if r.Value != nil {
		value = fmt.Sprintf("%q", r.Value)
	}
	return fmt.Sprintf("%s-%d@%d time %d key %q value %s headers %q", r.Topic, r.Partition, r.Offset, r.Timestamp, r.Key, value, r.Headers)
}
