package main

import (
	"math/bits"
	"time"
)

// histogram counts durations in buckets of at most 1.6 % width, from 1 ns on. It is one goroutine's.
type histogram struct {
	Counts []int64 // by bucket
	Count  int64
	Max    time.Duration
}

// subBuckets is how many buckets each power of two has.
const subBuckets = 64

func bucketOf(d time.Duration) int {
	n := uint64(max(d, 0))
	if n < subBuckets {
		return int(n)
	}
	shift := bits.Len64(n) - 7 // the leading 7 bits name the bucket
	return shift*subBuckets + int(n>>shift)
}

// upperEdge is the longest duration of a bucket.
func upperEdge(bucket int) time.Duration {
	if bucket < 2*subBuckets {
		return time.Duration(bucket)
	}
	shift := bucket/subBuckets - 1
	return time.Duration((uint64(bucket-shift*subBuckets)+1)<<shift - 1)
}

func (h *histogram) add(d time.Duration) {
	i := bucketOf(d)
	for i >= len(h.Counts) {
		h.Counts = append(h.Counts, make([]int64, i+1-len(h.Counts))...)
	}
	h.Counts[i]++
	h.Count++
	h.Max = max(h.Max, d)
}

func (h *histogram) merge(o *histogram) {
	if len(o.Counts) > len(h.Counts) {
		h.Counts = append(h.Counts, make([]int64, len(o.Counts)-len(h.Counts))...)
	}
	for i, n := range o.Counts {
		h.Counts[i] += n
	}
	h.Count += o.Count
	h.Max = max(h.Max, o.Max)
}

// quantile returns the duration that a share of q does not pass; zero when nothing was counted.
func (h *histogram) quantile(q float64) time.Duration {
	if h.Count == 0 {
		return 0
	}
	rank := int64(q*float64(h.Count-1)) + 1
	for i, n := range h.Counts {
		if rank -= n; rank <= 0 {
			return min(upperEdge(i), h.Max)
		}
	}
	return h.Max
}
