package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/wire"
	"github.com/ottla/ottla/internal/metric"
	"github.com/ottla/ottla/test/transcript"
)

// The APIs of the tests. Their keys are real ones, so that headers parse; what they do is not.
const (
	keyEcho  int16 = 3  // answers with its body
	keyPark  int16 = 11 // answers with its body once the test says so
	keyMute  int16 = 0  // answers nothing
	keyHello int16 = 18 // ApiVersions: answers versions it does not know
)

// harness is a server on a loopback port with handlers that the test steers.
type harness struct {
	t        testing.TB
	server   *Server
	address  string
	log      *transcript.Transcript
	metrics  *metric.Registry
	served   chan error
	stopOnce sync.Once
	handlers map[int16]*Handler
	pipe     *pipeListener // nil for TCP

	mu    sync.Mutex
	parks map[string]*parkedRequest
	came  chan struct{} // replaced when a request has parked
}

// parkedRequest is a request of keyPark: release lets it be answered; stopped and closed tell what the server did to it.
type parkedRequest struct {
	release chan struct{}
	stopped chan struct{}
	closed  chan struct{}
}

func (p *parkedRequest) ready() bool {
	select {
	case <-p.release:
		return true
	default:
		return false
	}
}

// trackedBody tells when it was closed.
type trackedBody struct {
	Bytes
	closed chan struct{}
}

func (b trackedBody) Close() { close(b.closed) }

func TestMain(m *testing.M) {
	poisoning = true
	m.Run()
}

// newHarness starts a server on TCP.
func newHarness(t testing.TB, change func(*Options)) *harness {
	t.Helper()
	h := prepareHarness(t)
	h.run(change)
	return h
}

// newPipeHarness starts a server on pipes, for bubbles with virtual time.
func newPipeHarness(t testing.TB, change func(*Options)) *harness {
	t.Helper()
	h := prepareHarness(t)
	h.pipe = newPipeListener()
	h.run(change)
	return h
}

func prepareHarness(t testing.TB) *harness {
	h := &harness{t: t, log: &transcript.Transcript{}, metrics: metric.NewRegistry(), served: make(chan error, 1), parks: map[string]*parkedRequest{}, came: make(chan struct{})}
	echo := func(r *Request) Answer { return Now(Bytes(bytes.Clone(r.Body))) }
	h.handlers = map[int16]*Handler{
		keyEcho: {Key: keyEcho, Name: "Echo", Min: 0, Max: 13, Serve: echo},
		keyPark: {Key: keyPark, Name: "Park", Min: 0, Max: 5, Serve: h.park},
		keyMute: {Key: keyMute, Name: "Mute", Min: 3, Max: 8, Serve: func(r *Request) Answer { return Answer{None: true, Close: bytes.Equal(r.Body, []byte("bye"))} }},
		keyHello: {Key: keyHello, Name: "Hello", Min: 0, Max: 4, Serve: echo,
			Unsupported: func(r *Request) Answer { return Now(Bytes("which?")) }},
	}
	return h
}

func (h *harness) run(change func(*Options)) {
	t := h.t
	t.Helper()
	var log io.Writer = h.log
	if os.Getenv("OTTLA_TEST_PANIC") != "" {
		log = os.Stderr
	}
	options := Options{Logger: slog.New(slog.NewTextHandler(log, nil)), Metrics: h.metrics}
	if change != nil {
		change(&options)
	}
	if options.Listeners == nil && h.pipe != nil {
		options.Listeners = []Listener{{Name: "PLAINTEXT", Socket: h.pipe, Table: h.table()}}
	} else if options.Listeners == nil {
		socket, err := Listen(t.Context(), "tcp", "127.0.0.1:0", 0)
		if err != nil {
			t.Fatal(err)
		}
		options.Listeners = []Listener{{Name: "PLAINTEXT", Socket: socket, Table: h.table()}}
	}
	h.address = options.Listeners[0].Socket.Addr().String()
	server, err := New(options)
	if err != nil {
		t.Fatal(err)
	}
	h.server = server
	go func() { h.served <- server.Serve() }()
	t.Cleanup(h.stop)
}

func (h *harness) table() *Table {
	h.t.Helper()
	var all []Handler
	for _, handler := range h.handlers {
		all = append(all, *handler)
	}
	table, err := NewTable(all...)
	if err != nil {
		h.t.Fatal(err)
	}
	return table
}

// stop shuts the server down, once, and checks that nothing of it is left.
func (h *harness) stop() { h.stopOnce.Do(h.stopNow) }

