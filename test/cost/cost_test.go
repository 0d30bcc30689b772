package cost

import (
	"testing"
	"time"
)

// failure is a test that notes whether it failed.
type failure struct {
	testing.TB
	failed bool
}

func (f *failure) Helper() {}

func (f *failure) Fatalf(string, ...any) {
	f.failed = true
	panic(f)
}

// fails tells whether a function is found to be over the limit.
func fails(limit Limit, run func()) bool {
	f := &failure{}
	func() {
		defer func() {
			if x := recover(); x != nil && x != any(f) {
				panic(x)
			}
		}()
		Within(f, limit, run)
	}()
	return f.failed
}

var sink []byte

func TestWithin(t *testing.T) {
	limit := Limit{Bytes: 1 << 20, Time: 10 * time.Millisecond}
	slow := func(d time.Duration) { <-time.After(d) }
	if fails(limit, func() {}) {
		t.Error("nothing at all is over the limit")
	}
	if !fails(limit, func() { sink = make([]byte, 2<<20) }) {
		t.Error("memory over the limit is not found")
	}
	if !fails(limit, func() { slow(2 * limit.Time) }) {
		t.Error("time over the limit is not found")
	}
	first := true
	if fails(Limit{Bytes: 1 << 20, Time: time.Second}, func() {
		if first {
			first = false
			slow(1100 * time.Millisecond)
		}
	}) {
		t.Error("one slow run of several counts")
	}
	if !fails(limit, func() {
		sink = make([]byte, 600<<10)
		sink = make([]byte, 600<<10)
	}) {
		t.Error("garbage does not count")
	}
}

func TestCPUTimeGrows(t *testing.T) {
	before := CPUTime()
	if before == 0 {
		t.Skip("not run: the system does not tell")
	}
	for deadline := time.Now().Add(10 * time.Second); CPUTime() == before; {
		if time.Now().After(deadline) {
			t.Fatal("ten seconds of work took no time")
		}
	}
}
