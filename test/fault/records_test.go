//go:build unix

package fault

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// place is one partition.
type place struct {
	topic     string
	partition int32
}

// ledger is what is known of the records: acknowledged by the node, or seen by a consumer. Both are promises about the same log.
type ledger struct {
	mu    sync.Mutex
	known map[place]map[int64]uint64 // offset → value
	// committed is the highest offset that was acknowledged as committed.
	committed map[place]int64
	faults    []string

	acked, consumed, outstanding, commits atomic.Int64
}

func newLedger() *ledger {
	return &ledger{known: map[place]map[int64]uint64{}, committed: map[place]int64{}}
}

// fault notes a broken promise; the test fails at the next check.
func (l *ledger) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 50 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	}
}

// note remembers that an offset holds a value; another value there is a fault.
func (l *ledger) note(how string, p place, offset int64, value uint64) {
	l.mu.Lock()
	if l.known[p] == nil {
		l.known[p] = map[int64]uint64{}
	}
	before, ok := l.known[p][offset]
	l.known[p][offset] = value
	l.mu.Unlock()
	if ok && before != value {
		l.fault("%v offset %d was known as value %x, now %s as %x", p, offset, before, how, value)
	}
}

// commit remembers an acknowledged commit.
func (l *ledger) commit(p place, offset int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.committed[p] = max(l.committed[p], offset)
	l.commits.Add(1)
}

// show remembers commits that were seen: also those whose answer was lost must stay.
func (l *ledger) show(seen map[place]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for p, offset := range seen {
		l.committed[p] = max(l.committed[p], offset)
	}
}

// promised is a copy of the acknowledged commits.
func (l *ledger) promised() map[place]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.committed)
}

// clientOptions are what every franz-go client of the load has: it never gives up.
func clientOptions(address string) []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers(address), kgo.RequestRetries(math.MaxInt32), kgo.RetryTimeout(time.Hour), kgo.DialTimeout(2 * time.Second), kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
	}
}

// producer writes unique values with acks=all and idempotence, the defaults of the client, until ctx ends; then it waits for what is outstanding.
type producer struct {
	number  uint64
	client  *kgo.Client
	ledger  *ledger
	places  []place
	ids     *producerIDs
	written uint64
}

func newProducer(number int, address string, codec kgo.CompressionCodec, places []place, l *ledger, ids *producerIDs) (*producer, error) {
	client, err := kgo.NewClient(append(clientOptions(address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MaxBufferedRecords(400),
		kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(32<<10), kgo.ProducerLinger(time.Millisecond), kgo.UnknownTopicRetries(-1))...)
	if err != nil {
		return nil, err
	}
	return &producer{number: uint64(number), client: client, ledger: l, places: places, ids: ids}, nil
}

// run produces a few records every few milliseconds.
func (p *producer) run(ctx context.Context, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, p.number))
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for range 1 + rng.IntN(16) {
			p.one(rng)
		}
	}
}

func (p *producer) one(rng *rand.Rand) {
	p.written++
	value := p.number<<40 | p.written
	at := p.places[rng.IntN(len(p.places))]
	data := make([]byte, 8+rng.IntN(400))
	binary.BigEndian.PutUint64(data, value)
	p.ledger.outstanding.Add(1)
	p.client.Produce(context.Background(), &kgo.Record{Topic: at.topic, Partition: at.partition, Value: data}, func(r *kgo.Record, err error) {
		p.ledger.outstanding.Add(-1)
		if err != nil { // it never gives up and nobody cancels it, so this is the node's answer
			p.ledger.fault("%v: value %x of an idempotent producer was refused: %v", at, value, err)
			return
		}
		p.ledger.note("acknowledged", at, r.Offset, value)
		p.ledger.acked.Add(1)
	})
}

// finish waits until everything is acknowledged and closes the client.
func (p *producer) finish(ctx context.Context) error {
	err := p.client.Flush(ctx)
	if id, _, idErr := p.client.ProducerID(ctx); idErr == nil {
		p.ids.take(id)
	}
	p.client.Close()
	return err
}

// member is a consumer of the group that lives through all restarts.
type member struct {
	client  *kgo.Client
	ledger  *ledger
	moves   atomic.Int64 // assignments
	held    atomic.Int64 // partitions
	ended   chan struct{}
	commits map[place]int64
}

