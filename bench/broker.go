package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// broker is one broker process that the harness started.
type broker struct {
	kind    string
	dir     string // everything of it; removed in the end
	address string
	command func(address string) *exec.Cmd
	prepare func(address string) error // before the first start: Kafka formats its directory
	cmd     *exec.Cmd
	output  *os.File
	exited  chan struct{}
	failure error // why the process ended; read after exited is closed
}

// deleteDelay lets the files of a deleted topic go before the next measurement, on both sides, and not after the default of a minute in the middle of another one.
const deleteDelay = "log.segment.delete.delay.ms=500"

// startTimeout bounds the wait for a broker's first acknowledgement.
const startTimeout = 3 * time.Minute

// stopTimeout bounds an orderly stop: Apache Kafka writes snapshots of 10,000 partitions.
const stopTimeout = 3 * time.Minute

func newBroker(kind, scratch string) (*broker, error) {
	dir, err := os.MkdirTemp(scratch, kind+"-")
	if err != nil {
		return nil, err
	}
	b := &broker{kind: kind, dir: dir}
	if b.address, err = freeAddress(); err != nil {
		return nil, err
	}
	return b, nil
}

// freeAddress asks the system for a port and gives it back, so that a broker's clients know it before the broker runs.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

func (b *broker) data() string { return filepath.Join(b.dir, "data") }

// newOttla is a broker that runs the binary with a fresh directory.
func newOttla(binary, scratch string) (*broker, error) {
	b, err := newBroker("ottla", scratch)
	if err != nil {
		return nil, err
	}
	b.command = func(address string) *exec.Cmd {
		return exec.Command(binary, "serve", "--log-level", "warn", "--override", "listeners=PLAINTEXT://"+address, "--override", "log.dirs="+b.data(),
			"--override", "ottla.admin.listener=127.0.0.1:0", "--override", deleteDelay)
	}
	return b, nil
}

// admin returns the address of Ottla's admin listener.
func (b *broker) admin() (string, error) {
	text, err := os.ReadFile(filepath.Join(b.data(), "ottla.addresses"))
	if err != nil {
		return "", err
	}
	var a struct{ Admin string }
	if err := json.Unmarshal(text, &a); err != nil {
		return "", err
	}
	return a.Admin, nil
}

// tailPool is how much memory holds the tails of Ottla's logs; others have no such pool.
func (b *broker) tailPool() (bytes int64) {
	if b.kind != "ottla" {
		return 0
	}
	address, err := b.admin()
	if err != nil {
		return 0
	}
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get("http://" + address + "/metrics")
	if err != nil {
		return 0
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), "ottla_log_tail_memory_bytes "); ok {
			f, _ := strconv.ParseFloat(value, 64)
			bytes = int64(f)
		}
	}
	return bytes
}

// memory notes what a process holds.
func (b *broker) memory(f figures, u usage) {
	tail := b.tailPool()
	f[colRSS], f[colOwnRSS] = mib(u.rss), mib(u.rss-tail)
	if b.kind == "ottla" {
		f[colTail] = mib(tail)
	}
}

// started is how long a start took.
type started struct {
	prepared  time.Duration // what had to be done before: Kafka formats its directory
	accepting time.Duration // until a connection was accepted
	acked     time.Duration // until the first produce was acknowledged
}

// start runs the process, waits for its port and produces one record to the topic, which is created if it is fresh.
func (b *broker) start(ctx context.Context, first *topic) (started, error) {
	var s started
	if b.prepare != nil {
		began := time.Now()
		if err := b.prepare(b.address); err != nil {
			return s, err
		}
		s.prepared, b.prepare = time.Since(began), nil
	}
	output, err := os.OpenFile(filepath.Join(b.dir, "output"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return s, err
	}
	b.output = output
	b.cmd = b.command(b.address)
	b.cmd.Stdout, b.cmd.Stderr = output, output
	endWithUs(b.cmd)
	began := time.Now()
	if err := b.cmd.Start(); err != nil {
		b.cmd = nil
		return s, fmt.Errorf("start %s: %w", b.kind, err)
	}
	b.exited = make(chan struct{})
	go func(cmd *exec.Cmd, exited chan struct{}) {
		b.failure = cmd.Wait()
		close(exited)
	}(b.cmd, b.exited)
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	c, err := b.connect(ctx)
	if err != nil {
		return s, err
	}
	defer c.close()
	s.accepting = time.Since(began)
	if b.kind == "nats" {
		err = natsFirst(c.socket, first.Name)
	} else {
		err = b.firstAck(ctx, c, first)
	}
	if err != nil {
		return s, fmt.Errorf("%s accepts connections but acknowledges nothing: %w%s", b.kind, err, b.tail())
	}
	s.acked = time.Since(began)
	return s, nil
}

// connect tries until the port is open.
func (b *broker) connect(ctx context.Context) (*control, error) {
	for {
		c, err := dialControl(ctx, b.address)
		if err == nil {
			return c, nil
		}
		select {
		case <-b.exited:
			return nil, fmt.Errorf("%s ended while it started (%v)%s", b.kind, b.failure, b.tail())
		case <-ctx.Done():
			return nil, fmt.Errorf("%s does not listen on %s: %w%s", b.kind, b.address, ctx.Err(), b.tail())
		default:
			pause(ctx, 500*time.Microsecond)
		}
	}
}

// firstAck creates the topic, unless it has an id already, and produces to it until that is acknowledged.
func (b *broker) firstAck(ctx context.Context, c *control, first *topic) error {
	for first.ID == [16]byte{} {
		made, err := c.createTopics([]string{first.Name}, first.Partitions, nil)
		if err == nil {
			*first = made[0]
			break
		}
		if _, refused := errors.AsType[*refusedError](err); !refused || ctx.Err() != nil {
			return err
		}
		pause(ctx, time.Millisecond)
	}
	return c.awaitAck(ctx, topic{first.Name, first.ID, 1})
}

func (b *broker) usage() (usage, error) {
	select {
	case <-b.exited:
		return usage{}, fmt.Errorf("%s ended by itself (%v)%s", b.kind, b.failure, b.tail())
	default:
		return usageOf(b.cmd.Process.Pid)
	}
}

// stop ends the process in order, or at once.
func (b *broker) stop(orderly bool) error {
	if b.cmd == nil {
		return nil
	}
	defer func() {
		b.cmd = nil
		_ = b.output.Close()
	}()
	if orderly {
		if err := b.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("stop %s: %w", b.kind, err)
		}
	} else {
		_ = b.cmd.Process.Kill() // it may have ended by itself
	}
	select {
	case <-b.exited:
		return nil
	case <-time.After(stopTimeout):
		_ = b.cmd.Process.Kill()
		<-b.exited
		return fmt.Errorf("%s did not stop within %v and was killed%s", b.kind, stopTimeout, b.tail())
	}
}

// remove ends the process, if it still runs, and deletes everything of it.
func (b *broker) remove() error {
	return errors.Join(b.stop(false), os.RemoveAll(b.dir))
}

// tail is the end of what the process printed.
func (b *broker) tail() string {
	text, err := os.ReadFile(filepath.Join(b.dir, "output"))
	if err != nil || len(text) == 0 {
		return ""
	}
	return "; its output ends:\n" + strings.TrimSpace(string(text[max(0, len(text)-3000):]))
}
