package cli

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// swallowing opens a node behind a proxy that swallows every request with an API key: the broker hangs there. The channel tells when.
func swallowing(t *testing.T, key uint16) (address string, swallowed <-chan struct{}) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	front := l.Addr().String()
	back := openNode(t, "advertised.listeners=PLAINTEXT://"+front)
	news := make(chan struct{}, 1000)
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			broker, err := net.Dial("tcp", back)
			if err != nil {
				_ = client.Close()
				return
			}
			go func() {
				_, _ = io.Copy(client, broker)
				_ = client.Close()
			}()
			go func() {
				forward(broker, client, key, news)
				_ = broker.Close()
			}()
		}
	}()
	return front, news
}

// forward copies requests, but for those with the key.
func forward(to io.Writer, from io.Reader, swallowed uint16, news chan<- struct{}) {
	for {
		head := make([]byte, 6)
		if _, err := io.ReadFull(from, head); err != nil {
			return
		}
		rest := make([]byte, binary.BigEndian.Uint32(head)-2)
		if _, err := io.ReadFull(from, rest); err != nil {
			return
		}
		if binary.BigEndian.Uint16(head[4:]) == swallowed {
			news <- struct{}{}
			continue
		}
		if _, err := to.Write(append(head, rest...)); err != nil {
			return
		}
	}
}

func TestNoAnswerInTime(t *testing.T) {
	const createTopics, produce = 19, 0
	for _, c := range []struct {
		key  uint16
		args string
		want string
	}{
		{createTopics, "topic create x", "ottla: no answer from ADDRESS within 300ms (--timeout)\n"},
		{produce, "produce fresh", "0 records acknowledged, 1 not\nottla: topic \"fresh\": nothing was acknowledged for 300ms (--timeout)\n"},
	} {
		address, _ := swallowing(t, c.key)
		got := run(t, address, "x\n", append(strings.Fields(c.args), "--timeout", "300ms")...)
		if want := strings.ReplaceAll(c.want, "ADDRESS", address); got.code != exitFailure || !strings.HasPrefix(got.err, want) {
			t.Errorf("ottla %s: exit %d, %s", c.args, got.code, got.err)
		}
	}
}

// An interrupt does not wait for an answer that does not come.
func TestInterruptWhileABrokerHangs(t *testing.T) {
	const createTopics = 19
	address, swallowed := swallowing(t, createTopics)
	s := start(t, address, nil, "topic", "create", "x", "--timeout", "1h")
	select {
	case <-swallowed:
	case <-time.After(patience):
		t.Fatalf("the broker was not asked\n%s", s.err)
	}
	s.interrupt()
	if got := s.wait(); got.code != exitInterrupted || got.out != "" {
		t.Errorf("exit %d, %s%s", got.code, got.out, got.err)
	}
}

// Brokers that advertise an address that nobody reaches are told apart from ones that do not run.
func TestAdvertisedAddressIsUnreachable(t *testing.T) {
	bootstrap := openNode(t, "advertised.listeners=PLAINTEXT://127.0.0.1:1")
	for _, args := range []string{"topic create x", "produce x", "topic describe x"} {
		got := run(t, bootstrap, "x\n", append(strings.Fields(args), "--timeout", "500ms")...)
		if got.code != exitFailure || !strings.Contains(got.err, "ottla: cannot reach 127.0.0.1:1: connection refused: the brokers name this address in advertised.listeners, and it must be reachable from here") {
			t.Errorf("ottla %s: exit %d, %s", args, got.code, got.err)
		}
	}
}
