package api

import (
	"log/slog"
	"sync"
	"time"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
	"github.com/ottla/ottla/internal/machine/session"
	"github.com/ottla/ottla/internal/storage/plog"
)

// fetched is one Fetch request on its way. It is reused; everything but the pools of the slices below belongs to the request.
type fetched struct {
	b       *Broker
	conn    *server.Conn
	client  string
	version int16
	refused model.ErrorCode // of the whole request
	ctx     session.Context
	req     wire.FetchRequest
	asked   []session.Partition // of the request
	listed  []session.Partition // of the session

	targets   []*partition.Partition
	results   []partition.ReadResult
	outcomes  []session.Result
	show      []bool
	watched   map[*partition.Partition]struct{} // where the waker is
	bytes     int                               // of the answer's records
	ready     int                               // of them and of what did not fit: this is what the reader's minimum is about
	urgent    bool                              // an error or a diverged log: answer at once
	known     bool                              // there is a partition that may have news
	minBytes  int
	maxBytes  int
	committed bool
	deadline  time.Time
	waker     *partition.Waker

	resp wire.FetchResponse
	enc  wire.FetchEncoder

	buffers [][]byte // one partition's records, while they are handed to the writer

	// Made once: a method value is an allocation.
	waiting   func(stop <-chan struct{})
	finishing func() server.Body
}

var fetchedPool = sync.Pool{New: func() any {
	f := &fetched{waker: partition.NewWaker(), watched: map[*partition.Partition]struct{}{}}
	f.waiting, f.finishing = f.wait, f.finish
	return f
}}

// fetch serves API 1, versions 4 to 18: records up to the high watermark, with incremental sessions (KIP-227), leader epochs (KIP-320) and topic ids. A fetch
// that finds less than it wants waits without holding memory until a partition has news.
func (b *Broker) fetch(r *server.Request) server.Answer {
	f := fetchedPool.Get().(*fetched)
	f.b, f.conn, f.client, f.version = b, r.Conn, r.ClientID, r.Version
	if err := f.req.Decode(r.Version, r.Body); err != nil {
		complainOfDecoding(r, err)
		f.release()
		return server.Answer{None: true, Close: true}
	}
	f.begin(b.Clock())
	f.req.Reset() // it aliases the request's memory, which is given back now
	if f.refused != model.None {
		return server.Answer{Body: f.finishing}
	}
	f.collect()
	if f.enough() || !b.Clock().Before(f.deadline) {
		return server.Answer{Body: f.finishing}
	}
	return server.Answer{Wait: f.waiting, Body: f.finishing}
}

