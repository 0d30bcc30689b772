package node

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// open starts a node on free ports over a directory.
func open(t *testing.T, path string, overrides ...string) *Node {
	t.Helper()
	return openWith(t, path, Options{}, overrides...)
}

func testWriter(t *testing.T) io.Writer { return writerFunc(func(p []byte) { t.Log(string(p)) }) }

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

func stop(t *testing.T, n *Node) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := n.Close(ctx); err != nil {
		t.Fatal(err)
	}
}

func client(t *testing.T, n *Node, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(n.Addresses().Listeners["PLAINTEXT"])}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestProduceConsumeAcrossARestart(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(client(t, n))
	if _, err := admin.CreateTopic(ctx, 3, 1, nil, "hello"); err != nil {
		t.Fatal(err)
	}
	producer := client(t, n, kgo.DefaultProduceTopic("hello"))
	for _, word := range []string{"one", "two", "three"} {
		if err := producer.ProduceSync(ctx, kgo.StringRecord(word)).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	stop(t, n)
	n = open(t, path)
	defer stop(t, n)
	consumer := client(t, n, kgo.ConsumeTopics("hello"), kgo.ConsumerGroup("g"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	got := map[string]bool{}
	for len(got) < 3 {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		fetches.EachRecord(func(r *kgo.Record) { got[string(r.Value)] = true })
	}
	if err := consumer.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
}
