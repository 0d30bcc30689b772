package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
)

func openNode(t *testing.T) string {
	t.Helper()
	settings, err := config.ParseOverrides([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "ottla.admin.listener=127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	static, err := config.Load(config.Options{}, settings)
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(t.Context(), node.Options{Static: static, Loggers: node.NewLoggers(io.Discard, slog.LevelWarn)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return n.Addresses().Listeners["PLAINTEXT"]
}

func freshTopic(t *testing.T, address, name string) topic {
	t.Helper()
	c, err := dialControl(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.close()
	made, err := c.createTopics([]string{name}, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.awaitAck(t.Context(), made[0]); err != nil {
		t.Fatal(err)
	}
	return made[0]
}

// TestJobs drives a real node with each kind of job, as a generator process does, and looks at what is reported.
func TestJobs(t *testing.T) {
	address := openNode(t)
	fill := job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 16 << 10, ValueBytes: 1 << 10, Measure: 30 * time.Second, MaxBytes: 1 << 20}
	for _, test := range []struct {
		name  string
		fill  bool
		job   job
		check func(o *outcome) bool
	}{
		{"produce", false, fill, func(o *outcome) bool {
			return o.ProducedBytes >= 1<<20 && o.Produces == o.Ack.Count && o.Produces > 60 && o.FetchedBytes == 0
		}},
		{"acks 0", false, job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 16 << 10, ValueBytes: 1 << 10, Measure: 30 * time.Second, MaxBytes: 1 << 20}, func(o *outcome) bool {
			return o.ProducedBytes >= 1<<20 && o.AllProduced >= o.ProducedBytes && o.Ack.Count <= 2
		}},
		{"zstd", false, job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 16 << 10, ValueBytes: 1 << 10, Codec: "zstd", Measure: 30 * time.Second, MaxBytes: 100_000}, func(o *outcome) bool {
			return o.ProducedBytes >= 100_000 && o.ProducedBytes/o.Produces < 12_000
		}},
		{"lz4", false, job{Kind: "produce", Producers: 2, InFlight: 5, BatchBytes: 16 << 10, ValueBytes: 1 << 10, Codec: "lz4", Measure: 30 * time.Second, MaxBytes: 100_000}, func(o *outcome) bool {
			return o.ProducedBytes >= 100_000 && o.ProducedBytes/o.Produces < 14_000
		}},
		{"commits", false, job{Kind: "commit", Producers: 4, InFlight: 1, Measure: 300 * time.Millisecond, MaxBytes: 1 << 30}, func(o *outcome) bool {
			return o.Produces > 10 && o.Produces == o.Ack.Count
		}},
		{"franz produce", false, job{Kind: "franz", Producers: 1, BatchBytes: 100_000, ValueBytes: 1 << 10, Measure: 30 * time.Second, MaxBytes: 1 << 20}, func(o *outcome) bool {
			return o.ProducedBytes >= 1<<20 && o.AllProduced >= o.ProducedBytes && o.FetchedBytes == 0
		}},
		{"franz consume", true, job{Kind: "franz", Consumers: 1, ValueBytes: 1 << 10, Measure: 500 * time.Millisecond, MaxBytes: 1 << 50}, func(o *outcome) bool {
			return o.FetchedBytes > 2<<20 && o.ProducedBytes == 0
		}},
		{"one in flight", false, job{Kind: "produce", Producers: 4, InFlight: 1, ValueBytes: 100, Measure: 30 * time.Second, MaxBytes: 20_000}, func(o *outcome) bool {
			return o.ProducedBytes >= 20_000 && o.Ack.quantile(0.5) > 0
		}},
		{"a crowd", false, job{Kind: "produce", Producers: 16, InFlight: 1, ValueBytes: 100, Measure: 30 * time.Second, MaxBytes: 50_000}, func(o *outcome) bool {
			return o.ProducedBytes >= 50_000 && o.Produces == o.Ack.Count && o.Ack.quantile(0.5) > 0
		}},
		{"fetch", true, job{Kind: "fetch", Consumers: 2, FetchBytes: 100_000, Measure: 30 * time.Second, MaxBytes: 3 << 20}, func(o *outcome) bool {
			return o.FetchedBytes >= 3<<20 && o.Fetches == o.Fetch.Count && o.ProducedBytes == 0
		}},
		{"both", false, job{Kind: "both", Producers: 1, Consumers: 2, InFlight: 2, FetchBytes: 1 << 20, BatchBytes: 16 << 10, ValueBytes: 1 << 10, Measure: 300 * time.Millisecond, MaxBytes: 1 << 30}, func(o *outcome) bool {
			return o.ProducedBytes > 0 && o.FetchedBytes > 0
		}},
		{"paced", false, job{Kind: "paced", FetchBytes: 1 << 20, ValueBytes: 100, Rate: 500, Measure: 300 * time.Millisecond, MaxBytes: 1 << 30}, func(o *outcome) bool {
			return o.Produces > 0 && o.EndToEnd.Count > 0 && o.EndToEnd.quantile(0.5) > 0 && o.Late.Count > 0
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			j := test.job
			if j.Address, j.Topic = address, freshTopic(t, address, strings.ReplaceAll(test.name, " ", "-")); test.name != "acks 0" {
				j.Acks = -1
			}
			if j.Kind == "commit" {
				if err := prepareGroups(t.Context(), address, j.Topic.Name, j.Producers, nil); err != nil {
					t.Fatal(err)
				}
			}
			if test.fill {
				f := fill
				f.Address, f.Acks, f.Topic = j.Address, j.Acks, j.Topic
				runHere(t, &f)
				j.Filled = f.MaxBytes
			}
			if o := runHere(t, &j); !test.check(o) {
				o.Ack.Counts, o.Fetch.Counts, o.EndToEnd.Counts, o.Late.Counts = nil, nil, nil, nil
				t.Errorf("outcome %+v", o)
			}
		})
	}
}

// runHere runs a generator within the test's process.
func runHere(t *testing.T, j *job) *outcome {
	t.Helper()
	line, err := json.Marshal(j)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := generate(strings.NewReader(string(line)+"\ngo\n"), &out); err != nil {
		t.Fatal(err)
	}
	ready, rest, _ := strings.Cut(out.String(), "\n")
	if ready != "ready" {
		t.Fatalf("the generator said %q", out.String())
	}
	var o outcome
	if err := json.Unmarshal([]byte(rest), &o); err != nil {
		t.Fatal(err)
	}
	if o.Error != "" {
		t.Fatal(o.Error)
	}
	return &o
}

func TestAJobThatCannotRunSaysSo(t *testing.T) {
	address := openNode(t)
	for _, test := range []struct{ job, want string }{
		{`{"Kind":"dance"}`, "unknown kind"},
		{`{"Kind":"produce","Producers":1,"InFlight":1,"ValueBytes":10,"Acks":-1,"Measure":1000000000,"MaxBytes":1000,"Address":"` + address + `","Topic":{"Name":"nowhere","Partitions":1}}`, "error code 3"},
	} {
		var out bytes.Buffer
		if err := generate(strings.NewReader(test.job+"\ngo\n"), &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), test.want) {
			t.Errorf("job %s gave %q, not %q", test.job, out.String(), test.want)
		}
	}
}

// TestTheFloorAnswersWhatTheCellsAsk runs those jobs that are measured against it.
func TestTheFloorAnswersWhatTheCellsAsk(t *testing.T) {
	address, err := freeAddress()
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- serveFloor(address) }() // it ends with the test's process
	for {                                         // until it listens
		c, err := dialControl(t.Context(), address)
		if err == nil {
			c.close()
			break
		}
		select {
		case err := <-failed:
			t.Fatal(err)
		default:
		}
	}
	for _, c := range cells {
		for _, s := range c.sides {
			if s.kind != "floor" {
				continue
			}
			j := c.job
			j.Address, j.Topic, j.Measure, j.MaxBytes = address, freshTopic(t, address, c.name), 30*time.Second, 200_000
			o := runHere(t, &j)
			if o.ProducedBytes+o.FetchedBytes < j.MaxBytes {
				t.Errorf("cell %s moved %d and %d bytes, not %d", c.name, o.ProducedBytes, o.FetchedBytes, j.MaxBytes)
			}
		}
	}
}
