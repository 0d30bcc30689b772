package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// resetFlags say which offsets of a group go where.
type resetFlags struct {
	topics    []string
	allTopics bool

	earliest, latest bool
	offset           int64
	timestamp        string
	shift            int64

	execute bool
	dryRun  bool

	parts  []topicPart // topics, read
	millis int64       // timestamp, read
	target string      // the flag that was given
}

// resetTargets are the flags that say where to; exactly one is given.
var resetTargets = []string{"to-earliest", "to-latest", "to-offset", "to-timestamp", "shift-by"}

func (s *shell) groupResetOffsetsCommand() *cobra.Command {
	var f resetFlags
	c := &cobra.Command{
		Use: "reset-offsets GROUP", Short: "Move a group's committed offsets; shows what would happen until --execute",
		Long: `Move the committed offsets of a group that has no members. Without --execute nothing is changed: the verb shows where each partition would go.
Offsets before the start of a partition or after its end move to the start or the end.`,
		Example: `  ottla group reset-offsets billing --topic orders --to-earliest
  ottla group reset-offsets billing --topic orders:0,1 --to-timestamp 2026-01-31T12:00:00Z --execute
  ottla group reset-offsets billing --all-topics --shift-by -100 --execute`,
		Args: arguments(1, 1, "the name of one group"), ValidArgsFunction: s.completeGroup,
		PreRunE: func(c *cobra.Command, _ []string) error { return f.check(c) },
		RunE:    s.asked(func(ctx context.Context, c *cluster, args []string) error { return s.resetOffsets(ctx, c, args[0], &f) }),
	}
	flags := c.Flags()
	flags.StringArrayVarP(&f.topics, "topic", "t", nil, "a topic, or some of its partitions, TOPIC:0,1; may stand several times")
	flags.BoolVar(&f.allTopics, "all-topics", false, "every partition with a committed offset")
	flags.BoolVar(&f.earliest, "to-earliest", false, "to the first record")
	flags.BoolVar(&f.latest, "to-latest", false, "past the last record")
	flags.Int64Var(&f.offset, "to-offset", 0, "to this offset")
	flags.StringVar(&f.timestamp, "to-timestamp", "", "to the first record from this time on: @MILLISECONDS, 2006-01-02T15:04:05Z, 2006-01-02, or -1h for an hour ago")
	flags.Int64Var(&f.shift, "shift-by", 0, "forward by this many records, or back when negative")
	flags.BoolVar(&f.execute, "execute", false, "do it")
	flags.BoolVar(&f.dryRun, "dry-run", false, "only show what would happen (the default)")
	must(c.RegisterFlagCompletionFunc("topic", s.completeTopicFlag))
	return c
}

// completeTopicFlag completes a flag that names a topic, whatever arguments stand there.
func (s *shell) completeTopicFlag(command *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	return s.completeTopics(command, nil, typed)
}

func (f *resetFlags) check(c *cobra.Command) (err error) {
	for _, name := range resetTargets {
		if !c.Flags().Changed(name) {
			continue
		}
		if f.target != "" {
			return usage("--%s and --%s contradict each other", f.target, name)
		}
		f.target = name
	}
	switch {
	case f.target == "":
		return usage("reset-offsets needs a target: --to-earliest, --to-latest, --to-offset, --to-timestamp or --shift-by")
	case f.execute && f.dryRun:
		return usage("--execute and --dry-run contradict each other")
	case f.allTopics == (len(f.topics) > 0):
		return usage("reset-offsets needs either --topic or --all-topics")
	case f.offset < 0:
		return usage("--to-offset %d: offsets begin at 0", f.offset)
	}
	if f.target == "to-timestamp" {
		if f.millis, err = parseTimestamp(f.timestamp, time.Now()); err != nil {
			return usage("--to-timestamp: %v", err)
		}
	}
	f.parts, err = parseTopicParts(f.topics)
	return err
}

func parseTopicParts(texts []string) ([]topicPart, error) {
	var out []topicPart
	for _, text := range texts {
		part, err := parseTopicPart(text)
		if err != nil {
			return nil, err
		}
		out = append(out, part)
	}
	return out, nil
}

// movedOffset is what a reset does to one partition. From is −1 where nothing was committed.
type movedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	From      int64  `json:"from"`
	To        int64  `json:"to"`
	Note      string `json:"note,omitempty"`
	Error     string `json:"error,omitempty"`

	err error
}

