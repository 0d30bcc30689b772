package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
)

func (s *shell) groupCommand() *cobra.Command {
	return family("group", "List, describe, delete consumer groups and move their offsets",
		s.groupListCommand(), s.groupDescribeCommand(), s.groupDeleteCommand(), s.groupResetOffsetsCommand(), s.groupDeleteOffsetsCommand())
}

func groupNamed(name string) string { return fmt.Sprintf("group %q", name) }

const noGroups = "There are no groups; a consumer with a group id makes one."

// groupStates are those of every kind of group in Kafka 4.4.
var groupStates = []string{"Stable", "Empty", "PreparingRebalance", "CompletingRebalance", "Dead", "Assigning", "Reconciling", "NotReady"}

// parseStates gives states their own spelling.
func parseStates(texts []string) ([]string, error) {
	states := make([]string, 0, len(texts))
	for _, text := range texts {
		i := slices.IndexFunc(groupStates, func(state string) bool { return strings.EqualFold(state, strings.TrimSpace(text)) })
		if i < 0 {
			return nil, usage("--state %s: it is one of %s", text, strings.Join(groupStates, ", "))
		}
		states = append(states, groupStates[i])
	}
	return states, nil
}

// listedGroup is one line of `group list`.
type listedGroup struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
	Coordinator  int32  `json:"coordinator"`
}

func (s *shell) groupListCommand() *cobra.Command {
	var states []string
	c := &cobra.Command{
		Use: "list", Short: "List the groups", Args: noArguments,
		PreRunE: func(*cobra.Command, []string) (err error) {
			states, err = parseStates(states)
			return err
		},
		RunE: s.asked(func(ctx context.Context, c *cluster, _ []string) error {
			listed, err := c.admin.ListGroups(ctx, states...)
			if err != nil {
				return err
			}
			groups := []listedGroup{}
			t := newTable("GROUP", "STATE", "PROTOCOL", "COORDINATOR")
			for _, g := range listed.Sorted() {
				groups = append(groups, listedGroup{g.Group, g.State, g.ProtocolType, g.Coordinator})
				t.add(g.Group, g.State, orAbsent(g.ProtocolType), number(int64(g.Coordinator)))
			}
			nothing := noGroups
			if len(states) > 0 {
				nothing = "No group is " + strings.Join(states, " or ") + "."
			}
			return s.show(groups, t, nothing)
		}),
	}
	c.Flags().StringSliceVar(&states, "state", nil, "only groups in these states, such as Stable,Empty")
	must(c.RegisterFlagCompletionFunc("state", cobra.FixedCompletions(groupStates, noFiles)))
	return c
}

// describedGroup is what `group describe` knows of a group.
type describedGroup struct {
	Group        string           `json:"group"`
	State        string           `json:"state"`
	ProtocolType string           `json:"protocol_type"`
	Assignor     string           `json:"assignor"`
	Coordinator  int32            `json:"coordinator"`
	Members      []groupMember    `json:"members"`
	Partitions   []groupPartition `json:"partitions"`
	TotalLag     int64            `json:"total_lag"`
	Error        string           `json:"error,omitempty"`
}

type groupMember struct {
	ID         string             `json:"id"`
	InstanceID string             `json:"instance_id,omitempty"`
	ClientID   string             `json:"client_id"`
	Host       string             `json:"host"`
	Assigned   map[string][]int32 `json:"assigned"`
}

// groupPartition is a partition that a group reads or has read. Committed is −1 and Lag counts from the start where nothing is committed.
type groupPartition struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Committed int64  `json:"committed"`
	End       int64  `json:"end_offset"`
	Lag       int64  `json:"lag"`
	Member    string `json:"member,omitempty"`
	Metadata  string `json:"metadata,omitempty"`
	Error     string `json:"error,omitempty"`
}

func (s *shell) groupDescribeCommand() *cobra.Command {
	return &cobra.Command{
		Use: "describe [GROUP…]", Short: "Show state, members, assignment and lag of groups, or of all",
		Args: distinct(0, "group"), ValidArgsFunction: s.completeGroups,
		RunE: s.asked(func(ctx context.Context, c *cluster, names []string) error {
			if len(names) == 0 {
				listed, err := c.admin.ListGroups(ctx)
				if err != nil {
					return err
				}
				if names = listed.Groups(); len(names) == 0 {
					return s.show([]describedGroup{}, newTable(), noGroups)
				}
			}
			lags, err := c.admin.Lag(ctx, append([]string(nil), names...)...)
			if err != nil {
				return err
			}
			groups := make([]describedGroup, 0, len(names))
			for _, name := range names {
				lag, ok := lags[name]
				if !ok {
					lag.DescribeErr = errors.New("the brokers did not answer for it")
				}
				groups = append(groups, describeGroup(name, &lag))
			}
			return s.showGroups(groups)
		}),
	}
}

