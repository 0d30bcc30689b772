package plog

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/storage/dir"
)

// A batch that was cut off stands, with a good checksum, the right offset and the right leader epoch, exactly behind the batch that was written in place of another: all have the same size. Once the cut
// is acknowledged no crash may bring it back, neither from the segment nor from the journal.
func TestStaleBatchBehindTheEnd(t *testing.T) {
	for _, journal := range []bool{false, true} {
		for _, bug := range []dir.Mutants{0, dir.SkipCutSync, dir.KeepJournal} {
			if bug == dir.KeepJournal && !journal {
				continue
			}
			t.Run(fmt.Sprintf("journal %v, bug %d", journal, bug), func(t *testing.T) {
				defer oneThread()()
				images := 0
				var err error
				for seed := uint64(0); seed < 20 && err == nil; seed++ {
					synctest.Test(t, func(*testing.T) {
						var n int
						n, err = staleBatch(seed, journal, bug)
						images += n
					})
				}
				if (err != nil) != (bug != 0) {
					t.Fatalf("%d images: %v", images, err)
				}
				t.Logf("%d images", images)
			})
		}
	}
}

func staleBatch(seed uint64, journal bool, bug dir.Mutants) (images int, err error) {
	w := newWorld(plainDice{rand.New(rand.NewPCG(seed, 31))}, dir.Options{CheckpointBytes: 1 << 20, JournalBytes: -1, Mutants: bug})
	if journal {
		w.options = withJournal(w.options)
	}
	w.addTopic("topic-0", false)
	m := w.twins[0]
	m.config = testConfig()
	m.config.SegmentBytes = 1 << 20
	c := &camera{w: w, r: rand.New(rand.NewPCG(seed, 32)), of: 1}
	w.watching = c.look
	defer w.end()
	if err := w.begin(); err != nil {
		return 0, err
	}
	step := func(f func() error) {
		if err != nil {
			return
		}
		if err = f(); err == nil {
			err = w.settle(m)
		}
		var n int
		if err == nil {
			n, err = c.develop()
			images += n
		}
	}
	add := func() error { return w.offer(m, w.batch(m, 1, 200, batch.Options{}), 3, Client) }
	for range 4 {
		step(func() error {
			for m.end%10 < 9 {
				if err := add(); err != nil {
					return err
				}
			}
			return add()
		})
		step(func() error {
			to := m.end - 7
			n := len(m.entries) - 7
			w.mu.Lock()
			m.change(content{m.entries[:n:n], 0, 0, to})
			w.mu.Unlock()
			return m.log.TruncateTo(to)
		})
		step(add)
		step(add)
	}
	return images, err
}
