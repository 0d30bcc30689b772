package group

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
)

// TestScripts runs the files in testdata. A command is an input of the machine, or one of: new, wait ms=N, refuse code=N and admit (what the log says to
// records), abandon who=NAME, restart, raw (records as hex), state. Printed are records as they are written and replies as they are given, with the name of
// whom they answer. Regenerate with -rewrite.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		if !strings.HasSuffix(path, ".txt") {
			return // what a fuzzer found
		}
		h := &script{t: t}
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			h.t, h.d, h.text = t, d, strings.Builder{}
			h.run()
			return h.text.String()
		})
	})
}

// start is when every script begins.
var start = time.UnixMilli(1_000_000)

// script drives a machine as a shard does: records are applied at once, or refused as a whole.
type script struct {
	t    *testing.T
	d    *datadriven.TestData
	text strings.Builder

	opts   Options
	m      *Machine
	now    time.Time
	log    []machine.Record
	names  map[machine.Caller]string
	last   machine.Caller
	refuse model.ErrorCode
}

func (h *script) run() {
	switch h.d.Cmd {
	case "new":
		h.reset()
	case "wait":
		h.wait(time.Duration(h.int("ms", 0)) * time.Millisecond)
	case "refuse":
		h.refuse = model.ErrorCode(h.int("code", 0))
	case "admit":
		h.refuse = model.None
	case "abandon":
		h.abandon(h.str("who", ""))
	case "restart":
		h.restart()
	case "raw":
		h.raw()
	case "state":
		h.text.WriteString(dump(h.m))
	default:
		h.last++
		h.names[h.last] = h.str("who", fmt.Sprint("#", h.last))
		input := h.input()
		h.take(h.last, input, h.m.Step(h.now, h.last, input))
		h.due()
	}
}

func (h *script) reset() {
	o := DefaultOptions()
	o.InitialRebalanceDelay = h.ms("delay", 3000)
	o.MaxSize = h.int("max-size", o.MaxSize)
	o.MaxPendingMembers = h.int("max-pending", o.MaxPendingMembers)
	o.OffsetsRetention = h.ms("retention", 60_000_000)
	o.RetentionCheckInterval = h.ms("check", 600_000)
	o.MaxStepBytes = h.int("step-bytes", o.MaxStepBytes)
	o.NewMemberJoinTimeout = h.ms("join-timeout", int(o.NewMemberJoinTimeout.Milliseconds()))
	h.opts, h.now, h.log, h.refuse, h.last = o, start, nil, 0, 0
	h.restart()
}

// restart loads what was written into a new machine.
func (h *script) restart() {
	if h.d.HasArg("max-size") {
		h.opts.MaxSize = h.int("max-size", 0)
	}
	h.m, h.names = New(h.opts), map[machine.Caller]string{}
	for i, r := range h.log {
		h.m.Apply(machine.Position{Offset: int64(i)}, r)
	}
	h.take(0, nil, h.m.Step(h.now, 0, machine.Loaded{}))
	h.due()
}

// take is what a shard does with the outcome of a Step.
func (h *script) take(from machine.Caller, input any, out machine.Out) {
	if len(out.Records) > 0 && h.refuse != model.None {
		failed := []string{}
		if name, ok := h.names[from]; ok {
			failed = append(failed, name)
			delete(h.names, from)
		}
		for _, r := range out.Replies {
			if name, ok := h.names[r.To]; ok {
				failed = append(failed, name)
				delete(h.names, r.To)
			}
		}
		fmt.Fprintf(&h.text, "refused: %d records; failed: %s\n", len(out.Records), strings.Join(failed, " "))
		follow := h.m.Step(h.now, 0, machine.Refused{Caller: from, Input: input, Err: h.refuse})
		if len(follow.Records) > 0 {
			h.t.Errorf("%s: records after a refusal", h.d.Pos)
		}
		h.take(0, nil, follow)
		return
	}
	for _, r := range out.Records {
		fmt.Fprintln(&h.text, showRecord(r))
		h.m.Apply(machine.Position{Offset: int64(len(h.log))}, r)
		h.log = append(h.log, r)
	}
	for _, r := range out.Replies {
		name, ok := h.names[r.To]
		if !ok {
			continue
		}
		delete(h.names, r.To)
		fmt.Fprintf(&h.text, "%s: %s\n", name, showReply(r.Value))
	}
}

// due steps the deadlines that have come.
func (h *script) due() {
	for at := h.m.Deadline(); !at.IsZero() && !at.After(h.now); at = h.m.Deadline() {
		h.take(0, nil, h.m.Step(h.now, 0, nil))
	}
}

