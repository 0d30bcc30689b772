package meta

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// publisher keeps every image and a copy of how it looked when it was published.
type publisher struct {
	t      *rapid.T
	images []*Image
	looks  []string
}

func (p *publisher) publish(i *Image, d *Delta) {
	var before *Image
	if n := len(p.images); n > 0 {
		before = p.images[n-1]
	}
	if want := Changes(before, i); !sameDelta(d, want) {
		p.t.Fatalf("published\n%+v\na full comparison says\n%+v", d, want)
	}
	p.images = append(p.images, i)
	p.looks = append(p.looks, showImage(i))
}

// sameDelta compares deltas; a full comparison also lists topics whose pointer changed without a difference, so pointers are compared by their looks.
func sameDelta(a, b *Delta) bool {
	names := func(list []*Topic) (out []string) {
		for _, t := range list {
			out = append(out, fmt.Sprint(t.Name, t.ID, t.Partitions))
		}
		return out
	}
	return a.Full == b.Full && slices.Equal(names(a.Created), names(b.Created)) && slices.Equal(names(a.Changed), names(b.Changed)) &&
		slices.Equal(names(a.Deleted), names(b.Deleted)) && slices.Equal(a.Configs, b.Configs) && slices.Equal(a.Brokers, b.Brokers) &&
		a.Controllers == b.Controllers && a.Features == b.Features
}

// history drives a machine with random inputs and remembers what was promised.
type history struct {
	*rig
	rt          *rapid.T
	blocks      map[int64]bool
	epochs      map[partitionRef]int32
	incarnation int
}

func TestHistories(t *testing.T) { // I1 I2 I3 I4 I5
	rapid.Check(t, func(rt *rapid.T) {
		p := &publisher{t: rt}
		h := &history{rt: rt, blocks: map[int64]bool{}, epochs: map[partitionRef]int32{}}
		h.rig = newRig(t, Options{Publish: p.publish, MaxChangesPerInput: 5})
		h.rig.t = t
		h.step(Bootstrap{})
		h.register(1, true)
		h.register(2, true)
		for range rapid.IntRange(1, 60).Draw(rt, "steps") {
			h.act()
			h.checkEpochs()
		}
		h.commit()
		last := p.images[len(p.images)-1]
		for n, i := range p.images {
			if showImage(i) != p.looks[n] {
				rt.Fatalf("image %d changed after it was published", n)
			}
		}
		h.checkReplay(last)
	})
}

func (h *history) act() {
	name := rapid.StringMatching(`[ab][._x]?[c]?`).Draw(h.rt, "name")
	switch rapid.IntRange(0, 11).Draw(h.rt, "act") {
	case 0, 1:
		h.last++
		h.step(CreateTopics{Topics: []CreateTopic{{
			Name: name, ID: id(h.last), Partitions: int32(rapid.IntRange(1, 4).Draw(h.rt, "partitions")), ReplicationFactor: int16(rapid.IntRange(1, 3).Draw(h.rt, "factor")),
			Configs: []ConfigEntry{{"retention.ms", new(name)}},
		}}})
	case 2:
		h.step(DeleteTopics{Topics: []DeleteTopic{{Name: name}}})
	case 3:
		h.step(CreatePartitions{Topics: []GrowTopic{{Name: name, Count: int32(rapid.IntRange(1, 6).Draw(h.rt, "count"))}}})
	case 4:
		h.step(AlterConfigs{Resources: []AlterResource{{Resource: Resource{TopicResource, name}, Replace: rapid.Bool().Draw(h.rt, "replace"), Ops: []ConfigOp{{Name: "a", Value: new(name)}}}}})
	case 5:
		h.register(rapid.SampledFrom([]int32{1, 2, 3}).Draw(h.rt, "broker"), rapid.Bool().Draw(h.rt, "clean"))
	case 6:
		h.fence()
	case 7:
		b := rapid.SampledFrom([]int32{1, 2, 3}).Draw(h.rt, "broker")
		if reg := h.m.ahead.image.Broker(b); reg != nil {
			reply := h.step(AllocateProducerIDs{b, reg.Epoch}).(ProducerIDsReply)
			if reply.Code != model.None || h.blocks[reply.First] || reply.First%ProducerIDBlock != 0 {
				h.rt.Fatalf("block %+v, given out before: %v", reply, h.blocks[reply.First])
			}
			h.blocks[reply.First] = true
		}
	case 8:
		h.commit()
	case 9:
		h.failDirectory()
	case 10:
		h.assign(name)
	case 11:
		h.m.Committed(machine.Position{Epoch: 1, Offset: int64(rapid.IntRange(1, int(h.end)).Draw(h.rt, "committed"))})
	}
}

