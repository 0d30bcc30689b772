package meta

import (
	"encoding/binary"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// rig drives a machine as a shard does: it applies records at once and commits when told.
type rig struct {
	t    testing.TB
	m    *Machine
	end  int64
	log  []machine.Record
	out  strings.Builder
	last int // topic ids made so far
}

func newRig(t testing.TB, opts Options) *rig {
	r := &rig{t: t, end: 1} // offset 0 is the LeaderChange
	opts.NodeID = 1
	if opts.Publish == nil {
		opts.Publish = func(i *Image, d *Delta) { r.out.WriteString(showDelta(i, d)) }
	}
	r.m = New(opts)
	r.m.Committed(machine.Position{Epoch: 1, Offset: 1})
	return r
}

// step gives an input to the machine and applies its records.
func (r *rig) step(input any) any {
	r.t.Helper()
	out := r.m.Step(time.Unix(1, 0), 7, input)
	for _, rec := range out.Records {
		r.m.Apply(machine.Position{Epoch: 1, Offset: r.end}, rec)
		r.end++
		r.log = append(r.log, rec)
		message, version, err := record.Decode(rec.Value)
		if err != nil {
			r.t.Fatal(err)
		}
		fmt.Fprintf(&r.out, "record %s/%d%s\n", strings.TrimSuffix(message.TypeName(), "Record"), version, show(reflect.ValueOf(message)))
	}
	if len(out.Replies) != 1 || out.Replies[0].To != 7 {
		r.t.Fatalf("%T: replies %v", input, out.Replies)
	}
	return out.Replies[0].Value
}

func (r *rig) commit() { r.m.Committed(machine.Position{Epoch: 1, Offset: r.end}) }

// show writes the fields that are not zero.
func show(v reflect.Value) string {
	var b strings.Builder
	v = reflect.Indirect(v)
	for i := range v.NumField() {
		f := v.Field(i)
		if f.IsZero() {
			continue
		}
		fmt.Fprintf(&b, " %s=%s", v.Type().Field(i).Name, showValue(f))
	}
	return b.String()
}

func showValue(f reflect.Value) string {
	f = reflect.Indirect(f)
	switch x := f.Interface().(type) {
	case model.TopicID:
		return showID(x)
	case string:
		return strconv.Quote(x)
	}
	if f.Kind() == reflect.Slice {
		var parts []string
		for i := range f.Len() {
			parts = append(parts, showValue(f.Index(i)))
		}
		return "[" + strings.Join(parts, " ") + "]"
	}
	if f.Kind() == reflect.Struct {
		return "{" + strings.TrimSpace(show(f)) + "}"
	}
	return fmt.Sprint(f.Interface())
}

func showID(id model.TopicID) string {
	return "#" + strconv.FormatUint(binary.BigEndian.Uint64(id[8:]), 10)
}

func id(n int) (id model.TopicID) {
	if n != 0 {
		id[0] = 1 // outside of the reserved ones
	}
	binary.BigEndian.PutUint64(id[8:], uint64(n))
	return id
}

func showDelta(i *Image, d *Delta) string {
	var b strings.Builder
	fmt.Fprintf(&b, "publish at %d:", i.Position().Offset)
	if d.Full {
		b.WriteString(" full")
	}
	for _, group := range []struct {
		name string
		list []*Topic
	}{{"created", d.Created}, {"changed", d.Changed}, {"deleted", d.Deleted}} {
		for _, t := range group.list {
			fmt.Fprintf(&b, " %s %s%s/%d", group.name, t.Name, showID(t.ID), len(t.Partitions))
		}
	}
	for _, r := range d.Configs {
		fmt.Fprintf(&b, " config %s", r)
	}
	if len(d.Brokers) > 0 {
		fmt.Fprintf(&b, " brokers %v", d.Brokers)
	}
	if d.Controllers {
		b.WriteString(" controllers")
	}
	if d.Features {
		b.WriteString(" features")
	}
	return b.String() + "\n"
}

func showResult(r Result) string {
	if r.Code == model.None {
		return "ok"
	}
	return r.Code.String() + ": " + r.Message
}

func showImage(i *Image) string {
	var b strings.Builder
	fmt.Fprintf(&b, "at %d/%d, %d topics, %d partitions, next producer id %d, unknown %d\n", i.Position().Epoch, i.Position().Offset, i.TopicCount(), i.PartitionCount(), i.NextProducerID(), i.UnknownRecords())
	for _, name := range slices.Sorted(maps.Keys(i.Features())) {
		fmt.Fprintf(&b, "feature %s %d\n", name, i.Features()[name])
	}
	for _, k := range i.Brokers() {
		fmt.Fprintf(&b, "broker%s\n", show(reflect.ValueOf(k)))
	}
	for _, c := range i.Controllers() {
		fmt.Fprintf(&b, "controller%s\n", show(reflect.ValueOf(c)))
	}
	for t := range i.Topics() {
		fmt.Fprintf(&b, "topic %s%s\n", t.Name, showID(t.ID))
		for n := range t.Partitions {
			fmt.Fprintf(&b, "  %d:%s\n", n, show(reflect.ValueOf(&t.Partitions[n])))
		}
	}
	for it := i.configs.Iterator(); !it.Done(); {
		r, set, _ := it.Next()
		for _, name := range slices.Sorted(maps.Keys(set)) {
			fmt.Fprintf(&b, "config %s: %s=%s\n", r, name, set[name])
		}
	}
	return b.String()
}

// args reads the arguments of a command.
type args struct {
	*datadriven.TestData
	t *testing.T
}

func (a args) int(name string, def int) int {
	if !a.HasArg(name) {
		return def
	}
	var v int
	a.ScanArgs(a.t, name, &v)
	return v
}

func (a args) string(name string) string {
	if !a.HasArg(name) {
		return ""
	}
	var v string
	a.ScanArgs(a.t, name, &v)
	return v
}

func (a args) ids(name string) []model.TopicID {
	var out []model.TopicID
	for _, arg := range a.CmdArgs {
		if arg.Key == name {
			for _, v := range arg.Vals {
				n, err := strconv.Atoi(v)
				if err != nil {
					a.t.Fatal(err)
				}
				out = append(out, id(n))
			}
		}
	}
	return out
}

// replicas reads lines such as "0: 1,2".
func replicas(t *testing.T, lines []string) (out []Assignment) {
	for _, line := range lines {
		number, list, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		n, err := strconv.Atoi(strings.TrimSpace(number))
		if err != nil {
			t.Fatal(err)
		}
		a := Assignment{Partition: int32(n)}
		for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
			broker, err := strconv.Atoi(s)
			if err != nil {
				t.Fatal(err)
			}
			a.Replicas = append(a.Replicas, int32(broker))
		}
		out = append(out, a)
	}
	return out
}

