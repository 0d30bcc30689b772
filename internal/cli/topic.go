package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"github.com/ottla/ottla/internal/kafka/model"
)

func (s *shell) topicCommand() *cobra.Command {
	return family("topic", "List, create, describe, delete topics and add partitions",
		s.topicListCommand(), s.topicCreateCommand(), s.topicDescribeCommand(), s.topicDeleteCommand(), s.topicAddPartitionsCommand())
}

// listedTopic is one line of `topic list`.
type listedTopic struct {
	Name              string `json:"name"`
	ID                string `json:"id,omitempty"`
	Partitions        int    `json:"partitions"`
	ReplicationFactor int    `json:"replication_factor"`
	Internal          bool   `json:"internal"`
}

func (s *shell) topicListCommand() *cobra.Command {
	var internal bool
	c := &cobra.Command{
		Use: "list", Short: "List the topics", Args: noArguments,
		RunE: s.asked(func(ctx context.Context, c *cluster, _ []string) error {
			list := c.admin.ListTopics
			if internal {
				list = c.admin.ListTopicsWithInternal
			}
			details, err := list(ctx)
			if err != nil {
				return err
			}
			topics := []listedTopic{}
			t := newTable("NAME", "PARTITIONS", "REPLICAS")
			for _, d := range details.Sorted() {
				if d.Err != nil {
					return answerError(topicNamed(d.Topic), d.Err, "")
				}
				l := listedTopic{Name: d.Topic, ID: topicID(d.ID), Partitions: len(d.Partitions), ReplicationFactor: d.Partitions.NumReplicas(), Internal: d.IsInternal}
				topics = append(topics, l)
				t.add(l.Name, strconv.Itoa(l.Partitions), strconv.Itoa(l.ReplicationFactor))
			}
			return s.show(topics, t, "There are no topics; `ottla topic create NAME` makes one.")
		}),
	}
	c.Flags().BoolVar(&internal, "internal", false, "list Kafka's own topics too")
	return c
}

func topicNamed(name string) string { return fmt.Sprintf("topic %q", name) }

// topicID writes a topic's id as Kafka does, or nothing for a broker that has none.
func topicID(id kadm.TopicID) string {
	if id == (kadm.TopicID{}) {
		return ""
	}
	return model.TopicID(id).String()
}

// changedTopic is what became of one topic that was created or grown.
type changedTopic struct {
	Name              string `json:"name"`
	ID                string `json:"id,omitempty"`
	Partitions        int32  `json:"partitions,omitempty"`
	ReplicationFactor int16  `json:"replication_factor,omitempty"`
	Existed           bool   `json:"existed,omitempty"`
	Error             string `json:"error,omitempty"`
}

type topicCreateFlags struct {
	partitions  int32
	replication int16
	configs     []string
	ifNotExists bool
	dryRun      bool

	pairs []pair // configs, read
}

func (s *shell) topicCreateCommand() *cobra.Command {
	var f topicCreateFlags
	c := &cobra.Command{
		Use: "create TOPIC…", Short: "Create topics",
		Example: "  ottla topic create orders --partitions 12 --config retention.ms=604800000 --config cleanup.policy=delete",
		Args:    distinct(1, "topic"), ValidArgsFunction: cobra.NoFileCompletions,
		PreRunE: func(*cobra.Command, []string) error { return f.check() },
		RunE:    s.asked(func(ctx context.Context, c *cluster, names []string) error { return s.createTopics(ctx, c, names, &f) }),
	}
	flags := c.Flags()
	flags.Int32VarP(&f.partitions, "partitions", "p", -1, "number of partitions; -1 takes the brokers' num.partitions")
	flags.Int16VarP(&f.replication, "replication-factor", "r", -1, "replicas of each partition; -1 takes the brokers' default.replication.factor")
	flags.StringArrayVarP(&f.configs, "config", "c", nil, "a setting of the topic, key=value; may stand several times")
	flags.BoolVar(&f.ifNotExists, "if-not-exists", false, "a topic that exists is no failure")
	flags.BoolVar(&f.dryRun, "dry-run", false, "let the brokers check everything and create nothing")
	must(c.RegisterFlagCompletionFunc("config", completeTopicKeys))
	return c
}

func (f *topicCreateFlags) check() (err error) {
	if f.partitions != -1 && f.partitions < 1 {
		return usage("--partitions %d: a topic has at least 1", f.partitions)
	}
	if f.replication != -1 && f.replication < 1 {
		return usage("--replication-factor %d: it is at least 1", f.replication)
	}
	f.pairs, err = parsePairs("--config", f.configs)
	return err
}

