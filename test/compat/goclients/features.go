package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"
)

// firstTime is the create time of the first record of every timed topic, in ms.
const firstTime = 1700000000000

type matrix struct {
	client    Client
	library   string
	bootstrap string
	prefix    string
	serial    string
}

// check panics with a failure; answer recovers it. Feature functions stay linear that way.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

func expect(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Errorf(format, args...))
	}
}

// until polls for the thing itself; saw tells what was there instead.
func until(limit time.Duration, saw func() string, ok func() bool) {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		if time.Now().After(deadline) {
			panic(errors.New(saw()))
		}
		<-tick.C
	}
}

func said(s string) func() string { return func() string { return s } }

func (m *matrix) name(what string) string { return m.prefix + "-" + what + "-" + m.serial }

func (m *matrix) topic(what string, partitions int, configs ...string) string {
	name, values := m.name(what), map[string]string{}
	for i := 0; i < len(configs); i += 2 {
		values[configs[i]] = configs[i+1]
	}
	check(m.client.CreateTopic(name, partitions, values))
	until(10*time.Second, said("the new topic has no leaders"), func() bool {
		n, err := m.client.Leaders(name)
		return err == nil && n == partitions
	})
	return name
}

func values(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("v%d", i))
	}
	return out
}

func records(topic string, vs []string) (out []Record) {
	for _, v := range vs {
		out = append(out, Record{Topic: topic, Value: []byte(v)})
	}
	return out
}

func (m *matrix) produce(topic string, vs []string, o ProducerOptions) []int64 {
	p := must(m.client.Producer(o))
	defer p.Close()
	return must(p.Send(records(topic, vs)...))
}

var plain = ProducerOptions{Acks: -1}

func (m *matrix) read(count int, o ConsumerOptions) []Record {
	if o.Session == 0 {
		o.Session = 6 * time.Second
	}
	if o.FetchWait == 0 {
		o.FetchWait = 500 * time.Millisecond
	}
	c := must(m.client.Consumer(o))
	defer c.Close()
	return take(c, count)
}

func take(c Consumer, count int) (got []Record) {
	deadline := time.Now().Add(30 * time.Second)
	for len(got) < count && time.Now().Before(deadline) {
		got = append(got, must(c.Poll(200*time.Millisecond))...)
	}
	return got
}

func offsets(rs []Record) (out []int64) {
	for _, r := range rs {
		out = append(out, r.Offset)
	}
	return out
}

func span(from, to int64) (out []int64) {
	for ; from < to; from++ {
		out = append(out, from)
	}
	return out
}

func expectOffsets(rs []Record, from, to int64) {
	expect(slices.Equal(offsets(rs), span(from, to)), "offsets are %v, not %d..%d", offsets(rs), from, to-1)
}

func (m *matrix) readAll(topic string, count int) []Record {
	got := m.read(count, ConsumerOptions{Topic: topic, Assign: []int32{0}, Offset: -2})
	expect(len(got) == count, "read %d records of %d", len(got), count)
	expectOffsets(got, 0, int64(count))
	return got
}

func (m *matrix) roundTrip(what string, vs []string, o ProducerOptions) {
	topic := m.topic(what, 1)
	p := must(m.client.Producer(o))
	defer p.Close()
	must(p.Send(records(topic, vs)...))
	for i, r := range m.readAll(topic, len(vs)) {
		expect(string(r.Value) == vs[i], "record %d differs", i)
	}
}

func (m *matrix) timed(what string) string {
	topic := m.topic(what, 1)
	var rs []Record
	for i := range 20 {
		rs = append(rs, Record{Topic: topic, Timestamp: firstTime + int64(i)*1000, Key: fmt.Append(nil, "k", i), Value: fmt.Append(nil, "v", i)})
	}
	p := must(m.client.Producer(plain))
	defer p.Close()
	must(p.Send(rs...))
	return topic
}

// member is a consumer polled by its own goroutine, as an application polls it.
type member struct {
	consumer Consumer
	stop     chan struct{}
	done     chan struct{}
	mu       struct {
		sync.Mutex
		partitions []int32
		history    [][]int32
		records    map[int64]string
		err        error
	}
}

func (m *matrix) member(group, topic string, o ConsumerOptions) *member {
	o.Group, o.Topic, o.FetchWait = group, topic, 500*time.Millisecond
	if o.Session == 0 {
		o.Session = 6 * time.Second
	}
	mem := &member{consumer: must(m.client.Consumer(o)), stop: make(chan struct{}), done: make(chan struct{})}
	mem.mu.records = map[int64]string{}
	go mem.run()
	return mem
}

func (m *member) run() {
	defer close(m.done)
	for {
		select {
		case <-m.stop:
			if err := m.consumer.Close(); err != nil {
				m.mu.Lock()
				m.mu.err = err
				m.mu.Unlock()
			}
			return
		default:
		}
		rs, err := m.consumer.Poll(50 * time.Millisecond)
		now := m.consumer.Partitions()
		m.mu.Lock()
		for _, r := range rs {
			m.mu.records[r.Offset] = string(r.Value)
		}
		if !slices.Equal(now, m.mu.partitions) {
			m.mu.history = append(m.mu.history, now)
		}
		m.mu.partitions, m.mu.err = now, err
		m.mu.Unlock()
	}
}

func (m *member) now() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.partitions
}

func (m *member) changes() [][]int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.mu.history)
}

func (m *member) read() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.mu.records)
}

func (m *member) leave() {
	select {
	case <-m.stop:
		return
	default:
	}
	close(m.stop)
	<-m.done
	m.mu.Lock()
	defer m.mu.Unlock()
	check(m.mu.err)
}

// shared waits until the members own all partitions, disjoint, each at least one if there are enough.
func shared(count int, limit time.Duration, members ...*member) {
	state := func() (all [][]int32) {
		for _, m := range members {
			all = append(all, m.now())
		}
		return all
	}
	until(limit, func() string { return fmt.Sprintf("assignments are %v", state()) }, func() bool {
		owned, fair := map[int32]int{}, true
		total := 0
		for _, parts := range state() {
			fair = fair && len(parts) > 0
			for _, p := range parts {
				owned[p]++
				total++
			}
		}
		return total == count && len(owned) == count && (fair || count < len(members))
	})
}

func contains(list []string, s string) bool { return slices.Contains(list, s) }

// run executes one feature and prints its line.
func (m *matrix) answer(feature string, do func()) {
	start := time.Now()
	verdict, reason := "PASS", ""
	func() {
		defer func() {
			switch r := recover().(type) {
			case nil:
			case NotOffered:
				verdict, reason = "NA", string(r)
			case error:
				verdict, reason = "FAIL", r.Error()
				if errors.As(r, new(NotOffered)) {
					verdict = "NA"
				}
			default:
				panic(r)
			}
		}()
		do()
	}()
	fmt.Printf("RESULT\t%s\t%s\t%d\t%s\n", feature, verdict, time.Since(start).Milliseconds(), strings.Join(strings.Fields(reason), " "))
}

func newMatrix(library, bootstrap, prefix string) (*matrix, error) {
	c, err := open(library, bootstrap)
	if err != nil {
		return nil, err
	}
	return &matrix{client: c, library: library, bootstrap: bootstrap, prefix: prefix, serial: fmt.Sprintf("%x", rand.Uint32())}, nil
}

func (m *matrix) child(group, topic string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], m.library, "member", m.bootstrap, group, topic)
	cmd.Stderr = os.Stderr
	check(cmd.Start())
	return cmd
}