// testValidate knows one configuration that wants a number.
func testValidate(r Resource, set map[string]string) error {
	if v, ok := set["retention.ms"]; ok {
		if _, err := strconv.Atoi(v); err != nil {
			return &model.Error{Code: model.InvalidConfig, Message: fmt.Sprintf("retention.ms of %s is %q: it must be a number", r, v)}
		}
	}
	return nil
}

func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if strings.Contains(path, "rapid") { // seeds of failed runs
			return
		}
		r := newRig(t, Options{ValidateConfig: testValidate, DefaultPartitions: 2, DefaultReplicationFactor: 1, MaxChangesPerInput: 4})
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			r.t = t
			r.out.Reset()
			r.run(args{d, t})
			return r.out.String()
		})
	})
}

func (r *rig) run(a args) {
	lines := strings.Split(a.Input, "\n")
	switch a.Cmd {
	case "bootstrap":
		reply := r.step(Bootstrap{}).(BootstrapReply)
		fmt.Fprintf(&r.out, "%s new=%v\n", showResult(reply.Result), reply.New)
	case "register":
		r.broker(r.step(RegisterBroker{
			ID: int32(a.int("id", 1)), IncarnationID: id(a.int("incarnation", 1)), Directories: a.ids("dirs"), Fenced: a.HasArg("fenced"), CleanShutdown: a.HasArg("clean"),
			Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 9092}},
		}))
	case "unfence":
		r.broker(r.step(UnfenceBroker{ID: int32(a.int("id", 1)), Epoch: int64(a.int("epoch", 0))}))
	case "shutdown":
		r.broker(r.step(ShutDownBroker{ID: int32(a.int("id", 1)), Epoch: int64(a.int("epoch", 0))}))
	case "fence":
		r.broker(r.step(FenceBroker{ID: int32(a.int("id", 1)), Epoch: int64(a.int("epoch", 0))}))
	case "unregister":
		r.broker(r.step(UnregisterBroker{ID: int32(a.int("id", 1))}))
	case "assign": // lines such as "topic 0 dir"
		in := AssignReplicas{ID: int32(a.int("id", 1)), Epoch: int64(a.int("epoch", 0))}
		for _, line := range lines {
			var topic, partition, directory int
			if _, err := fmt.Sscan(line, &topic, &partition, &directory); err != nil {
				a.t.Fatal(err)
			}
			in.Replicas = append(in.Replicas, ReplicaDirectory{Topic: id(topic), Partition: int32(partition), Directory: directoryID(directory)})
		}
		reply := r.step(in).(AssignReplicasReply)
		fmt.Fprintln(&r.out, showResult(reply.Result))
		for _, x := range reply.Replicas {
			fmt.Fprintln(&r.out, showResult(x))
		}
	case "fail":
		r.broker(r.step(FailDirectories{ID: int32(a.int("id", 1)), Epoch: int64(a.int("epoch", 0)), Directories: a.ids("dirs")}))
	case "controller":
		fmt.Fprintln(&r.out, showResult(r.step(RegisterController{ID: 1, IncarnationID: id(9), Endpoints: []Endpoint{{Listener: "CONTROLLER", Host: "h", Port: 9093}}}).(Result)))
	case "create", "create-many":
		r.create(a, lines)
	case "delete":
		r.delete(lines)
	case "grow":
		g := GrowTopic{Name: a.string("topic"), Count: int32(a.int("count", 0))}
		for _, x := range replicas(a.t, lines) {
			g.Assignments = append(g.Assignments, x.Replicas)
		}
		reply := r.step(CreatePartitions{Topics: []GrowTopic{g}, ValidateOnly: a.HasArg("validate")}).(CreatePartitionsReply)
		fmt.Fprintln(&r.out, showResult(reply.Topics[0].Result))
	case "alter":
		r.alter(a, lines)
	case "producer-ids":
		reply := r.step(AllocateProducerIDs{Broker: int32(a.int("broker", 1)), Epoch: int64(a.int("epoch", 0))}).(ProducerIDsReply)
		fmt.Fprintf(&r.out, "%s first=%d count=%d\n", showResult(reply.Result), reply.First, reply.Count)
	case "refuse":
		r.m.Step(time.Unix(1, 0), 0, machine.Refused{Caller: 7, Input: UnfenceBroker{ID: int32(a.int("id", 1))}})
	case "commit":
		if a.HasArg("to") {
			r.m.Committed(machine.Position{Epoch: 1, Offset: int64(a.int("to", 0))})
		} else {
			r.commit()
		}
	case "image":
		r.out.WriteString(showImage(r.m.Image()))
	default:
		r.raw(a, lines)
	}
}

