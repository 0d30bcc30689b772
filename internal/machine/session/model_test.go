package session

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
)

// plain is a session as one would write it without a thought of memory: a list in the order of fetching.
type plain struct {
	epoch      int32
	partitions []*plainPartition
}

type plainPartition struct {
	topic     string
	partition int32
	offset    int64
	told      Result
}

func (p *plain) find(topic string, partition int32) int {
	return slices.IndexFunc(p.partitions, func(x *plainPartition) bool { return x.topic == topic && x.partition == partition })
}

func (p *plain) want(topic string, partition int32, offset int64) {
	if i := p.find(topic, partition); i >= 0 {
		p.partitions[i].offset = offset
		return
	}
	p.partitions = append(p.partitions, &plainPartition{topic: topic, partition: partition, offset: offset, told: Result{HighWatermark: -1, LogStartOffset: -1}})
}

// TestAgainstPlainSessions compares the cache with the plain one over random fetches of a few sessions.
func TestAgainstPlainSessions(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := New(3, 1000)
		sessions := map[int32]*plain{}
		var now int64
		for next := int32(1); next < 60; next++ {
			now += rapid.Int64Range(0, 400).Draw(t, "ms")
			r := drawRequest(t, sessions, next)
			ctx, code := c.Begin(now, &r, nil)
			p := sessions[r.SessionID]
			if r.Epoch == InitialEpoch || r.Epoch == FinalEpoch {
				delete(sessions, r.SessionID)
				p = &plain{epoch: 0}
			} else if want := plainCode(p, &r); code != want || code != model.None {
				if code != want {
					t.Fatalf("%+v: %v, want %v", r, code, want)
				}
				continue
			}
			p.update(&r)
			if r.Epoch > 0 && len(p.partitions) == 0 {
				delete(sessions, r.SessionID)
			}
			if got, want := fmt.Sprint(listed(ctx.Partitions)), fmt.Sprint(p.listed()); got != want && (len(p.partitions) > 0 || r.Epoch <= 0) {
				t.Fatalf("reads %s, want %s", got, want)
			}
			results, shown := drawResults(t, len(ctx.Partitions)), make([]bool, len(ctx.Partitions))
			id, code := c.Finish(now, &ctx, results, shown, next)
			if code != model.None {
				t.Fatal(code)
			}
			if ctx.Incremental() {
				p.compare(t, results, shown)
				continue
			}
			if slices.Contains(shown, false) {
				t.Fatalf("a full fetch leaves something out: %v", shown)
			}
			if id != 0 {
				p.compare(t, results, nil)
				p.epoch, sessions[id] = 1, p
			}
			for id := range sessions { // what was evicted is not the model's to decide
				if c.sessions[id] == nil {
					delete(sessions, id)
				}
			}
			check(t, c, sessions)
		}
	})
}

func drawRequest(t *rapid.T, sessions map[int32]*plain, next int32) Request {
	r := Request{SessionID: rapid.Int32Range(0, next).Draw(t, "session"), Epoch: InitialEpoch, Follower: rapid.IntRange(0, 4).Draw(t, "follower") == 0}
	if p := sessions[r.SessionID]; p != nil {
		r.Epoch = p.epoch
	}
	switch rapid.IntRange(0, 9).Draw(t, "epoch") {
	case 0:
		r.Epoch = InitialEpoch
	case 1:
		r.Epoch = FinalEpoch
	case 2:
		r.Epoch++
	}
	for range rapid.IntRange(0, 4).Draw(t, "wants") {
		topic, p := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic"), rapid.Int32Range(0, 2).Draw(t, "partition")
		if slices.ContainsFunc(r.Partitions, func(x Partition) bool { return x.Topic.Name == topic && x.Partition == p }) {
			continue
		}
		r.Partitions = append(r.Partitions, Partition{Topic: Topic{Name: topic}, Partition: p, Fetch: Fetch{Offset: rapid.Int64Range(0, 9).Draw(t, "offset")}})
	}
	if r.Epoch > 0 {
		for range rapid.IntRange(0, 4).Draw(t, "forgets") {
			topic, p := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "topic"), rapid.Int32Range(0, 2).Draw(t, "partition")
			r.Forgotten = append(r.Forgotten, Forgotten{Topic: Topic{Name: topic}, Partition: p})
		}
	}
	return r
}

