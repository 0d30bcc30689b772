// Package cost measures what a piece of code takes, for fuzzers that hold parsers to limits and for benchmarks.
package cost

import (
	"runtime"
	"testing"
	"time"
)

// Limit is what one run may take.
type Limit struct {
	Bytes int           // allocated, by the whole process: leave some for what the runtime does meanwhile
	Time  time.Duration // of at least one run in five, because the machine may have been busy
}

// Parsing is what reading an input of so many bytes may take: memory and time in proportion to it, whatever numbers stand in it.
func Parsing(size int) Limit {
	return Limit{Bytes: 256<<10 + 64*size, Time: 50*time.Millisecond + time.Duration(size)*time.Microsecond}
}

const runs = 5

// Within runs a function and fails the test when it takes more than the limit. A run that was too slow is repeated, so the function must do the same each time.
func Within(t testing.TB, limit Limit, run func()) {
	t.Helper()
	fastest := time.Duration(0)
	for i := range runs {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		began := time.Now()
		run()
		took := time.Since(began)
		runtime.ReadMemStats(&after)
		if got := after.TotalAlloc - before.TotalAlloc; got > uint64(limit.Bytes) {
			t.Fatalf("%d bytes were allocated, %d are allowed", got, limit.Bytes)
		}
		if took <= limit.Time {
			return
		}
		if i == 0 || took < fastest {
			fastest = took
		}
	}
	t.Fatalf("took %v at best, %v is allowed", fastest, limit.Time)
}
