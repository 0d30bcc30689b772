package quorum

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

const (
	dataDir   = "data"
	partition = "__cluster_metadata-0"
)

// node is a quorum over a real log directory.
type node struct {
	dir *dir.Dir
	q   *Quorum
}

func openNode(fsys vfs.FS) (*node, error) {
	d, err := dir.Open(fsys, dataDir, dir.Options{Meta: dir.Meta{ClusterID: "5L6g3nShT-eMCtK--X86sw", NodeID: 1, DirectoryID: self.DirectoryID}})
	if err != nil {
		return nil, err
	}
	config := plog.DefaultConfig()
	config.SegmentBytes, config.RetentionMs, config.CleanupDelete, config.FileDeleteDelayMs = 4096, -1, false, 0
	log, err := plog.Open(d, partition, model.MetadataTopicID, config)
	if err != nil {
		return nil, errors.Join(err, d.Close(0))
	}
	q, err := Open(Options{FS: fsys, Path: filepath.Join(dataDir, partition), Log: NewPlog(log), NodeID: 1, DirectoryID: d.ID(), Voters: []Voter{self}})
	if err != nil {
		return nil, errors.Join(err, d.Close(0))
	}
	return &node{d, q}, nil
}

func (n *node) close() error { return errors.Join(n.q.Close(), n.dir.Close(0)) }

// promises are what the outside was told.
type promises struct {
	sync.Mutex
	epoch  int32
	values map[int64]string
}

func (p *promises) copy() *promises {
	p.Lock()
	defer p.Unlock()
	out := &promises{epoch: p.epoch, values: map[int64]string{}}
	for k, v := range p.values {
		out.values[k] = v
	}
	return out
}

// fill opens the node, writes some batches and closes it, noting what was acknowledged.
func fill(t *testing.T, fsys vfs.FS, p *promises, batches int) error {
	n, err := openNode(fsys)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	at, err := n.q.Lead(ctx)
	if err != nil {
		return errors.Join(err, n.close())
	}
	committed(t, n.q, at.Offset)
	p.Lock()
	if at.Epoch <= p.epoch {
		t.Errorf("epoch %d after epoch %d", at.Epoch, p.epoch)
	}
	p.epoch = at.Epoch
	p.Unlock()
	for i := range batches {
		value := fmt.Sprintf("%d/%d/%s", at.Epoch, i, bytes.Repeat([]byte{'x'}, 300*(i%3)))
		pos, err := n.q.Append([]machine.Record{{Value: []byte(value)}, {Value: []byte("second")}})
		if err != nil {
			return errors.Join(err, n.close())
		}
		committed(t, n.q, pos.Offset+2)
		p.Lock()
		p.values[pos.Offset] = value
		p.Unlock()
	}
	return n.close()
}

