package main

import (
	"context"
	_ "embed"
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// errStrangerMissing says that a real client is not installed: its rows are left out, and say so.
var errStrangerMissing = errors.New("not run: run make clients")

const toolsVersion = "4.3.1"

//go:embed librdkafka.py
var librdkafkaProgram string

func librdkafkaPython(clients string) string {
	return filepath.Join(clients, "python", "confluent-kafka", "bin", "python")
}

func toolsJars(clients string) string { return filepath.Join(clients, "java", "tools-"+toolsVersion) }

func missingStranger(kind, clients string) error {
	at := map[string]string{"librdkafka": librdkafkaPython(clients), "tools": toolsJars(clients)}[kind]
	if at == "" {
		return nil
	}
	if _, err := os.Stat(at); err != nil {
		return fmt.Errorf("%s: %w", kind, errStrangerMissing)
	}
	return nil
}

// librdkafkaCommand is a generator process in Python, whose loops over records are librdkafka's own.
func librdkafkaCommand(clients string) *exec.Cmd {
	return exec.Command(librdkafkaPython(clients), "-c", librdkafkaProgram)
}

// franz is one producer or one consumer of franz-go, with its defaults but for the size of batches and fetches.
type franz struct {
	job         *job
	produced    atomic.Int64 // bytes of values, within the measurement
	fetched     atomic.Int64
	allProduced atomic.Int64
	failed      atomic.Pointer[error]
}

func newFranz(j *job) ([]worker, error) { return []worker{&franz{job: j}}, nil }

func (f *franz) run(m *meter) error {
	if f.job.Producers > 0 {
		return f.produce(m)
	}
	for !m.stopped.Load() {
		if err := f.consume(m); err != nil {
			return err
		}
	}
	return nil
}

func (f *franz) produce(m *meter) error {
	c, err := kgo.NewClient(kgo.SeedBrokers(f.job.Address), kgo.DefaultProduceTopic(f.job.Topic.Name), kgo.ProducerBatchMaxBytes(int32(f.job.BatchBytes)),
		kgo.ProducerBatchCompression(kgo.NoCompression()), kgo.MaxBufferedRecords(50_000), kgo.RequiredAcks(kgo.AllISRAcks()))
	if err != nil {
		return err
	}
	defer c.Close()
	value := make([]byte, f.job.ValueBytes)
	noise(value, 1)
	acked := func(r *kgo.Record, err error) {
		if err != nil {
			f.failed.CompareAndSwap(nil, &err)
			return
		}
		f.allProduced.Add(int64(len(r.Value)))
		if m.measuring.Load() {
			f.produced.Add(int64(len(r.Value)))
			m.count(len(r.Value))
		}
	}
	for !m.stopped.Load() && f.failed.Load() == nil {
		for range 100 {
			c.Produce(context.Background(), &kgo.Record{Value: value}, acked) // it waits while 50,000 are on the way
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
	defer cancel()
	if err := c.Flush(ctx); err != nil {
		return fmt.Errorf("franz-go: wait for the last acknowledgements: %w", err)
	}
	if err := f.failed.Load(); err != nil {
		return fmt.Errorf("franz-go: %w", *err)
	}
	return nil
}

// consume reads the topic once, from its beginning to what it was filled with.
func (f *franz) consume(m *meter) error {
	partitions := map[int32]kgo.Offset{}
	for p := range f.job.Topic.Partitions {
		partitions[p] = kgo.NewOffset().AtStart()
	}
	c, err := kgo.NewClient(kgo.SeedBrokers(f.job.Address), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{f.job.Topic.Name: partitions}))
	if err != nil {
		return err
	}
	defer c.Close()
	for seen := int64(0); seen < f.job.Filled*9/10 && !m.stopped.Load(); { // the last batches of a fill are not counted to the byte
		ctx, cancel := context.WithTimeout(context.Background(), loadTimeout)
		fetches := c.PollFetches(ctx)
		cancel()
		if errs := fetches.Errors(); len(errs) > 0 {
			return fmt.Errorf("franz-go: fetch: %w", errs[0].Err)
		}
		bytes := int64(0)
		fetches.EachRecord(func(r *kgo.Record) { bytes += int64(len(r.Value)) })
		seen += bytes
		if m.measuring.Load() {
			f.fetched.Add(bytes)
		}
	}
	return nil
}

func (f *franz) report(o *outcome) {
	o.ProducedBytes += f.produced.Load()
	o.AllProduced += f.allProduced.Load()
	o.FetchedBytes += f.fetched.Load()
	o.Produces += f.produced.Load() / int64(f.job.ValueBytes)
	o.Fetches += f.fetched.Load() / int64(f.job.ValueBytes)
}

// toolRecords is how many records a second of measurement gives Kafka's own tools.
const toolRecords = 150_000

// runTools runs one of Kafka's perf tools and takes its word for how fast it was. It starts a machine of its own, so there is no warm-up but that of its first records.
func runTools(j *job, ready func() error, o *outcome) error {
	if err := ready(); err != nil {
		return err
	}
	jars := filepath.Join(toolsJars(j.Clients), "*")
	args := []string{"-Xmx512m", "-cp", jars}
	records := max(int(j.Measure.Seconds()*toolRecords), 10_000)
	if j.Producers > 0 {
		args = append(args, "org.apache.kafka.tools.ProducerPerformance", "--topic", j.Topic.Name, "--num-records", strconv.Itoa(records), "--record-size", strconv.Itoa(j.ValueBytes), "--throughput", "-1",
			"--producer-props", "bootstrap.servers="+j.Address, "acks=all", "batch.size=262144", "linger.ms=5")
	} else {
		records = int(j.Filled * 9 / 10 / int64(j.ValueBytes+20))
		args = append(args, "org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", j.Address, "--topic", j.Topic.Name, "--messages", strconv.Itoa(records), "--hide-header")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*loadTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java", args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", args[3], err, out)
	}
	if j.Producers > 0 {
		rate, err := producedByTool(string(out))
		if err != nil {
			return err
		}
		o.Produces, o.ProducedBytes = int64(records), int64(records)*int64(j.ValueBytes)
		o.AllProduced = o.ProducedBytes
		o.Elapsed = time.Duration(float64(records) / rate * float64(time.Second))
		return nil
	}
	o.FetchedBytes, o.Fetches, o.Elapsed, err = consumedByTool(string(out))
	return err
}

var toolRate = regexp.MustCompile(`(\d+) records sent, ([0-9.]+) records/sec`)

// producedByTool finds the records a second in the last line of kafka-producer-perf-test.
func producedByTool(out string) (perSecond float64, err error) {
	found := toolRate.FindAllStringSubmatch(out, -1)
	if len(found) == 0 {
		return 0, fmt.Errorf("kafka-producer-perf-test says no rate:\n%s", out)
	}
	return strconv.ParseFloat(found[len(found)-1][2], 64)
}

// consumedByTool reads the line of kafka-consumer-perf-test: start, end, MiB, MiB/s, records, records/s, ms of the rebalance, ms of the fetch, and rates of that.
func consumedByTool(out string) (bytes, records int64, took time.Duration, err error) {
	for line := range strings.Lines(out) {
		f, err := csv.NewReader(strings.NewReader(line)).Read()
		if err != nil || len(f) != 10 {
			continue
		}
		mib, err1 := strconv.ParseFloat(strings.TrimSpace(f[2]), 64)
		records, err2 := strconv.ParseInt(strings.TrimSpace(f[4]), 10, 64)
		ms, err3 := strconv.ParseInt(strings.TrimSpace(f[7]), 10, 64)
		if errors.Join(err1, err2, err3) == nil && ms > 0 {
			return int64(mib * (1 << 20)), records, time.Duration(ms) * time.Millisecond, nil
		}
	}
	return 0, 0, 0, fmt.Errorf("kafka-consumer-perf-test says no rate:\n%s", out)
}
