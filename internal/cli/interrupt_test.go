package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func TestInterruptedMemberLeavesAndCommitsWhatItPrinted(t *testing.T) {
	bootstrap := openNode(t)
	succeed(t, bootstrap, "1\n2\n3\n", "produce", "jobs")
	c := start(t, bootstrap, nil, "consume", "jobs", "--group", "workers", "--from", "beginning")
	c.out.await(t, "1\n2\n3\n")
	if g := asJSON[[]describedGroup](t, bootstrap, "group", "describe", "workers")[0]; g.State != "Stable" || len(g.Members) != 1 || g.Members[0].ClientID != clientID {
		t.Errorf("while it consumes the group is %+v", g)
	}
	refused := run(t, bootstrap, "", "group", "reset-offsets", "workers", "--topic", "jobs", "--to-earliest", "--execute")
	if refused.code != exitFailure || !strings.Contains(refused.err, `group "workers" has 1 member and is Stable`) {
		t.Errorf("moving the offsets of a live group: exit %d\n%s", refused.code, refused.err)
	}
	if refused = run(t, bootstrap, "", "group", "delete", "workers"); refused.code != exitFailure || !strings.Contains(refused.err, "it has members") {
		t.Errorf("deleting a live group: exit %d\n%s", refused.code, refused.err)
	}
	c.interrupt()
	if got := c.wait(); got.code != exitInterrupted || !strings.Contains(got.err, `Left group "workers"; 3 records printed and committed.`) {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}
	// Left, not timed out: the group is empty at once, and the offsets are there.
	g := asJSON[[]describedGroup](t, bootstrap, "group", "describe", "workers")[0]
	if g.State != "Empty" || len(g.Members) != 0 || g.TotalLag != 0 || g.Partitions[0].Committed != 3 {
		t.Errorf("afterwards the group is %+v", g)
	}
}

func TestMemberCommitsNothingBeyondMaxMessages(t *testing.T) {
	bootstrap := openNode(t)
	succeed(t, bootstrap, "1\n2\n3\n4\n5\n", "produce", "jobs")
	for i, want := range []string{"1\n2\n", "3\n4\n", "5\n"} {
		args := []string{"consume", "jobs", "--group", "workers", "--from", "beginning", "--max-messages", "2"}
		if i == 2 {
			args = append(args, "--follow=false")
		}
		if got := succeed(t, bootstrap, "", args...); got.out != want {
			t.Errorf("run %d printed %q, not %q", i, got.out, want)
		}
	}
}

// A group that begins at the end goes on there: what comes between two runs is read by the second, although the first has printed nothing. Kafka's console consumer
// does the same.
func TestGroupGoesOnWhereItBegan(t *testing.T) {
	bootstrap := openNode(t)
	succeed(t, bootstrap, "", "topic", "create", "jobs", "-p", "2")
	succeed(t, bootstrap, "1\n2\n", "produce", "jobs", "-p", "0")
	const note = `group "workers" had no committed offsets and begins at the end, behind 2 records;`
	if got := succeed(t, bootstrap, "", "consume", "jobs", "--group", "workers", "--follow=false"); got.out != "" || !strings.Contains(got.err, note) {
		t.Errorf("the first run prints %q and says\n%s", got.out, got.err)
	}
	succeed(t, bootstrap, "3\n", "produce", "jobs", "-p", "0")
	succeed(t, bootstrap, "4\n", "produce", "jobs", "-p", "1")
	got := succeed(t, bootstrap, "", "consume", "jobs", "--group", "workers", "--follow=false")
	if lines := strings.Fields(got.out); len(lines) != 2 || !strings.Contains(got.out, "3") || !strings.Contains(got.out, "4") || strings.Contains(got.err, "begins at the end") {
		t.Errorf("the second run prints %q and says\n%s", got.out, got.err)
	}
	c := start(t, bootstrap, nil, "consume", "jobs", "--group", "others")
	c.err.await(t, `group "others" had no committed offsets and begins at the end, behind 4 records;`)
	c.interrupt()
	c.wait()
	succeed(t, bootstrap, "5\n", "produce", "jobs", "-p", "0")
	if got := succeed(t, bootstrap, "", "consume", "jobs", "--group", "others", "--follow=false"); got.out != "5\n" {
		t.Errorf("after an interrupt before any record: %q\n%s", got.out, got.err)
	}
}