func (h *history) fence() {
	b := h.m.ahead.image.Broker(rapid.SampledFrom([]int32{1, 2, 3}).Draw(h.rt, "broker"))
	if b == nil {
		return
	}
	for again := true; again; {
		again = h.step(FenceBroker{b.ID, b.Epoch}).(BrokerReply).Again
	}
	for t := range h.m.Image().Topics() {
		for n, p := range t.Partitions {
			if p.Leader == b.ID {
				h.rt.Fatalf("%s-%d is led by the fenced broker %d", t.Name, n, b.ID)
			}
		}
	}
}

// directoriesOf are those with which a broker comes back: it has two, of which the second may be missing.
func directoriesOf(t *rapid.T, broker int32) []model.TopicID {
	return []model.TopicID{id(int(broker) * 11), id(int(broker)*11 + 1)}[:rapid.IntRange(1, 2).Draw(t, "directories")]
}

// failDirectory has a directory of a broker fail: nothing is led there afterwards.
func (h *history) failDirectory() {
	b := h.m.ahead.image.Broker(rapid.SampledFrom([]int32{1, 2, 3}).Draw(h.rt, "broker"))
	if b == nil {
		return
	}
	failed := id(int(b.ID)*11 + 1) // the other one proves at its return that the broker is the same
	for again := true; again; {
		again = h.step(FailDirectories{b.ID, b.Epoch, []model.TopicID{failed}}).(BrokerReply).Again
	}
	for t := range h.m.Image().Topics() {
		for n, p := range t.Partitions {
			if p.Leader == b.ID && p.Directory(b.ID) == failed {
				h.rt.Fatalf("%s-%d is led by broker %d from the directory that failed", t.Name, n, b.ID)
			}
		}
	}
}

// assign puts a partition into a directory of one of its brokers.
func (h *history) assign(topic string) {
	b := h.m.ahead.image.Broker(rapid.SampledFrom([]int32{1, 2, 3}).Draw(h.rt, "broker"))
	t := h.m.Image().TopicByName(topic)
	if b == nil || t == nil || !slices.Contains(t.Partitions[0].Replicas, b.ID) {
		return
	}
	to := id(int(b.ID)*11 + rapid.IntRange(0, 1).Draw(h.rt, "directory"))
	reply := h.step(AssignReplicas{b.ID, b.Epoch, []ReplicaDirectory{{t.ID, 0, to}}}).(AssignReplicasReply)
	p := h.m.Image().TopicByName(topic).Partition(0)
	if reply.Replicas[0].Code != model.None || p.Directory(b.ID) != to || p.Leader == b.ID && !h.m.Image().Broker(b.ID).hasOnline(to) {
		h.rt.Fatalf("assigned to %s: %+v, %+v", to, reply, p)
	}
}

