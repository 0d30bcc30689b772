package quorum

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// controller is the metadata machine over a quorum over a log directory.
type controller struct {
	*node
	t     *testing.T
	shard *shard.Shard
	stop  context.CancelFunc
	ended chan error
	mu    sync.Mutex
	image *meta.Image
}

func openController(t *testing.T, fsys vfs.FS) (*controller, error) {
	n, err := openNode(fsys)
	if err != nil {
		return nil, err
	}
	lead(t, n.q)
	c := &controller{node: n, t: t, ended: make(chan error, 1)}
	m := meta.New(meta.Options{NodeID: 1, Publish: func(i *meta.Image, _ *meta.Delta) {
		c.mu.Lock()
		c.image = i
		c.mu.Unlock()
	}})
	c.shard = shard.New(n.q, m, shard.Options{Name: "controller", MaxBatchBytes: maxBatchBytes})
	var ctx context.Context
	ctx, c.stop = context.WithCancel(context.Background())
	go func() { c.ended <- c.shard.Run(ctx) }()
	select {
	case <-c.shard.Ready():
		return c, nil
	case err := <-c.ended:
		return nil, errors.Join(err, n.close())
	}
}

func (c *controller) close() error {
	c.stop()
	return errors.Join(<-c.ended, c.node.close())
}

func (c *controller) ask(input any) any {
	c.t.Helper()
	call := c.shard.Call(input)
	<-call.Done()
	reply, err := call.Result()
	if err != nil {
		c.t.Fatal(err)
	}
	return reply
}

func (c *controller) published() *meta.Image {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.image
}

// begin makes the cluster and its broker.
func (c *controller) begin() {
	c.ask(meta.Bootstrap{})
	c.ask(meta.RegisterBroker{ID: 1, IncarnationID: model.TopicID{1}, Directories: []model.TopicID{self.DirectoryID}, Endpoints: []meta.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}})
}

func (c *controller) create(n int) {
	c.t.Helper()
	reply := c.ask(meta.CreateTopics{Topics: []meta.CreateTopic{{
		Name: fmt.Sprintf("topic-%03d", n), ID: model.TopicID{9, byte(n)}, Partitions: 5, ReplicationFactor: 1, Configs: []meta.ConfigEntry{{Name: "retention.ms", Value: new(fmt.Sprint(n))}},
	}}}).(meta.CreateTopicsReply)
	if reply.Topics[0].Code != model.None {
		c.t.Fatalf("%+v", reply.Topics[0])
	}
}

