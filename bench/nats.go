package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"
)

// natsModule holds the server's version; the harness builds it from there.
const natsModule = "bench/nats"

// buildNATS makes the server's binary.
func buildNATS(ctx context.Context, root, scratch string) (string, error) {
	binary := filepath.Join(scratch, "nats-server")
	cmd := exec.CommandContext(ctx, "go", "build", "-o", binary, "github.com/nats-io/nats-server/v2")
	cmd.Dir = filepath.Join(root, natsModule)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("NATS not run: build it in %s: %w\n%s", natsModule, err, out)
	}
	return binary, nil
}

func newNATS(binary, scratch string) (*broker, error) {
	b, err := newBroker("nats", scratch)
	if err != nil {
		return nil, err
	}
	b.command = func(address string) *exec.Cmd {
		host, port, _ := net.SplitHostPort(address)
		return exec.Command(binary, "-a", host, "-p", port, "-js", "-sd", b.data())
	}
	return b, nil
}

// natsLine is a connection that speaks NATS' protocol of lines.
type natsLine struct {
	socket net.Conn
	in     *bufio.Reader
	inbox  string // where answers come, and nobody else listens; what a stream delivers comes to that name with ".stream"
}

const (
	natsTimeout  = 30 * time.Second
	natsAnswers  = '1' // subscriptions
	natsMessages = '2'
)

// openNATS says hello on a connection and subscribes to the answers.
func openNATS(socket net.Conn) (*natsLine, error) {
	_, port, err := net.SplitHostPort(socket.LocalAddr().String())
	if err != nil {
		return nil, err
	}
	n := &natsLine{socket, bufio.NewReaderSize(socket, 256<<10), "_INBOX." + port}
	if err := socket.SetDeadline(time.Now().Add(natsTimeout)); err != nil {
		return nil, err
	}
	if _, err := n.in.ReadSlice('\n'); err != nil { // INFO
		return nil, fmt.Errorf("NATS says nothing: %w", err)
	}
	_, err = fmt.Fprintf(socket, "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\nSUB %s %c\r\nSUB %s.stream %c\r\n", n.inbox, natsAnswers, n.inbox, natsMessages)
	return n, err
}

func dialNATS(address string) (*natsLine, error) {
	socket, err := net.DialTimeout("tcp", address, 10*time.Second)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return openNATS(socket)
}

// next reads the next message. The payload is valid until the next call; what has headers is an error that the server reports.
func (n *natsLine) next() (subscription byte, payload []byte, err error) {
	for {
		line, err := n.in.ReadSlice('\n')
		if err != nil {
			return 0, nil, err
		}
		f := bytes.Fields(line)
		switch {
		case len(f) == 0:
		case string(f[0]) == "PING":
			if _, err := n.socket.Write([]byte("PONG\r\n")); err != nil {
				return 0, nil, err
			}
		case string(f[0]) == "MSG" && len(f) >= 4:
			subscription = f[2][0]
			size, err := strconv.Atoi(string(f[len(f)-1]))
			if err != nil {
				return 0, nil, fmt.Errorf("NATS says %q", line)
			}
			payload, err := n.in.Peek(size)
			if err == nil {
				_, err = n.in.Discard(size + 2)
			}
			return subscription, payload, err
		case string(f[0]) == "-ERR" || string(f[0]) == "HMSG":
			return 0, nil, fmt.Errorf("NATS says %q", line)
		}
	}
}

