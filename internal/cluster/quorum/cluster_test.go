package quorum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// member is one voter of a test cluster; q is nil while it is down.
type member struct {
	voter Voter
	log   *memLog
	fs    *vfs.Mem
	q     *Quorum
	seen  int64 // what it said was committed
	part  int   // how much of a snapshot it gives at once; 0 for none
}

// cluster is a quorum whose network and disks the test spoils. It lives inside a synctest bubble.
type cluster struct {
	t       *testing.T
	rand    *rand.Rand
	members []*member
	net     struct {
		sync.Mutex
		rand     *rand.Rand
		isolated map[int32]bool
		lossy    bool
		dropped  int
		onFetch  func() // called once, when a snapshot is brought
	}
	leaders  map[int32]int32             // by epoch
	promised map[int64]string            // by offset: what some voter said is committed
	open     map[machine.Position]string // appended, not known to be committed
	appended int
	elected  int

	snapshots int // one in so many acts makes one; 0 for never
}

func newCluster(t *testing.T, seed uint64, voters int, manual bool) *cluster {
	c := &cluster{t: t, rand: rand.New(rand.NewPCG(seed, 1)), leaders: map[int32]int32{}, promised: map[int64]string{}, open: map[machine.Position]string{}}
	c.net.isolated, c.net.rand = map[int32]bool{}, rand.New(rand.NewPCG(seed, 2))
	for n := range voters {
		id := int32(n + 1)
		c.members = append(c.members, &member{voter: Voter{ID: id, DirectoryID: model.TopicID{0: byte(id), 15: 1}}, log: &memLog{manual: manual}, fs: vfs.NewMem(), part: 100})
	}
	for _, m := range c.members {
		if err := errors.Join(m.fs.MkdirAll(dataDir), m.fs.SyncDir(".")); err != nil { // a log directory is there before its quorum
			t.Fatal(err)
		}
		c.start(m)
	}
	t.Cleanup(func() {
		for _, m := range c.members {
			c.stop(m)
		}
	})
	return c
}

func (c *cluster) voters() (out []Voter) {
	for _, m := range c.members {
		out = append(out, m.voter)
	}
	return out
}

func (c *cluster) start(m *member) {
	q, err := Open(Options{FS: m.fs, Path: path, Log: m.log, NodeID: m.voter.ID, DirectoryID: m.voter.DirectoryID, Voters: c.voters(), Transport: link{c, m.voter.ID}})
	if err != nil {
		c.t.Fatal(err)
	}
	c.net.Lock()
	m.q, m.seen = q, 0
	c.net.Unlock()
}

func (c *cluster) stop(m *member) {
	if m.q == nil {
		return
	}
	if err := m.q.Close(); err != nil {
		c.t.Error(err)
	}
	c.net.Lock()
	m.q = nil
	c.net.Unlock()
}

// crash cuts the power of a voter.
func (c *cluster) crash(m *member) {
	c.stop(m)
	m.log, m.fs = m.log.crash(c.rand), m.fs.Crash(c.rand.Uint64())
}

// link is the network as one voter sees it: it delays, reorders and loses messages.
type link struct {
	c    *cluster
	from int32
}

func (l link) Send(to Voter, message []byte) {
	c := l.c
	c.net.Lock()
	defer c.net.Unlock()
	if c.net.isolated[l.from] || c.net.isolated[to.ID] || c.net.lossy && c.net.rand.IntN(10) == 0 {
		c.net.dropped++
		return
	}
	time.AfterFunc(time.Duration(c.net.rand.IntN(30))*time.Millisecond, func() {
		c.net.Lock()
		q := c.members[to.ID-1].q
		if c.net.isolated[to.ID] {
			q = nil
		}
		c.net.Unlock()
		if q == nil {
			return
		}
		if err := q.Receive(message); err != nil {
			c.t.Errorf("voter %d refused a message of voter %d: %v", to.ID, l.from, err)
		}
	})
}

