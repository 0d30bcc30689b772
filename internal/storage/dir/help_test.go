package dir

import (
	"sync"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// hold appends n bytes that are left to whoever helps.
func (x *reel) hold(n int64) {
	x.mu.Lock()
	x.mu.appended += n
	x.mu.Unlock()
	x.d.Hold(x, &x.Member)
}

func TestWhoHelpsWritesWhatIsHeld(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{})
	x, y := newReel(t, d, "topic-0"), newReel(t, d, "topic-1")
	x.hold(100)
	x.hold(100)
	y.hold(50)
	d.Help()
	if x.synced() != 200 || y.synced() != 50 {
		t.Fatalf("%d and %d bytes are safe after Help, not 200 and 50", x.synced(), y.synced())
	}
	if n := d.stats.Rounds.Load(); n != 1 {
		t.Errorf("%d rounds, not one for all", n)
	}
	d.Help()
	if n := d.stats.Rounds.Load(); n != 1 {
		t.Errorf("a round for nothing")
	}
}

func TestTheCommitterWritesWhatIsHeld(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{})
	x, y := newReel(t, d, "topic-0"), newReel(t, d, "topic-1")
	x.hold(100)
	y.put(50)
	x.mustSettle(t)
	y.mustSettle(t)

	x.hold(100)
	x.put(100) // the same log, by somebody who calls no Help
	x.mustSettle(t)
}

func TestWhatIsPassedOn(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{})
	x := newReel(t, d, "topic-0")
	x.hold(100)
	d.Pass()
	x.mustSettle(t)
	rounds := d.stats.Rounds.Load()
	x.hold(100)
	d.Help() // the committer may still have the turn
	x.mustSettle(t)
	d.Pass()
	d.Help()
	if n := d.stats.Rounds.Load() - rounds; n != 1 {
		t.Errorf("%d rounds for what was written with the first", n)
	}
}

func TestHelpBesideARound(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{})
	x, y := newReel(t, d, "topic-0"), newReel(t, d, "topic-1")
	staging, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	x.onStage = func(*Round) error {
		once.Do(func() {
			close(staging)
			<-release
		})
		return nil
	}
	x.put(100)
	<-staging
	y.hold(50)
	x.hold(100)
	d.Help() // returns, and has it done
	if y.synced() != 0 {
		t.Error("two rounds at the same time")
	}
	close(release)
	x.mustSettle(t)
	y.mustSettle(t)
}

func TestWhoWaitsForMemoryHasWhatIsHeldWritten(t *testing.T) {
	memory := NewMemory(MaxChunk)
	d := openDir(t, vfs.NewMem(), Options{Memory: memory})
	x := newReel(t, d, "topic-0")
	c := d.Share().Take(MaxChunk, x, false)
	if c == nil {
		t.Fatal("no memory at all: not a test")
	}
	x.onSettle = func(error) { c.Release() }
	x.hold(100)
	for d.Share().Take(MaxChunk, x, false) == nil {
		if err := d.Share().Wait(t.Context(), MaxChunk, false); err != nil {
			t.Fatal(err)
		}
	}
}

func (x *reel) Evict(*Chunk) bool { return false }

func TestHelpAtTheEnd(t *testing.T) {
	d := openDir(t, vfs.NewMem(), Options{})
	x := newReel(t, d, "topic-0")
	x.hold(100)
	if err := d.Close(1); err != nil {
		t.Fatal(err)
	}
	if x.synced() != 100 {
		t.Errorf("%d of 100 bytes are safe after Close", x.synced())
	}
	x.hold(100)
	d.Help()
	if x.synced() != 100 {
		t.Error("a round after Close")
	}
}

func TestManyHelp(t *testing.T) {
	d := openDir(t, vfs.NewMem(), smallJournal(Options{}))
	reels := []*reel{newReel(t, d, "topic-0"), newReel(t, d, "topic-1"), newReel(t, d, "topic-2")}
	var users sync.WaitGroup
	for i := range 6 {
		users.Go(func() {
			for n := range 200 {
				x := reels[(i+n)%len(reels)]
				if (i+n)%5 == 0 {
					x.put(10)
					continue
				}
				x.hold(10)
				if n%7 == 0 {
					d.Pass()
				} else {
					d.Help()
				}
			}
		})
	}
	users.Wait()
	for _, x := range reels {
		x.mustSettle(t)
		if x.overlap.Load() {
			t.Errorf("%s: two rounds at the same time", x.name)
		}
	}
}
