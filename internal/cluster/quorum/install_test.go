package quorum

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/machine"
)

// behind has two of three voters write a lot, make snapshots and cut their logs, while the third hears nothing.
func behind(t *testing.T, c *cluster) (last *member) {
	t.Helper()
	leader := c.leader()
	for _, m := range c.members {
		if m != leader {
			last = m
		}
	}
	c.append()
	c.pass(time.Second)
	c.isolate(last.voter.ID, true)
	for range 20 {
		c.append()
		c.pass(50 * time.Millisecond)
	}
	for _, m := range c.members {
		if m != last && (!c.snapshot(m, 0) || m.log.StartOffset() == 0) {
			t.Fatalf("voter %d has not cut its log", m.voter.ID)
		}
	}
	for range 3 {
		c.append()
		c.pass(50 * time.Millisecond)
	}
	return last
}

// TestFarBehind: a voter that needs batches which are gone gets a snapshot and what follows it, starts from it, and can lead.
func TestFarBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 7, 3, false)
		last := behind(t, c)
		c.settle()
		c.verify()
		if last.log.emptied != 1 || last.log.StartOffset() == 0 || last.q.Base() == nil {
			t.Errorf("its log was emptied %d times and begins at %d, base %v", last.log.emptied, last.log.StartOffset(), last.q.Base())
		}
		if snap := last.q.table.snap; snap.GetMetadata().GetIndex() != last.q.table.before || snap.GetMetadata().GetIndex() == 0 {
			t.Errorf("it could offer others a snapshot of %d entries, its table begins behind entry %d", snap.GetMetadata().GetIndex(), last.q.table.before)
		}
		start := last.log.StartOffset()
		c.stop(last)
		last.log.closed = false
		c.start(last)
		c.settle()
		c.verify()
		if last.log.emptied != 1 || last.q.table.start != start {
			t.Errorf("after a restart its log was emptied %d times, the table begins at %d, not %d", last.log.emptied, last.q.table.start, start)
		}
		// The two others take turns being away, until it has led.
		for n := 0; c.leader() != last; n++ {
			if n > 50 {
				t.Fatal("it never leads")
			}
			leader := c.leader()
			c.isolate(leader.voter.ID, true)
			c.pass(5 * time.Second)
			c.isolate(leader.voter.ID, false)
			c.pass(time.Second)
		}
		c.append()
		c.settle()
		c.verify()
	})
}

// TestSnapshotWhileOneIsInstalled: a voter that is to make a snapshot while it gets one finds that there is nothing to do, and keeps the one that it got.
func TestSnapshotWhileOneIsInstalled(t *testing.T) {
	for seed := range uint64(40) { // the loop and who makes the snapshot run beside each other
		synctest.Test(t, func(t *testing.T) {
			c := newCluster(t, seed, 3, false)
			last := behind(t, c)
			at, made := last.q.Committed().Offset, make(chan error, 1)
			c.net.Lock()
			c.net.onFetch = func() {
				go func() {
					_, err := last.q.Snapshot(t.Context(), at, func(func(machine.Record) bool) {})
					made <- err
				}()
			}
			c.net.Unlock()
			c.settle()
			if err := <-made; !errors.Is(err, ErrNothingNew) {
				t.Fatal(err)
			}
			c.verify()
			if base, snap := last.q.Base(), last.q.table.snap.GetMetadata().GetIndex(); base.End.Offset != last.log.StartOffset() || snap != last.q.table.before {
				t.Errorf("the log begins at %d behind entry %d, but the newest snapshot ends at %d with entry %d", last.log.StartOffset(), last.q.table.before, base.End.Offset, snap)
			}
		})
	}
}

// TestFarBehindWithoutHelp: when the snapshot cannot be brought, or is damaged on its way, nothing fails; once it can, the voter follows.
func TestFarBehindWithoutHelp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 8, 3, false)
		last := behind(t, c)
		before := last.log.EndOffset()
		c.net.Lock()
		for _, m := range c.members {
			m.part = 0
		}
		c.net.Unlock()
		c.isolate(last.voter.ID, false)
		for range 60 {
			c.append()
			c.pass(time.Second)
		}
		if last.log.EndOffset() != before || last.log.emptied != 0 {
			t.Errorf("its log went from %d to %d", before, last.log.EndOffset())
		}
		for range 100 { // an attempt may be under way
			if len(files(t, last.fs)) == 0 {
				break
			}
			c.pass(50 * time.Millisecond)
		}
		if got := files(t, last.fs); len(got) != 0 {
			t.Errorf("files %q are left", got)
		}
		c.net.Lock()
		for _, m := range c.members {
			m.part = 1 << 20
		}
		c.net.Unlock()
		c.settle()
		c.verify()
		if last.log.emptied != 1 {
			t.Errorf("its log was emptied %d times", last.log.emptied)
		}
	})
}

