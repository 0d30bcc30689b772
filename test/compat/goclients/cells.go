package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// cells binds every feature of the matrix to what does it.
func (m *matrix) cells() map[string]func() {
	cells := map[string]func(){
		"topic.create": m.topicCreate, "topic.list": m.topicList, "topic.describe": m.topicDescribe,
		"topic.partitions": m.topicPartitions, "topic.delete": m.topicDelete, "topic.autocreate": m.topicAutocreate,
		"topic.invalid": m.topicInvalid, "produce.basic": m.produceBasic, "produce.logappend": m.produceLogAppend,
		"acks.0":             func() { m.roundTrip("acks0", values(10), ProducerOptions{Acks: 0}) },
		"acks.1":             func() { m.roundTrip("acks1", values(10), ProducerOptions{Acks: 1}) },
		"acks.all":           func() { m.roundTrip("acksall", values(10), plain) },
		"produce.batch":      m.produceBatch,
		"produce.single":     m.produceSingle,
		"produce.idempotent": func() { m.roundTrip("idem", values(500), ProducerOptions{Acks: -1, Idempotent: true}) },
		"consume.earliest": func() {
			expectOffsets(m.read(20, ConsumerOptions{Topic: m.timed("earliest"), Group: m.name("g-earliest")}), 0, 20)
		},
		"consume.latest": m.consumeLatest,
		"consume.offset": func() {
			expectOffsets(m.read(13, ConsumerOptions{Topic: m.timed("offset"), Assign: []int32{0}, Offset: 7}), 7, 20)
		},
		"consume.timestamp": m.consumeTimestamp,
		"consume.assign":    m.consumeAssign,
		"group.join":        func() { m.groupJoin("join", ConsumerOptions{}) },
		"group.leave":       m.groupLeave, "group.crash": m.groupCrash, "group.static": m.groupStatic, "group.more": m.groupMore,
		"group.eager":       func() { m.groupJoin("eager", ConsumerOptions{Assignor: "eager"}) },
		"group.cooperative": m.groupCooperative, "group.resume": m.groupResume, "group.independent": m.groupIndependent,
		"commit.sync":  func() { m.committed("sync", true) },
		"commit.async": func() { m.committed("async", false) },
		"poll.wakes":   m.pollWakes, "big.ok": m.bigOK, "big.toolarge": m.bigTooLarge,
		"admin.configs.describe": m.configsDescribe, "admin.configs.alter": m.configsAlter, "admin.records.delete": m.recordsDelete,
		"admin.offsets": m.adminOffsets, "admin.groups.list": m.groupsList, "admin.groups.describe": m.groupsDescribe,
		"admin.groups.delete": m.groupsDelete, "admin.cluster": m.adminCluster,
		"restart.prepare": m.restartPrepare, "restart.resume": m.restartResume, "codec.foreign": m.codecForeign, "restart.live": m.live, "group.delay": m.groupDelay,
	}
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		cells["codec."+codec] = func() { m.codec(codec) }
	}
	return cells
}

func (m *matrix) topicCreate() {
	topic := m.topic("create", 3, "retention.ms", "123456000")
	got := must(m.client.TopicConfig(topic))["retention.ms"]
	expect(got == "123456000", "retention.ms is %q", got)
}

func (m *matrix) topicList() {
	topic := m.topic("list", 1)
	until(10*time.Second, said("the new topic is not listed"), func() bool { return contains(must(m.client.Topics()), topic) })
}

func (m *matrix) topicDescribe() { m.topic("describe", 2) }

func (m *matrix) topicPartitions() {
	topic := m.topic("grow", 2)
	check(m.client.AddPartitions(topic, 5))
	until(10*time.Second, said("there are not five leaders"), func() bool { return must(m.client.Leaders(topic)) == 5 })
}

func (m *matrix) topicDelete() {
	topic := m.topic("delete", 1)
	check(m.client.DeleteTopic(topic))
	until(10*time.Second, said("the deleted topic is still listed"), func() bool { return !contains(must(m.client.Topics()), topic) })
}

func (m *matrix) topicAutocreate() {
	topic := m.name("auto")
	m.produce(topic, []string{"one"}, plain)
	expect(string(m.readAll(topic, 1)[0].Value) == "one", "another value came back")
}