func (h *harness) stopNow() {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.server.Shutdown(ctx); err != nil {
		h.t.Errorf("shutdown: %v", err)
	}
	if err := <-h.served; err != nil {
		h.t.Errorf("serve: %v", err)
	}
	if used := h.server.budget.used(); used != 0 {
		h.t.Errorf("%d bytes of request memory are still reserved", used)
	}
	h.eventually("no goroutine of the server runs", func() bool { return goroutines() == "" })
}

// goroutines returns the stacks of the goroutines that a server has started. One that has told its end may still be there for a moment.
func goroutines() string {
	buf := make([]byte, 4<<20)
	var out []string
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "broker/server.(*Server)") || strings.Contains(stack, "broker/server.(*Conn)") {
			out = append(out, stack)
		}
	}
	return strings.Join(out, "\n\n")
}

func (h *harness) park(r *Request) Answer {
	p := &parkedRequest{release: make(chan struct{}), stopped: make(chan struct{}), closed: make(chan struct{})}
	body := trackedBody{Bytes(bytes.Clone(r.Body)), p.closed}
	h.mu.Lock()
	h.parks[string(r.Body)] = p
	close(h.came)
	h.came = make(chan struct{})
	h.mu.Unlock()
	return Answer{
		Ready: p.ready,
		Wait: func(stop <-chan struct{}) {
			select {
			case <-p.release:
			case <-stop:
				close(p.stopped)
			}
		},
		Body: func() Body { return body },
	}
}

// parked waits until a request with that body has parked.
func (h *harness) parked(body string) *parkedRequest {
	h.t.Helper()
	deadline := time.After(30 * time.Second)
	for {
		h.mu.Lock()
		p, came := h.parks[body], h.came
		h.mu.Unlock()
		if p != nil {
			return p
		}
		select {
		case <-came:
		case <-deadline:
			h.t.Fatalf("request %q never parked", body)
		}
	}
}

// eventually polls what has no event of its own.
func (h *harness) eventually(what string, ok func() bool) {
	h.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(30 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline:
			h.t.Fatalf("never: %s", what)
		}
	}
}

// client is a raw connection.
type client struct {
	t testing.TB
	net.Conn
}

func (h *harness) dial() *client {
	h.t.Helper()
	c, err := net.Conn(nil), error(nil)
	if h.pipe != nil {
		c, err = h.pipe.dial()
	} else {
		c, err = net.Dial("tcp", h.address)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return &client{h.t, c}
}

// pipeListener is a listener whose connections are pipes: every write waits for its reader, and time may be virtual.
type pipeListener struct {
	incoming chan net.Conn
	closed   chan struct{}
	once     sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{incoming: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) dial() (net.Conn, error) {
	ours, theirs := net.Pipe()
	select {
	case l.incoming <- theirs:
		return ours, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.incoming:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

// frame is a whole request.
func frame(key, version int16, correlationID int32, body string) []byte {
	b := wire.AppendRequestHeader(make([]byte, 4), key, version, correlationID, []byte("test"))
	b = append(b, body...)
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	return b
}

func (c *client) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("sending: %v", err)
	}
}

func (c *client) request(key, version int16, correlationID int32, body string) {
	c.t.Helper()
	c.send(frame(key, version, correlationID, body))
}

// response reads one response with header version 0 or 1.
func (c *client) response(flexible bool) (correlationID int32, body string) {
	c.t.Helper()
	c.deadline()
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		c.t.Fatalf("reading a response: %v", err)
	}
	b := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, b); err != nil {
		c.t.Fatalf("reading a response of %d bytes: %v", len(b), err)
	}
	id, rest, err := wire.ParseResponseHeader(b, flexible)
	if err != nil {
		c.t.Fatal(err)
	}
	return id, string(rest)
}

func (c *client) expect(correlationID int32, body string) {
	c.t.Helper()
	id, got := c.response(false)
	if id != correlationID || got != body {
		c.t.Fatalf("got response %d %q, want %d %q", id, short(got), correlationID, short(body))
	}
}

func short(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}

// closed waits for the server to close the connection without sending anything more.
func (c *client) closed() {
	c.t.Helper()
	c.deadline()
	n, err := io.Copy(io.Discard, c)
	if n > 0 {
		c.t.Fatalf("the server sent %d bytes instead of closing", n)
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatal("the server did not close the connection")
	}
}

func (c *client) deadline() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(30 * time.Second)); err != nil {
		c.t.Fatal(err)
	}
}