func (s *shell) resetOffsets(ctx context.Context, c *cluster, group string, f *resetFlags) error {
	if err := c.checkInactive(ctx, group); err != nil {
		return err
	}
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil && !errors.Is(err, kerr.GroupIDNotFound) {
		return answerError(groupNamed(group), err, "")
	}
	parts := f.parts
	if f.allTopics {
		if parts = committedParts(committed); len(parts) == 0 {
			return fmt.Errorf("%s has no committed offsets: name the topics with --topic", groupNamed(group))
		}
	}
	moves, err := c.planReset(ctx, parts, committed, f)
	if err != nil {
		return err
	}
	if f.execute {
		if err := c.commitMoves(ctx, group, moves); err != nil {
			return err
		}
	}
	if err := s.showMoves(moves); err != nil {
		return err
	}
	var outcomes []outcome
	for _, m := range moves {
		outcomes = append(outcomes, outcome{err: m.err})
	}
	if !f.execute {
		s.notef("Nothing was changed; --execute does it.")
	}
	return s.reportFailures(outcomes)
}

// checkInactive refuses a group with members: they would overwrite what is set here, and they do not read it again.
func (c *cluster) checkInactive(ctx context.Context, group string) error {
	described, err := c.admin.DescribeGroups(ctx, group)
	if err != nil {
		return err
	}
	d := described[group]
	if d.Err != nil && !errors.Is(d.Err, kerr.GroupIDNotFound) {
		return answerError(groupNamed(group), d.Err, d.ErrMessage)
	}
	switch d.State {
	case "", "Empty", "Dead":
		return nil
	}
	return fmt.Errorf("%s has %s and is %s: its offsets can be changed once they have stopped", groupNamed(group), count(len(d.Members), "member"), d.State)
}

func committedParts(committed kadm.OffsetResponses) []topicPart {
	byTopic := map[string][]int32{}
	committed.Each(func(o kadm.OffsetResponse) {
		if o.At >= 0 {
			byTopic[o.Topic] = append(byTopic[o.Topic], o.Partition)
		}
	})
	var parts []topicPart
	for _, topic := range inNameOrder(byTopic) {
		slices.Sort(byTopic[topic])
		parts = append(parts, topicPart{topic, byTopic[topic]})
	}
	return parts
}

// planReset works out where each partition goes.
func (c *cluster) planReset(ctx context.Context, parts []topicPart, committed kadm.OffsetResponses, f *resetFlags) ([]movedOffset, error) {
	var topics []string
	for _, part := range parts {
		topics = append(topics, part.topic)
	}
	starts, err := c.admin.ListStartOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	ends, err := c.admin.ListEndOffsets(ctx, topics...)
	if err != nil {
		return nil, err
	}
	targets := ends
	if f.target == "to-timestamp" {
		if targets, err = c.admin.ListOffsetsAfterMilli(ctx, f.millis, topics...); err != nil {
			return nil, err
		}
	}
	var moves []movedOffset
	for _, part := range parts {
		partitions, err := partitionsOf(part, ends)
		if err != nil {
			return nil, err
		}
		for _, p := range partitions {
			m := movedOffset{Topic: part.topic, Partition: p, From: -1, To: -1}
			if o, ok := committed.Lookup(part.topic, p); ok && o.Err == nil {
				m.From = o.At
			}
			start, _ := starts.Lookup(part.topic, p)
			end, _ := ends.Lookup(part.topic, p)
			target, _ := targets.Lookup(part.topic, p)
			m.plan(f, start, end, target)
			moves = append(moves, m)
		}
	}
	return moves, nil
}

// partitionsOf are the partitions that are meant, in order; one that the topic does not have is an error.
func partitionsOf(part topicPart, ends kadm.ListedOffsets) ([]int32, error) {
	known := ends[part.topic]
	if e, ok := known[-1]; ok && e.Err != nil { // how the client library reports a topic that it cannot load
		return nil, answerError(topicNamed(part.topic), e.Err, "")
	}
	if len(known) == 0 {
		return nil, answerError(topicNamed(part.topic), kerr.UnknownTopicOrPartition, "")
	}
	partitions := part.partitions
	if partitions == nil {
		for p := range known {
			partitions = append(partitions, p)
		}
		slices.Sort(partitions)
	}
	for _, p := range partitions {
		if _, ok := known[p]; !ok {
			return nil, fmt.Errorf("%s has no partition %d, only 0 to %d", topicNamed(part.topic), p, len(known)-1)
		}
	}
	return partitions, nil
}