const liveGroup = "live"

func newMember(address string, topics []string, l *ledger) (*member, error) {
	m := &member{ledger: l, ended: make(chan struct{})}
	client, err := kgo.NewClient(append(clientOptions(address), kgo.ConsumerGroup(liveGroup), kgo.ConsumeTopics(topics...), kgo.DisableAutoCommit(), kgo.BlockRebalanceOnPoll(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.SessionTimeout(45*time.Second), kgo.RebalanceTimeout(20*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.FetchMaxWait(200*time.Millisecond), kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
			m.moves.Add(1)
			m.held.Add(count(got))
		}), kgo.OnPartitionsRevoked(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { m.held.Add(-count(lost)) }),
		kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { m.held.Add(-count(lost)) }))...)
	m.client = client
	return m, err
}

func count(places map[string][]int32) (n int64) {
	for _, partitions := range places {
		n += int64(len(partitions))
	}
	return n
}

// run consumes and commits until ctx ends.
func (m *member) run(ctx context.Context) {
	defer close(m.ended)
	for ctx.Err() == nil {
		fetches := m.client.PollRecords(ctx, 2000)
		m.take(fetches)
		m.commit(ctx)
		m.client.AllowRebalance()
	}
}

func (m *member) take(fetches kgo.Fetches) {
	m.commits = map[place]int64{}
	fetches.EachError(func(topic string, partition int32, err error) {
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			return
		}
		if loss, ok := errors.AsType[*kgo.ErrDataLoss](err); ok {
			m.ledger.fault("a group member was told of lost data: %v", loss)
		}
	})
	fetches.EachRecord(func(r *kgo.Record) {
		p := place{r.Topic, r.Partition}
		m.ledger.note("consumed", p, r.Offset, binary.BigEndian.Uint64(r.Value))
		m.ledger.consumed.Add(1)
		m.commits[p] = r.Offset + 1
	})
}

func (m *member) commit(ctx context.Context) {
	if len(m.commits) == 0 {
		return
	}
	offsets := map[string]map[int32]kgo.EpochOffset{}
	for p, offset := range m.commits {
		if offsets[p.topic] == nil {
			offsets[p.topic] = map[int32]kgo.EpochOffset{}
		}
		offsets[p.topic][p.partition] = kgo.EpochOffset{Epoch: -1, Offset: offset}
	}
	m.client.CommitOffsetsSync(ctx, offsets, func(_ *kgo.Client, _ *kmsg.OffsetCommitRequest, resp *kmsg.OffsetCommitResponse, err error) {
		if err != nil {
			return // unknown, or refused because the group moved on
		}
		for _, t := range resp.Topics {
			for _, p := range t.Partitions {
				if p.ErrorCode == 0 {
					at := place{t.Topic, p.Partition}
					m.ledger.commit(at, m.commits[at])
				}
			}
		}
	})
}

// readAll reads a partition from its start to its end: value by offset.
func readAll(ctx context.Context, c *caller, p place) (values map[int64]uint64, start, end int64, err error) {
	values = map[int64]uint64{}
	latest, err := read[*kmsg.ListOffsetsResponse](ctx, c, 7, offsetsRequest(p.topic, p.partition, -1))
	if err != nil {
		return nil, 0, 0, err
	}
	earliest, err := read[*kmsg.ListOffsetsResponse](ctx, c, 7, offsetsRequest(p.topic, p.partition, -2))
	if err != nil {
		return nil, 0, 0, err
	}
	last, first := latest.Topics[0].Partitions[0], earliest.Topics[0].Partitions[0]
	if last.ErrorCode != 0 || first.ErrorCode != 0 {
		return nil, 0, 0, fmt.Errorf("offsets of %v: codes %d and %d", p, last.ErrorCode, first.ErrorCode)
	}
	for at := first.Offset; at < last.Offset; {
		resp, err := read[*kmsg.FetchResponse](ctx, c, 12, fetchRequest(p.topic, p.partition, at))
		if err != nil {
			return nil, 0, 0, err
		}
		got := resp.Topics[0].Partitions[0]
		if got.ErrorCode != 0 {
			return nil, 0, 0, fmt.Errorf("fetch %v at %d: code %d", p, at, got.ErrorCode)
		}
		next, err := eachRecord(got.RecordBatches, func(r batch.Record) error {
			if r.Offset < at {
				return nil
			}
			if _, ok := values[r.Offset]; ok || r.Offset != first.Offset+int64(len(values)) {
				return fmt.Errorf("%v: offset %d comes after %d records from %d on", p, r.Offset, len(values), first.Offset)
			}
			values[r.Offset] = binary.BigEndian.Uint64(r.Value)
			return nil
		})
		if err != nil {
			return nil, 0, 0, err
		}
		if next <= at {
			return nil, 0, 0, fmt.Errorf("fetch %v at %d of %d: nothing new in %d bytes", p, at, last.Offset, len(got.RecordBatches))
		}
		at = next
	}
	return values, first.Offset, last.Offset, nil
}