func drawResults(t *rapid.T, n int) []Result {
	results := make([]Result, n)
	for i := range results {
		results[i] = Result{HighWatermark: rapid.Int64Range(0, 1).Draw(t, "hw"), LogStartOffset: rapid.Int64Range(0, 1).Draw(t, "start")}
		switch rapid.IntRange(0, 9).Draw(t, "news") {
		case 0:
			results[i].Records = true
		case 1:
			results[i].Code = model.UnknownTopicOrPartition
		case 2:
			results[i].PreferredReplica = true
		case 3:
			results[i].Diverging = true
		}
	}
	return results
}

func plainCode(p *plain, r *Request) model.ErrorCode {
	switch {
	case p == nil:
		return model.FetchSessionIDNotFound
	case p.epoch != r.Epoch:
		return model.InvalidFetchSessionEpoch
	default:
		return model.None
	}
}

func (p *plain) update(r *Request) {
	for _, x := range r.Partitions {
		p.want(x.Topic.Name, x.Partition, x.Fetch.Offset)
	}
	for _, x := range r.Forgotten {
		if i := p.find(x.Topic.Name, x.Partition); i >= 0 {
			p.partitions = slices.Delete(p.partitions, i, i+1)
		}
	}
	if r.Epoch > 0 {
		p.epoch++
	}
}

// compare takes in the results in the order of reading, and holds what the cache shows against what has news.
func (p *plain) compare(t *rapid.T, results []Result, shown []bool) {
	var front, back []*plainPartition
	for i, x := range p.partitions {
		r := results[i]
		news := r.Records || r.PreferredReplica || r.Diverging || r.Code != 0 || r.HighWatermark != x.told.HighWatermark || r.LogStartOffset != x.told.LogStartOffset
		if shown != nil && shown[i] != news {
			t.Fatalf("%s-%d: told %+v, found %+v, shown %v", x.topic, x.partition, x.told, r, shown[i])
		}
		x.told = r
		if r.Code != 0 {
			x.told.HighWatermark = -1
		}
		if r.Records && shown != nil {
			back = append(back, x)
		} else {
			front = append(front, x)
		}
	}
	p.partitions = append(front, back...)
}

func (p *plain) listed() []string {
	var all []string
	for _, x := range p.partitions {
		all = append(all, fmt.Sprintf("%s-%d@%d", x.topic, x.partition, x.offset))
	}
	return all
}

func listed(partitions []Partition) []string {
	var all []string
	for _, x := range partitions {
		all = append(all, fmt.Sprintf("%s-%d@%d", x.Topic.Name, x.Partition, x.Fetch.Offset))
	}
	return all
}

// check holds the cache against its bounds and its own bookkeeping (I3).
func check(t *rapid.T, c *Cache, sessions map[int32]*plain) {
	if len(c.sessions) > c.slots || len(c.sessions) != len(sessions) {
		t.Fatalf("%d sessions in %d slots, want %d", len(c.sessions), c.slots, len(sessions))
	}
	slots, chain := 0, 0
	for _, s := range c.sessions {
		slots += len(s.entries)
		if len(s.entries) > 9 || len(s.topics) > 3 {
			t.Fatalf("session %d leaks: %d slots, %d topics", s.id, len(s.entries), len(s.topics))
		}
		if s.size != len(s.places) || len(s.list(nil)) != s.size {
			t.Fatalf("session %d: size %d, %d places, %d listed", s.id, s.size, len(s.places), len(s.list(nil)))
		}
	}
	for s := c.oldest; s != nil; s = s.newer {
		chain++
		if s.newer != nil && s.newer.usedMs < s.usedMs {
			t.Fatalf("session %d was used after %d", s.id, s.newer.id)
		}
	}
	if slots != c.partitions || chain != len(c.sessions) || len(c.forFollow.all) > chain || len(c.forAny.all) > len(c.forFollow.all) {
		t.Fatalf("%d slots counted %d, chain of %d, evictable %d and %d", slots, c.partitions, chain, len(c.forAny.all), len(c.forFollow.all))
	}
}