// FetchSnapshot takes as long as a message there and one back.
func (l link) FetchSnapshot(ctx context.Context, from Voter, at machine.Position, position int64) ([]byte, int64, error) {
	c := l.c
	c.net.Lock()
	m := c.members[from.ID-1]
	q, part := m.q, m.part
	if c.net.onFetch != nil {
		c.net.onFetch()
		c.net.onFetch = nil
	}
	if c.net.isolated[l.from] || c.net.isolated[from.ID] || c.net.lossy && c.net.rand.IntN(20) == 0 {
		q = nil
	}
	c.net.Unlock()
	select {
	case <-time.After(20 * time.Millisecond):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if q == nil || part == 0 {
		return nil, 0, errors.New("nobody answers")
	}
	p := make([]byte, part)
	n, size, err := q.ReadSnapshot(at, position, p)
	return p[:n], size, err
}

// stateKey marks the records of a snapshot: the value at each offset, which is what a machine would make of the log.
const stateKey = "state"

// snapshot has a voter write a snapshot of all that it called committed, and cut its log.
func (c *cluster) snapshot(m *member, retain int64) (made bool) {
	c.t.Helper()
	c.check(m)
	at := m.q.Committed().Offset
	_, err := m.q.Snapshot(c.t.Context(), at, func(yield func(machine.Record) bool) {
		for offset := range at {
			if value, ok := c.promised[offset]; ok && !yield(machine.Record{Key: []byte(stateKey), Value: fmt.Appendf(nil, "%d|%s", offset, value)}) {
				return
			}
		}
	})
	if err != nil && !errors.Is(err, ErrNothingNew) && !errors.Is(err, errUncommitted) {
		c.t.Fatalf("voter %d: %v", m.voter.ID, err)
	}
	if _, err := m.q.Retain(retain, -1); err != nil {
		c.t.Fatalf("voter %d: %v", m.voter.ID, err)
	}
	return err == nil
}

func (c *cluster) isolate(id int32, yes bool) {
	c.net.Lock()
	c.net.isolated[id] = yes
	c.net.Unlock()
}

// pass lets time go by and checks what everyone says (I2, I3).
func (c *cluster) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
	for _, m := range c.members {
		if m.q != nil {
			c.check(m)
		}
	}
}

func (c *cluster) check(m *member) {
	c.t.Helper()
	if err := m.q.Err(); err != nil {
		c.t.Fatalf("voter %d failed: %v", m.voter.ID, err)
	}
	if end := m.q.End(); end.Epoch >= 0 {
		if other, ok := c.leaders[end.Epoch]; ok && other != m.voter.ID {
			c.t.Fatalf("voters %d and %d both lead in epoch %d", other, m.voter.ID, end.Epoch)
		} else if !ok {
			c.elected++
		}
		c.leaders[end.Epoch] = m.voter.ID
	}
	at := m.q.Committed()
	if at.Offset < m.seen {
		c.t.Fatalf("voter %d: committed fell from %d to %d", m.voter.ID, m.seen, at.Offset)
	}
	from := m.seen
	m.seen = at.Offset
	if err := m.q.Load(from, func(p machine.Position, r machine.Record) error {
		if p.Offset >= at.Offset {
			return nil
		}
		value := fmt.Sprintf("%s@%d", r.Value, p.Epoch)
		if string(r.Key) == stateKey {
			offset, was, ok := strings.Cut(string(r.Value), "|")
			at, err := strconv.ParseInt(offset, 10, 64)
			if err != nil || !ok {
				return fmt.Errorf("a snapshot has %q", r.Value)
			}
			p.Offset, value = at, was
		}
		if was, ok := c.promised[p.Offset]; ok && was != value {
			return fmt.Errorf("offset %d was committed as %s and is %s now", p.Offset, was, value)
		}
		c.promised[p.Offset] = value
		return nil
	}); err != nil {
		c.t.Fatalf("voter %d: %v", m.voter.ID, err)
	}
	// What a leader acknowledges in its own epoch must be what it appended there.
	for p, value := range c.open {
		if p.Epoch == at.Epoch && p.Offset < at.Offset && c.leaders[p.Epoch] == m.voter.ID {
			if got := c.promised[p.Offset]; got != fmt.Sprintf("%s@%d", value, p.Epoch) {
				c.t.Fatalf("%s was acknowledged at %v, where %q is", value, p, got)
			}
			delete(c.open, p)
		}
	}
}

func (c *cluster) append() {
	for _, m := range c.members {
		if m.q == nil || m.q.Admit() != nil {
			continue
		}
		c.appended++
		value := fmt.Sprintf("value-%d", c.appended)
		records := []machine.Record{{Value: []byte(value)}}
		at, err := m.q.Append(records)
		if errors.Is(err, ErrNotLeader) {
			continue
		}
		if err != nil {
			c.t.Fatal(err)
		}
		c.open[at] = value
	}
}