func describeGroup(name string, lag *kadm.DescribedGroupLag) describedGroup {
	g := describedGroup{
		Group: name, State: lag.State, ProtocolType: lag.ProtocolType, Assignor: lag.Protocol, Coordinator: lag.Coordinator.NodeID,
		Members: []groupMember{}, Partitions: []groupPartition{},
	}
	if err := lag.Error(); err != nil {
		g.Error = answerError(groupNamed(name), err, "").Error()
		return g
	}
	for _, m := range lag.Members {
		member := groupMember{ID: m.MemberID, InstanceID: deref(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost, Assigned: map[string][]int32{}}
		if assigned, ok := m.Assigned.AsConsumer(); ok {
			for _, t := range assigned.Topics {
				member.Assigned[t.Topic] = append(member.Assigned[t.Topic], t.Partitions...)
			}
		}
		g.Members = append(g.Members, member)
	}
	for _, l := range lag.Lag.Sorted() {
		p := groupPartition{Topic: l.Topic, Partition: l.Partition, Committed: l.Commit.At, End: l.End.Offset, Lag: l.Lag, Metadata: l.Commit.Metadata}
		if l.Member != nil {
			p.Member = l.Member.MemberID
		}
		if l.Err != nil {
			p.Error = l.Err.Error()
		}
		g.TotalLag += max(0, l.Lag)
		g.Partitions = append(g.Partitions, p)
	}
	return g
}

func (s *shell) showGroups(groups []describedGroup) error {
	var outcomes []outcome
	for _, g := range groups {
		if g.Error != "" {
			outcomes = append(outcomes, outcome{err: errors.New(g.Error)})
		}
	}
	if s.output == jsonOutput {
		return s.report(groups, outcomes)
	}
	first := true
	for _, g := range groups {
		if g.Error != "" {
			continue
		}
		if !first {
			fmt.Fprintln(s.out)
		}
		first = false
		if err := s.writeGroup(&g); err != nil {
			return err
		}
	}
	return s.reportFailures(outcomes)
}

func (s *shell) writeGroup(g *describedGroup) error {
	protocol := orAbsent(g.ProtocolType)
	if g.Assignor != "" {
		protocol += ", " + g.Assignor
	}
	if _, err := fmt.Fprintf(s.out, "Group %s\n  state        %s\n  protocol     %s\n  coordinator  broker %d\n  lag          %d\n",
		g.Group, g.State, protocol, g.Coordinator, g.TotalLag); err != nil {
		return err
	}
	if len(g.Members) > 0 {
		fmt.Fprintln(s.out)
		members := newTable("MEMBER", "INSTANCE", "CLIENT", "HOST", "ASSIGNED")
		for _, m := range g.Members {
			members.add(m.ID, orAbsent(m.InstanceID), orAbsent(m.ClientID), m.Host, orAbsent(assignment(m.Assigned)))
		}
		if err := members.write(s.out); err != nil {
			return err
		}
	}
	if len(g.Partitions) == 0 {
		return nil
	}
	fmt.Fprintln(s.out)
	partitions := newTable("TOPIC", "PARTITION", "COMMITTED", "END", "LAG", "MEMBER")
	for _, p := range g.Partitions {
		member := orAbsent(p.Member)
		if p.Error != "" {
			member = p.Error
		}
		partitions.add(p.Topic, strconv.Itoa(int(p.Partition)), number(p.Committed), number(p.End), number(p.Lag), member)
	}
	return partitions.write(s.out)
}

// assignment writes what a member reads: topic:0,1 other:2.
func assignment(assigned map[string][]int32) string {
	parts := make([]string, 0, len(assigned))
	for _, topic := range inNameOrder(assigned) {
		parts = append(parts, topic+":"+brokerList(assigned[topic]))
	}
	return strings.Join(parts, " ")
}

// changedGroup is what became of one group.
type changedGroup struct {
	Group string `json:"group"`
	Error string `json:"error,omitempty"`
}

func (s *shell) groupDeleteCommand() *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use: "delete GROUP…", Short: "Delete groups with their committed offsets; a group with members stays",
		Args: distinct(1, "group"), ValidArgsFunction: s.completeGroups,
		RunE: func(command *cobra.Command, names []string) error {
			if err := s.confirm(command.Context(), yes, fmt.Sprintf("Delete %s with the committed offsets?", strings.Join(names, ", "))); err != nil {
				return err
			}
			return s.asked(s.deleteGroups)(command, names)
		},
	}
	c.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	return c
}

func (s *shell) deleteGroups(ctx context.Context, c *cluster, names []string) error {
	answers, err := c.admin.DeleteGroups(ctx, names...)
	var some *kadm.ShardErrors
	if err != nil && !errors.As(err, &some) {
		return err
	}
	var document []changedGroup
	var outcomes []outcome
	for _, name := range names {
		a, ok := answers[name]
		if !ok {
			a.Err = errors.New("its coordinator did not answer")
		}
		d, o := changedGroup{Group: name}, outcome{done: "deleted " + name}
		if a.Err != nil {
			o.err = answerError(groupNamed(name), a.Err, a.ErrMessage)
			d.Error = errorText(o.err)
		}
		document, outcomes = append(document, d), append(outcomes, o)
	}
	return s.report(document, outcomes)
}
