//go:build unix

package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// shape is what one topic looks like.
type shape struct {
	exists     bool
	id         model.TopicID
	partitions int
	retention  string // retention.ms, "" when it was never set
}

// churn creates, grows, alters, fills, deletes and re-creates one topic, and looks before each step whether it is what the acknowledged steps have made of it.
type churn struct {
	caller
	name   string
	ledger *ledger
	rng    *rand.Rand
	// may are the shapes that the topic can have: one, or two after a step whose outcome is unknown. A new topic of unknown id has the zero id.
	may []shape
	// acked are the records of the topic's present life that were acknowledged: partition → offset → value. gone are ids of lives that have ended.
	acked map[int32]map[int64]string
	gone  map[model.TopicID]bool
	wrote int
	done  atomic.Int64 // acknowledged steps
	ended chan struct{}
}

func newChurn(address, name string, l *ledger, seed uint64) *churn {
	return &churn{
		caller: caller{address: address}, name: name, ledger: l, rng: rand.New(rand.NewPCG(seed, uint64(len(name)))), may: []shape{{}},
		gone: map[model.TopicID]bool{}, ended: make(chan struct{}),
	}
}

func (c *churn) run(ctx context.Context) {
	defer close(c.ended)
	defer c.close()
	for ctx.Err() == nil {
		if err := c.turn(ctx); err != nil && !errors.Is(err, errUnknown) && ctx.Err() == nil {
			c.ledger.fault("topic %s: %v", c.name, err)
			return
		}
	}
}

// turn looks, then takes one step.
func (c *churn) turn(ctx context.Context) error {
	if err := c.look(ctx); err != nil {
		return err
	}
	now := c.may[0]
	if !now.exists {
		return c.create(ctx)
	}
	switch n := c.rng.IntN(10); {
	case n == 0:
		return c.remove(ctx, now)
	case n <= 2 && now.partitions < 12:
		return c.grow(ctx, now)
	case n <= 4:
		return c.alter(ctx, now)
	}
	return c.fill(ctx)
}

// look compares the topic with what it may be, and settles what was unknown.
func (c *churn) look(ctx context.Context) error {
	have, err := c.shape(ctx)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(c.may, func(s shape) bool {
		return s == have || s.exists && have.exists && s.id == (model.TopicID{}) && !c.gone[have.id] && s.partitions == have.partitions && s.retention == have.retention
	})
	if i < 0 {
		return fmt.Errorf("it is %+v, and may only be one of %+v", have, c.may)
	}
	if have.id != c.may[0].id || c.acked == nil {
		if old := c.may[0].id; old != (model.TopicID{}) && old != have.id {
			c.gone[old] = true
		}
		c.acked = map[int32]map[int64]string{}
	}
	c.may = []shape{have}
	return nil
}

func (c *churn) shape(ctx context.Context) (shape, error) {
	req := kmsg.NewPtrMetadataRequest()
	one := kmsg.NewMetadataRequestTopic()
	one.Topic = &c.name
	req.Topics = append(req.Topics, one)
	resp, err := read[*kmsg.MetadataResponse](ctx, &c.caller, 12, req)
	if err != nil {
		return shape{}, err
	}
	topic := resp.Topics[0]
	switch model.ErrorCode(topic.ErrorCode) {
	case model.UnknownTopicOrPartition:
		return shape{}, nil
	case model.None:
	default:
		return shape{}, fmt.Errorf("metadata: %v", model.ErrorCode(topic.ErrorCode))
	}
	out := shape{exists: true, id: topic.TopicID, partitions: len(topic.Partitions)}
	describe := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, c.name, []string{"retention.ms"}
	describe.Resources = append(describe.Resources, resource)
	configs, err := read[*kmsg.DescribeConfigsResponse](ctx, &c.caller, 4, describe)
	if err != nil {
		return shape{}, err
	}
	if code := configs.Resources[0].ErrorCode; code != 0 {
		return shape{}, fmt.Errorf("describe configs: %v", model.ErrorCode(code))
	}
	for _, e := range configs.Resources[0].Configs {
		if e.Source == kmsg.ConfigSourceDynamicTopicConfig {
			out.retention = *e.Value
		}
	}
	return out, nil
}

// step notes how a step ended: done, refused (a fault of the node: nobody else touches the topic), or unknown.
func (c *churn) step(what string, err error, code int16, after shape) error {
	switch {
	case errors.Is(err, errUnknown):
		c.may = append(c.may, after)
		return err
	case err != nil:
		return err
	case code != 0:
		return fmt.Errorf("%s: %v, from %+v", what, model.ErrorCode(code), c.may)
	}
	c.may = []shape{after}
	c.done.Add(1)
	return nil
}