// What goes on for long says so to a person: a line that is renewed, and gone in the end.
func TestLongVerbsShowProgress(t *testing.T) {
	bootstrap := openNode(t)
	lines, typing := io.Pipe()
	defer typing.Close()
	p := startAttended(t, bootstrap, lines, "produce", "long")
	fmt.Fprintln(typing, "one")
	p.err.await(t, "\r\x1b[K1 records, 0.0 MB")
	c := startAttended(t, bootstrap, nil, "consume", "long", "--from", "beginning")
	c.err.await(t, "\r\x1b[K1 record")
	fmt.Fprintln(typing, "two")
	c.err.await(t, "\r\x1b[K2 records")
	for _, s := range []*started{p, c} {
		s.interrupt()
		if got := s.wait(); got.code != exitInterrupted || !strings.Contains(got.err, " records\r\x1b[K") && !strings.Contains(got.err, "records/s\r\x1b[K") {
			t.Errorf("exit %d, %q", got.code, got.err)
		}
	}
}

// A reader that goes away ends the verb quietly, and the group is left; what could not be written is not committed.
func TestClosedOutputLeavesTheGroup(t *testing.T) {
	bootstrap := openNode(t)
	succeed(t, bootstrap, "1\n2\n", "produce", "jobs")
	c := start(t, bootstrap, nil, "consume", "jobs", "--group", "workers", "--from", "beginning")
	c.out.await(t, "2\n")
	c.out.fail(&os.PathError{Op: "write", Path: "stdout", Err: syscall.EPIPE})
	succeed(t, bootstrap, "3\n", "produce", "jobs")
	if got := c.wait(); got.code != exitOK {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}
	g := asJSON[[]describedGroup](t, bootstrap, "group", "describe", "workers")[0]
	if g.State != "Empty" || g.Partitions[0].Committed != 2 {
		t.Errorf("the group is %+v", g)
	}
}

func TestInterruptedProducerSendsWhatItRead(t *testing.T) {
	bootstrap := openNode(t)
	lines, typing := io.Pipe()
	defer typing.Close()
	p := start(t, bootstrap, lines, "produce", "typed")
	for _, line := range []string{"one\n", "two\n"} {
		if _, err := io.WriteString(typing, line); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "two records", func() bool {
		topics := asJSON[[]listedTopic](t, bootstrap, "topic", "list")
		return len(topics) == 1 && endOf(t, bootstrap, "typed") == 2
	})
	p.interrupt()
	if got := p.wait(); got.code != exitInterrupted || !strings.Contains(got.err, "2 records acknowledged: typed-0 at offsets 0 to 1\n") {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}
}

func TestConsumerFollowsAndSurvivesARestart(t *testing.T) {
	dir := t.TempDir()
	bootstrap, stop := openNodeIn(t, dir, "127.0.0.1:0")
	succeed(t, bootstrap, "", "topic", "create", "news")
	c := start(t, bootstrap, nil, "consume", "news", "--from", "beginning", "-o", "json")
	succeed(t, bootstrap, "before\n", "produce", "news")
	c.out.await(t, `"value":"before"`)
	stop()
	c.err.await(t, "ottla: cannot reach "+bootstrap+", trying again: connection refused")
	openNodeIn(t, dir, bootstrap)
	succeed(t, bootstrap, "after\n", "produce", "news")
	c.out.await(t, `"value":"after"`)
	c.interrupt()
	if got := c.wait(); got.code != exitInterrupted || strings.Count(got.out, "\n") != 2 || !strings.Contains(got.err, bootstrap+" can be reached again.") {
		t.Errorf("exit %d\n%s%s", got.code, got.out, got.err)
	}
}

