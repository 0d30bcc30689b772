package server

import (
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ottla/ottla/internal/metric"
)

func TestPeerThatLeavesStopsWhatIsParked(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.request(keyPark, 1, 1, "first")
	c.request(keyPark, 1, 2, "second")
	first, second := h.parked("first"), h.parked("second")
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	<-first.stopped
	<-second.stopped
	<-first.closed
	<-second.closed
}

func TestNoResponseAndClose(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.request(keyPark, 1, 1, "before")
	c.request(keyMute, 3, 2, "quiet")
	c.request(keyMute, 3, 3, "bye")
	c.request(keyEcho, 1, 4, "never read")
	p := h.parked("before")
	close(p.release)
	c.expect(1, "before")
	c.closed()
	select {
	case <-p.stopped:
		t.Error("an answer was stopped that had its own time")
	default:
	}
	if n := h.metrics.Counter(metric.ConnectionsClosed, "answer").Value(); n != 1 {
		h.eventually("the reason is counted", func() bool { return h.metrics.Counter(metric.ConnectionsClosed, "answer").Value() == 1 })
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		c.request(keyPark, 1, 0, "first")
		p := h.parked("first")
		const all = queueLimit + 50
		sent := make(chan struct{})
		go func() {
			for i := range int32(all) {
				c.request(keyEcho, 1, i+1, "behind")
			}
			close(sent)
		}()
		synctest.Wait()
		if n := h.metrics.Counter(metric.QueueFull).Value(); n != 1 {
			t.Errorf("the reader stopped %d times", n)
		}
		if n := h.metrics.Histogram(metric.RequestLocalSeconds, "Echo").Count(); n != queueLimit+1 {
			t.Errorf("%d requests were served behind a parked one", n)
		}
		select {
		case <-sent:
			t.Error("the reader went on reading")
		default:
		}
		close(p.release)
		c.expect(0, "first")
		for i := range int32(all) {
			c.expect(i+1, "behind")
		}
	})
}

// Answers that are made but must wait hold memory; a connection may have only so much of it.
func TestQueuedBodiesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		c := h.dial()
		c.request(keyPark, 1, 0, "first")
		p := h.parked("first")
		body := strings.Repeat("x", 100_000)
		go func() {
			for i := range int32(50) {
				c.request(keyEcho, 1, i+1, body)
			}
		}()
		synctest.Wait()
		if used := h.server.budget.used(); used < queueHeldLimit || used > queueHeldLimit+3*100_000 {
			t.Errorf("queued answers hold %d bytes", used)
		}
		close(p.release)
		c.expect(0, "first")
		for i := range int32(50) {
			c.expect(i+1, body)
		}
	})
}

// What an answer asks for is reserved from its wake-up until it is sent.
func TestAnswerMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := prepareHarness(t)
		wake := make(chan struct{})
		used := int64(-1)
		h.handlers[keyEcho].Serve = func(*Request) Answer {
			return Answer{
				Wait:   func(<-chan struct{}) { <-wake },
				Memory: 700_000,
				Body: func() Body {
					used = h.server.budget.used()
					return Bytes("hello")
				},
			}
		}
		h.pipe = newPipeListener()
		h.run(nil)
		c := h.dial()
		c.request(keyEcho, 1, 1, "")
		synctest.Wait()
		if n := h.server.budget.used(); n != 0 {
			t.Errorf("%d bytes reserved while parked", n)
		}
		close(wake)
		c.expect(1, "hello")
		synctest.Wait()
		if n := h.server.budget.used(); n != 0 || used != 700_000 {
			t.Errorf("%d bytes reserved for the body, %d after it", used, n)
		}
	})
}

// brokenBody fails after some bytes, as a disk may.
type brokenBody struct {
	wrote  int
	closed chan struct{}
}

func (b brokenBody) Len() int { return 100_000 }
func (b brokenBody) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, b.wrote))
	if err != nil {
		return int64(n), err
	}
	return int64(n), errors.New("read segment: input/output error")
}
func (b brokenBody) Close() { close(b.closed) }