func (s *shell) createTopics(ctx context.Context, c *cluster, names []string, f *topicCreateFlags) error {
	configs := map[string]*string{}
	for _, pair := range f.pairs {
		configs[pair.key] = &pair.value
	}
	create, verb := c.admin.CreateTopics, "created"
	if f.dryRun {
		create, verb = c.admin.ValidateCreateTopics, "would create"
	}
	answers, err := create(ctx, f.partitions, f.replication, configs, names...)
	if err != nil {
		return err
	}
	var document []changedTopic
	var outcomes []outcome
	for _, name := range names {
		a, ok := answers[name]
		if !ok {
			a.Err = errors.New("the broker did not answer for it")
		}
		d := changedTopic{Name: name, ID: topicID(a.ID), Partitions: a.NumPartitions, ReplicationFactor: a.ReplicationFactor}
		o := outcome{done: fmt.Sprintf("%s %s: %s, %s", verb, name, count(a.NumPartitions, "partition"), count(a.ReplicationFactor, "replica"))}
		switch {
		case f.ifNotExists && errors.Is(a.Err, kerr.TopicAlreadyExists):
			d, o = changedTopic{Name: name, Existed: true}, outcome{done: name + " exists"}
		case a.Err != nil:
			o.err = answerError(topicNamed(name), a.Err, a.ErrMessage)
			d = changedTopic{Name: name, Error: errorText(o.err)}
		}
		document, outcomes = append(document, d), append(outcomes, o)
	}
	return s.report(document, outcomes)
}

// deletedTopic is what became of one topic that was to be deleted.
type deletedTopic struct {
	Name    string `json:"name"`
	Deleted bool   `json:"deleted"`
	Error   string `json:"error,omitempty"`
}

func (s *shell) topicDeleteCommand() *cobra.Command {
	var yes, ifExists bool
	c := &cobra.Command{
		Use: "delete TOPIC…", Short: "Delete topics and their records", Args: distinct(1, "topic"), ValidArgsFunction: s.completeTopics,
		RunE: func(command *cobra.Command, names []string) error {
			// The question is not part of the time that brokers have to answer.
			if err := s.confirm(command.Context(), yes, fmt.Sprintf("Delete %s with all records?", strings.Join(names, ", "))); err != nil {
				return err
			}
			return s.asked(func(ctx context.Context, c *cluster, names []string) error {
				return s.deleteTopics(ctx, c, names, ifExists)
			})(command, names)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	c.Flags().BoolVar(&ifExists, "if-exists", false, "a topic that does not exist is no failure")
	return c
}

func (s *shell) deleteTopics(ctx context.Context, c *cluster, names []string, ifExists bool) error {
	answers, err := c.admin.DeleteTopics(ctx, names...)
	if err != nil {
		return err
	}
	var document []deletedTopic
	var outcomes []outcome
	for _, name := range names {
		a, ok := answers[name]
		if !ok {
			a.Err = errors.New("the broker did not answer for it")
		}
		d, o := deletedTopic{Name: name, Deleted: true}, outcome{done: "deleted " + name}
		switch {
		case ifExists && errors.Is(a.Err, kerr.UnknownTopicOrPartition):
			d.Deleted, o.done = false, name+" does not exist"
		case a.Err != nil:
			o.err = answerError(topicNamed(name), a.Err, a.ErrMessage)
			d = deletedTopic{Name: name, Error: errorText(o.err)}
		}
		document, outcomes = append(document, d), append(outcomes, o)
	}
	return s.report(document, outcomes)
}

func (s *shell) topicAddPartitionsCommand() *cobra.Command {
	var add, total int
	c := &cobra.Command{
		Use: "add-partitions TOPIC… (--add N | --total N)", Short: "Add partitions to topics",
		Long: `Add partitions to topics. Records that are there stay where they are, but from now on most keys go to other partitions than before.`,
		Args: distinct(1, "topic"), ValidArgsFunction: s.completeTopics,
		PreRunE: func(*cobra.Command, []string) error {
			switch {
			case (add != 0) == (total != 0):
				return usage("add-partitions needs either --add or --total")
			case add < 0 || total < 0:
				return usage("partitions are added, not removed: the number must be more than 0")
			}
			return nil
		},
		RunE: s.asked(func(ctx context.Context, c *cluster, names []string) error {
			return s.addPartitions(ctx, c, names, add, total)
		}),
	}
	c.Flags().IntVar(&add, "add", 0, "how many partitions to add to each topic")
	c.Flags().IntVar(&total, "total", 0, "how many partitions each topic has afterwards")
	return c
}

func (s *shell) addPartitions(ctx context.Context, c *cluster, names []string, add, total int) error {
	before, err := c.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return err
	}
	var document []changedTopic
	var outcomes []outcome
	for _, name := range names {
		d, o := changedTopic{Name: name}, outcome{}
		had := before[name]
		to := total
		if add > 0 {
			to = len(had.Partitions) + add
		}
		o.err = had.Err
		message := ""
		if o.err == nil {
			answers, err := c.admin.UpdatePartitions(ctx, to, name)
			if err != nil {
				return err
			}
			o.err, message = answers[name].Err, answers[name].ErrMessage
		}
		if o.err != nil {
			o.err = answerError(topicNamed(name), o.err, message)
			d.Error = errorText(o.err)
		} else {
			d.Partitions = int32(to)
			o.done = fmt.Sprintf("%s has %s now, and had %d", name, count(to, "partition"), len(had.Partitions))
		}
		document, outcomes = append(document, d), append(outcomes, o)
	}
	return s.report(document, outcomes)
}

// pair is one key=value argument.
type pair struct{ key, value string }

func parsePairs(flag string, args []string) ([]pair, error) {
	out := make([]pair, 0, len(args))
	for _, arg := range args {
		key, value, found := strings.Cut(arg, "=")
		if key = strings.TrimSpace(key); !found || key == "" {
			return nil, usage("%s %s: write it as key=value", flag, arg)
		}
		out = append(out, pair{key, value})
	}
	return out, nil
}
