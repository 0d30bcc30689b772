//go:build unix

package turns

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKafkaReadsWhatRepairLeft: what `ottla log repair --skip-rot` leaves is as good for Kafka and its tools as for Ottla. Consumers of both pass over the empty batch.
func TestKafkaReadsWhatRepairLeft(t *testing.T) {
	longForm(t)
	p := newPlace(t, 1)
	p.start(ottla)
	c, ctx := client(t, p, kgo.DefaultProduceTopic("holed"), kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.ProducerBatchMaxBytes(20_000))
	if _, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, nil, "holed"); err != nil {
		t.Fatal(err)
	}
	const records = 3000
	for i := range records {
		c.Produce(ctx, kgo.StringRecord(fmt.Sprintf("%d %s", i, strings.Repeat("x", 1000))), func(_ *kgo.Record, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	if err := c.Flush(ctx); err != nil {
		t.Fatal(err)
	}
	c.Close()
	p.stop()

	segment := filepath.Join(p.data[0], "holed-0", "00000000000000000000.log")
	data, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	if err := os.WriteFile(segment, data, 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := p.ottla("log", "repair", p.data[0], "--skip-rot", "--yes", "-o", "json").Output()
	if err != nil {
		t.Fatalf("repair: %v\n%s", err, out)
	}
	var done struct {
		Ranges []struct {
			From int64 `json:"first_offset"`
			To   int64 `json:"next_offset"`
		} `json:"ranges"`
	}
	if err := json.Unmarshal(out, &done); err != nil || len(done.Ranges) != 1 || done.Ranges[0].To <= done.Ranges[0].From {
		t.Fatalf("repair: %v\n%s", err, out)
	}
	if out, err := p.ottla("log", "verify", p.data[0]).CombinedOutput(); err != nil {
		t.Fatalf("verify: %v\n%s", err, out)
	}
	tools := filepath.Join(filepath.Dir(p.jars), "tools-4.3.1", "*")
	out, err = exec.Command("java", "-cp", tools, "org.apache.kafka.tools.DumpLogSegments", "--deep-iteration", "--files", segment).CombinedOutput()
	if text := string(out); err != nil || !strings.Contains(text, "count: 0 ") || strings.Contains(text, "isvalid: false") || strings.Contains(text, "Found") {
		t.Fatalf("kafka-dump-log: %v\n%.4000s", err, out)
	}
	var want []int64
	for offset := range int64(records) {
		if offset < done.Ranges[0].From || offset >= done.Ranges[0].To {
			want = append(want, offset)
		}
	}
	for _, who := range []string{kafka, ottla} {
		p.start(who)
		c, ctx := client(t, p, kgo.ConsumeTopics("holed"), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		var got []int64
		for len(got) == 0 || got[len(got)-1] < records-1 {
			fetches := c.PollFetches(ctx)
			if err := fetches.Err(); err != nil {
				t.Fatalf("%s: %v", who, err)
			}
			fetches.EachRecord(func(r *kgo.Record) {
				if !strings.HasPrefix(string(r.Value), fmt.Sprintf("%d ", r.Offset)) {
					t.Fatalf("%s: offset %d has %.20s", who, r.Offset, r.Value)
				}
				got = append(got, r.Offset)
			})
		}
		if !slices.Equal(got, want) {
			t.Fatalf("%s: %d records, want %d", who, len(got), len(want))
		}
		c.Close()
		p.stop()
	}
}
