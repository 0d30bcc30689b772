package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// consumeFlags say what is consumed and how it is shown.
type consumeFlags struct {
	group         string
	from          string
	partitions    []string
	max           int64
	follow        bool
	format        string
	readCommitted bool

	position position
	chosen   []int32
	layout   *recordFormat
}

func (s *shell) consumeCommand() *cobra.Command {
	var f consumeFlags
	c := &cobra.Command{
		Use: "consume TOPIC…", Short: "Print records, now and as they come",
		Long: `Print the records of topics: from the end on, or from where --from says. With --group the group's committed offsets come first, --from is for partitions
without one; where it begins and what was printed is committed. With --follow=false the verb ends where the topics ended when it began.

Positions: ` + positionForms + `.

Format: ` + formatHelp + `

With -o json each record is one line; "produce --input json" reads them.

Ctrl-C ends; a group is left in order, and what was printed is committed.`,
		Example: `  ottla consume orders --from beginning
  ottla consume orders --from end-10 --follow=false --format '%p:%o %k=%v\n'
  ottla consume orders payments --group billing -o json`,
		Args: arguments(1, -1, "the name of a topic"), ValidArgsFunction: s.completeTopics,
		PreRunE: func(c *cobra.Command, topics []string) error { return f.check(c, topics) },
		RunE:    func(c *cobra.Command, topics []string) error { return s.consume(c.Context(), topics, &f) },
	}
	flags := c.Flags()
	flags.StringVarP(&f.group, "group", "g", "", "consume as a member of this group")
	flags.StringVar(&f.from, "from", "end", "where to begin: beginning, end, an offset or a timestamp; see above")
	flags.StringSliceVarP(&f.partitions, "partition", "p", nil, "only these partitions, such as 0,1; not with --group")
	flags.Int64VarP(&f.max, "max-messages", "n", 0, "end after this many records; 0 is no bound")
	flags.BoolVar(&f.follow, "follow", true, "wait for more at the end; --follow=false ends there")
	flags.StringVarP(&f.format, "format", "f", `%v\n`, "what to print of each record; see above")
	flags.BoolVar(&f.readCommitted, "read-committed", false, "only records of committed transactions and those outside any")
	must(c.RegisterFlagCompletionFunc("group", s.completeGroupFlag))
	must(c.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"beginning", "end"}, noFiles)))
	return c
}

func (s *shell) completeGroupFlag(command *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return s.completeGroups(command, nil, typed)
}

func (f *consumeFlags) check(c *cobra.Command, topics []string) (err error) {
	if f.position, err = parsePosition(f.from, time.Now()); err != nil {
		return usage("--from: %v", err)
	}
	if f.chosen, err = parsePartitions(f.partitions); err != nil {
		return usage("--partition: %v", err)
	}
	if f.layout, err = parseFormat(f.format); err != nil {
		return usage("%v", err)
	}
	output := c.Flag("output")
	switch {
	case f.max < 0:
		return usage("--max-messages %d: it is at least 0", f.max)
	case len(f.chosen) > 0 && f.group != "":
		return usage("--partition and --group contradict each other: the group decides who reads which partition")
	case c.Flags().Changed("group") && f.group == "":
		return usage("--group is empty")
	case c.Flags().Changed("format") && output != nil && output.Value.String() == jsonOutput:
		return usage("--format and --output json contradict each other")
	}
	for i, topic := range topics {
		if slices.Contains(topics[:i], topic) {
			return usage("the topic %s stands twice", topic)
		}
	}
	return nil
}

// kgoOffset is a position as the client takes it.
func (p position) kgoOffset() kgo.Offset {
	switch p.anchor {
	case atStart:
		return kgo.NewOffset().AtStart().Relative(p.shift)
	case atEnd:
		return kgo.NewOffset().AtEnd().Relative(p.shift)
	case atTime:
		return kgo.NewOffset().AfterMilli(p.millis)
	}
	return kgo.NewOffset().At(p.offset)
}

func (s *shell) consume(ctx context.Context, topics []string, f *consumeFlags) error {
	run, err := s.prepare(ctx, topics, f)
	if err != nil {
		return err
	}
	defer run.cluster.close()
	if f.follow && f.max == 0 && s.attended(s.err) && s.attended(s.out) {
		note := "Waiting for records of " + strings.Join(topics, ", ")
		if f.position.anchor == atEnd && f.group == "" {
			note += "; --from beginning shows those that are there"
		}
		s.notef("%s. Ctrl-C ends.", note)
	}
	stopProgress := func() {}
	if !s.attended(s.out) { // else the records themselves show that it goes on
		stopProgress = s.progress(func() string { return count(run.printed.Load(), "record") })
	}
	err = run.loop(ctx)
	stopProgress()
	// Leaving fails where the loop did, and is told beside it; an interrupt hides neither.
	if err := errors.Join(err, run.leave(ctx)); err != nil {
		return run.cluster.explain(context.WithoutCancel(ctx), err)
	}
	return interruption(ctx)
}

