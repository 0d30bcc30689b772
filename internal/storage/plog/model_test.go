package plog

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/ottla/ottla/internal/storage/dir"
	"pgregory.net/rapid"
)

// long is OTTLA_LONG, a number; 0 when it is not set.
func long(t testing.TB) int64 {
	t.Helper()
	n, err := strconv.ParseInt(cmp.Or(os.Getenv("OTTLA_LONG"), "0"), 10, 64)
	if err != nil {
		t.Fatalf("OTTLA_LONG: %v", err)
	}
	return n
}

// TestAgainstASlice drives the logs of a directory and slices of batches with the same random operations, crashes, failing and full disks among them, and compares what they hold. OTTLA_LONG
// is how many operations it does at least, for instance 10000000, from random seeds; without it they are the same few thousand every time. A failure prints the seed of its round and shrinks it; goroutines take turns as they like, so that it may
// not come again, but the story in its text tells what happened. What the long form found last, and did not, is in docs/storage-faults.md.
func TestAgainstASlice(t *testing.T) {
	least := long(t)
	defer oneThread()()
	if seed := flag.Lookup("rapid.seed"); least == 0 && seed.Value.String() == "0" {
		if err := seed.Value.Set("1"); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = seed.Value.Set("0") }() // it was that before
	}
	var operations atomic.Int64
	for again := true; again && !t.Failed(); again = operations.Load() < least {
		againstASlice(t, &operations)
	}
	t.Logf("%d operations", operations.Load())
}

// oneThread has goroutines take turns where they wait, so that a seed gives nearly the same run twice.
func oneThread() (restore func()) {
	n := runtime.GOMAXPROCS(1)
	return func() { runtime.GOMAXPROCS(n) }
}

// rapidDice are rapid's.
type rapidDice struct{ t *rapid.T }

func (d rapidDice) between(low, high int, what string) int {
	return rapid.IntRange(low, high).Draw(d.t, what)
}

func againstASlice(t *testing.T, done *atomic.Int64) {
	var w *world
	actions := map[string]func(*rapid.T){}
	for _, o := range operations {
		for i := range o.weight {
			actions[fmt.Sprint(o.name, " ", i)] = func(t *rapid.T) {
				done.Add(1)
				if err := w.do(o); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	rapid.Check(t, func(t *rapid.T) {
		rapid.SyncTest(t, func(t *rapid.T) {
			w = newWorld(rapidDice{t}, dir.Options{})
			w.roll(w.between(1, 3, "topics"))
			defer w.end()
			if err := w.begin(); err != nil {
				t.Fatal(err)
			}
			t.Repeat(actions)
		})
	})
}