func (c *controller) snapshot() {
	c.t.Helper()
	image := c.published()
	if _, err := c.q.Snapshot(c.t.Context(), image.Position().Offset, image.Records()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *controller) retain(bytes int64) {
	c.t.Helper()
	if _, err := c.q.Retain(bytes, -1); err != nil {
		c.t.Fatal(err)
	}
}

// contents is an image as a string.
func contents(i *meta.Image) string {
	var b strings.Builder
	for r := range i.Records() {
		fmt.Fprintf(&b, "%x\n", r.Value)
	}
	return b.String()
}

// story is what a controller went through, and how its image looked with each number of topics.
type story struct {
	sync.Mutex
	acknowledged int
	looks        map[int]string
	positions    map[int]int64
}

func (s *story) created(c *controller, n int) {
	s.Lock()
	defer s.Unlock()
	s.acknowledged = n
	s.looks[n], s.positions[n] = contents(c.published()), c.published().Position().Offset
}

// live has two sessions, with snapshots, of which the later ones move the log's start.
func (s *story) live(t *testing.T, fsys vfs.FS) {
	n := 0
	for session := range 2 {
		c, err := openController(t, fsys)
		if err != nil {
			t.Fatal(err)
		}
		if session == 0 {
			c.begin()
		}
		for range 14 {
			n++
			c.create(n)
			s.created(c, n)
			switch n % 7 {
			case 3:
				c.snapshot()
			case 5:
				c.retain(12_000)
			case 6:
				c.snapshot()
				c.retain(0)
			}
		}
		if err := c.close(); err != nil {
			t.Fatal(err)
		}
	}
}

// check opens what a power cut left: the image must be one that was, with everything that was acknowledged.
func (s *story) check(t *testing.T, name string, fsys vfs.FS, acknowledged int) {
	t.Helper()
	c, err := openController(t, fsys)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	image := c.published()
	n := image.TopicCount()
	if n < acknowledged {
		t.Errorf("%s: %d topics, of %d that were acknowledged", name, n, acknowledged)
	}
	if want, ok := s.looks[n]; ok && contents(image) != want {
		t.Errorf("%s: with %d topics the image is\n%s\nwhen it was made it was\n%s", name, n, contents(image), want)
	} else if !ok && n > 0 {
		t.Errorf("%s: %d topics", name, n)
	}
	if n > 0 { // it can go on
		c.ask(meta.CreateTopics{Topics: []meta.CreateTopic{{Name: "after", ID: model.TopicID{8}, Partitions: 1, ReplicationFactor: 1}}})
		c.snapshot()
		c.retain(0)
	}
	if err := c.close(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestSnapshotPowerCuts cuts the power after every call to the file system while snapshots are made and the log's start moves.
func TestSnapshotPowerCuts(t *testing.T) {
	type cut struct {
		after        string
		fs           *vfs.Mem
		acknowledged int
	}
	var mu sync.Mutex
	var cuts []cut
	fsys, s := vfs.NewMem(), &story{looks: map[int]string{}, positions: map[int]int64{}}
	ops := map[vfs.Op]int{}
	spying := vfs.NewFaulty(fsys, vfs.Hooks{OnAfter: func(c vfs.LoggedCall) {
		if c.Op == vfs.OpRead {
			return
		}
		s.Lock() // before the cut: what is acknowledged later may be lost
		acknowledged := s.acknowledged
		s.Unlock()
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(c.Path, checkpointSuffix) {
			ops[c.Op]++
		}
		seed := uint64(len(cuts) + 1)
		cuts = append(cuts, cut{fmt.Sprintf("cut %d after %v %s", seed, c.Op, c.Path), fsys.Crash(seed), acknowledged})
	}})
	s.live(t, spying)
	for _, op := range []vfs.Op{vfs.OpCreate, vfs.OpWrite, vfs.OpSync, vfs.OpRename, vfs.OpRemove} {
		if ops[op] < 6 {
			t.Errorf("only %d cuts after a %v of a snapshot", ops[op], op)
		}
	}
	t.Logf("%d cuts, those after calls on snapshots: %v", len(cuts), ops)
	for _, c := range cuts {
		s.check(t, c.after, c.fs, c.acknowledged)
	}
	s.check(t, "no cut", fsys, s.acknowledged)
}

// TestOldAndNewAreTheSame: the old snapshot with the longer log, the new one with the longer log, and the new one with the cut log make one image.
func TestOldAndNewAreTheSame(t *testing.T) {
	fsys := vfs.NewMem()
	c, err := openController(t, fsys)
	if err != nil {
		t.Fatal(err)
	}
	c.begin()
	for n := range 30 {
		c.create(n)
		if n == 9 {
			c.snapshot()
			c.retain(0)
		}
	}
	type state struct {
		name string
		fs   *vfs.Mem
	}
	old := state{"old snapshot, longer log", fsys.Crash(1)}
	c.snapshot()
	longer := state{"new snapshot, longer log", fsys.Crash(2)}
	c.retain(0)
	for log, n := c.q.log.(partitionLog), 100; log.DurableStartOffset() < log.StartOffset(); n++ { // each topic waits for a sync
		c.create(n)
	}
	want := contents(c.published())
	short := state{"new snapshot, cut log", fsys.Crash(3)}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
	type found struct {
		snapshot, start int64
	}
	var all []found
	var looks []string
	for _, s := range []state{old, longer, short} {
		again, err := openController(t, s.fs)
		if err != nil {
			t.Fatalf("%s: %v", s.name, err)
		}
		all = append(all, found{again.q.Base().End.Offset, again.q.log.StartOffset()})
		looks = append(looks, contents(again.published()))
		if err := again.close(); err != nil {
			t.Fatal(err)
		}
	}
	if looks[0] != looks[1] {
		t.Errorf("with the longer log, the old snapshot makes\n%s\nthe new one\n%s", looks[0], looks[1])
	}
	if looks[2] != want {
		t.Errorf("with the cut log, the new snapshot makes\n%s\nwant\n%s", looks[2], want)
	}
	if all[0].snapshot >= all[1].snapshot || all[0].start != all[1].start || all[1].snapshot != all[2].snapshot || all[2].start != all[2].snapshot {
		t.Errorf("snapshots and starts of the logs: %+v", all)
	}
}