func TestBodyThatCannotBeFinished(t *testing.T) {
	for _, wrote := range []int{0, 10, 50_000} {
		h := prepareHarness(t)
		closed := make(chan struct{})
		h.handlers[keyEcho].Serve = func(*Request) Answer { return Now(brokenBody{wrote, closed}) }
		h.run(nil)
		c := h.dial()
		c.request(keyEcho, 1, 1, "")
		c.deadline()
		got, err := io.ReadAll(c)
		if err != nil || len(got) >= 100_000 {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
		<-closed
		h.stop()
		h.log.Has(t, "response could not be finished", "api=Echo", "input/output error")
	}
}

func TestNilBodyIsNoResponse(t *testing.T) {
	h := prepareHarness(t)
	h.handlers[keyMute].Serve = func(r *Request) Answer {
		answer := Answer{Body: func() Body { return nil }}
		if string(r.Body) == "later" {
			answer.Wait = func(<-chan struct{}) {}
		}
		return answer
	}
	h.run(nil)
	c := h.dial()
	c.request(keyMute, 3, 1, "now")
	c.request(keyMute, 3, 2, "later")
	c.request(keyEcho, 1, 3, "heard")
	c.expect(3, "heard")
}

func TestRequestFields(t *testing.T) {
	h := prepareHarness(t)
	h.handlers[keyEcho].Serve = func(r *Request) Answer {
		switch {
		case r.Key != keyEcho || r.Version != 9 || r.CorrelationID != 77 || r.ClientID != "test" || r.ClientIDNull || string(r.Body) != "body":
			return Now(Bytes("wrong request"))
		case r.Conn.Listener() != "PLAINTEXT" || r.Conn.RemoteIP().String() != "127.0.0.1" || r.Conn.LocalAddr().String() != h.address || r.Conn.RemoteAddr() == nil:
			return Now(Bytes("wrong connection"))
		case r.Arrived.IsZero():
			return Now(Bytes("never arrived"))
		}
		seen, _ := r.Conn.Session.(string)
		r.Conn.Session = seen + "+"
		return Now(Bytes("right" + seen))
	}
	h.run(nil)
	c := h.dial()
	for _, want := range []string{"right", "right+", "right++"} {
		c.request(keyEcho, 9, 77, "body")
		if id, body := c.response(true); id != 77 || body != want {
			t.Errorf("got %d %q, want %q", id, body, want)
		}
	}
	c.send([]byte{0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 5, 0xff, 0xff}) // a null client id
	c.expect(5, "")
}

func TestRequestsAreCounted(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	for i := range int32(10) {
		c.request(keyEcho, 1, i, "hello")
		c.expect(i, "hello")
	}
	c.request(keyPark, 1, 1, "poll")
	close(h.parked("poll").release)
	c.expect(1, "poll")
	h.stop()
	for _, want := range []struct {
		family *metric.Family
		api    string
		count  int64
		sum    int64 // 0: any
	}{
		{metric.RequestSeconds, "Echo", 10, 0}, {metric.RequestLocalSeconds, "Echo", 10, 0}, {metric.RequestSendSeconds, "Echo", 10, 0},
		{metric.RequestParkedSeconds, "Echo", 0, 0}, {metric.RequestBytes, "Echo", 10, 10 * int64(len(frame(keyEcho, 1, 1, "hello")))},
		{metric.ResponseBytes, "Echo", 10, 10 * 13}, {metric.RequestParkedSeconds, "Park", 1, 0}, {metric.RequestSeconds, "Park", 1, 0},
	} {
		got := h.metrics.Histogram(want.family, want.api)
		if got.Count() != want.count || want.sum != 0 && got.Sum() != want.sum {
			t.Errorf("%s of %s: %d values, sum %d; want %d, %d", want.family.Name, want.api, got.Count(), got.Sum(), want.count, want.sum)
		}
	}
	if n := h.metrics.Gauge(metric.Connections, "PLAINTEXT").Value(); n != 0 {
		t.Errorf("%d connections are open after shutdown", n)
	}
}

// A panic in a handler is a bug of ours: it must end the process, and say which request it was.
func TestPanicEndsTheProcess(t *testing.T) {
	if os.Getenv("OTTLA_TEST_PANIC") != "" {
		h := prepareHarness(t)
		h.handlers[keyEcho].Serve = func(r *Request) Answer {
			answer := Answer{Body: func() Body { panic("the sky is falling") }}
			if string(r.Body) == "later" {
				answer.Wait = func(<-chan struct{}) {}
			}
			return answer
		}
		h.run(nil)
		c := h.dial()
		c.request(keyEcho, 1, 1, os.Getenv("OTTLA_TEST_PANIC"))
		c.closed()
		return
	}
	for _, when := range []string{"now", "later"} {
		command := exec.Command(os.Args[0], "-test.run=^TestPanicEndsTheProcess$", "-test.timeout=30s")
		command.Env = append(os.Environ(), "OTTLA_TEST_PANIC="+when)
		out, err := command.CombinedOutput()
		if err == nil {
			t.Errorf("%s: the process went on:\n%s", when, out)
		}
		for _, want := range []string{"BUG: panic while serving a request", "the sky is falling", "api=Echo", "answer_test.go", "repanicked"} {
			if !strings.Contains(string(out), want) {
				t.Errorf("%s: no %q in\n%s", when, want, out)
			}
		}
	}
}