func (c *cluster) leader() *member {
	for range 600 {
		for _, m := range c.members {
			if m.q != nil && m.q.End().Epoch >= 0 && m.q.Committed().Offset == m.q.End().Offset {
				return m
			}
		}
		c.pass(100 * time.Millisecond)
	}
	c.t.Fatal("no leader after a minute")
	return nil
}

// settle heals everything and waits until all voters agree.
func (c *cluster) settle() {
	c.t.Helper()
	c.net.Lock()
	clear(c.net.isolated)
	c.net.lossy = false
	c.net.Unlock()
	for _, m := range c.members {
		m.log.mu.Lock()
		m.log.manual = false
		m.log.mu.Unlock()
		if m.q == nil {
			c.start(m)
		}
		m.log.sync()
	}
	c.leader()
	c.append()
	for range 600 {
		c.pass(100 * time.Millisecond)
		agreed := true
		for _, m := range c.members {
			agreed = agreed && m.q.Committed().Offset == m.log.EndOffset() && m.log.EndOffset() == c.members[0].log.EndOffset() && len(c.open) == len(c.lost())
		}
		if agreed {
			return
		}
	}
	for _, m := range c.members {
		c.t.Logf("voter %d: committed %v, end %d", m.voter.ID, m.q.Committed(), m.log.EndOffset())
	}
	c.t.Fatal("the voters do not agree after a minute")
}

// lost are appends of epochs that ended before they were acknowledged.
func (c *cluster) lost() (out []string) {
	latest := int32(0)
	for epoch := range c.leaders {
		latest = max(latest, epoch)
	}
	for at, value := range c.open {
		if at.Epoch < latest {
			out = append(out, value)
		}
	}
	return out
}

// verify compares the logs byte by byte.
func (c *cluster) verify() {
	c.t.Helper()
	all, cut := map[int64]batch.Batch{}, 0
	for _, m := range c.members {
		cut += m.log.emptied + m.log.forgot
		next := int64(-1)
		for _, b := range m.log.batches {
			if next >= 0 && b.BaseOffset() != next {
				c.t.Fatalf("voter %d has a batch at offset %d, where %d comes next", m.voter.ID, b.BaseOffset(), next)
			}
			next = b.NextOffset()
			if other, ok := all[b.BaseOffset()]; ok && !bytes.Equal(b, other) {
				c.t.Fatalf("the batch at offset %d of voter %d differs from another's:\n%x\n%x", b.BaseOffset(), m.voter.ID, []byte(b), []byte(other))
			}
			all[b.BaseOffset()] = b
		}
		if end := m.log.EndOffset(); end != c.members[0].log.EndOffset() {
			c.t.Fatalf("the log of voter %d ends at offset %d, that of voter 1 at %d", m.voter.ID, end, c.members[0].log.EndOffset())
		}
		c.whole(m)
	}
	named := 0
	for _, b := range all {
		if b.IsControl() {
			if _, ok, err := votersIn(b); err != nil {
				c.t.Fatal(err)
			} else if ok {
				named++
			}
		}
	}
	if named > 1 || named == 0 && cut == 0 {
		c.t.Errorf("the voters are named %d times", named)
	}
}

// whole loads a voter's state from nothing: everything that was ever promised is in it.
func (c *cluster) whole(m *member) {
	c.t.Helper()
	found := map[int64]bool{}
	if err := m.q.Load(0, func(p machine.Position, r machine.Record) error {
		if string(r.Key) == stateKey {
			offset, _, _ := strings.Cut(string(r.Value), "|")
			at, err := strconv.ParseInt(offset, 10, 64)
			p.Offset = at
			if err != nil {
				return err
			}
		}
		if found[p.Offset] {
			return fmt.Errorf("offset %d comes twice", p.Offset)
		}
		found[p.Offset] = true
		return nil
	}); err != nil {
		c.t.Fatalf("voter %d: %v", m.voter.ID, err)
	}
	for offset, value := range c.promised {
		if !found[offset] {
			c.t.Fatalf("voter %d has lost %s at offset %d", m.voter.ID, value, offset)
		}
	}
}

