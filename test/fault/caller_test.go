//go:build unix

package fault

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/test/fault/raw"
)

// caller sends requests to a node that comes and goes. Nothing is sent twice: when the answer is lost, the outcome is unknown and the caller is told.
type caller struct {
	address string
	conn    *raw.Conn
}

// errUnknown says that a request was perhaps done.
var errUnknown = errors.New("the outcome is unknown")

// connect waits until the node takes connections, or ctx ends.
func (c *caller) connect(ctx context.Context) error {
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for c.conn == nil {
		conn, err := raw.Dial(c.address)
		if err == nil {
			conn.Timeout = 20 * time.Second
			c.conn = conn
			break
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (c *caller) close() {
	if c.conn != nil {
		_ = c.conn.Close() // what was on its way is unknown already
		c.conn = nil
	}
}

// do sends a request once. The error is errUnknown, or the context's.
func do[R kmsg.Response](ctx context.Context, c *caller, version int16, req kmsg.Request) (R, error) {
	var none R
	if err := c.connect(ctx); err != nil {
		return none, err
	}
	req.SetVersion(version)
	resp, err := raw.Ask[R](c.conn, req)
	if err != nil {
		c.close()
		return none, errors.Join(errUnknown, err)
	}
	return resp, nil
}

// read repeats a request that changes nothing until it is answered.
func read[R kmsg.Response](ctx context.Context, c *caller, version int16, req kmsg.Request) (R, error) {
	for {
		resp, err := do[R](ctx, c, version, req)
		if err == nil || ctx.Err() != nil || !errors.Is(err, errUnknown) {
			return resp, err
		}
	}
}

// batchOf builds a plain batch of values.
func batchOf(values ...string) batch.Batch {
	var b batch.Builder
	for _, v := range values {
		b.Append(time.Now().UnixMilli(), nil, []byte(v))
	}
	return b.Build()
}

// produceRequest makes a request for one partition.
func produceRequest(topic string, partition int32, acks int16, records []byte) *kmsg.ProduceRequest {
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 9, acks, 10_000
	part := kmsg.NewProduceRequestTopicPartition()
	part.Partition, part.Records = partition, records
	one := kmsg.NewProduceRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.ProduceRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

// fetchRequest makes a request for one partition, outside of any session.
func fetchRequest(topic string, partition int32, offset int64) *kmsg.FetchRequest {
	req := kmsg.NewPtrFetchRequest()
	req.Version, req.MinBytes, req.MaxBytes, req.SessionEpoch = 12, 1, 8<<20, -1
	part := kmsg.NewFetchRequestTopicPartition()
	part.Partition, part.FetchOffset, part.PartitionMaxBytes = partition, offset, 8<<20
	one := kmsg.NewFetchRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.FetchRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

// createRequest makes a request for one topic.
func createRequest(topic string, partitions int32, configs map[string]string) *kmsg.CreateTopicsRequest {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	one := kmsg.NewCreateTopicsRequestTopic()
	one.Topic, one.NumPartitions, one.ReplicationFactor = topic, partitions, 1
	for name, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = name, &value
		one.Configs = append(one.Configs, c)
	}
	req.Topics = append(req.Topics, one)
	return req
}

// offsetsRequest asks for one offset of a partition by timestamp.
func offsetsRequest(topic string, partition int32, timestamp int64) *kmsg.ListOffsetsRequest {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Version, req.ReplicaID = 7, -1
	part := kmsg.NewListOffsetsRequestTopicPartition()
	part.Partition, part.Timestamp, part.CurrentLeaderEpoch = partition, timestamp, -1
	one := kmsg.NewListOffsetsRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.ListOffsetsRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

// valuesOf decodes what a fetch returned, and the offset after it.
func valuesOf(t *testing.T, data []byte) (values []string, next int64) {
	t.Helper()
	next, err := eachRecord(data, func(r batch.Record) error {
		values = append(values, string(r.Value))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values, next
}

func commitRequest(group, topic string, offset int64, metadata string) *kmsg.OffsetCommitRequest {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Version, req.Group, req.Generation = 9, group, -1
	part := kmsg.NewOffsetCommitRequestTopicPartition()
	part.Offset, part.Metadata = offset, &metadata
	one := kmsg.NewOffsetCommitRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.OffsetCommitRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}

func deleteRecordsRequest(topic string, partition int32, offset int64) *kmsg.DeleteRecordsRequest {
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Version, req.TimeoutMillis = 2, 10_000
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Partition, part.Offset = partition, offset
	one := kmsg.NewDeleteRecordsRequestTopic()
	one.Topic, one.Partitions = topic, []kmsg.DeleteRecordsRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	return req
}