// ask sends a request to JetStream's own subjects.
func (n *natsLine) ask(subject string, request any) error {
	text, err := json.Marshal(request)
	if err != nil {
		return err
	}
	if err := n.socket.SetDeadline(time.Now().Add(natsTimeout)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(n.socket, "PUB %s %s %d\r\n%s\r\n", subject, n.inbox, len(text), text); err != nil {
		return err
	}
	_, payload, err := n.next()
	if err == nil && bytes.Contains(payload, []byte(`"error":`)) {
		err = fmt.Errorf("NATS refused %s: %s", subject, payload)
	}
	return err
}

func (n *natsLine) createStream(name string) error {
	return n.ask("$JS.API.STREAM.CREATE."+name, map[string]any{"name": name, "subjects": []string{name}, "storage": "file", "retention": "limits", "num_replicas": 1})
}

// publishFrame is a whole message to a stream that asks for an acknowledgement.
func (n *natsLine) publishFrame(stream string, valueBytes int) []byte {
	value := make([]byte, valueBytes)
	noise(value, 1)
	return fmt.Appendf(nil, "PUB %s %s %d\r\n%s\r\n", stream, n.inbox, valueBytes, value)
}

// acked reads one acknowledgement and returns the message's number in the stream.
func (n *natsLine) acked() (int64, error) {
	_, payload, err := n.next()
	if err != nil {
		return 0, fmt.Errorf("acknowledgement: %w", err)
	}
	return natsSequence(payload)
}

func natsSequence(payload []byte) (int64, error) {
	_, rest, ok := bytes.Cut(payload, []byte(`"seq":`))
	if !ok {
		return 0, fmt.Errorf("NATS acknowledges with %s", payload)
	}
	end := bytes.IndexAny(rest, ",}")
	if end < 0 {
		return 0, fmt.Errorf("NATS acknowledges with %s", payload)
	}
	return strconv.ParseInt(string(bytes.TrimSpace(rest[:end])), 10, 64)
}

// natsFirst makes a stream, unless there is one, and publishes until that is acknowledged.
func natsFirst(socket net.Conn, stream string) error {
	n, err := openNATS(socket)
	if err != nil {
		return err
	}
	if err := n.createStream(stream); err != nil {
		return err
	}
	if _, err := socket.Write(n.publishFrame(stream, 100)); err != nil {
		return err
	}
	_, err = n.acked()
	return err
}

// natsProducer keeps a window of messages on the way: as many records as a Kafka producer of this job has in its batches.
type natsProducer struct {
	line    *natsLine
	job     *job
	frames  []byte // a quarter of the window, in one write
	each    int
	quarter int
	sent    []time.Time // when each quarter was
	ack     histogram
	all     int64
	count   int64
}

func newNATSProducers(j *job) (out []worker, err error) {
	for range j.Producers {
		line, err := dialNATS(j.Address)
		if err != nil {
			return out, err
		}
		p := &natsProducer{line: line, job: j, each: j.ValueBytes, quarter: max(1, j.InFlight*max(1, j.BatchBytes/j.ValueBytes)/4)}
		p.frames = bytes.Repeat(line.publishFrame(j.Topic.Name, j.ValueBytes), p.quarter)
		out = append(out, p)
	}
	return out, nil
}

func (p *natsProducer) run(m *meter) error {
	defer p.line.socket.Close()
	for !m.stopped.Load() || len(p.sent) > 0 {
		for len(p.sent) < 4 && !m.stopped.Load() {
			p.sent = append(p.sent, time.Now())
			if err := p.line.socket.SetDeadline(time.Now().Add(loadTimeout)); err != nil {
				return err
			}
			if _, err := p.line.socket.Write(p.frames); err != nil {
				return fmt.Errorf("publish: %w", err)
			}
		}
		for range p.quarter {
			if _, err := p.line.acked(); err != nil {
				return err
			}
		}
		p.all += int64(p.quarter)
		if m.measuring.Load() {
			p.ack.add(time.Since(p.sent[0]))
			p.count += int64(p.quarter)
			m.count(p.quarter * p.each)
		}
		p.sent = p.sent[1:]
	}
	return nil
}

func (p *natsProducer) report(o *outcome) {
	o.Ack.merge(&p.ack)
	o.Produces += p.count
	o.ProducedBytes += p.count * int64(p.each)
	o.AllProduced += p.all * int64(p.each)
}

// newNATSPaced is the open loop: one connection publishes, another is given what the stream has.
func newNATSPaced(j *job) ([]worker, error) {
	out, err := dialNATS(j.Address)
	if err != nil {
		return nil, err
	}
	follow, err := dialNATS(j.Address)
	if err != nil {
		return nil, err
	}
	// In the API's requests the answer comes to the inbox of the connection that asked.
	if err := follow.ask("$JS.API.CONSUMER.CREATE."+j.Topic.Name, map[string]any{"stream_name": j.Topic.Name,
		"config": map[string]any{"deliver_subject": follow.inbox + ".stream", "ack_policy": "none", "deliver_policy": "new", "replay_policy": "instant"}}); err != nil {
		return nil, err
	}
	p := &paced{job: j, began: time.Now(), sentAt: newRing()}
	frame := out.publishFrame(j.Topic.Name, j.ValueBytes)
	s := &pacedSender{paced: p, socket: out.socket, prepare: func(int64) []byte { return frame }}
	return []worker{s, &natsPacedAcks{tally{paced: p, each: j.ValueBytes}, out}, &natsPacedConsumer{paced: p, line: follow}}, nil
}

type natsPacedAcks struct {
	tally
	line *natsLine
}

func (a *natsPacedAcks) run(m *meter) error {
	first := int64(0)
	for n := int64(0); ; n++ {
		sequence, err := a.line.acked()
		if err != nil {
			if a.over(m) {
				return nil
			}
			return err
		}
		if n == 0 {
			first = sequence
		}
		if sequence != first+n {
			return fmt.Errorf("acknowledgement of message %d where %d was next", sequence, first+n)
		}
		a.note(m, n)
	}
}

type natsPacedConsumer struct {
	*paced
	line    *natsLine
	latency histogram
}

func (c *natsPacedConsumer) run(m *meter) error {
	defer c.line.socket.Close()
	for n := int64(0); !m.stopped.Load(); {
		if err := c.line.socket.SetReadDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
			return err
		}
		if _, err := c.line.in.Peek(1); isNetError(err) { // nothing has come: perhaps nothing will
			continue
		}
		if err := c.line.socket.SetReadDeadline(time.Now().Add(loadTimeout)); err != nil {
			return err
		}
		subscription, _, err := c.line.next()
		if err != nil {
			return fmt.Errorf("wait for messages: %w", err)
		}
		if subscription != natsMessages {
			continue
		}
		if d, ok := c.since(n); ok && m.measuring.Load() {
			c.latency.add(d)
		}
		n++
	}
	return nil
}

func (c *natsPacedConsumer) report(o *outcome) { o.EndToEnd.merge(&c.latency) }