// eachRecord gives every record of whole batches and returns the offset after them.
func eachRecord(data []byte, f func(batch.Record) error) (next int64, err error) {
	next = -1
	for len(data) > 0 {
		b, rest, err := batch.Next(data)
		if errors.Is(err, batch.ErrTruncated) {
			break
		}
		if err != nil {
			return next, err
		}
		if err := b.Check(); err != nil {
			return next, err
		}
		var r batch.Reader
		if err := r.Reset(b, 64<<20); err != nil {
			return next, err
		}
		for r.Next() {
			if err := f(r.Record()); err != nil {
				return next, err
			}
		}
		if err := r.Err(); err != nil {
			return next, err
		}
		next, data = b.NextOffset(), rest
	}
	return next, nil
}

// audit compares the logs with what was promised: nothing acknowledged or consumed is missing, doubled or moved, and no committed offset went back.
func (l *ledger) audit(ctx context.Context, c *caller, places []place) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var wrong []string
	complain := func(format string, args ...any) {
		if len(wrong) < 30 {
			wrong = append(wrong, fmt.Sprintf(format, args...))
		}
	}
	for _, p := range places {
		values, _, end, err := readAll(ctx, c, p)
		if err != nil {
			return err
		}
		where := map[uint64]int64{}
		for _, offset := range slices.Sorted(maps.Keys(values)) {
			if first, ok := where[values[offset]]; ok {
				complain("%v: value %x is at offset %d and again at %d: doubled", p, values[offset], first, offset)
			}
			where[values[offset]] = offset
		}
		for offset, value := range l.known[p] {
			if got, ok := values[offset]; !ok {
				at, moved := where[value]
				complain("%v: value %x at offset %d is missing; the log ends at %d (moved: %v, to %d)", p, value, offset, end, moved, at)
			} else if got != value {
				complain("%v: offset %d has value %x, not %x", p, offset, got, value)
			}
		}
		if l.committed[p] > end {
			complain("%v: offset %d is committed, the log ends at %d", p, l.committed[p], end)
		}
	}
	wrong = append(wrong, l.faults...)
	if len(wrong) == 0 {
		return nil
	}
	errs := make([]error, len(wrong))
	for i, w := range wrong {
		errs[i] = errors.New(w)
	}
	return errors.Join(errs...)
}

// auditCommits asks the group what is committed, and compares it with what was promised.
func auditCommits(ctx context.Context, c *caller, group string, promised map[place]int64) (map[place]int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	req.Groups = append(req.Groups, g)
	have := map[place]int64{}
	for { // a coordinator that loads says so
		resp, err := read[*kmsg.OffsetFetchResponse](ctx, c, 8, req)
		if err != nil {
			return nil, err
		}
		if code := resp.Groups[0].ErrorCode; code == 14 || code == 15 || code == 16 {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			continue
		} else if code != 0 {
			return nil, fmt.Errorf("offsets of group %s: code %d", group, code)
		}
		for _, t := range resp.Groups[0].Topics {
			for _, p := range t.Partitions {
				have[place{t.Topic, p.Partition}] = p.Offset
			}
		}
		break
	}
	for p, want := range promised {
		if got, ok := have[p]; !ok || got < want {
			return nil, fmt.Errorf("group %s, %v: offset %d was acknowledged as committed, now it is %d (there: %v)", group, p, want, got, ok)
		}
	}
	return have, nil
}