// plan sets where the partition's offset goes, within what the partition has.
func (m *movedOffset) plan(f *resetFlags, start, end, target kadm.ListedOffset) {
	if err := errors.Join(start.Err, end.Err, target.Err); err != nil {
		m.fail(err)
		return
	}
	switch f.target {
	case "to-earliest":
		m.To = start.Offset
	case "to-latest":
		m.To = end.Offset
	case "to-offset":
		m.To = f.offset
	case "to-timestamp":
		m.To = target.Offset
	case "shift-by":
		if m.From < 0 {
			m.fail(errors.New("there is no committed offset to shift"))
			return
		}
		m.To = m.From + f.shift
	}
	switch {
	case m.To < start.Offset:
		m.Note = fmt.Sprintf("%d is before the start", m.To)
		m.To = start.Offset
	case m.To > end.Offset:
		m.Note = fmt.Sprintf("%d is after the end", m.To)
		m.To = end.Offset
	}
}

func (m *movedOffset) fail(err error) {
	m.err = answerError(fmt.Sprintf("partition %s-%d", m.Topic, m.Partition), err, "")
	m.Error, m.To = m.err.Error(), -1
}

// commitMoves commits what can be; what cannot is noted in its move.
func (c *cluster) commitMoves(ctx context.Context, group string, moves []movedOffset) error {
	offsets := kadm.Offsets{}
	for _, m := range moves {
		if m.err == nil {
			offsets.AddOffset(m.Topic, m.Partition, m.To, -1)
		}
	}
	if len(offsets) == 0 {
		return nil
	}
	answers, err := c.admin.CommitOffsets(ctx, group, offsets)
	if err != nil {
		return answerError(groupNamed(group), err, "")
	}
	for i := range moves {
		if a, ok := answers.Lookup(moves[i].Topic, moves[i].Partition); ok && a.Err != nil {
			moves[i].fail(a.Err)
		}
	}
	return nil
}

func (s *shell) showMoves(moves []movedOffset) error {
	if s.output == jsonOutput {
		return writeJSON(s.out, moves)
	}
	t := newTable("TOPIC", "PARTITION", "FROM", "TO", "")
	for _, m := range moves {
		t.add(m.Topic, strconv.Itoa(int(m.Partition)), number(m.From), number(m.To), m.Note)
	}
	return t.write(s.out)
}

// deletedOffset is what became of one committed offset.
type deletedOffset struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Error     string `json:"error,omitempty"`
}

func (s *shell) groupDeleteOffsetsCommand() *cobra.Command {
	var topics []string
	var parts []topicPart
	c := &cobra.Command{
		Use: "delete-offsets GROUP --topic TOPIC", Short: "Delete a group's committed offsets of topics that it no longer reads",
		Example: "  ottla group delete-offsets billing --topic orders:0,1",
		Args:    arguments(1, 1, "the name of one group"), ValidArgsFunction: s.completeGroup,
		PreRunE: func(*cobra.Command, []string) (err error) {
			if len(topics) == 0 {
				return usage("delete-offsets needs --topic")
			}
			parts, err = parseTopicParts(topics)
			return err
		},
		RunE: s.asked(func(ctx context.Context, c *cluster, args []string) error {
			return s.deleteOffsets(ctx, c, args[0], parts)
		}),
	}
	c.Flags().StringArrayVarP(&topics, "topic", "t", nil, "a topic, or some of its partitions, TOPIC:0,1; may stand several times")
	must(c.RegisterFlagCompletionFunc("topic", s.completeTopicFlag))
	return c
}

func (s *shell) deleteOffsets(ctx context.Context, c *cluster, group string, parts []topicPart) error {
	committed, err := c.admin.FetchOffsets(ctx, group)
	if err != nil {
		return answerError(groupNamed(group), err, "")
	}
	set := kadm.TopicsSet{}
	for _, part := range parts {
		partitions := part.partitions
		if partitions == nil {
			for p, o := range committed[part.topic] {
				if o.At >= 0 {
					partitions = append(partitions, p)
				}
			}
		}
		if len(partitions) == 0 {
			return fmt.Errorf("%s has no committed offsets for %s", groupNamed(group), topicNamed(part.topic))
		}
		set.Add(part.topic, partitions...)
	}
	answers, err := c.admin.DeleteOffsets(ctx, group, set)
	if err != nil {
		return answerError(groupNamed(group), err, "")
	}
	var document []deletedOffset
	var outcomes []outcome
	for _, t := range set.Sorted() {
		for _, p := range t.Partitions {
			name := fmt.Sprintf("%s-%d", t.Topic, p)
			d, o := deletedOffset{Topic: t.Topic, Partition: p}, outcome{done: "deleted the offset of " + name}
			if err := answers[t.Topic][p]; err != nil {
				o.err = answerError("partition "+name, err, "")
				d.Error = errorText(o.err)
			}
			document, outcomes = append(document, d), append(outcomes, o)
		}
	}
	return s.report(document, outcomes)
}