// wait lets time pass from deadline to deadline and says when something happened.
func (h *script) wait(d time.Duration) {
	end := h.now.Add(d)
	for {
		at := h.m.Deadline()
		if at.IsZero() || at.After(end) {
			break
		}
		h.now = at
		before := h.text.Len()
		h.due()
		if h.text.Len() > before {
			said := h.text.String()
			h.text.Reset()
			h.text.WriteString(said[:before])
			fmt.Fprintf(&h.text, "after %d ms:\n%s", d.Milliseconds()-end.Sub(at).Milliseconds(), said[before:])
		}
	}
	h.now = end
}

func (h *script) abandon(who string) {
	for caller, name := range h.names {
		if name == who {
			delete(h.names, caller)
			h.take(0, nil, h.m.Step(h.now, 0, machine.Abandoned{Caller: caller}))
			h.due()
			return
		}
	}
	h.t.Errorf("%s: nobody called %q waits", h.d.Pos, who)
}

// raw applies records given as "KEY VALUE" in hex, with - for null, as if they had been in the log, and shows why the machine skips one.
func (h *script) raw() {
	before := len(h.log)
	for _, line := range h.lines() {
		f := strings.Fields(line)
		h.log = append(h.log, machine.Record{Key: unhex(h.t, f[0]), Value: unhex(h.t, f[1])})
	}
	h.restart()
	probe := New(h.opts)
	for i, r := range h.log {
		was := probe.Skipped()
		probe.Apply(machine.Position{Offset: int64(i)}, r)
		if is := probe.Skipped(); is != was && i >= before {
			fmt.Fprintf(&h.text, "record %d skipped: %s\n", i-before+1, is.Last)
		}
	}
	s := h.m.Skipped()
	fmt.Fprintf(&h.text, "unknown=%d unreadable=%d\n", s.UnknownType, s.Unreadable)
}

func (h *script) input() any {
	group, member, instance := h.str("group", "g"), h.str("member", ""), h.opt("instance")
	switch h.d.Cmd {
	case "join":
		return JoinGroup{
			Version: int16(h.int("version", 9)), Group: group, MemberID: member, InstanceID: instance, UUID: h.str("uuid", "?"),
			ClientID: h.str("client", "c"), ClientHost: h.str("host", "/h"),
			SessionTimeoutMs: int32(h.int("session", 10_000)), RebalanceTimeoutMs: int32(h.int("rebalance", 60_000)),
			ProtocolType: h.str("type", "consumer"), Protocols: h.protocols(),
		}
	case "sync":
		in := SyncGroup{Group: group, Generation: int32(h.int("gen", 1)), MemberID: member, InstanceID: instance, ProtocolType: h.opt("type"), Protocol: h.opt("protocol")}
		for _, line := range h.lines() {
			id, what, _ := strings.Cut(line, " ")
			in.Assignments = append(in.Assignments, Assignment{MemberID: id, Assignment: []byte(what)})
		}
		return in
	case "heartbeat":
		return Heartbeat{Group: group, Generation: int32(h.int("gen", 1)), MemberID: member, InstanceID: instance}
	case "leave":
		in := LeaveGroup{Group: group}
		for _, line := range h.lines() {
			id, instance, static := strings.Cut(line, "/")
			who := LeavingMember{MemberID: id}
			if static {
				who.InstanceID = &instance
			}
			in.Members = append(in.Members, who)
		}
		return in
	case "commit":
		return OffsetCommit{
			Version: int16(h.int("version", 9)), Group: group, Generation: int32(h.int("gen", -1)), MemberID: member, InstanceID: instance,
			RetentionMs: int64(h.int("retention", -1)), Topics: h.commits(),
		}
	case "fetch":
		in := OffsetFetch{Group: group, RequireStable: h.d.HasArg("stable")}
		for _, line := range h.lines() {
			name, id, partitions := h.topic(line)
			in.Topics = append(in.Topics, FetchTopic{Name: name, TopicID: id, Partitions: partitions})
		}
		return in
	case "offset-delete":
		in := OffsetDelete{Group: group}
		for _, line := range h.lines() {
			name, _, partitions := h.topic(line)
			in.Topics = append(in.Topics, DeleteTopic{Name: name, Partitions: partitions})
		}
		return in
	}
	return h.adminInput(group)
}

func (h *script) adminInput(group string) any {
	switch h.d.Cmd {
	case "describe":
		return DescribeGroup{Group: group, Version: int16(h.int("version", 6))}
	case "list":
		return ListGroups{States: h.list("states"), Types: h.list("types")}
	case "delete":
		return DeleteGroup{Group: group}
	case "topic-deleted":
		return TopicDeleted{Name: h.str("topic", ""), ID: topicID(h.str("id", ""))}
	case "topics-known":
		return TopicsKnown{ID: func(name string) (model.TopicID, bool) {
			for _, t := range h.list("topics") {
				if n, id, _ := strings.Cut(t, "/"); n == name {
					return topicID(id), true
				}
			}
			return model.TopicID{}, false
		}}
	case "stats":
		return Stats{}
	}
	h.t.Fatalf("%s: unknown command %s", h.d.Pos, h.d.Cmd)
	return nil
}