// verify opens what a power cut left and compares it with the promises.
func verify(t *testing.T, name string, fsys vfs.FS, p *promises) {
	t.Helper()
	n, err := openNode(fsys)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	at, err := n.q.Lead(ctx)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	if at.Epoch <= p.epoch {
		t.Errorf("%s: leads in epoch %d, but epoch %d was led before", name, at.Epoch, p.epoch)
	}
	found := map[int64]string{}
	if err := n.q.Load(0, func(at machine.Position, r machine.Record) error {
		found[at.Offset] = string(r.Value)
		return nil
	}); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	for offset, value := range p.values {
		if found[offset] != value {
			t.Errorf("%s: offset %d was acknowledged as %.20q and is %.20q", name, offset, value, found[offset])
		}
	}
	if err := n.close(); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestPowerCuts cuts the power after every call to the file system, during a first start, a second one, and the writes of both (I1, I2).
func TestPowerCuts(t *testing.T) {
	type cut struct {
		after    string
		fs       *vfs.Mem
		promised *promises
	}
	var mu sync.Mutex
	var cuts []cut
	fsys, p := vfs.NewMem(), &promises{values: map[int64]string{}}
	seed := uint64(0)
	spying := vfs.NewFaulty(fsys, vfs.Hooks{OnAfter: func(c vfs.LoggedCall) {
		if c.Op == vfs.OpRead {
			return
		}
		promised := p.copy() // before the cut: what is promised later may be lost
		mu.Lock()
		defer mu.Unlock()
		seed++
		cuts = append(cuts, cut{fmt.Sprintf("cut %d after %v %s", seed, c.Op, c.Path), fsys.Crash(seed), promised})
	}})
	for range 2 {
		if err := fill(t, spying, p, 12); err != nil {
			t.Fatal(err)
		}
	}
	if len(p.values) != 24 || len(cuts) < 60 {
		t.Fatalf("%d promises, %d cuts", len(p.values), len(cuts))
	}
	for _, c := range cuts {
		verify(t, c.after, c.fs, c.promised)
	}
	verify(t, "no cut", fsys, p)
}

// TestFailingDisk fails every call in turn; whatever happens, nothing that was acknowledged is lost, and a failure is told.
func TestFailingDisk(t *testing.T) {
	bitten := 0
	for _, op := range []vfs.Op{vfs.OpSync, vfs.OpWrite, vfs.OpSyncDir, vfs.OpRename, vfs.OpCreate} {
		for nth := 1; nth <= 8; nth++ {
			fsys, p := vfs.NewMem(), &promises{values: map[int64]string{}}
			rule := &vfs.Rule{Op: op, Path: partition + "/*", Nth: nth, Fault: vfs.Fault{Err: errors.New("injected")}}
			err := fillUnder(t, vfs.NewFaulty(fsys, vfs.Rules{rule}), p)
			if rule.Bitten() > 0 {
				bitten++
				if err == nil {
					t.Errorf("%v %d failed and nobody was told", op, nth)
				}
			}
			verify(t, fmt.Sprintf("%v %d", op, nth), fsys.Crash(uint64(nth)), p)
		}
	}
	if bitten < 12 {
		t.Errorf("only %d faults bit", bitten)
	}
}

// fillUnder is fill that expects to fail anywhere.
func fillUnder(t *testing.T, fsys vfs.FS, p *promises) error {
	n, err := openNode(fsys)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if _, err := n.q.Lead(ctx); err != nil {
		return errors.Join(err, n.close())
	}
	changed := make(chan struct{}, 1)
	n.q.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for i := range 10 {
		at, err := n.q.Append([]machine.Record{{Value: []byte{byte(i)}}})
		if err != nil {
			return errors.Join(err, n.close())
		}
		for n.q.Committed().Offset <= at.Offset {
			if err := n.q.Err(); err != nil {
				return errors.Join(err, n.close())
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatal("neither committed nor failed")
			}
		}
		p.values[at.Offset] = string([]byte{byte(i)})
		p.epoch = at.Epoch
	}
	return n.close()
}

// TestMetadataMachineOverPlog runs the whole chain: inputs through a shard into the log, and again after a restart.
func TestMetadataMachineOverPlog(t *testing.T) {
	fsys := vfs.NewMem()
	for round := range 3 {
		n, err := openNode(fsys)
		if err != nil {
			t.Fatal(err)
		}
		lead(t, n.q)
		var mu sync.Mutex
		var images []*meta.Image
		m := meta.New(meta.Options{NodeID: 1, Publish: func(i *meta.Image, _ *meta.Delta) {
			mu.Lock()
			images = append(images, i)
			mu.Unlock()
		}})
		s := shard.New(n.q, m, shard.Options{Name: "controller", MaxBatchBytes: maxBatchBytes})
		ctx, cancel := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- s.Run(ctx) }()
		<-s.Ready()
		ask := func(input any) any {
			t.Helper()
			call := s.Call(input)
			<-call.Done()
			reply, err := call.Result()
			if err != nil {
				t.Fatal(err)
			}
			return reply
		}
		if reply := ask(meta.Bootstrap{}).(meta.BootstrapReply); reply.New != (round == 0) {
			t.Errorf("round %d: bootstrap %+v", round, reply)
		}
		before := n.q.End().Offset
		broker := ask(meta.RegisterBroker{
			ID: 1, IncarnationID: model.TopicID{byte(round + 1)}, Directories: []model.TopicID{self.DirectoryID}, Endpoints: []meta.Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}},
		}).(meta.BrokerReply)
		if broker.Code != model.None || broker.Epoch != before {
			t.Fatalf("round %d: %+v; the registration lies at offset %d", round, broker, before)
		}
		created := ask(meta.CreateTopics{Topics: []meta.CreateTopic{{Name: fmt.Sprintf("t%d", round), ID: model.TopicID{9, byte(round)}, Partitions: 100, ReplicationFactor: 1}}}).(meta.CreateTopicsReply)
		if created.Topics[0].Code != model.None {
			t.Fatalf("%+v", created.Topics[0])
		}
		ids := ask(meta.AllocateProducerIDs{Broker: 1, Epoch: broker.Epoch}).(meta.ProducerIDsReply)
		if ids.First != int64(round*meta.ProducerIDBlock) {
			t.Errorf("round %d: producer ids from %d", round, ids.First)
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		mu.Lock()
		last := images[len(images)-1]
		mu.Unlock()
		if last.TopicCount() != round+1 || last.PartitionCount() != 100*(round+1) {
			t.Errorf("round %d: %d topics, %d partitions", round, last.TopicCount(), last.PartitionCount())
		}
		if p := last.TopicByName("t0").Partition(99); p.LeaderEpoch != int32(round) {
			t.Errorf("round %d: leader epoch %d", round, p.LeaderEpoch)
		}
		if err := n.close(); err != nil {
			t.Fatal(err)
		}
	}
}