func (m *matrix) topicInvalid() {
	err := m.client.CreateTopic("bad/name", 1, nil)
	expect(err != nil && strings.Contains(strings.ToLower(err.Error()), "invalid"), "creating 'bad/name' said: %v", err)
}

func (m *matrix) produceBasic() {
	topic := m.topic("basic", 1)
	sent := []Record{
		{Key: []byte("key"), Value: []byte("value")},
		{Value: []byte("no key")},
		{Key: []byte("tombstone")},
		{Key: []byte("h"), Value: []byte("v"), Headers: []Header{{"one", "1"}, {"empty", ""}, {"one", "ü"}}},
	}
	for i := range sent {
		sent[i].Topic, sent[i].Timestamp = topic, firstTime+int64(i)*7
	}
	p := must(m.client.Producer(plain))
	defer p.Close()
	must(p.Send(sent...))
	for i, got := range m.readAll(topic, len(sent)) {
		want := sent[i]
		want.Offset = int64(i)
		expect(got.String() == want.String(), "sent %s, got %s", want, got)
	}
}

func (m *matrix) produceLogAppend() {
	topic := m.topic("append", 1, "message.timestamp.type", "LogAppendTime")
	p := must(m.client.Producer(plain))
	defer p.Close()
	must(p.Send(Record{Topic: topic, Value: []byte("x"), Timestamp: firstTime}))
	// kafka-go shows the record's own time whatever the batch says, so for it only the search by time tells.
	got := time.Since(time.UnixMilli(m.readAll(topic, 1)[0].Timestamp)).Abs()
	expect(got < time.Minute || m.library == "segmentio", "the timestamp is %s away", got)
	found := must(m.client.OffsetAt(topic, 0, time.Now().Add(-time.Minute).UnixMilli()))
	expect(found == 0, "the search by time gives offset %d", found)
}

func (m *matrix) codec(codec string) {
	vs := values(100)
	for i := range vs {
		vs[i] = strings.Repeat(vs[i], 50)
	}
	o := ProducerOptions{Acks: -1, Codec: codec, Batched: true}
	m.roundTrip("codec-"+codec, vs, o)
	var foreign []string
	for i := range 20 {
		foreign = append(foreign, fmt.Sprintf("%s|%s|%d", m.prefix, codec, i))
	}
	m.produce("compat-codecs", foreign, o)
}

func (m *matrix) produceBatch() {
	vs := values(3000)
	for i := range vs {
		vs[i] += strings.Repeat("x", 100)
	}
	m.roundTrip("batch", vs, ProducerOptions{Acks: -1, Batched: true})
}

func (m *matrix) produceSingle() {
	topic := m.topic("single", 1)
	p := must(m.client.Producer(plain))
	defer p.Close()
	for i := range int64(20) {
		if got := must(p.Send(Record{Topic: topic, Value: fmt.Append(nil, i)})); got != nil {
			expect(got[0] == i, "record %d was acknowledged at offset %d", i, got[0])
		}
	}
	m.readAll(topic, 20)
}

// consumeLatest sends until the first record comes: no client tells that it has found the end.
func (m *matrix) consumeLatest() {
	topic := m.timed("latest")
	c := must(m.client.Consumer(ConsumerOptions{Topic: topic, Group: m.name("g-latest"), Latest: true, Session: 6 * time.Second, FetchWait: 500 * time.Millisecond}))
	defer c.Close()
	var got []Record
	for sent := 0; len(got) == 0 && sent < 60; sent++ {
		if len(c.Partitions()) > 0 {
			m.produce(topic, []string{"new"}, plain)
		}
		got = must(c.Poll(500 * time.Millisecond))
	}
	expect(len(got) > 0 && got[0].Offset >= 20, "got offsets %v", offsets(got))
}

func (m *matrix) consumeTimestamp() {
	topic := m.timed("time")
	for at, want := range map[int64]int64{firstTime - 1: 0, firstTime + 9500: 10, firstTime + 19000: 19} {
		got := must(m.client.OffsetAt(topic, 0, at))
		expect(got == want, "the offset at %d is %d, not %d", at, got, want)
	}
	after := must(m.client.OffsetAt(topic, 0, firstTime+19001))
	expect(after == -1 || after == 20, "the offset after the last record's time is %d", after)
}

