package dir

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestClientsGoBeforeRevivedLogs: of many logs that a crash left some join each round, none of them twice, and what a client appends meanwhile is in the next round.
func TestClientsGoBeforeRevivedLogs(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{JournalBytes: -1})
	var mu sync.Mutex
	rounds := map[int64][]string{} // the logs of each, by the number of rounds before it
	staged := map[string]int{}
	note := func(x *reel) {
		x.onStage = func(*Round) error {
			mu.Lock()
			defer mu.Unlock()
			n := d.Stats().Rounds.Load()
			rounds[n] = append(rounds[n], x.name)
			staged[x.name]++
			return nil
		}
	}
	held, release := make(chan struct{}), make(chan struct{})
	gate := newReel(t, d, "gate-0") // keeps the committer in a round while everything else is asked for
	gate.onStage = func(*Round) error {
		close(held)
		<-release
		return nil
	}
	gate.put(1)
	<-held

	var revived []*reel
	for i := range 3*revivedAtOnce + 5 {
		x := newReel(t, d, fmt.Sprintf("revived-%d", i))
		note(x)
		x.mu.appended += 10
		d.Revive(x, &x.Member)
		revived = append(revived, x)
	}
	both := revived[0] // a client appends to the first of them as well
	both.put(7)
	gone := newReel(t, d, "gone-0")
	note(gone)
	d.Revive(gone, &gone.Member)
	d.Leave(gone, nil)
	client := newReel(t, d, "client-0")
	note(client)
	client.put(3)
	gate.onStage = nil
	before := d.Stats().Rounds.Load()
	close(release)
	client.mustSettle(t)
	for _, x := range revived {
		x.mustSettle(t)
	}
	mu.Lock()
	defer mu.Unlock()
	next := rounds[before+1] // after the gate's
	if !slices.Contains(next, client.name) || !slices.Contains(next, both.name) {
		t.Errorf("the round after the appends had %q", next)
	}
	for n, names := range rounds {
		seen := map[string]bool{}
		for _, name := range names {
			if seen[name] {
				t.Errorf("%s was twice in round %d", name, n)
			}
			seen[name] = true
		}
		if len(names) > revivedAtOnce+2 {
			t.Errorf("round %d had %d logs", n, len(names))
		}
	}
	if len(rounds) < 4 {
		t.Errorf("%d rounds for %d revived logs", len(rounds), len(revived))
	}
	if staged[gone.name] > 0 {
		t.Error("a log that has left was staged")
	}
}
