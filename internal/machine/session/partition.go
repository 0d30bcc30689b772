package session

import "github.com/ottla/ottla/internal/kafka/model"

// Topic names a topic: by id in requests of version 13 and above, else by name. The other field is zero.
type Topic struct {
	ID   model.TopicID
	Name string
}

// Fetch is what a fetcher wants of a partition.
type Fetch struct {
	Offset           int64
	LogStartOffset   int64 // the follower's; -1 from a consumer
	MaxBytes         int32
	LeaderEpoch      int32 // which the fetcher believes to be in force; -1 for none
	LastFetchedEpoch int32 // -1 for none
}

// Partition is one partition of a fetch.
type Partition struct {
	Topic     Topic
	Partition int32
	Fetch     Fetch
	slot      int32 // of the session
}

// Forgotten is a partition that a fetcher does not want any more.
type Forgotten struct {
	Topic     Topic
	Partition int32
}

// Result is what a fetch found for a partition, as far as it decides whether the answer shows it.
type Result struct {
	HighWatermark    int64
	LogStartOffset   int64
	Code             model.ErrorCode
	Records          bool // there are some
	PreferredReplica bool // the fetcher is sent elsewhere
	Diverging        bool // the fetcher's log left this one
}

// entry is a partition of a session and what its fetcher was told last.
type entry struct {
	fetch          Fetch
	highWatermark  int64 // -1 after an error, so that the next answer shows the partition
	logStartOffset int64
	topic          int32 // slot in the session's topics
	partition      int32
	before, after  int32 // in the order of fetching; free slots use after. -1 ends the chain
}

// news takes in a result and tells whether the answer must show it.
func (e *entry) news(r *Result) bool {
	show := r.Records || r.PreferredReplica || r.Diverging || r.Code != model.None ||
		e.highWatermark != r.HighWatermark || e.logStartOffset != r.LogStartOffset
	e.highWatermark, e.logStartOffset = r.HighWatermark, r.LogStartOffset
	if r.Code != model.None {
		e.highWatermark = -1
	}
	return show
}