// consumption is one run of `consume`.
type consumption struct {
	shell   *shell
	flags   *consumeFlags
	cluster *cluster
	member  atomic.Pointer[kgo.Client] // of a group: the client of cluster, which calls back before that is known
	ends    *endTracker                // nil when the run follows
	out     *bufio.Writer
	line    []byte
	printed atomic.Int64
}

// prepare checks the topics, finds out where they end, and makes the client that consumes them.
func (s *shell) prepare(ctx context.Context, topics []string, f *consumeFlags) (*consumption, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	asking, err := s.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer asking.close()
	defer context.AfterFunc(ctx, asking.dials.cut)()
	run := &consumption{shell: s, flags: f, out: bufio.NewWriterSize(s.out, 64<<10)}
	partitions, err := asking.partitionsToConsume(ctx, topics, f.chosen)
	if err != nil {
		return nil, asking.explain(ctx, err)
	}
	if named := f.group == "" && f.position.anchor == atOffset; named || !f.follow {
		spans, err := f.spans(ctx, asking.admin, partitions)
		if err != nil {
			return nil, asking.explain(ctx, err)
		}
		if named {
			s.tellOutside(spans, f.position.offset)
		}
		if !f.follow {
			run.ends = f.trackEnds(spans)
		}
	}
	options := []kgo.Opt{kgo.ConsumeStartOffset(f.position.kgoOffset()), kgo.ConsumeResetOffset(f.position.kgoOffset()), kgo.KeepControlRecords()}
	if f.readCommitted {
		options = append(options, kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	}
	switch {
	case f.group != "":
		options = append(options, run.groupOptions(topics)...)
	case len(f.chosen) > 0:
		from := map[string]map[int32]kgo.Offset{}
		for topic, list := range partitions {
			from[topic] = map[int32]kgo.Offset{}
			for _, p := range list {
				from[topic][p] = f.position.kgoOffset()
			}
		}
		options = append(options, kgo.ConsumePartitions(from))
	default:
		options = append(options, kgo.ConsumeTopics(topics...))
	}
	if run.cluster, err = s.connect(ctx, options...); err != nil {
		return nil, err
	}
	run.cluster.dials.tell(s.notef)
	return run, nil
}

// groupOptions make a member that commits what was printed, and joins whatever assignor the group has.
func (run *consumption) groupOptions(topics []string) []kgo.Opt {
	options := []kgo.Opt{
		kgo.ConsumerGroup(run.flags.group), kgo.ConsumeTopics(topics...), kgo.AutoCommitMarks(), kgo.BlockRebalanceOnPoll(),
		kgo.Balancers(kgo.CooperativeStickyBalancer(), kgo.RangeBalancer(), kgo.RoundRobinBalancer(), kgo.StickyBalancer()),
		kgo.OnPartitionsRevoked(func(ctx context.Context, client *kgo.Client, lost map[string][]int32) {
			if err := client.CommitMarkedOffsets(ctx); err != nil {
				run.shell.notef("ottla: the offsets of partitions that went to other members could not be committed: %v", err)
			}
			if run.ends != nil {
				run.ends.revoke(lost)
			}
		}),
		kgo.OnPartitionsAssigned(func(_ context.Context, client *kgo.Client, gained map[string][]int32) {
			run.member.Store(client)
			if run.ends != nil {
				run.ends.assign(gained)
			}
		}),
		kgo.AdjustFetchOffsetsFn(run.beginGroup),
	}
	if run.ends != nil {
		options = append(options, kgo.OnPartitionsLost(func(_ context.Context, _ *kgo.Client, lost map[string][]int32) { run.ends.revoke(lost) }))
	}
	return options
}

// partitionsToConsume are the partitions of the topics, or the chosen ones among them. What does not exist is an error: a consumer creates nothing.
func (c *cluster) partitionsToConsume(ctx context.Context, topics []string, chosen []int32) (map[string][]int32, error) {
	details, err := c.admin.ListTopicsWithInternal(ctx, topics...)
	if err != nil {
		return nil, err
	}
	out := map[string][]int32{}
	for _, topic := range topics {
		d := details[topic]
		if d.Err == nil && len(d.Partitions) == 0 {
			d.Err = kerr.UnknownTopicOrPartition
		}
		if d.Err != nil {
			return nil, answerError(topicNamed(topic), d.Err, "")
		}
		for _, p := range chosen {
			if _, ok := d.Partitions[p]; !ok {
				return nil, fmt.Errorf("%s has no partition %d, only 0 to %d", topicNamed(topic), p, len(d.Partitions)-1)
			}
		}
		if out[topic] = chosen; len(chosen) == 0 {
			out[topic] = d.Partitions.Numbers()
		}
	}
	return out, nil
}

// pollRecords bounds what is handed over at once, so that a rebalance waits shortly.
const pollRecords = 5000

// loop prints records until it is enough. A cancelled context is an end, not an error.
func (run *consumption) loop(ctx context.Context) error {
	for {
		limit := pollRecords
		if run.flags.max > 0 {
			limit = int(min(pollRecords, run.flags.max-run.printed.Load()))
		}
		polling := ctx
		if run.ends != nil {
			var done bool
			if polling, done = run.ends.poll(ctx); done {
				return nil
			}
		}
		fetches := run.cluster.client.PollRecords(polling, limit)
		err := run.print(fetches)
		run.cluster.client.AllowRebalance()
		switch {
		case err != nil:
			return err
		case ctx.Err() != nil, run.flags.max > 0 && run.printed.Load() >= run.flags.max:
			return nil
		}
		if err := run.fetchErrors(fetches); err != nil {
			return err
		}
	}
}

// print writes records and, once they are written, marks them to be committed.
func (run *consumption) print(fetches kgo.Fetches) error {
	var written []*kgo.Record
	for r := range fetches.RecordsAll() {
		if run.ends != nil && !run.ends.wants(r) {
			continue
		}
		written = append(written, r)
		if r.Attrs.IsControl() {
			continue
		}
		run.printed.Add(1)
		if err := run.write(r); err != nil {
			return err
		}
	}
	if err := run.out.Flush(); err != nil {
		return err
	}
	if run.flags.group != "" {
		run.cluster.client.MarkCommitRecords(written...)
	}
	if run.ends != nil {
		run.ends.passed(written)
	}
	return nil
}

func (run *consumption) write(r *kgo.Record) error {
	run.line = run.line[:0]
	if run.shell.output == jsonOutput {
		var err error
		if run.line, err = appendJSON(run.line, r); err != nil {
			return fmt.Errorf("record %s-%d at offset %d: %w", r.Topic, r.Partition, r.Offset, err)
		}
	} else {
		run.line = run.flags.layout.appendRecord(run.line, r)
	}
	_, err := run.out.Write(run.line)
	return err
}

// fatalGroupErrors end a run; the client outlives all others by joining again.
var fatalGroupErrors = []*kerr.Error{
	kerr.InconsistentGroupProtocol, kerr.InvalidGroupID, kerr.GroupAuthorizationFailed, kerr.TopicAuthorizationFailed, kerr.GroupMaxSizeReached,
	kerr.FencedInstanceID, kerr.InvalidSessionTimeout, kerr.UnsupportedVersion, kerr.InvalidTopicException,
}

// fetchErrors decides about what a poll reports besides records: lost data is told and survived, as is what the client tries again; others end the run.
func (run *consumption) fetchErrors(fetches kgo.Fetches) error {
	for _, e := range fetches.Errors() {
		var lost *kgo.ErrDataLoss
		var session *kgo.ErrGroupSession
		var broker *kerr.Error
		switch {
		case errors.As(e.Err, &lost):
			run.shell.notef("ottla: %v", lost)
		case errors.Is(e.Err, context.Canceled), kerr.IsRetriable(e.Err):
		case errors.As(e.Err, &session):
			if errors.As(e.Err, &broker) && slices.Contains(fatalGroupErrors, broker) {
				return answerError(groupNamed(run.flags.group), e.Err, "")
			}
			run.shell.notef("ottla: %s is left and joined again: %v", groupNamed(run.flags.group), session.Err)
		case e.Topic != "":
			return answerError(fmt.Sprintf("partition %s-%d", e.Topic, e.Partition), e.Err, "")
		default:
			return e.Err
		}
	}
	return nil
}

// leave commits what was printed and leaves the group, also after an interrupt.
func (run *consumption) leave(ctx context.Context) error {
	if run.flags.group == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), run.shell.timeout)
	defer cancel()
	if err := run.cluster.client.CommitMarkedOffsets(ctx); err != nil {
		return fmt.Errorf("%s: what was printed could not be committed and will be printed again: %w", groupNamed(run.flags.group), err)
	}
	if err := run.cluster.client.LeaveGroupContext(ctx); err != nil {
		return fmt.Errorf("%s could not be left, its other members wait for the session to time out: %w", groupNamed(run.flags.group), err)
	}
	run.shell.notef("Left %s; %s printed and committed.", groupNamed(run.flags.group), count(run.printed.Load(), "record"))
	return nil
}

// begin is where consuming a partition starts.
func (p position) begin(start, end, timed int64) int64 {
	at := p.offset
	switch p.anchor {
	case atStart:
		at = start + p.shift
	case atEnd:
		at = end + p.shift
	case atTime:
		at = timed
	}
	return min(max(at, start), end)
}

// trackEnds notes where partitions end, and where consuming them begins.
func (f *consumeFlags) trackEnds(spans map[partitionKey]span) *endTracker {
	t := newEndTracker()
	for key, at := range spans {
		t.add(key.topic, key.partition, at.begin, at.end)
	}
	if f.group == "" {
		t.assignAll()
	}
	return t
}
