package plog

import (
	"math"
	"math/rand/v2"
	"time"
)

// Durability says what an acknowledgement needs.
type Durability uint8

const (
	// Sync: every append is synced in the committer's next round.
	Sync Durability = iota
	// Cache: appends are written and left to the operating system, unless FlushMessages or FlushMs ask for more.
	Cache
)

// Config are the settings of one log, by the meaning of Kafka's topic configs of the same names. It is immutable once given to a log.
type Config struct {
	SegmentBytes         int64
	SegmentMs            int64
	SegmentJitterMs      int64 // every segment has a share of its own, taken off SegmentMs
	SegmentIndexBytes    int
	IndexIntervalBytes   int
	FlushMessages        int64
	FlushMs              int64
	FileDeleteDelayMs    int64
	RetentionMs          int64 // -1: no limit
	RetentionBytes       int64 // -1: no limit
	ProducerExpirationMs int64
	MinCleanableRatio    float64
	MinCompactionLagMs   int64
	MaxCompactionLagMs   int64
	DeleteRetentionMs    int64
	// CleanupDelete and CleanupCompact are cleanup.policy. Only with CleanupCompact may offsets have gaps.
	CleanupDelete  bool
	CleanupCompact bool
	Durability     Durability
}

// DefaultConfig returns Kafka's defaults.
func DefaultConfig() *Config {
	return &Config{
		SegmentBytes: 1 << 30, SegmentMs: 7 * 24 * 3600 * 1000, SegmentIndexBytes: 10 << 20, IndexIntervalBytes: 4096,
		FlushMessages: math.MaxInt64, FlushMs: math.MaxInt64, FileDeleteDelayMs: 60_000,
		RetentionMs: 7 * 24 * 3600 * 1000, RetentionBytes: -1, ProducerExpirationMs: 24 * 3600 * 1000, CleanupDelete: true,
		MinCleanableRatio: 0.5, MaxCompactionLagMs: math.MaxInt64, DeleteRetentionMs: 24 * 3600 * 1000,
	}
}

// jitter draws a segment's share of segment.jitter.ms, so that the segments of many logs that began together do not end together.
func (c *Config) jitter() int64 {
	if most := min(c.SegmentJitterMs, c.SegmentMs); most > 0 {
		return rand.Int64N(most)
	}
	return 0
}

func (c *Config) fileDeleteDelay() time.Duration {
	return time.Duration(min(c.FileDeleteDelayMs, math.MaxInt64/int64(time.Millisecond))) * time.Millisecond
}