// directoryID is the id of a directory; those below ten are reserved ones.
func directoryID(n int) model.TopicID {
	if n < 10 {
		return model.TopicID{15: byte(n)}
	}
	return id(n)
}

// raw applies records that no input of ours makes.
func (r *rig) raw(a args, lines []string) {
	for _, line := range lines {
		var value []byte
		switch name, rest, _ := strings.Cut(line, " "); name {
		case "begin":
			value = record.Append(nil, &record.BeginTransactionRecord{}, 0)
		case "end":
			value = record.Append(nil, &record.EndTransactionRecord{}, 0)
		case "abort":
			value = record.Append(nil, &record.AbortTransactionRecord{Reason: new("test")}, 0)
		case "topic":
			r.last++
			value = record.Append(nil, &record.TopicRecord{Name: rest, TopicID: id(100 + r.last)}, 0)
		case "garbage":
			value = []byte("this is no record")
		case "later":
			value = []byte{1, 99, 0, 'x'}
		case "orphan":
			value = record.Append(nil, &record.RemoveTopicRecord{TopicID: id(12345)}, 0)
		default:
			a.t.Fatalf("unknown command %s / %s", a.Cmd, line)
		}
		r.m.Apply(machine.Position{Epoch: 1, Offset: r.end}, machine.Record{Value: value})
		r.log = append(r.log, machine.Record{Value: value})
		r.end++
	}
}

