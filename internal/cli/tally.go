package cli

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// tally counts what became of produced records.
type tally struct {
	acknowledged bool // brokers answer: not with acks=0
	began        time.Time

	mu struct {
		sync.Mutex
		records, bytes, failed int64
		first                  error
		last                   time.Time
		latency                latencies
		ranges                 map[string]map[int32]*producedRange
	}
}

// producedRange is where the records of one partition went.
type producedRange struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Records   int64  `json:"records"`
	First     *int64 `json:"first_offset,omitempty"` // nil when nobody answered where: with acks=0
	Last      *int64 `json:"last_offset,omitempty"`
}

func newTally(acknowledged bool) *tally {
	t := &tally{acknowledged: acknowledged, began: time.Now()}
	t.mu.ranges = map[string]map[int32]*producedRange{}
	return t
}

// add counts one record that was acknowledged or failed.
func (t *tally) add(r *kgo.Record, took time.Duration, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.mu.failed++
		if t.mu.first == nil {
			t.mu.first = err
		}
		return
	}
	t.mu.records++
	t.mu.bytes += int64(len(r.Key) + len(r.Value))
	t.mu.last = time.Now()
	t.mu.latency.add(took)
	partitions := t.mu.ranges[r.Topic]
	if partitions == nil {
		partitions = map[int32]*producedRange{}
		t.mu.ranges[r.Topic] = partitions
	}
	at := partitions[r.Partition]
	if at == nil {
		at = &producedRange{Topic: r.Topic, Partition: r.Partition}
		if t.acknowledged {
			at.First, at.Last = new(r.Offset), new(r.Offset)
		}
		partitions[r.Partition] = at
	}
	at.Records++
	if t.acknowledged {
		*at.Last = r.Offset
	}
}

// fail notes why all that is on its way is about to fail.
func (t *tally) fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.first == nil {
		t.mu.first = err
	}
}

// acknowledgements counts the records that were acknowledged so far.
func (t *tally) acknowledgements() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.records
}

// failure is the first record's that failed.
func (t *tally) failure() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.first
}

// produced is the summary of `produce`.
type produced struct {
	Records   int64            `json:"records"`
	Bytes     int64            `json:"bytes"`
	Failed    int64            `json:"failed"`
	Seconds   float64          `json:"seconds"`
	PerSecond float64          `json:"records_per_second"`
	MBPerSec  float64          `json:"megabytes_per_second"`
	P50Ms     float64          `json:"latency_p50_ms"`
	P99Ms     float64          `json:"latency_p99_ms"`
	MaxMs     float64          `json:"latency_max_ms"`
	Ranges    []*producedRange `json:"partitions"`
}

func (t *tally) summary() produced {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := produced{Records: t.mu.records, Bytes: t.mu.bytes, Failed: t.mu.failed, Ranges: []*producedRange{}}
	if !t.mu.last.IsZero() {
		out.Seconds = t.mu.last.Sub(t.began).Seconds()
	}
	if out.Seconds > 0 {
		out.PerSecond, out.MBPerSec = float64(out.Records)/out.Seconds, float64(out.Bytes)/1e6/out.Seconds
	}
	out.P50Ms, out.P99Ms, out.MaxMs = milliseconds(t.mu.latency.quantile(0.5)), milliseconds(t.mu.latency.quantile(0.99)), milliseconds(t.mu.latency.max)
	for _, topic := range inNameOrder(t.mu.ranges) {
		for _, r := range t.mu.ranges[topic] {
			out.Ranges = append(out.Ranges, r)
		}
	}
	slices.SortStableFunc(out.Ranges, func(a, b *producedRange) int { return int(a.Partition - b.Partition) })
	return out
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// shownRanges bounds how many partitions a summary for a person names.
const shownRanges = 8

// reportProduced says what was acknowledged: as JSON on stdout, for a person on stderr.
func (s *shell) reportProduced(t *tally, load bool) error {
	sum := t.summary()
	if s.output == jsonOutput {
		return writeJSON(s.out, sum)
	}
	writeProduced(s.err, sum, t.acknowledged, load)
	return nil
}

func writeProduced(w io.Writer, sum produced, acknowledged, load bool) {
	what := "acknowledged"
	if !acknowledged {
		what = "sent"
	}
	fmt.Fprintf(w, "%s %s", count(sum.Records, "record"), what)
	if sum.Failed > 0 {
		fmt.Fprintf(w, ", %d not", sum.Failed)
	}
	if acknowledged && sum.Records > 0 && len(sum.Ranges) <= shownRanges {
		var at []string
		for _, r := range sum.Ranges {
			if *r.First == *r.Last {
				at = append(at, fmt.Sprintf("%s-%d at offset %d", r.Topic, r.Partition, *r.First))
			} else {
				at = append(at, fmt.Sprintf("%s-%d at offsets %d to %d", r.Topic, r.Partition, *r.First, *r.Last))
			}
		}
		fmt.Fprintf(w, ": %s", strings.Join(at, ", "))
	}
	fmt.Fprintln(w)
	if load && sum.Records > 0 {
		fmt.Fprintf(w, "%.1f MB in %.2f s: %.0f records/s, %.1f MB/s", float64(sum.Bytes)/1e6, sum.Seconds, sum.PerSecond, sum.MBPerSec)
		if acknowledged {
			fmt.Fprintf(w, "; latency p50 %.2f ms, p99 %.2f ms, max %.2f ms", sum.P50Ms, sum.P99Ms, sum.MaxMs)
		}
		fmt.Fprintln(w)
	}
}

// progress is the line that a person sees while it goes on.
func (t *tally) progress() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	seconds := time.Since(t.began).Seconds()
	return fmt.Sprintf("%d records, %.1f MB, %.0f records/s", t.mu.records, float64(t.mu.bytes)/1e6, float64(t.mu.records)/seconds)
}

// latencies is a histogram of microseconds with buckets an eighth of a power of two wide, so a quantile is at most 13 % too high.
type latencies struct {
	buckets [64 * latencySteps]int64
	count   int64
	max     time.Duration
}

const latencySteps = 8

func (l *latencies) add(d time.Duration) {
	l.buckets[latencyBucket(uint64(max(0, d.Microseconds())))]++
	l.count++
	l.max = max(l.max, d)
}

// latencyBucket numbers the buckets: below 8 each value has its own, above them each power of two has eight.
func latencyBucket(micros uint64) int {
	if micros < latencySteps {
		return int(micros)
	}
	power := bits.Len64(micros) - 4
	return power*latencySteps + int(micros>>power)
}

// quantile is the upper end of the bucket that holds it.
func (l *latencies) quantile(q float64) time.Duration {
	rank := int64(q*float64(l.count-1)) + 1
	for i, n := range l.buckets {
		if rank -= n; n == 0 || rank > 0 {
			continue
		}
		upper := uint64(i)
		if i >= 2*latencySteps {
			power := i/latencySteps - 1
			upper = (uint64(i-power*latencySteps)+1)<<power - 1
		}
		return min(time.Duration(upper)*time.Microsecond, l.max)
	}
	return 0
}
