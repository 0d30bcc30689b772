package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describedTopic is what `topic describe` knows of a topic.
type describedTopic struct {
	Name              string               `json:"name"`
	ID                string               `json:"id,omitempty"`
	Internal          bool                 `json:"internal"`
	ReplicationFactor int                  `json:"replication_factor"`
	Partitions        []describedPartition `json:"partitions"`
	Configs           []configEntry        `json:"configs"`
	Error             string               `json:"error,omitempty"`
}

// describedPartition is one partition. What could not be learnt is nil.
type describedPartition struct {
	Partition   int32   `json:"partition"`
	Leader      int32   `json:"leader"`
	LeaderEpoch int32   `json:"leader_epoch"`
	Replicas    []int32 `json:"replicas"`
	ISR         []int32 `json:"isr"`
	Offline     []int32 `json:"offline,omitempty"`
	Start       *int64  `json:"start_offset"`
	End         *int64  `json:"end_offset"`
	Size        *int64  `json:"size_bytes"`
	Error       string  `json:"error,omitempty"`
}

func (s *shell) topicDescribeCommand() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "describe TOPIC…", Short: "Show partitions, leaders, offsets, sizes and settings of topics",
		Args: distinct(1, "topic"), ValidArgsFunction: s.completeTopics,
		RunE: s.asked(func(ctx context.Context, c *cluster, names []string) error {
			return s.describeTopics(ctx, c, names, all)
		}),
	}
	c.Flags().BoolVar(&all, "all-configs", false, "show every setting, not only those that differ from the default")
	return c
}

func (s *shell) describeTopics(ctx context.Context, c *cluster, names []string, all bool) error {
	details, err := c.admin.ListTopicsWithInternal(ctx, names...)
	if err != nil {
		return err
	}
	known := make([]string, 0, len(names))
	for _, name := range names {
		if d, ok := details[name]; ok && d.Err == nil {
			known = append(known, name)
		}
	}
	var starts, ends kadm.ListedOffsets
	var sizes map[string]map[int32]map[int32]int64
	configs := map[string]describedEntity{}
	if len(known) > 0 {
		if starts, err = c.admin.ListStartOffsets(ctx, known...); err != nil {
			return err
		}
		if ends, err = c.admin.ListEndOffsets(ctx, known...); err != nil {
			return err
		}
		if sizes, err = replicaSizes(ctx, c, details, known); err != nil {
			return err
		}
		for _, name := range known {
			if configs[name], err = c.describeEntity(ctx, entity{kind: kmsg.ConfigResourceTypeTopic, name: name}, nil, false); err != nil {
				return err
			}
		}
	}
	var document []describedTopic
	for _, name := range names {
		t := describedTopic{Name: name, Partitions: []describedPartition{}, Configs: []configEntry{}}
		d := details[name]
		if d.Err == nil && d.Partitions == nil {
			d.Err = errors.New("the broker did not answer for it")
		}
		if d.Err != nil {
			t.Error = answerError(topicNamed(name), d.Err, "").Error()
			document = append(document, t)
			continue
		}
		t.ID, t.Internal, t.ReplicationFactor = topicID(d.ID), d.IsInternal, d.Partitions.NumReplicas()
		for _, p := range d.Partitions.Sorted() {
			t.Partitions = append(t.Partitions, describePartition(p, starts, ends, sizes[name][p.Partition]))
		}
		for _, e := range configs[name].entries {
			if all || e.Source != sourceNames[kmsg.ConfigSourceDefaultConfig] {
				t.Configs = append(t.Configs, e)
			}
		}
		document = append(document, t)
	}
	return s.showTopics(document)
}

// replicaSizes are the bytes of each replica by topic, partition and broker. A broker that does not tell leaves a gap.
func replicaSizes(ctx context.Context, c *cluster, details kadm.TopicDetails, topics []string) (map[string]map[int32]map[int32]int64, error) {
	set := kadm.TopicsSet{}
	for _, name := range topics {
		set.Add(name, details[name].Partitions.Numbers()...)
	}
	dirs, err := c.admin.DescribeAllLogDirs(ctx, set)
	var some *kadm.ShardErrors
	var denied *kadm.AuthError
	if err != nil && !errors.As(err, &some) && !errors.As(err, &denied) {
		return nil, err
	}
	sizes := map[string]map[int32]map[int32]int64{}
	for _, broker := range dirs {
		broker.EachPartition(func(p kadm.DescribedLogDirPartition) {
			if p.IsFuture {
				return
			}
			if sizes[p.Topic] == nil {
				sizes[p.Topic] = map[int32]map[int32]int64{}
			}
			if sizes[p.Topic][p.Partition] == nil {
				sizes[p.Topic][p.Partition] = map[int32]int64{}
			}
			sizes[p.Topic][p.Partition][p.Broker] = p.Size
		})
	}
	return sizes, nil
}