// begin opens the session's fetch and finds the partitions.
func (f *fetched) begin(now time.Time) {
	q := &f.req
	f.maxBytes = min(int(q.MaxBytes), f.b.Static.Broker.FetchMaxBytes)
	f.minBytes, f.committed = min(int(q.MinBytes), f.maxBytes), q.IsolationLevel == 1 // more than may be answered would be waited for in vain
	f.deadline = now.Add(time.Duration(q.MaxWaitMs) * time.Millisecond)
	in := session.Request{SessionID: q.SessionID, Epoch: q.SessionEpoch, ByID: f.version >= 13, Follower: q.ReplicaID >= 0}
	if f.version < 7 {
		in.SessionID, in.Epoch = 0, session.FinalEpoch
	}
	f.asked = f.asked[:0]
	for i := range q.Topics {
		t := &q.Topics[i]
		topic := f.topicKey(t.Name, t.ID)
		for j := range t.Partitions {
			p := &t.Partitions[j]
			f.asked = append(f.asked, session.Partition{Topic: topic, Partition: p.Index, Fetch: session.Fetch{
				Offset: p.FetchOffset, LogStartOffset: p.LogStartOffset, MaxBytes: p.MaxBytes, LeaderEpoch: p.CurrentLeaderEpoch, LastFetchedEpoch: p.LastFetchedEpoch,
			}})
		}
	}
	in.Partitions = f.asked
	for i := range q.Forgotten {
		t := &q.Forgotten[i]
		topic := f.topicKey(t.Name, t.ID)
		for _, index := range t.Partitions {
			in.Forgotten = append(in.Forgotten, session.Forgotten{Topic: topic, Partition: index})
		}
	}
	f.ctx, f.refused = f.b.Sessions.begin(now.UnixMilli(), &in, f.listed)
	if f.refused != model.None {
		return
	}
	if f.ctx.Incremental() {
		f.listed = f.ctx.Partitions
	}
	n := len(f.ctx.Partitions)
	f.targets, f.results = grow(f.targets, n), grow(f.results, n)
	f.outcomes, f.show = grow(f.outcomes, n), grow(f.show, n)
	follower := q.ReplicaID >= 0
	for i := range f.ctx.Partitions {
		f.targets[i], f.outcomes[i].Code = f.find(&f.ctx.Partitions[i])
		if follower && f.outcomes[i].Code == model.None {
			f.targets[i], f.outcomes[i].Code = nil, model.NotLeaderForPartition // this node has no followers: nobody may pose as one
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	s = s[:n]
	clear(s)
	return s
}

// topicKey names a topic for the session without keeping the request's memory.
func (f *fetched) topicKey(name []byte, id model.TopicID) session.Topic {
	if f.version >= 13 {
		return session.Topic{ID: id}
	}
	if t := f.b.Partitions.TopicBytes(name); t != nil {
		return session.Topic{Name: t.Name}
	}
	return session.Topic{Name: string(name)}
}

func (f *fetched) find(p *session.Partition) (*partition.Partition, model.ErrorCode) {
	var topic *partition.Topic
	if f.version >= 13 {
		if topic = f.b.Partitions.TopicByID(p.Topic.ID); topic == nil {
			return nil, model.UnknownTopicID
		}
	} else {
		topic = f.b.Partitions.Topic(p.Topic.Name)
	}
	if target := topic.Partition(p.Partition); target != nil {
		return target, model.None
	}
	return nil, model.UnknownTopicOrPartition
}

// collect reads every partition, within the request's bytes. One that does not exist does not hurry the answer about others, as in Kafka: a consumer that is
// subscribed to a deleted topic would ask without a pause.
func (f *fetched) collect() {
	f.closeRecords()
	f.bytes, f.ready, f.urgent, f.known = 0, 0, false, false
	left := f.maxBytes
	for i := range f.ctx.Partitions {
		asked := &f.ctx.Partitions[i].Fetch
		out := &f.outcomes[i]
		if f.targets[i] == nil {
			f.urgent = f.urgent || out.Code != model.UnknownTopicOrPartition && out.Code != model.UnknownTopicID
			continue
		}
		f.known = true
		limit := min(int(asked.MaxBytes), left)
		result, err := f.targets[i].Read(partition.ReadRequest{
			Offset: asked.Offset, MaxBytes: max(limit, 0), MinOne: f.bytes == 0, LeaderEpoch: asked.LeaderEpoch, LastFetchedEpoch: asked.LastFetchedEpoch,
		})
		f.results[i] = result
		if out.Code, _ = model.CodeOf(err); out.Code == model.NotLeaderForPartition {
			if target, gone := f.find(&f.ctx.Partitions[i]); target == nil {
				out.Code = gone // deleted since the fetch began
			}
		}
		out.HighWatermark, out.LogStartOffset = result.HighWatermark, result.LogStartOffset
		out.Diverging = result.DivergingEpoch >= 0
		n := result.Records.Len()
		out.Records = n > 0
		f.bytes += n
		left -= n
		if result.More { // as whole batches only are answered, less may fit than was asked for
			n = max(n, limit)
		}
		f.ready += n
		f.urgent = f.urgent || out.Diverging || out.Code != model.None
	}
}

func (f *fetched) enough() bool {
	return f.urgent || f.ready >= f.minBytes || !f.known
}

// wait leaves a waker on every partition and reads again whenever one has news. Nothing is pinned while it waits.
func (f *fetched) wait(stop <-chan struct{}) {
	f.closeRecords()
	timer := f.conn.Timer(f.deadline.Sub(f.b.Clock()))
	defer f.unwatch()
	for _, p := range f.targets {
		if p != nil {
			f.watched[p] = struct{}{} // once: a request may name a partition many times
		}
	}
	for {
		f.unwatch()
		for p := range f.watched {
			p.Watch(f.waker)
		}
		f.collect() // what came between the last look and the watch must not be missed
		if f.enough() {
			return
		}
		f.closeRecords()
		select {
		case <-f.waker.C():
		case <-timer.C:
			f.collect()
			return
		case <-stop:
			return
		}
	}
}

func (f *fetched) unwatch() {
	for p := range f.watched {
		p.Unwatch(f.waker)
	}
	select {
	case <-f.waker.C():
	default:
	}
}

func (f *fetched) closeRecords() {
	for i := range f.results {
		f.results[i].Records.Close()
		f.results[i].Records = plog.Slice{}
		f.outcomes[i].Records = false
	}
	f.bytes = 0
}

// finish closes the session's fetch and encodes the answer around the records.
func (f *fetched) finish() server.Body {
	f.resp.Reset()
	f.enc.Reset()
	if f.refused != model.None {
		f.resp.ErrorCode = f.refused
		f.enc.Append(&f.resp, f.version)
		return fetchedBody{f}
	}
	f.resp.SessionID, f.resp.ErrorCode = f.b.Sessions.finish(f.b.Clock().UnixMilli(), &f.ctx, f.outcomes, f.show)
	var topic *wire.FetchTopicResponse
	var last session.Topic
	for i := range f.ctx.Partitions {
		p := &f.ctx.Partitions[i]
		if !f.show[i] {
			f.results[i].Records.Close()
			f.results[i].Records = plog.Slice{}
			continue
		}
		if topic == nil || p.Topic != last {
			topic, last = f.resp.AddTopic(p.Topic.Name, p.Topic.ID), p.Topic
		}
		f.fill(topic, i)
	}
	f.enc.Append(&f.resp, f.version)
	return fetchedBody{f}
}

func (f *fetched) fill(topic *wire.FetchTopicResponse, i int) {
	index, result := f.ctx.Partitions[i].Partition, &f.results[i]
	code := f.outcomes[i].Code
	if code != model.None {
		p := &f.ctx.Partitions[i]
		refusals{f.conn, f.client, wire.KeyFetch}.complain(int16(code), nil, about(p.Topic.Name, p.Topic.ID), slog.Int("partition", int(p.Partition)),
			slog.Int64("offset", p.Fetch.Offset))
	}
	switch code {
	case model.None:
	case model.UnknownTopicOrPartition, model.UnknownTopicID:
		topic.AddError(index, code)
		return
	default:
		out := topic.AddError(index, code)
		out.Aborted = nil // Kafka's, once it has found the partition
		if target, _ := f.find(&f.ctx.Partitions[i]); target != nil && f.version >= 16 && (code == model.NotLeaderForPartition || code == model.FencedLeaderEpoch) {
			out.CurrentLeader = wire.CurrentLeader{ID: f.b.NodeID, Epoch: target.LeaderEpoch()}
		}
		return
	}
	out := topic.AddPartition(index)
	out.HighWatermark, out.LastStableOffset, out.LogStartOffset = result.HighWatermark, result.LastStableOffset, result.LogStartOffset
	if f.committed {
		out.Aborted = wire.NoneAborted
	}
	if result.DivergingEpoch >= 0 {
		out.DivergingEpoch = wire.EpochEndOffset{Epoch: result.DivergingEpoch, EndOffset: result.DivergingEnd}
	}
	out.RecordsLen = result.Records.Len()
}

// keptFetch bounds what a reused request keeps.
const keptFetch = 4096

func (f *fetched) release() {
	f.closeRecords()
	f.req.Reset()
	f.resp.Reset()
	clear(f.targets)
	clear(f.watched)
	clear(f.buffers[:cap(f.buffers)])
	f.ctx = session.Context{}
	f.b, f.conn, f.client, f.refused = nil, nil, "", model.None
	if cap(f.asked) > keptFetch || cap(f.listed) > keptFetch || cap(f.targets) > keptFetch || cap(f.enc.Head) > keptBody {
		return // the pool keeps only the usual sizes
	}
	f.results, f.targets = f.results[:0], f.targets[:0]
	fetchedPool.Put(f)
}