func (m *matrix) consumeAssign() {
	topic := m.topic("assign", 3)
	p := must(m.client.Producer(plain))
	defer p.Close()
	for i := range int32(9) {
		must(p.Send(Record{Topic: topic, Partition: i % 3, Value: fmt.Append(nil, "v", i)}))
	}
	got := map[string]bool{}
	for _, r := range m.read(6, ConsumerOptions{Topic: topic, Assign: []int32{0, 2}, Offset: -2}) {
		got[fmt.Sprint(r.Partition, r.Offset)] = true
	}
	expect(len(got) == 6 && got["0 2"] && got["2 2"], "got %v", got)
}

func (m *matrix) groupJoin(what string, o ConsumerOptions) [][]int32 {
	topic, group := m.topic(what, 4), m.name("g-"+what)
	a := m.member(group, topic, o)
	defer a.leave()
	shared(4, 30*time.Second, a)
	b := m.member(group, topic, o)
	defer b.leave()
	shared(4, 30*time.Second, a, b)
	expect(len(a.now()) == 2, "the shares are %v and %v", a.now(), b.now())
	return a.changes()
}

func (m *matrix) groupCooperative() {
	for i, parts := range m.groupJoin("cooperative", ConsumerOptions{Assignor: "cooperative"}) {
		expect(i == 0 || len(parts) > 0, "everything was revoked on the way")
	}
}

func (m *matrix) groupLeave() {
	topic, group := m.topic("leave", 4), m.name("g-leave")
	a := m.member(group, topic, ConsumerOptions{Session: 30 * time.Second})
	defer a.leave()
	b := m.member(group, topic, ConsumerOptions{Session: 30 * time.Second})
	defer b.leave()
	shared(4, 30*time.Second, a, b)
	b.leave()
	shared(4, 15*time.Second, a) // far below the session timeout: it must have said good-bye
}

func (m *matrix) groupCrash() {
	topic, group := m.topic("crash", 4), m.name("g-crash")
	a := m.member(group, topic, ConsumerOptions{Session: 3 * time.Second})
	defer a.leave()
	shared(4, 30*time.Second, a)
	child := m.child(group, topic)
	defer child.Wait()
	defer child.Process.Kill()
	until(30*time.Second, said("the second process got no share"), func() bool { n := len(a.now()); return n > 0 && n < 4 })
	check(child.Process.Kill())
	shared(4, 20*time.Second, a)
}

func (m *matrix) groupStatic() {
	topic, group := m.topic("static", 4), m.name("g-static")
	a := m.member(group, topic, ConsumerOptions{Instance: "a", Session: 20 * time.Second})
	defer a.leave()
	b := m.member(group, topic, ConsumerOptions{Instance: "b", Session: 20 * time.Second})
	defer func() { b.leave() }()
	shared(4, 30*time.Second, a, b)
	mine, others, changes := a.now(), b.now(), len(a.changes())
	b.leave()
	b = m.member(group, topic, ConsumerOptions{Instance: "b", Session: 20 * time.Second})
	shared(4, 30*time.Second, a, b)
	expect(slices.Equal(mine, a.now()) && slices.Equal(others, b.now()), "the static member got other partitions")
	expect(len(a.changes()) == changes, "the other member saw a rebalance: %v", a.changes())
}

// groupDelay wants a node with the default group.initial.rebalance.delay.ms of 3 s.
func (m *matrix) groupDelay() {
	topic := m.topic("delay", 4)
	// The first group of a node also waits for its offsets topic; that is not what is measured.
	until(30*time.Second, said("there is no coordinator"), func() bool {
		_, err := m.client.Committed(m.name("g-nobody"), topic, 0)
		return err == nil
	})
	start := time.Now()
	a := m.member(m.name("g-delay"), topic, ConsumerOptions{})
	defer a.leave()
	shared(4, 30*time.Second, a)
	took := time.Since(start)
	expect(took > 2900*time.Millisecond && took < 8*time.Second, "the first assignment took %s", took)
}

func (m *matrix) groupMore() {
	topic, group := m.topic("more", 2), m.name("g-more")
	var all []*member
	for range 3 {
		mem := m.member(group, topic, ConsumerOptions{})
		defer mem.leave()
		all = append(all, mem)
	}
	shared(2, 30*time.Second, all...)
}

