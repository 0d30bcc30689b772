package plog

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// A harness that does not find a bug which was put there for it is no harness.
func TestHarnessFindsDeliberateBugs(t *testing.T) {
	for _, m := range []struct {
		name string
		bug  dir.Mutants
	}{
		{"acknowledge before the sync", dir.AckBeforeSync},
		{"no sync of directories", dir.SkipDirSync},
		{"acknowledge a start offset that is not on disk", dir.ForgetStart},
		{"write over a cut that is not synced", dir.SkipCutSync},
		{"acknowledge before the journal is synced", dir.SkipJournalSync},
		{"do not apply the journal", dir.SkipReplay},
		{"cut what the journal would bring back", dir.KeepJournal},
	} {
		t.Run(m.name, func(t *testing.T) {
			for attempt := range uint64(10) {
				o := dir.Options{CheckpointBytes: 2500, Mutants: m.bug, JournalBytes: -1}
				if m.bug&(dir.SkipJournalSync|dir.SkipReplay|dir.KeepJournal) != 0 {
					o = withJournal(o)
				}
				_, err := crashed(t, o, testConfig(), someSeeds(4), func(x *logAndDir, h *history) error {
					return everything(x, h, rand.New(rand.NewPCG(attempt, 7)))
				})
				if err != nil {
					t.Logf("found: %v", err)
					return
				}
			}
			t.Error("the bug was not found")
		})
	}
}

// everything appends, rolls, cuts and deletes records.
func everything(x *logAndDir, h *history, r *rand.Rand) error {
	u := &user{x, h, r}
	for i := range 25 {
		for range 1 + r.IntN(6) {
			if err := u.put(makeBatch(1+i%3, fmt.Sprint(i), r.IntN(500), int64(i), batch.Options{}), 5); err != nil {
				return err
			}
		}
		if i%4 != 1 {
			if err := u.settle(); err != nil {
				return err
			}
		}
		span := u.EndOffset() - u.StartOffset()
		switch i % 5 {
		case 2:
			if err := u.truncate(u.EndOffset() - r.Int64N(min(span, 12))); err != nil {
				return err
			}
		case 4:
			if err := u.settle(); err != nil {
				return err
			}
			if err := u.deleteBelow(u.StartOffset() + r.Int64N(span/2+1)); err != nil {
				return err
			}
			u.Maintain(testNow, u.SyncedOffset())
			if err := u.settle(); err != nil {
				return err
			}
		}
	}
	return u.settle()
}

func TestCrashDuringEverything(t *testing.T) {
	withAndWithoutJournal(t, testCrashDuringEverything)
}

func testCrashDuringEverything(t *testing.T, journal func(dir.Options) dir.Options) {
	enough := 5000 // of each way, of what CI tries every time
	if os.Getenv("OTTLA_LONG") != "" {
		enough = 50_000
	}
	images := 0
	for attempt := uint64(0); images < enough; attempt++ {
		c, err := crashed(t, journal(dir.Options{CheckpointBytes: 2500}), testConfig(), someSeeds(6), func(x *logAndDir, h *history) error {
			return everything(x, h, rand.New(rand.NewPCG(attempt, 7)))
		})
		if err != nil {
			t.Fatal(err)
		}
		images += c.images
	}
	t.Logf("%d power cuts", images)
}

// Rot below the recovery point must be found and kept; a recovery that cuts there loses what was acknowledged.
func TestRotIsNeverCut(t *testing.T) {
	for _, bug := range []dir.Mutants{0, dir.CutRot} {
		err := rotAndRecover(t, bug)
		if bug == 0 && err != nil {
			t.Error(err)
		}
		if bug == dir.CutRot && err == nil {
			t.Error("recovery cuts at rot, and the harness did not notice")
		}
	}
}

// A killed process leaves what it wrote in the page cache, where its successor finds it. Counted as synced before it is, it is lost by a power cut.
func TestKillThenPowerCut(t *testing.T) {
	for _, bug := range []dir.Mutants{0, dir.SkipRecoverySync} {
		mem := vfs.NewMem()
		first := openOn(t, mem, dir.Options{Mutants: dir.AckBeforeSync}, testConfig()) // writes, and never gets to the sync
		want := fill(t, first, 30, 1)
		if err := first.d.Abandon(); err != nil {
			t.Fatal(err)
		}
		second := openOn(t, mem, dir.Options{Mutants: bug}, testConfig())
		if second.EndOffset() != first.EndOffset() {
			t.Fatalf("the page cache lost something: the log ends at %d", second.EndOffset())
		}
		if bug == 0 && second.SyncedOffset() > 0 {
			t.Log("the committer was faster than the test")
		}
		second.sync(t)
		third := openOn(t, mem.Crash(vfs.LoseUnsynced), dir.Options{}, testConfig())
		got, err := third.all(0, third.EndOffset(), 1<<20)
		if err == nil {
			err = sameBatches(want, got)
		}
		if (err == nil) != (bug == 0) {
			t.Errorf("with bug %d: %v", bug, err)
		}
	}
}

var errCut = errors.New("acknowledged records were cut")