// deaf is a network that brings no snapshots.
type deaf struct{ link }

func (deaf) FetchSnapshot() {} // another signature: it is no SnapshotFetcher

// TestFarBehindWithoutFetcher: a transport that cannot bring snapshots costs the voter that is behind, and nobody else.
func TestFarBehindWithoutFetcher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 9, 3, false)
		last := behind(t, c)
		c.stop(last)
		last.log.closed = false
		q, err := Open(Options{FS: last.fs, Path: path, Log: last.log, NodeID: last.voter.ID, DirectoryID: last.voter.DirectoryID, Voters: c.voters(), Transport: deaf{link{c, last.voter.ID}}})
		if err != nil {
			t.Fatal(err)
		}
		c.net.Lock()
		last.q, last.seen = q, 0
		c.net.Unlock()
		c.isolate(last.voter.ID, false)
		before := last.log.EndOffset()
		for range 30 {
			c.append()
			c.pass(time.Second)
		}
		if last.log.EndOffset() != before {
			t.Errorf("its log went from %d to %d", before, last.log.EndOffset())
		}
		c.stop(last)
		last.log.closed = false
		c.settle()
		c.verify()
	})
}

// TestCrashBetweenSnapshotAndLog: the power goes when a leader's snapshot is on disk and the log has not followed. The next start lets it follow.
func TestCrashBetweenSnapshotAndLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 10, 3, false)
		last := behind(t, c)
		donor := c.leader() // the others' snapshots may be older than what it will offer
		base := donor.q.Base()
		data := make([]byte, base.Bytes)
		if n, _, err := donor.q.ReadSnapshot(base.End, 0, data); n != len(data) || err != nil {
			t.Fatalf("%d of %d bytes, %v", n, len(data), err)
		}
		c.stop(last)
		last.log.closed = false
		w, err := createCheckpoint(last.fs, path, base.End, 0)
		if err == nil {
			err = w.raw(data)
		}
		if err == nil {
			err = w.seal()
		}
		if err != nil {
			t.Fatal(err)
		}
		c.start(last)
		if last.log.StartOffset() != base.End.Offset || last.log.emptied != 1 || last.q.table.last() != base.index {
			t.Errorf("the log begins at %d, the last entry is %d; the snapshot ends at %v with entry %d", last.log.StartOffset(), last.q.table.last(), base.End, base.index)
		}
		c.settle()
		c.verify()
		if last.log.emptied != 1 {
			t.Errorf("its log was emptied %d times", last.log.emptied)
		}
	})
}

// TestReadSnapshot reads within the file, and nothing else.
func TestReadSnapshot(t *testing.T) {
	log, fsys := many(t)
	q := reopened(t, nil, log, fsys)
	end := q.Base().End
	p := make([]byte, 1000)
	n, size, err := q.ReadSnapshot(end, 300, p)
	if err != nil || size != q.Base().Bytes || int64(n) != size-300 {
		t.Errorf("%d bytes of %d, %v", n, size, err)
	}
	for _, position := range []int64{-1, size, 1 << 40} {
		if n, _, err := q.ReadSnapshot(end, position, p); err == nil {
			t.Errorf("%d bytes at position %d", n, position)
		}
	}
	if _, _, err := q.ReadSnapshot(machine.Position{Epoch: 9, Offset: 9}, 0, p); err == nil {
		t.Error("a snapshot that is not there was read")
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestHistoriesWithSnapshots spoils everything at random while voters make snapshots and cut their logs. Nothing that any voter called committed may ever change or be missing.
func TestHistoriesWithSnapshots(t *testing.T) {
	emptied, forgot, crashes := 0, 0, 0
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCluster(t, 1000+seed, 3, true)
				c.net.lossy = true
				c.snapshots = 6
				for range 250 {
					crashes += c.act()
				}
				c.settle()
				c.verify()
				for _, m := range c.members {
					emptied, forgot = emptied+m.log.emptied, forgot+m.log.forgot
				}
			})
		})
	}
	t.Logf("%d logs begun anew behind a snapshot, %d batches cut from the beginnings, %d power cuts", emptied, forgot, crashes)
	if emptied < 10 || forgot < 300 || crashes < 100 {
		t.Error("the faults did not bite")
	}
}