// part reads a whole timed topic as a group member and commits `at`.
func (m *matrix) part(topic, group string, count int, at int64, sync bool) {
	c := must(m.client.Consumer(ConsumerOptions{Topic: topic, Group: group, Session: 6 * time.Second, FetchWait: 500 * time.Millisecond}))
	defer c.Close()
	got := take(c, count)
	expect(len(got) == count, "read %d records of %d", len(got), count)
	check(c.Commit(topic, 0, at, sync))
	until(10*time.Second, said(fmt.Sprintf("the commit of %d does not show", at)), func() bool {
		must(c.Poll(10 * time.Millisecond))
		return must(m.client.Committed(group, topic, 0)) == at
	})
}

func (m *matrix) groupResume() {
	topic, group := m.timed("resume"), m.name("g-resume")
	m.part(topic, group, 20, 10, true)
	expectOffsets(m.read(10, ConsumerOptions{Topic: topic, Group: group}), 10, 20)
}

func (m *matrix) groupIndependent() {
	topic := m.timed("two")
	for _, g := range []string{"g-two-a", "g-two-b"} {
		expectOffsets(m.read(20, ConsumerOptions{Topic: topic, Group: m.name(g)}), 0, 20)
	}
}

func (m *matrix) committed(what string, sync bool) {
	m.part(m.timed("commit-"+what), m.name("g-commit-"+what), 20, 6, sync)
}

func (m *matrix) pollWakes() {
	topic := m.topic("wake", 1)
	p := must(m.client.Producer(plain))
	defer p.Close()
	c := must(m.client.Consumer(ConsumerOptions{Topic: topic, Assign: []int32{0}, Offset: -2, FetchWait: 3 * time.Second}))
	defer c.Close()
	must(p.Send(Record{Topic: topic, Value: []byte("first")}))
	expect(len(take(c, 1)) == 1, "the first record did not come")
	var late []time.Duration
	for range 4 {
		// The consumer must be parked in its long poll; there is no event for that.
		must(c.Poll(400 * time.Millisecond))
		sent := time.Now()
		must(p.Send(Record{Topic: topic, Value: []byte("wake")}))
		expect(len(take(c, 1)) == 1, "a record did not come")
		late = append(late, time.Since(sent))
	}
	slices.Sort(late)
	expect(late[2] < 500*time.Millisecond, "latencies: %v", late)
}

func noise(seed uint64, size int) string {
	b := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed)}).Read(b)
	return string(b)
}

func (m *matrix) bigOK() {
	m.roundTrip("big", []string{noise(1, 1000000)}, ProducerOptions{Acks: -1, MaxBytes: 3000000})
}

func (m *matrix) bigTooLarge() {
	topic := m.topic("large", 1)
	p := must(m.client.Producer(ProducerOptions{Acks: -1, MaxBytes: 3000000}))
	defer p.Close()
	_, err := p.Send(records(topic, []string{noise(2, 2000000)})...)
	expect(err != nil && strings.Contains(strings.ToLower(err.Error()), "large"), "the broker said: %v", err)
}

func (m *matrix) configsDescribe() {
	got := must(m.client.TopicConfig(m.topic("configs", 1)))
	for key, want := range map[string]string{"cleanup.policy": "delete", "segment.bytes": "1073741824", "compression.type": "producer"} {
		expect(got[key] == want, "%s is %q", key, got[key])
	}
	n := must(m.client.BrokerConfig())["num.partitions"]
	expect(n == "1", "the broker's num.partitions is %q", n)
}

func (m *matrix) configsAlter() {
	topic := m.topic("alter", 1)
	check(m.client.AlterTopic(topic, "retention.ms", "7200000"))
	until(10*time.Second, said("retention.ms was not altered"), func() bool { return must(m.client.TopicConfig(topic))["retention.ms"] == "7200000" })
}

func (m *matrix) recordsDelete() {
	topic := m.timed("records")
	check(m.client.DeleteRecords(topic, 0, 5))
	expectOffsets(m.read(15, ConsumerOptions{Topic: topic, Assign: []int32{0}, Offset: -2}), 5, 20)
}