func TestThreeVoters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 1, 3, false)
		first := c.leader()
		for range 10 {
			c.append()
			c.pass(50 * time.Millisecond)
		}
		d := first.q.Describe()
		if d.LeaderID != first.voter.ID || len(d.Replicas) != 3 {
			t.Errorf("described as %+v", d)
		}
		c.pass(time.Second)
		for _, r := range first.q.Describe().Replicas {
			if r.LogEndOffset != first.log.EndOffset() || r.LastCaughtUp.IsZero() || time.Since(r.LastFetch) > time.Second {
				t.Errorf("replica %+v, the log ends at %d", r, first.log.EndOffset())
			}
		}
		for _, m := range c.members {
			if m != first {
				if err := m.q.Admit(); !errors.Is(err, model.NotController) {
					t.Errorf("voter %d admits: %v", m.voter.ID, err)
				}
				if d := m.q.Describe(); d.LeaderID != first.voter.ID || len(d.Replicas) != 0 {
					t.Errorf("voter %d describes %+v", m.voter.ID, d)
				}
			}
		}
		c.stop(first)
		second := c.leader()
		if second == first {
			t.Fatal("the stopped voter leads")
		}
		c.append()
		first.log.closed = false
		c.settle()
		c.verify()
	})
}

// An isolated leader goes on appending; what it appended is cut off when it comes back, and nobody was told that it was committed.
func TestConflictingEndIsCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCluster(t, 2, 3, false)
		old := c.leader()
		c.append()
		c.pass(500 * time.Millisecond)
		c.isolate(old.voter.ID, true)
		before := old.q.Committed().Offset
		var doomed machine.Position
		for range 3 {
			at, err := old.q.Append([]machine.Record{{Value: []byte("doomed")}})
			if err != nil {
				t.Fatal(err)
			}
			doomed = at
		}
		c.pass(5 * time.Second)
		if old.q.End().Epoch >= 0 {
			t.Error("a leader without a majority still leads")
		}
		if got := old.q.Committed().Offset; got != before {
			t.Errorf("a leader without a majority committed up to %d, after %d", got, before)
		}
		for range 3 {
			c.append()
			c.pass(500 * time.Millisecond)
		}
		c.isolate(old.voter.ID, false)
		c.settle()
		c.verify()
		if old.log.cuts == 0 {
			t.Error("nothing was cut")
		}
		for p := range c.promised {
			if c.promised[p] == fmt.Sprintf("doomed@%d", doomed.Epoch) {
				t.Error("what no majority had was committed")
			}
		}
	})
}

// TestHistories spoils everything at random: messages, disks, power. Nothing that any voter called committed may ever change.
func TestHistories(t *testing.T) {
	elected, appended, dropped, cuts, crashes := 0, 0, 0, 0, 0
	for seed := range uint64(25) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				voters := 3
				if seed%5 == 4 {
					voters = 5
				}
				c := newCluster(t, seed, voters, true)
				c.net.lossy = true
				for range 250 {
					crashes += c.act()
				}
				for _, m := range c.members {
					cuts += m.log.cuts
				}
				c.settle()
				c.verify()
				elected, appended, dropped = elected+c.elected, appended+c.appended, dropped+c.net.dropped
			})
		})
	}
	t.Logf("%d leaders, %d appends, %d messages lost, %d batches cut, %d power cuts", elected, appended, dropped, cuts, crashes)
	if elected < 50 || appended < 500 || dropped < 1000 || cuts < 10 || crashes < 100 {
		t.Error("the faults did not bite")
	}
}

func (c *cluster) act() (crashes int) {
	m := c.members[c.rand.IntN(len(c.members))]
	if c.snapshots > 0 && m.q != nil && c.rand.IntN(c.snapshots) == 0 {
		c.snapshot(m, int64(c.rand.IntN(2))*4000)
	}
	switch c.rand.IntN(12) {
	case 0, 1, 2:
		c.append()
	case 3:
		c.isolate(m.voter.ID, true)
	case 4, 5:
		for _, m := range c.members {
			c.isolate(m.voter.ID, false)
		}
	case 6:
		if m.q != nil {
			c.crash(m)
			crashes++
		}
	case 7, 8:
		for _, m := range c.members {
			if m.q == nil {
				c.start(m)
			}
		}
	default:
		c.pass(time.Duration(c.rand.IntN(900)) * time.Millisecond)
	}
	for _, m := range c.members {
		if c.rand.IntN(3) > 0 {
			m.log.sync()
		}
	}
	c.pass(time.Duration(c.rand.IntN(150)) * time.Millisecond)
	return crashes
}