func BenchmarkCommit(b *testing.B) {
	n, err := openNode(vfs.NewMem())
	if err != nil {
		b.Fatal(err)
	}
	at, err := n.q.Lead(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	changed := make(chan struct{}, 1)
	n.q.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	for b.Loop() {
		if at, err = n.q.Append([]machine.Record{{Value: []byte("value")}}); err != nil {
			b.Fatal(err)
		}
		for n.q.Committed().Offset <= at.Offset {
			<-changed
		}
	}
	if err := n.close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkSnapshot writes a snapshot of 100,000 partitions to the disk, and reads it as a start does.
func BenchmarkSnapshot(b *testing.B) {
	m := meta.New(meta.Options{NodeID: 1})
	offset := int64(0)
	step := func(in any) {
		for _, r := range m.Step(time.Unix(1, 0), 1, in).Records {
			m.Apply(machine.Position{Epoch: 1, Offset: offset}, r)
			offset++
		}
	}
	step(meta.Bootstrap{})
	step(meta.RegisterBroker{ID: 1, IncarnationID: model.TopicID{1}, Directories: []model.TopicID{self.DirectoryID}, Endpoints: []meta.Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	for n := range 10_000 {
		step(meta.CreateTopics{Topics: []meta.CreateTopic{{Name: fmt.Sprintf("topic-%d", n), ID: model.TopicID{9, byte(n), byte(n >> 8)}, Partitions: 10, ReplicationFactor: 1}}})
	}
	image, fsys, at := m.Image(), vfs.OS(), b.TempDir()
	for b.Loop() {
		w, err := createCheckpoint(fsys, at, machine.Position{Epoch: 1, Offset: offset}, 1)
		if err == nil {
			err = w.header(1, 1, nil)
		}
		for r := range image.Records() {
			if err == nil {
				err = w.record(r)
			}
		}
		if err == nil {
			err = errors.Join(w.footer(), w.seal())
		}
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(w.size)
		c := &Checkpoint{End: w.end, name: w.name(), fs: fsys}
		again := meta.New(meta.Options{NodeID: 1})
		if err := errors.Join(c.verify(), c.Records(func(at machine.Position, r machine.Record) error {
			again.Apply(at, r)
			return nil
		})); err != nil {
			b.Fatal(err)
		}
		if n := again.Image().PartitionCount(); n != 100_000 {
			b.Fatalf("%d partitions", n)
		}
	}
}
