package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"
)

// produceFlags say what is produced and how.
type produceFlags struct {
	file        string
	input       string
	separator   string
	emptyIsNull bool
	headers     []string
	partition   int32
	acks        string
	compression string
	count       int64
	size        int
	maxBytes    int32

	pairs []pair // headers, read
}

var (
	produceInputs = []string{"lines", "json"}
	produceAcks   = []string{"all", "1", "0"}
	codecs        = map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
)

func (s *shell) produceCommand() *cobra.Command {
	var f produceFlags
	c := &cobra.Command{
		Use: "produce TOPIC", Short: "Produce records from lines of standard input or a file, or generated ones for load",
		Long: `Produce a record of each line of standard input or --file. With --input json a line is a record as "consume -o json" writes it: key, value, headers
and timestamp count, where it was does not. A value that is neither a string nor null is produced as its JSON text.

With --count the records are generated, for load.

Ctrl-C sends what was read, waits for its acknowledgement and says how much was acknowledged.`,
		Example: `  echo hello | ottla produce greetings
  ottla produce users --key-separator : --file users.txt --compression zstd
  ottla consume orders -o json --from beginning --follow=false | ottla produce orders-copy --input json
  ottla produce load --count 1000000 --size 1024`,
		Args: arguments(1, 1, "the name of one topic"), ValidArgsFunction: s.completeTopic,
		PreRunE: func(c *cobra.Command, _ []string) error { return f.check(c) },
		RunE:    func(c *cobra.Command, args []string) error { return s.produce(c.Context(), args[0], &f) },
	}
	flags := c.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "read this file instead of standard input")
	flags.StringVar(&f.input, "input", "lines", "what a line is: lines (a value, or key and value) or json (a record)")
	flags.StringVarP(&f.separator, "key-separator", "K", "", `what stands between key and value of a line; \t is a tab. Without it records have no key`)
	flags.BoolVar(&f.emptyIsNull, "empty-is-null", false, "an empty value is null, a tombstone in a compacted topic")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header of every record, key=value; may stand several times")
	flags.Int32VarP(&f.partition, "partition", "p", -1, "the partition of every record; -1 lets the key decide, as every Kafka client does")
	flags.StringVar(&f.acks, "acks", "all", "when a record counts as acknowledged: all (on every replica's disk), 1 (by the leader), 0 (when it is sent)")
	flags.StringVarP(&f.compression, "compression", "z", "none", "none, gzip, snappy, lz4 or zstd")
	flags.Int64VarP(&f.count, "count", "n", 0, "generate this many records instead of reading them")
	flags.IntVar(&f.size, "size", 100, "bytes of each generated value")
	flags.Int32Var(&f.maxBytes, "max-message-bytes", 1000012, "the largest batch that is sent; more than the topic's max.message.bytes is refused by the broker")
	must(c.RegisterFlagCompletionFunc("input", cobra.FixedCompletions(produceInputs, noFiles)))
	must(c.RegisterFlagCompletionFunc("acks", cobra.FixedCompletions(produceAcks, noFiles)))
	must(c.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions(inNameOrder(codecs), noFiles)))
	return c
}

func (f *produceFlags) check(c *cobra.Command) (err error) {
	generated := c.Flags().Changed("count")
	switch {
	case !slices.Contains(produceInputs, f.input):
		return usage("--input %s: it is %s", f.input, strings.Join(produceInputs, " or "))
	case !slices.Contains(produceAcks, f.acks):
		return usage("--acks %s: it is %s", f.acks, strings.Join(produceAcks, ", "))
	case f.partition < -1:
		return usage("--partition %d: partitions begin at 0", f.partition)
	case generated && f.count < 1:
		return usage("--count %d: it must be at least 1", f.count)
	case generated && (f.file != "" || f.separator != "" || c.Flags().Changed("input")):
		return usage("--count generates records: --file, --input and --key-separator are for records that are read")
	case !generated && c.Flags().Changed("size"):
		return usage("--size is for generated records: it needs --count")
	case generated && (f.size < 0 || f.size > int(f.maxBytes)):
		return usage("--size %d: it must be between 0 and --max-message-bytes %d", f.size, f.maxBytes)
	case f.maxBytes < 1024 || f.maxBytes > 64<<20:
		return usage("--max-message-bytes %d: it must be between 1024 and %d", f.maxBytes, 64<<20)
	case f.separator != "" && f.input == "json":
		return usage("--key-separator is for lines; a JSON record has a field for its key")
	}
	if _, ok := codecs[f.compression]; !ok {
		return usage("--compression %s: it is one of %s", f.compression, strings.Join(inNameOrder(codecs), ", "))
	}
	if f.separator, err = unescape(f.separator); err != nil {
		return usage("--key-separator: %v", err)
	}
	f.pairs, err = parsePairs("--header", f.headers)
	return err
}