// register brings a broker back and lets it lead; after a crash it must not lead in an epoch of before.
func (h *history) register(broker int32, clean bool) {
	type led struct{ leader, epoch int32 }
	before := map[partitionRef]led{}
	for t := range h.m.Image().Topics() {
		for n, p := range t.Partitions {
			before[partitionRef{t.ID, int32(n)}] = led{p.Leader, p.LeaderEpoch}
		}
	}
	h.incarnation++
	reply := h.step(RegisterBroker{
		ID: broker, IncarnationID: id(1000 + h.incarnation), Directories: directoriesOf(h.rt, broker), CleanShutdown: clean,
		Fenced: rapid.Bool().Draw(h.rt, "fenced"), Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}},
	}).(BrokerReply)
	if reply.Code != model.None {
		h.rt.Fatalf("register: %s", showResult(reply.Result))
	}
	for again := true; again; {
		again = h.step(UnfenceBroker{broker, reply.Epoch}).(BrokerReply).Again
	}
	image := h.m.Image()
	if !image.Broker(broker).Active() {
		h.rt.Fatalf("broker %d is not active after it was unfenced", broker)
	}
	for t := range image.Topics() {
		for n, p := range t.Partitions {
			was := before[partitionRef{t.ID, int32(n)}]
			if !clean && was.leader == broker && p.Leader == broker && p.LeaderEpoch <= was.epoch {
				h.rt.Fatalf("broker %d leads %s-%d on in epoch %d after a crash", broker, t.Name, n, p.LeaderEpoch)
			}
			if p.Leader == NoLeader && slices.Contains(p.ISR, broker) && image.Broker(broker).hasOnline(p.Directory(broker)) {
				h.rt.Fatalf("%s-%d has no leader although broker %d is in sync and active", t.Name, n, broker)
			}
		}
	}
}

func (h *history) checkEpochs() {
	for t := range h.m.Image().Topics() {
		for n, p := range t.Partitions {
			ref := partitionRef{t.ID, int32(n)}
			if p.LeaderEpoch < h.epochs[ref] {
				h.rt.Fatalf("the leader epoch of %s-%d fell from %d to %d", t.Name, n, h.epochs[ref], p.LeaderEpoch)
			}
			h.epochs[ref] = p.LeaderEpoch
			if p.Leader != NoLeader && !slices.Contains(p.ISR, p.Leader) || len(p.ISR) == 0 || len(p.Directories) != len(p.Replicas) {
				h.rt.Fatalf("%s-%d contradicts itself: %+v", t.Name, n, p)
			}
		}
	}
}

// checkReplay loads the log into a fresh machine, as a restart does.
func (h *history) checkReplay(last *Image) {
	var full *Image
	again := New(Options{NodeID: 1, Publish: func(i *Image, d *Delta) {
		if !d.Full {
			h.rt.Fatal("the first publication after a start is not full")
		}
		full = i
	}})
	for n, r := range h.log {
		again.Apply(machine.Position{Epoch: 1, Offset: int64(n + 1)}, r)
	}
	again.Committed(machine.Position{Epoch: 1, Offset: h.end})
	if full == nil || showImage(full) != showImage(last) {
		h.rt.Fatalf("replayed\n%s\nlived\n%s", showImage(full), showImage(last))
	}
	if got, want := again.next, h.m.next; got != want {
		h.rt.Fatalf("next offset %d, want %d", got, want)
	}
	names := []string{}
	for t := range full.Topics() {
		names = append(names, t.Name)
	}
	if !slices.IsSorted(names) || len(names) != full.TopicCount() {
		h.rt.Fatalf("topics %v", names)
	}
}

func TestTopicsFrom(t *testing.T) {
	r := rigWithBroker(t)
	for n, name := range []string{"d", "b", "a", "c"} {
		r.step(CreateTopics{Topics: []CreateTopic{{Name: name, ID: id(n + 1), Partitions: 1, ReplicationFactor: 1}}})
	}
	image := r.m.Image()
	for from, want := range map[string]string{"": "abcd", "b": "bcd", "bb": "cd", "z": ""} {
		got := ""
		for topic := range image.TopicsFrom(from) {
			got += topic.Name
		}
		if got != want {
			t.Errorf("from %q: %q, want %q", from, got, want)
		}
	}
	if p := image.TopicByName("a").Partition(1); p != nil {
		t.Errorf("partition 1 of 1 is %+v", p)
	}
	p := image.TopicByID(id(3)).Partition(0)
	if p.Directory(1) != id(11) || !p.Directory(2).IsZero() {
		t.Errorf("directories of %+v", p)
	}
	for range image.Topics() {
		break // an early end must not panic
	}
}