func describePartition(p kadm.PartitionDetail, starts, ends kadm.ListedOffsets, sizes map[int32]int64) describedPartition {
	d := describedPartition{Partition: p.Partition, Leader: p.Leader, LeaderEpoch: p.LeaderEpoch, Replicas: p.Replicas, ISR: p.ISR, Offline: p.OfflineReplicas}
	if p.Err != nil {
		d.Error = p.Err.Error()
	}
	if o, ok := starts.Lookup(p.Topic, p.Partition); ok && o.Err == nil {
		d.Start = &o.Offset
	}
	if o, ok := ends.Lookup(p.Topic, p.Partition); ok && o.Err == nil {
		d.End = &o.Offset
	}
	if size, ok := sizes[p.Leader]; ok {
		d.Size = &size
	}
	return d
}

func (s *shell) showTopics(topics []describedTopic) error {
	outcomes := make([]outcome, 0, len(topics))
	for _, t := range topics {
		if t.Error != "" {
			outcomes = append(outcomes, outcome{err: errors.New(t.Error)})
		}
	}
	if s.output == jsonOutput {
		return s.report(topics, outcomes)
	}
	first := true
	for _, t := range topics {
		if t.Error != "" {
			continue
		}
		if !first {
			fmt.Fprintln(s.out)
		}
		first = false
		if err := writeTopic(s.out, &t); err != nil {
			return err
		}
	}
	return s.reportFailures(outcomes)
}

func writeTopic(w io.Writer, t *describedTopic) error {
	var size int64
	for _, p := range t.Partitions {
		if p.Size != nil {
			size += *p.Size
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Topic %s\n", t.Name)
	if t.ID != "" {
		fmt.Fprintf(&b, "  id        %s\n", t.ID)
	}
	if t.Internal {
		fmt.Fprintf(&b, "  internal  yes\n")
	}
	fmt.Fprintf(&b, "  size      %s in %s, %s each\n", byteCount(size), count(len(t.Partitions), "partition"), count(t.ReplicationFactor, "replica"))
	for i, c := range t.Configs {
		label := "settings"
		if i > 0 {
			label = ""
		}
		fmt.Fprintf(&b, "  %-8s  %s=%s (%s)\n", label, c.Name, c.shown(), c.Source)
	}
	b.WriteByte('\n')
	if _, err := io.WriteString(w, b.String()); err != nil {
		return err
	}
	grid := newTable("PARTITION", "LEADER", "EPOCH", "REPLICAS", "ISR", "START", "END", "BYTES")
	for _, p := range t.Partitions {
		grid.add(strconv.Itoa(int(p.Partition)), number(int64(p.Leader)), number(int64(p.LeaderEpoch)), brokerList(p.Replicas), brokerList(p.ISR),
			optional(p.Start), optional(p.End), optional(p.Size))
	}
	return grid.write(w)
}

// number writes a number where −1 stands for none.
func number(n int64) string {
	if n < 0 {
		return absent
	}
	return strconv.FormatInt(n, 10)
}

func optional(n *int64) string {
	if n == nil {
		return absent
	}
	return strconv.FormatInt(*n, 10)
}

func brokerList(ids []int32) string {
	texts := make([]string, len(ids))
	for i, id := range ids {
		texts[i] = strconv.Itoa(int(id))
	}
	return orAbsent(strings.Join(texts, ","))
}

// byteCount writes bytes with the binary unit that leaves one to four digits.
func byteCount(n int64) string {
	if n < 1024 {
		return count(n, "byte")
	}
	value, unit := float64(n)/1024, "KiB"
	for _, next := range []string{"MiB", "GiB", "TiB"} {
		if value < 1024 {
			break
		}
		value, unit = value/1024, next
	}
	return strconv.FormatFloat(value, 'f', 1, 64) + " " + unit
}