func (c *churn) create(ctx context.Context) error {
	after := shape{exists: true, partitions: 1 + c.rng.IntN(3), retention: strconv.Itoa(1_000_000 + c.rng.IntN(1_000_000))}
	c.acked = nil
	resp, err := do[*kmsg.CreateTopicsResponse](ctx, &c.caller, 7, createRequest(c.name, int32(after.partitions), map[string]string{"retention.ms": after.retention}))
	if err != nil {
		return c.step("create", err, 0, after)
	}
	after.id = resp.Topics[0].TopicID
	if c.gone[after.id] {
		return fmt.Errorf("the id %v is given again", after.id)
	}
	c.acked = map[int32]map[int64]string{}
	return c.step("create", nil, resp.Topics[0].ErrorCode, after)
}

func (c *churn) remove(ctx context.Context, now shape) error {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = 10_000
	one := kmsg.NewDeleteTopicsRequestTopic()
	one.Topic = &c.name
	req.Topics = append(req.Topics, one)
	resp, err := do[*kmsg.DeleteTopicsResponse](ctx, &c.caller, 6, req)
	if err != nil {
		return c.step("delete", err, 0, shape{})
	}
	if resp.Topics[0].ErrorCode == 0 {
		c.gone[now.id] = true
		c.acked = nil
	}
	return c.step("delete", nil, resp.Topics[0].ErrorCode, shape{})
}

func (c *churn) grow(ctx context.Context, now shape) error {
	after := now
	after.partitions += 1 + c.rng.IntN(2)
	req := kmsg.NewPtrCreatePartitionsRequest()
	req.TimeoutMillis = 10_000
	one := kmsg.NewCreatePartitionsRequestTopic()
	one.Topic, one.Count = c.name, int32(after.partitions)
	req.Topics = append(req.Topics, one)
	resp, err := do[*kmsg.CreatePartitionsResponse](ctx, &c.caller, 3, req)
	if err != nil {
		return c.step("add partitions", err, 0, after)
	}
	return c.step("add partitions", nil, resp.Topics[0].ErrorCode, after)
}

func (c *churn) alter(ctx context.Context, now shape) error {
	after := now
	after.retention = strconv.Itoa(1_000_000 + c.rng.IntN(1_000_000))
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, c.name
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Value = "retention.ms", &after.retention
	if c.rng.IntN(4) == 0 {
		after.retention, config.Op, config.Value = "", kmsg.IncrementalAlterConfigOpDelete, nil
	}
	resource.Configs = append(resource.Configs, config)
	req.Resources = append(req.Resources, resource)
	resp, err := do[*kmsg.IncrementalAlterConfigsResponse](ctx, &c.caller, 1, req)
	if err != nil {
		return c.step("alter", err, 0, after)
	}
	return c.step("alter", nil, resp.Resources[0].ErrorCode, after)
}

// fill produces a record that names the topic's life to one of its partitions, then reads the partition: no record of an earlier life, every acknowledged one of
// this life.
func (c *churn) fill(ctx context.Context) error {
	c.wrote++
	partition := int32(c.rng.IntN(c.may[0].partitions))
	value := c.may[0].id.String() + "/" + strconv.Itoa(c.wrote)
	resp, err := do[*kmsg.ProduceResponse](ctx, &c.caller, 9, produceRequest(c.name, partition, -1, batchOf(value)))
	if err != nil {
		return err
	}
	p := resp.Topics[0].Partitions[0]
	switch code := model.ErrorCode(p.ErrorCode); code {
	case model.None:
		if c.acked[partition] == nil {
			c.acked[partition] = map[int64]string{}
		}
		c.acked[partition][p.BaseOffset] = value
		c.done.Add(1)
	case model.UnknownTopicOrPartition, model.NotLeaderForPartition:
		return nil // a topic of that name is still being removed; clients try again
	default:
		return fmt.Errorf("produce: %v", code)
	}
	return c.readBack(ctx, partition)
}

func (c *churn) readBack(ctx context.Context, partition int32) error {
	seen := map[int64]string{}
	for at, want := int64(0), int64(len(c.acked[partition])); at < want; {
		resp, err := read[*kmsg.FetchResponse](ctx, &c.caller, 12, fetchRequest(c.name, partition, at))
		if err != nil {
			return err
		}
		p := resp.Topics[0].Partitions[0]
		if p.ErrorCode != 0 {
			return fmt.Errorf("fetch at %d: %v", at, model.ErrorCode(p.ErrorCode))
		}
		next, err := eachRecord(p.RecordBatches, func(r batch.Record) error {
			seen[r.Offset] = string(r.Value)
			return nil
		})
		if err != nil {
			return err
		}
		if next <= at {
			break
		}
		at, want = next, p.HighWatermark
	}
	life := c.may[0].id.String() + "/"
	for offset, value := range seen {
		if !strings.HasPrefix(value, life) {
			return fmt.Errorf("offset %d has %q of another life; this is %s", offset, value, life)
		}
	}
	for offset, value := range c.acked[partition] {
		if seen[offset] != value {
			return fmt.Errorf("offset %d has %q, acknowledged was %q", offset, seen[offset], value)
		}
	}
	return nil
}

