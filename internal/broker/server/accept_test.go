package server

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// failingListener fails before it accepts.
type failingListener struct {
	net.Listener
	failures chan error
}

func (l *failingListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.failures:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

func acceptError(errno error) error { return &net.OpError{Op: "accept", Net: "tcp", Err: errno} }

func TestAcceptSurvivesEveryFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pipe := newPipeListener()
		failing := &failingListener{Listener: pipe, failures: make(chan error, 100)}
		for range 12 {
			failing.failures <- acceptError(syscall.EMFILE)
		}
		failing.failures <- acceptError(syscall.ECONNABORTED)
		failing.failures <- acceptError(syscall.ENFILE)
		failing.failures <- errors.New("a failure that nobody has thought of")
		h := prepareHarness(t)
		h.pipe = pipe
		start := time.Now()
		h.run(func(o *Options) {
			o.Listeners = []Listener{{Name: "PLAINTEXT", Socket: failing, Table: h.table()}}
		})
		c := h.dial()
		c.request(keyEcho, 1, 1, "hello")
		c.expect(1, "hello")
		between(t, "accepted", time.Since(start), 3*time.Second, 10*time.Second)
		h.log.Has(t, "out of file descriptors", "ulimit -n", "listener=PLAINTEXT")
		h.log.Has(t, "accepting connections failed", "nobody has thought of")
		if n := h.metrics.Counter(metric.AcceptErrors, "PLAINTEXT").Value(); n != 14 {
			t.Errorf("%d failures counted, want 14", n)
		}
	})
}

func TestListenerClosedBySomebodyElse(t *testing.T) {
	h := newHarness(t, nil)
	if err := h.server.options.Listeners[0].Socket.Close(); err != nil {
		t.Fatal(err)
	}
	h.eventually("it is logged", func() bool { return len(h.log.String()) > 0 })
	h.log.Has(t, "closed by somebody else", "listener=PLAINTEXT")
	ctx := t.Context()
	err := h.server.Shutdown(ctx)
	if err == nil {
		t.Error("shutdown did not tell that the listener was closed already")
	}
	h.stopOnce.Do(func() { <-h.served })
}

func limits(change func(*Limits)) func(*Options) {
	return func(o *Options) {
		l := noLimits
		change(&l)
		o.Limits = &l
	}
}

func TestConnectionsPerAddress(t *testing.T) {
	h := newHarness(t, limits(func(l *Limits) { l.MaxConnectionsPerIP = 2 }))
	first, second := h.dial(), h.dial()
	first.request(keyEcho, 1, 1, "one")
	first.expect(1, "one")
	second.request(keyEcho, 1, 1, "two")
	second.expect(1, "two")
	h.dial().closed()
	h.log.Has(t, "too many connections from one address", "source=127.0.0.1", "limit=2")
	if n := h.metrics.Counter(metric.ConnectionsRefused, "PLAINTEXT").Value(); n != 1 {
		t.Errorf("%d refusals counted", n)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	h.eventually("there is room again", func() bool { return h.metrics.Gauge(metric.Connections, "PLAINTEXT").Value() == 1 })
	third := h.dial()
	third.request(keyEcho, 1, 1, "three")
	third.expect(1, "three")
	h.server.SetLimits(Limits{MaxConnections: Unlimited, MaxConnectionsPerIP: 0, CreationRate: Unlimited, PerIP: map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 3}})
	fourth := h.dial()
	fourth.request(keyEcho, 1, 1, "four")
	fourth.expect(1, "four")
	h.dial().closed()
}

func TestMaxConnectionsMakesOthersWait(t *testing.T) {
	h := newHarness(t, limits(func(l *Limits) { l.MaxConnections = 1 }))
	first := h.dial()
	first.request(keyEcho, 1, 1, "one")
	first.expect(1, "one")
	second := h.dial()
	second.request(keyEcho, 1, 1, "two")
	if n := h.metrics.Counter(metric.ConnectionsOpened, "PLAINTEXT").Value(); n != 1 {
		t.Errorf("%d connections were opened", n)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second.expect(1, "two")
	third := h.dial()
	third.request(keyEcho, 1, 1, "three")
	l := noLimits
	l.Listeners = map[string]ListenerLimits{"PLAINTEXT": {MaxConnections: 2, CreationRate: Unlimited}}
	h.server.SetLimits(l)
	third.expect(1, "three")
	h.dial() // waits when the server is shut down
}

// TestCountTellsOfEachConnection: what else needs descriptors hears how many are taken.
func TestCountTellsOfEachConnection(t *testing.T) {
	counts := make(chan int, 100)
	h := newHarness(t, func(o *Options) { o.Count = func(n int) { counts <- n } })
	first, second := h.dial(), h.dial()
	for _, c := range []*client{first, second} {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for len(got) < 4 {
		got = append(got, <-counts)
	}
	if got[0] != 1 || slices.Max(got) > 2 || got[3] != 0 {
		t.Errorf("counts of two connections that came and went: %v", got)
	}
}

func TestCreationRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, limits(func(l *Limits) { l.CreationRate = 10 }))
		start := time.Now()
		for i := range 30 {
			c := h.dial()
			c.request(keyEcho, 1, 1, fmt.Sprint(i))
			c.expect(1, fmt.Sprint(i))
		}
		between(t, "30 connections at 10 per second, 10 of them at once", time.Since(start), 1900*time.Millisecond, 2100*time.Millisecond)
		h.server.SetLimits(noLimits)
		start = time.Now()
		for range 30 {
			h.dial().request(keyMute, 3, 1, "")
		}
		between(t, "30 connections without a limit", time.Since(start), 0, 100*time.Millisecond)
	})
}

func TestSocketOptions(t *testing.T) {
	h := newHarness(t, func(o *Options) { o.ReceiveBufferBytes, o.SendBufferBytes = 100<<10, 100<<10 })
	c := h.dial()
	c.request(keyEcho, 1, 1, "hello")
	c.expect(1, "hello")
	socket, err := Listen(t.Context(), "tcp", "127.0.0.1:0", 5)
	if err != nil {
		t.Fatal(err)
	}
	if err := socket.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(t.Context(), "tcp", h.address, 5); err == nil {
		t.Error("a taken port was listened on twice")
	}
}

func TestOptionsAreChecked(t *testing.T) {
	socket := &pipeListener{}
	table, err := NewTable()
	if err != nil {
		t.Fatal(err)
	}
	for name, o := range map[string]Options{
		"no listeners": {},
		"no table":     {Listeners: []Listener{{Name: "A", Socket: socket}}},
		"small budget": {Listeners: []Listener{{Name: "A", Socket: socket, Table: table}}, BudgetBytes: 100 << 20, MaxRequestBytes: 100 << 20},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	for _, most := range []int{1, 1 << 10, 1 << 20, 100 << 20, 1<<31 - 1} {
		if _, err := New(Options{Listeners: []Listener{{Name: "A", Socket: socket, Table: table}}, MaxRequestBytes: most}); err != nil {
			t.Errorf("requests of %d bytes: %v", most, err)
		}
	}
	serve := func(*Request) Answer { return Answer{None: true} }
	for name, handlers := range map[string][]Handler{
		"unknown key":      {{Key: 9999, Name: "x", Serve: serve}},
		"twice":            {{Key: 3, Name: "x", Serve: serve}, {Key: 3, Name: "y", Serve: serve}},
		"unknown version":  {{Key: 3, Name: "x", Max: 99, Serve: serve}},
		"no name":          {{Key: 3, Serve: serve}},
		"nothing to serve": {{Key: 3, Name: "x"}},
	} {
		if _, err := NewTable(handlers...); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