func (m *matrix) adminOffsets() {
	topic := m.timed("offsets")
	first, last := must(m.client.OffsetAt(topic, 0, -2)), must(m.client.OffsetAt(topic, 0, -1))
	expect(first == 0 && last == 20, "earliest and latest are %d and %d", first, last)
}

func (m *matrix) groupsList() {
	group := m.name("g-list")
	m.part(m.timed("list-groups"), group, 20, 20, true)
	until(10*time.Second, said("the group is not listed"), func() bool { return contains(must(m.client.Groups()), group) })
}

func (m *matrix) groupsDescribe() {
	topic, group := m.topic("describe-group", 2), m.name("g-describe")
	a := m.member(group, topic, ConsumerOptions{})
	defer a.leave()
	shared(2, 30*time.Second, a)
	until(10*time.Second, said("the group is not stable with one member"), func() bool {
		state, members, err := m.client.Group(group)
		check(err)
		return state == "Stable" && members == 1
	})
}

func (m *matrix) groupsDelete() {
	group := m.name("g-delete")
	m.part(m.timed("delete-group"), group, 20, 20, true)
	until(10*time.Second, said("the group is not empty"), func() bool { _, n, err := m.client.Group(group); check(err); return n == 0 })
	check(m.client.DeleteGroup(group))
	until(10*time.Second, said("the deleted group is still listed"), func() bool { return !contains(must(m.client.Groups()), group) })
}

func (m *matrix) adminCluster() {
	nodes := must(m.client.Cluster())
	expect(nodes == 1, "%d nodes", nodes)
}

// Across a restart of the node names must be found again, so they carry no serial.

func (m *matrix) restartPrepare() {
	m.serial = "0"
	topic := m.topic("restart", 1)
	m.produce(topic, values(10), plain)
	m.part(topic, m.name("g-restart"), 10, 5, true)
}

func (m *matrix) restartResume() {
	m.serial = "0"
	topic := m.name("restart")
	m.produce(topic, []string{"after"}, plain)
	got := m.read(6, ConsumerOptions{Topic: topic, Group: m.name("g-restart")})
	expectOffsets(got, 5, 11)
	expect(string(got[5].Value) == "after", "the last record is %q", got[5].Value)
}

func (m *matrix) codecForeign() {
	end := must(m.client.OffsetAt("compat-codecs", 0, -1))
	got := m.read(int(end), ConsumerOptions{Topic: "compat-codecs", Assign: []int32{0}, Offset: -2})
	expectOffsets(got, 0, end)
	next := map[string]int{}
	for _, r := range got {
		cut := strings.LastIndexByte(string(r.Value), '|')
		who := string(r.Value[:cut])
		number := must(strconv.Atoi(string(r.Value[cut+1:])))
		expect(number == next[who]%20, "%s's record is %d, not %d", who, number, next[who]%20)
		next[who]++
	}
}

// live keeps a producer and a group member from before a restart of the node until after it.
func (m *matrix) live() {
	topic, group := m.topic("live", 1), m.name("g-live")
	mem := m.member(group, topic, ConsumerOptions{})
	p := must(m.client.Producer(plain))
	defer p.Close()
	must(p.Send(records(topic, values(20)[:10])...))
	until(30*time.Second, func() string { return fmt.Sprintf("%d records came before the restart", mem.read()) }, func() bool { return mem.read() == 10 })
	fmt.Println("READY")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
		panic(fmt.Errorf("wait for the restart: %w", err))
	}
	deadline := time.Now().Add(60 * time.Second)
	for { // a client's own retries may be spent before the node is back; the application's are not
		_, err := p.Send(records(topic, values(20)[10:])...)
		if err == nil {
			break
		}
		expect(time.Now().Before(deadline), "producing after the restart: %v", err)
	}
	until(60*time.Second, func() string { return fmt.Sprintf("%d records came", mem.read()) }, func() bool { return mem.read() >= 20 })
	mem.mu.Lock()
	seen := map[string]bool{}
	for _, v := range mem.mu.records {
		seen[v] = true
	}
	mem.mu.err = nil // errors of the restart itself
	mem.mu.Unlock()
	mem.leave()
	for _, v := range values(20) {
		expect(seen[v], "%s is missing", v)
	}
}