func (r *rig) broker(reply any) {
	b := reply.(BrokerReply)
	if b.Code != model.None {
		fmt.Fprintln(&r.out, showResult(b.Result))
		return
	}
	fmt.Fprintf(&r.out, "ok epoch=%d fenced=%v again=%v\n", b.Epoch, b.Fenced, b.Again)
}

func (r *rig) create(a args, lines []string) {
	in := CreateTopics{ValidateOnly: a.HasArg("validate")}
	names := []string{a.string("topic")}
	if a.Cmd == "create-many" {
		names, lines = strings.Split(a.string("topics"), ";"), nil
	}
	for _, name := range names {
		r.last++
		t := CreateTopic{Name: name, ID: id(r.last), Partitions: int32(a.int("partitions", -1)), ReplicationFactor: int16(a.int("factor", -1)), Assignments: replicas(a.t, lines)}
		if a.HasArg("id") {
			t.ID = id(a.int("id", 0))
		}
		for _, line := range lines {
			if key, value, ok := strings.Cut(line, "="); ok {
				t.Configs = append(t.Configs, ConfigEntry{key, new(value)})
			} else if key, ok := strings.CutPrefix(line, "null "); ok {
				t.Configs = append(t.Configs, ConfigEntry{Name: key})
			}
		}
		in.Topics = append(in.Topics, t)
	}
	for _, t := range r.step(in).(CreateTopicsReply).Topics {
		fmt.Fprintf(&r.out, "%s: %s", t.Name, showResult(t.Result))
		if t.Code == model.None {
			fmt.Fprintf(&r.out, " id=%s partitions=%d factor=%d configs=%v", showID(t.ID), t.Partitions, t.ReplicationFactor, t.Configs)
		}
		r.out.WriteString("\n")
	}
}

func (r *rig) delete(lines []string) {
	var in DeleteTopics
	for _, line := range lines {
		name, number, byID := strings.Cut(line, "#")
		t := DeleteTopic{Name: name}
		if byID {
			n, err := strconv.Atoi(number)
			if err != nil {
				r.t.Fatal(err)
			}
			t.ID = id(n)
		}
		in.Topics = append(in.Topics, t)
	}
	for _, t := range r.step(in).(DeleteTopicsReply).Topics {
		fmt.Fprintf(&r.out, "%s%s: %s\n", t.Name, showID(t.ID), showResult(t.Result))
	}
}

func (r *rig) alter(a args, lines []string) {
	x := AlterResource{Resource: Resource{ResourceType(a.int("type", 2)), a.string("name")}, Replace: a.HasArg("replace")}
	for _, line := range lines {
		if key, value, ok := strings.Cut(line, "="); ok {
			x.Ops = append(x.Ops, ConfigOp{Name: key, Op: SetOp, Value: new(value)})
		} else if key, ok := strings.CutPrefix(line, "delete "); ok {
			x.Ops = append(x.Ops, ConfigOp{Name: key, Op: DeleteOp})
		} else if key, ok := strings.CutPrefix(line, "append "); ok {
			x.Ops = append(x.Ops, ConfigOp{Name: key, Op: AppendOp, Value: new("x")})
		}
	}
	in := AlterConfigs{Resources: []AlterResource{x}, ValidateOnly: a.HasArg("validate")}
	if a.HasArg("twice") {
		in.Resources = append(in.Resources, x)
	}
	for _, x := range r.step(in).(AlterConfigsReply).Resources {
		fmt.Fprintf(&r.out, "%s: %s\n", x.Resource, showResult(x.Result))
	}
}