func rigWithBroker(t testing.TB) *rig {
	r := newRig(t, Options{Publish: func(*Image, *Delta) {}})
	r.step(Bootstrap{Features: []FeatureLevel{{MetadataVersion, MetadataVersion44}, {"group.version", 1}}, Configs: []BootstrapConfig{{Resource{BrokerResource, ""}, "min.insync.replicas", "1"}}})
	r.step(RegisterBroker{ID: 1, IncarnationID: id(1), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}}})
	return r
}

func TestBootstrapTakesWhatItIsGiven(t *testing.T) {
	i := rigWithBroker(t).m.Image()
	if !reflect.DeepEqual(i.Features(), map[string]int16{MetadataVersion: 33, "group.version": 1}) || i.Config(BrokerResource, "")["min.insync.replicas"] != "1" {
		t.Errorf("features %v, configs %v", i.Features(), i.Config(BrokerResource, ""))
	}
	if names := i.ConfigResources(BrokerResource); !slices.Equal(names, []string{""}) {
		t.Errorf("resources %q", names)
	}
	if names := i.ConfigResources(GroupResource); names != nil {
		t.Errorf("groups %q", names)
	}
	if i.ControllerID() != 1 {
		t.Errorf("controller %d", i.ControllerID())
	}
}

func TestAlterConfigIsAskedOnce(t *testing.T) {
	asked := 0
	r := newRig(t, Options{AlterConfig: func(res Resource, current map[string]string, ops []ConfigOp) (map[string]string, error) {
		asked++
		if len(ops) == 2 {
			return nil, errors.New("no code")
		}
		return map[string]string{"list": "x,y"}, nil
	}})
	one := AlterResource{Resource: Resource{BrokerResource, ""}, Ops: []ConfigOp{{Name: "list", Op: AppendOp, Value: new("y")}}}
	two := AlterResource{Resource: Resource{GroupResource, "g"}, Ops: []ConfigOp{{Name: "list"}, {Name: "x"}}}
	reply := r.step(AlterConfigs{Resources: []AlterResource{one, two}}).(AlterConfigsReply)
	if asked != 2 || reply.Resources[0].Code != model.None || reply.Resources[1].Code != model.UnknownServerError {
		t.Errorf("asked %d times: %+v", asked, reply)
	}
	if v := r.m.Image().Config(BrokerResource, "")["list"]; v != "x,y" {
		t.Errorf("list is %q", v)
	}
}

func TestRefusedRegistrationLeavesNothingBehind(t *testing.T) {
	r := rigWithBroker(t)
	r.m.opts.MaxChangesPerInput = 1
	r.step(CreateTopics{Topics: []CreateTopic{{Name: "t", ID: id(1), Partitions: 3, ReplicationFactor: 1}}})
	in := RegisterBroker{ID: 1, IncarnationID: id(2), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}}}
	out := r.m.Step(time.Unix(1, 0), 7, in) // its records are not taken
	if len(out.Records) != 2 || len(r.m.raises) != 1 {
		t.Fatalf("%d records, %d brokers that wait", len(out.Records), len(r.m.raises))
	}
	r.m.Step(time.Unix(1, 0), 0, machine.Refused{Caller: 7, Input: in, Err: errors.New("disk full")})
	if len(r.m.raises) != 0 {
		t.Error("a refused registration waits for its epochs")
	}
}