// options are the client's.
func (f *produceFlags) options(topic string, timeout time.Duration) []kgo.Opt {
	options := []kgo.Opt{
		kgo.DefaultProduceTopic(topic), kgo.AllowAutoTopicCreation(), kgo.ProduceRequestTimeout(min(timeout, 30*time.Second)),
		kgo.ProducerBatchCompression(codecs[f.compression]), kgo.ProducerBatchMaxBytes(f.maxBytes), kgo.MaxBufferedBytes(max(64<<20, 2*int(f.maxBytes))),
	}
	switch f.acks {
	case "1":
		options = append(options, kgo.RequiredAcks(kgo.LeaderAck()), kgo.DisableIdempotentWrite())
	case "0":
		options = append(options, kgo.RequiredAcks(kgo.NoAck()), kgo.DisableIdempotentWrite())
	}
	if f.partition >= 0 {
		options = append(options, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	}
	return options
}

// open returns where the records come from, and what to close afterwards.
func (s *shell) open(f *produceFlags) (recordSource, func(), error) {
	if f.count > 0 {
		return newGeneratedSource(f.count, f.size), func() {}, nil
	}
	name, in, closeInput := "standard input", s.in, func() {}
	if f.file != "" {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, nil, fmt.Errorf("the records cannot be read: %w", err)
		}
		name, in, closeInput = f.file, file, func() { _ = file.Close() } // it was only read
	}
	if f.input == "json" {
		return newLineSource(name, in, 2*int(f.maxBytes)+64<<10, jsonLines), closeInput, nil // base64 and escapes need room
	}
	return newLineSource(name, in, int(f.maxBytes)+64<<10, textLines(f.separator, f.emptyIsNull)), closeInput, nil
}

func (s *shell) produce(ctx context.Context, topic string, f *produceFlags) error {
	source, closeSource, err := s.open(f)
	if err != nil {
		return err
	}
	defer closeSource()
	connecting, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	c, err := s.connect(connecting, f.options(topic, s.timeout)...)
	if err != nil {
		return err
	}
	defer c.close()
	if err := c.checkPartition(connecting, topic, f.partition); err != nil {
		return c.explain(connecting, err)
	}
	if f.count == 0 && f.file == "" && s.attended(s.in) {
		s.notef("Each line is a record for %s; Ctrl-D ends.", topic)
	}
	c.dials.tell(s.notef)
	p := &production{cluster: c, flags: f, topic: topic, tally: newTally(f.acks != "0"), stopped: make(chan struct{})}
	stopProgress := s.progress(p.tally.progress)
	err = p.run(ctx, source)
	stopProgress()
	if reportErr := s.reportProduced(p.tally, f.count > 0); err == nil {
		err = reportErr
	}
	if err == nil {
		return interruption(ctx)
	}
	return err
}

// checkPartition refuses a partition that the topic does not have. A topic that does not exist yet is created with the first record.
func (c *cluster) checkPartition(ctx context.Context, topic string, partition int32) error {
	if partition < 0 {
		return nil
	}
	details, err := c.admin.ListTopicsWithInternal(ctx, topic)
	if err != nil {
		return err
	}
	d := details[topic]
	if _, ok := d.Partitions[partition]; d.Err == nil && !ok {
		return fmt.Errorf("%s has no partition %d, only 0 to %d: `ottla topic add-partitions` adds some", topicNamed(topic), partition, len(d.Partitions)-1)
	}
	return nil
}