// Two members share a topic that ends; a third, without partitions, ends too.
func TestMembersThatDoNotFollowEnd(t *testing.T) {
	bootstrap := openNode(t)
	succeed(t, bootstrap, "", "topic", "create", "jobs", "-p", "2")
	succeed(t, bootstrap, "", "produce", "jobs", "-p", "0", "-n", "100")
	succeed(t, bootstrap, "", "produce", "jobs", "-p", "1", "-n", "100")
	var members []*started
	for range 3 {
		members = append(members, start(t, bootstrap, nil, "consume", "jobs", "--group", "workers", "--from", "beginning", "--follow=false", "--format", `%p-%o\n`))
	}
	seen := map[string]bool{}
	for _, m := range members {
		got := m.wait()
		if got.code != exitOK {
			t.Errorf("exit %d\n%s", got.code, got.err)
		}
		for line := range strings.Lines(got.out) {
			seen[line] = true
		}
	}
	if len(seen) != 200 {
		t.Errorf("%d records were printed, not 200", len(seen))
	}
}

// A second signal ends the process at once, whatever the verb does; one that comes with the first is the first.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		signals, codes := make(chan os.Signal, 2), make(chan int, 1)
		p := process{signals: signals, exit: func(code int) { codes <- code }}
		ctx, cancel := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		defer close(done)
		go p.awaitSignals(cancel, done)
		signals <- os.Interrupt
		<-ctx.Done()
		if !errors.Is(context.Cause(ctx), errInterrupted) {
			t.Errorf("the first signal ended the verb with %v", context.Cause(ctx))
		}
		<-time.After(sameSignal)
		signals <- os.Interrupt
		synctest.Wait()
		if len(codes) > 0 {
			t.Fatal("the echo of the first signal ended the process")
		}
		<-time.After(time.Millisecond)
		signals <- syscall.SIGTERM
		if code := <-codes; code != exitInterrupted {
			t.Errorf("exit code %d", code)
		}
	})
}

// What answers badly, or not at all, is told apart.
func TestUnreachable(t *testing.T) {
	listen := func(serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				go serve(conn)
			}
		}()
		return l.Addr().String()
	}
	silent := listen(func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) })
	web := listen(func(conn net.Conn) {
		fmt.Fprint(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
		_ = conn.Close()
	})
	for _, c := range []struct{ address, want string }{
		{silent, silent + " accepts connections but does not answer within 200ms: is it a Kafka listener? (--timeout waits longer)"},
		{web, web + " does not answer like a Kafka listener without encryption"},
		{"127.0.0.1:1", "cannot reach 127.0.0.1:1: connection refused: is a node running? start one with `ottla`, or name another with --bootstrap-server"},
	} {
		for _, verb := range []string{"topic list", "consume x", "produce x"} {
			got := run(t, c.address, "x\n", append(strings.Fields(verb), "--timeout", "200ms")...)
			if got.code != exitFailure || !strings.HasPrefix(got.err, "ottla: "+c.want) {
				t.Errorf("%s: exit %d, %s", verb, got.code, got.err)
			}
		}
	}
}

// An interrupt while nobody answers is an interrupt, not a failure.
func TestInterruptWhileConnecting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, verb := range []string{"topic list", "consume x", "produce x"} {
		s := start(t, l.Addr().String(), strings.NewReader(""), strings.Fields(verb)...)
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		s.interrupt()
		if got := s.wait(); got.code != exitInterrupted || got.err != "" {
			t.Errorf("%s: exit %d, %q", verb, got.code, got.err)
		}
		_ = conn.Close()
	}
}

// A broker that dies while records are on their way is named once --timeout is over.
func TestProduceToADeadBroker(t *testing.T) {
	bootstrap, stop := openNodeIn(t, t.TempDir(), "127.0.0.1:0")
	succeed(t, bootstrap, "", "topic", "create", "typed")
	lines, typing := io.Pipe()
	defer typing.Close()
	p := start(t, bootstrap, lines, "produce", "typed", "--timeout", "1s")
	fmt.Fprintln(typing, "one")
	eventually(t, "the first record", func() bool { return endOf(t, bootstrap, "typed") == 1 })
	stop()
	fmt.Fprintln(typing, "two")
	got := p.wait()
	if got.code != exitFailure || !strings.Contains(got.err, "1 record acknowledged, 1 not: typed-0 at offset 0") || !strings.Contains(got.err, "ottla: cannot reach "+bootstrap+": connection refused") {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}
}