func TestALostPartOfRaisedEpochsIsWrittenAgain(t *testing.T) {
	r := rigWithBroker(t)
	r.m.opts.MaxChangesPerInput = 1
	r.step(CreateTopics{Topics: []CreateTopic{{Name: "t", ID: id(1), Partitions: 3, ReplicationFactor: 1}}})
	reply := r.step(RegisterBroker{ID: 1, IncarnationID: id(2), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}}}).(BrokerReply)
	in := UnfenceBroker{1, reply.Epoch}
	r.m.Step(time.Unix(1, 0), 7, in)
	r.m.Step(time.Unix(1, 0), 0, machine.Refused{Caller: 7, Input: in, Err: errors.New("disk full")})
	for again := true; again; {
		again = r.step(in).(BrokerReply).Again
	}
	for n, p := range r.m.Image().TopicByName("t").Partitions {
		if p.LeaderEpoch == 0 || p.Leader != 1 {
			t.Errorf("partition %d: leader %d in epoch %d", n, p.Leader, p.LeaderEpoch)
		}
	}
}

func TestFirstImageWaitsForTheCommit(t *testing.T) { // I3
	published := 0
	m := New(Options{Publish: func(*Image, *Delta) { published++ }})
	m.Apply(machine.Position{Epoch: 1, Offset: 5}, machine.Record{Value: record.Append(nil, &record.TopicRecord{Name: "t", TopicID: id(1)}, 0)})
	m.Committed(machine.Position{Epoch: 1, Offset: 5})
	if published != 0 {
		t.Error("an image was published that is not committed")
	}
	m.Step(time.Unix(1, 0), 0, machine.Loaded{})
	m.Committed(machine.Position{Epoch: 1, Offset: 6})
	if published != 1 {
		t.Errorf("%d images were published", published)
	}
}

func TestUnknownInputIsABug(t *testing.T) {
	defer func() {
		if s, _ := recover().(string); !strings.HasPrefix(s, "BUG: ") {
			t.Errorf("recovered %q", s)
		}
	}()
	New(Options{}).Step(time.Unix(1, 0), 1, "hello")
}

// A thousand topics with ten partitions each, one request after the other and each published, as the speed clause of creating topics has it; and one
// restart after a crash, which raises every epoch.
func BenchmarkThousandTopics(b *testing.B) {
	for b.Loop() {
		m := thousandTopics(b)
		m.Step(time.Unix(1, 0), 1, RegisterBroker{ID: 1, IncarnationID: id(2), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	}
}

func thousandTopics(t testing.TB) *Machine {
	m := New(Options{NodeID: 1})
	end := int64(0)
	m.Committed(machine.Position{Epoch: 1})
	do := func(in any) {
		out := m.Step(time.Unix(1, 0), 1, in)
		for _, r := range out.Records {
			m.Apply(machine.Position{Epoch: 1, Offset: end}, r)
			end++
		}
		m.Committed(machine.Position{Epoch: 1, Offset: end})
	}
	do(Bootstrap{})
	do(RegisterBroker{ID: 1, IncarnationID: id(1), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	for n := range 1000 {
		do(CreateTopics{Topics: []CreateTopic{{Name: fmt.Sprintf("topic-%d", n), ID: id(n + 1), Partitions: 10, ReplicationFactor: 1}}})
	}
	if n := m.base.PartitionCount(); n != 10_000 {
		t.Fatalf("%d partitions", n)
	}
	return m
}

func TestManyPartitionsAreQuick(t *testing.T) {
	began := time.Now()
	thousandTopics(t)
	r := rigWithBroker(t)
	r.step(CreateTopics{Topics: []CreateTopic{{Name: "wide", ID: id(1), Partitions: 10_000, ReplicationFactor: 1}}})
	r.step(RegisterBroker{ID: 1, IncarnationID: id(2), Directories: []model.TopicID{id(11)}, Endpoints: []Endpoint{{Listener: "P", Host: "h", Port: 1}}})
	if p := r.m.Image().TopicByName("wide").Partition(9_999); p.LeaderEpoch != 1 {
		t.Errorf("the last partition's epoch is %d", p.LeaderEpoch)
	}
	// The bound is far above what it takes, and far below what a copy per record would: 10,000 partitions copied 10,000 times are 20 GB.
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("20,000 partitions took %v", took)
	}
}