// production is one run of `produce`. A goroutine reads and hands over to the client; the verb waits for it, or for the interrupt that a blocked read cannot
// see.
type production struct {
	cluster *cluster
	flags   *produceFlags
	topic   string
	tally   *tally

	once    sync.Once
	stopped chan struct{} // nothing more is handed over
	gate    sync.Mutex    // held while one record is
}

// run produces until the source ends, a record fails or the context ends, and waits until nothing is on its way any more.
func (p *production) run(ctx context.Context, source recordSource) error {
	endWatch := p.watch()
	read := make(chan error, 1)
	go func() { read <- p.handOver(source) }()
	var err error
	select {
	case err = <-read:
	case <-p.stopped: // a record failed
	case <-ctx.Done():
	}
	p.settle()
	flushErr := p.cluster.client.Flush(context.Background()) // bounded by the watch
	endWatch()
	if failed := p.tally.failure(); failed != nil {
		return p.explain(failed)
	}
	if err != nil {
		return err
	}
	return p.cluster.explain(ctx, flushErr)
}

var errStalled = errors.New("stalled")

// watch fails everything that is on its way once nothing was acknowledged for --timeout. The client's own delivery timeout does not serve: it counts from a
// record's timestamp, which may be years ago. The function that it returns ends the watch.
func (p *production) watch() (end func()) {
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() {
		pace := time.NewTicker(max(p.cluster.timeout/20, time.Millisecond))
		defer pace.Stop()
		acknowledged, since := int64(0), time.Now()
		for {
			select {
			case <-done:
				return
			case <-pace.C:
			}
			now := p.tally.acknowledgements()
			if now != acknowledged || p.cluster.client.BufferedProduceRecords() == 0 {
				acknowledged, since = now, time.Now()
			}
			if time.Since(since) >= p.cluster.timeout {
				p.tally.fail(errStalled)
				p.stop()
				p.cluster.close()
				return
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
	}
}

// settle stops the handing over and waits for the record that is being handed over: after it the client gets nothing more.
func (p *production) settle() {
	p.stop()
	p.gate.Lock()
	defer p.gate.Unlock()
}

func (p *production) stop() { p.once.Do(func() { close(p.stopped) }) }

// handOver gives the source's records to the client until one of both ends.
func (p *production) handOver(source recordSource) error {
	headers := make([]kgo.RecordHeader, 0, len(p.flags.pairs))
	for _, pair := range p.flags.pairs {
		headers = append(headers, kgo.RecordHeader{Key: pair.key, Value: []byte(pair.value)})
	}
	for {
		r, err := source.next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(headers) > 0 {
			r.Headers = append(headers[:len(headers):len(headers)], r.Headers...)
		}
		if p.flags.partition >= 0 {
			r.Partition = p.flags.partition
		}
		if !p.give(r) {
			return nil
		}
	}
}

// give hands one record over, and waits while the client's buffer is full. It reports false once the run has been stopped.
func (p *production) give(r *kgo.Record) bool {
	p.gate.Lock()
	defer p.gate.Unlock()
	select {
	case <-p.stopped:
		return false
	default:
	}
	began := time.Now()
	// The record has no context: an interrupt stops the reading, what was read is still sent.
	p.cluster.client.Produce(context.Background(), r, func(r *kgo.Record, err error) {
		p.tally.add(r, time.Since(began), err)
		if err != nil {
			p.stop()
		}
	})
	return true
}

// explain makes a sentence of a record's failure.
func (p *production) explain(err error) error {
	if errors.Is(err, errStalled) {
		if address, last := p.cluster.dials.lastFailure(); last != nil {
			return unreachable(address, p.cluster.bootstrap, last)
		}
		return fmt.Errorf("%s: nothing was acknowledged for %v (--timeout)", topicNamed(p.topic), p.cluster.timeout)
	}
	return answerError(topicNamed(p.topic), err, "")
}