// protocols reads lines "NAME topics=a,b" or "NAME raw=text"; without any it is range for topic t.
func (h *script) protocols() []Protocol {
	var all []Protocol
	for _, line := range h.lines() {
		if line == "none" {
			return nil
		}
		name, what, _ := strings.Cut(line, " ")
		kind, value, _ := strings.Cut(what, "=")
		p := Protocol{Name: name, Metadata: []byte(value)}
		if kind == "topics" {
			p.Metadata = subscriptionTo(strings.Split(value, ",")...)
		}
		all = append(all, p)
	}
	if len(all) == 0 {
		all = []Protocol{{Name: "range", Metadata: subscriptionTo("t")}}
	}
	return all
}

// commits reads lines "TOPIC[@ID] PARTITION OFFSET [epoch=N] [metadata]".
func (h *script) commits() []CommitTopic {
	var all []CommitTopic
	for _, line := range h.lines() {
		f := strings.Fields(line)
		name, id, _ := strings.Cut(f[0], "@")
		p := CommitPartition{Partition: h.number(f[1]), Offset: int64(h.number(f[2])), LeaderEpoch: -1}
		for _, w := range f[3:] {
			if n, ok := strings.CutPrefix(w, "epoch="); ok {
				p.LeaderEpoch = h.number(n)
			} else if n, ok := strings.CutPrefix(w, "long="); ok {
				p.Metadata = strings.Repeat("x", int(h.number(n)))
			} else {
				p.Metadata = w
			}
		}
		if n := len(all); n > 0 && all[n-1].Name == name && all[n-1].TopicID == topicID(id) {
			all[n-1].Partitions = append(all[n-1].Partitions, p)
		} else {
			all = append(all, CommitTopic{Name: name, TopicID: topicID(id), Partitions: []CommitPartition{p}})
		}
	}
	return all
}

// topic reads "TOPIC[@ID] PARTITION...".
func (h *script) topic(line string) (name string, id model.TopicID, partitions []int32) {
	f := strings.Fields(line)
	name, of, _ := strings.Cut(f[0], "@")
	for _, p := range f[1:] {
		partitions = append(partitions, h.number(p))
	}
	return name, topicID(of), partitions
}

func (h *script) str(key, value string) string {
	if h.d.HasArg(key) {
		h.d.ScanArgs(h.t, key, &value)
	}
	return value
}

func (h *script) opt(key string) *string {
	if !h.d.HasArg(key) {
		return nil
	}
	return new(h.str(key, ""))
}

func (h *script) list(key string) []string {
	if !h.d.HasArg(key) {
		return nil
	}
	return strings.Split(h.str(key, ""), ";")
}

func (h *script) int(key string, value int) int {
	if h.d.HasArg(key) {
		h.d.ScanArgs(h.t, key, &value)
	}
	return value
}

func (h *script) ms(key string, value int) time.Duration {
	return time.Duration(h.int(key, value)) * time.Millisecond
}

func (h *script) number(s string) int32 {
	var n int32
	if _, err := fmt.Sscan(s, &n); err != nil {
		h.t.Fatalf("%s: %q is no number", h.d.Pos, s)
	}
	return n
}

func (h *script) lines() []string {
	return strings.FieldsFunc(h.d.Input, func(r rune) bool { return r == '\n' })
}

func unhex(t *testing.T, s string) []byte {
	if s == "-" {
		return nil
	}
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return b
}

func topicID(s string) (id model.TopicID) {
	copy(id[:], s)
	return id
}

// subscriptionTo is a consumer's metadata, version 1.
func subscriptionTo(topics ...string) []byte {
	b := binary.BigEndian.AppendUint16(nil, 1)
	b = binary.BigEndian.AppendUint32(b, uint32(len(topics)))
	for _, t := range topics {
		b = appendString(b, t)
	}
	b = binary.BigEndian.AppendUint32(b, 0xffffffff) // no user data
	return binary.BigEndian.AppendUint32(b, 0)       // owns nothing
}

func showBytes(b []byte) string {
	topics := map[string]bool{}
	if len(b) > 6 && subscription(b, topics) {
		names := []string{}
		for name := range topics {
			names = append(names, name)
		}
		slices.Sort(names)
		return "topics=" + strings.Join(names, ",")
	}
	return fmt.Sprintf("%q", b)
}