// trimmer appends to a topic and deletes its oldest records.
type trimmer struct {
	caller
	ledger *ledger
	rng    *rand.Rand
	low    int64 // acknowledged or seen
	wrote  int
	acked  map[int64]string // records that were acknowledged and not deleted
	done   atomic.Int64
	ended  chan struct{}
}

const trimmed = "trimmed"

func newTrimmer(address string, l *ledger, seed uint64) *trimmer {
	return &trimmer{caller: caller{address: address}, ledger: l, rng: rand.New(rand.NewPCG(seed, 3)), acked: map[int64]string{}, ended: make(chan struct{})}
}

func (d *trimmer) run(ctx context.Context) {
	defer close(d.ended)
	defer d.close()
	for ctx.Err() == nil {
		if err := d.turn(ctx); err != nil && !errors.Is(err, errUnknown) && ctx.Err() == nil {
			d.ledger.fault("topic %s: %v", trimmed, err)
			return
		}
	}
}

func (d *trimmer) turn(ctx context.Context) error {
	earliest, err := read[*kmsg.ListOffsetsResponse](ctx, &d.caller, 7, offsetsRequest(trimmed, 0, -2))
	if err != nil {
		return err
	}
	at := earliest.Topics[0].Partitions[0]
	if at.ErrorCode != 0 || at.Offset < d.low {
		return fmt.Errorf("records below %d were deleted, now the log starts at %d (%v)", d.low, at.Offset, model.ErrorCode(at.ErrorCode))
	}
	d.low = at.Offset
	if err := d.lookBelow(ctx); err != nil {
		return err
	}
	if err := d.lookAbove(ctx); err != nil {
		return err
	}
	return d.step(ctx)
}

// lookBelow asks for the last record that was deleted.
func (d *trimmer) lookBelow(ctx context.Context) error {
	if d.low == 0 {
		return nil
	}
	resp, err := read[*kmsg.FetchResponse](ctx, &d.caller, 12, fetchRequest(trimmed, 0, d.low-1))
	if err != nil {
		return err
	}
	if p := resp.Topics[0].Partitions[0]; model.ErrorCode(p.ErrorCode) != model.OffsetOutOfRange {
		return fmt.Errorf("a fetch of the deleted offset %d: %v, %d bytes", d.low-1, model.ErrorCode(p.ErrorCode), len(p.RecordBatches))
	}
	return nil
}

// lookAbove compares what was not deleted with what was acknowledged; it is little.
func (d *trimmer) lookAbove(ctx context.Context) error {
	maps.DeleteFunc(d.acked, func(offset int64, _ string) bool { return offset < d.low })
	resp, err := read[*kmsg.FetchResponse](ctx, &d.caller, 12, fetchRequest(trimmed, 0, d.low))
	if err != nil {
		return err
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		return fmt.Errorf("a fetch of the lowest offset %d: %v", d.low, model.ErrorCode(p.ErrorCode))
	}
	seen := map[int64]string{}
	if _, err := eachRecord(p.RecordBatches, func(r batch.Record) error {
		seen[r.Offset] = string(r.Value)
		return nil
	}); err != nil {
		return err
	}
	for offset, value := range d.acked {
		if seen[offset] != value {
			return fmt.Errorf("above the deleted, offset %d has %q, acknowledged was %q", offset, seen[offset], value)
		}
	}
	return nil
}

// step appends a few records and deletes nearly all.
func (d *trimmer) step(ctx context.Context) error {
	var end int64
	for range 1 + d.rng.IntN(5) {
		d.wrote++
		values := []string{"a" + strconv.Itoa(d.wrote), "b" + strconv.Itoa(d.wrote), "c" + strconv.Itoa(d.wrote)}
		resp, err := do[*kmsg.ProduceResponse](ctx, &d.caller, 9, produceRequest(trimmed, 0, -1, batchOf(values...)))
		if err != nil {
			return err
		}
		if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 {
			return fmt.Errorf("produce: %v", model.ErrorCode(p.ErrorCode))
		} else {
			end = p.BaseOffset + 3
			for i, v := range values {
				d.acked[p.BaseOffset+int64(i)] = v
			}
		}
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.TimeoutMillis = 10_000
	part := kmsg.NewDeleteRecordsRequestTopicPartition()
	part.Offset = end - 1 - int64(d.rng.IntN(3))
	one := kmsg.NewDeleteRecordsRequestTopic()
	one.Topic, one.Partitions = trimmed, []kmsg.DeleteRecordsRequestTopicPartition{part}
	req.Topics = append(req.Topics, one)
	resp, err := do[*kmsg.DeleteRecordsResponse](ctx, &d.caller, 2, req)
	if err != nil {
		return err
	}
	p := resp.Topics[0].Partitions[0]
	if p.ErrorCode != 0 || p.LowWatermark < part.Offset {
		return fmt.Errorf("delete below %d: %v, low watermark %d", part.Offset, model.ErrorCode(p.ErrorCode), p.LowWatermark)
	}
	d.low = p.LowWatermark
	d.done.Add(1)
	return nil
}
