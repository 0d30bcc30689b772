package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

func (s *shell) configCommand() *cobra.Command {
	c := family("config", "Get, set and unset the settings of topics, brokers, groups and loggers",
		s.configListCommand(), s.configGetCommand(), s.configSetCommand(), s.configUnsetCommand())
	c.Long = `Settings belong to an entity: ` + entityForms + `.
A value comes from the entity itself, from what it inherits, or it is the default; "source" says which.`
	return c
}

func (s *shell) configListCommand() *cobra.Command {
	var all, docs bool
	c := &cobra.Command{
		Use: "list [ENTITY]", Short: "List the settings of an entity that are not the default, or the entities there are",
		Example: "  ottla config list\n  ottla config list topic/orders --all",
		Args:    arguments(0, 1, "at most one entity"), ValidArgsFunction: s.completeEntity(nil),
		RunE: s.asked(func(ctx context.Context, c *cluster, args []string) error {
			if len(args) == 0 {
				return s.listEntities(ctx, c)
			}
			e, err := parseEntity(args[0])
			if err != nil {
				return err
			}
			d, err := c.describeEntity(ctx, e, nil, docs)
			if err != nil {
				return err
			}
			if !all {
				d.entries = slices.DeleteFunc(d.entries, func(c configEntry) bool { return c.Source == sourceNames[kmsg.ConfigSourceDefaultConfig] })
			}
			return s.showConfigs(d, docs, fmt.Sprintf("%s has only defaults; --all shows them.", e))
		}),
	}
	c.Flags().BoolVarP(&all, "all", "a", false, "list the defaults too")
	c.Flags().BoolVar(&docs, "doc", false, "say what each setting does")
	return c
}

// listEntities shows what has settings of its own or could have.
func (s *shell) listEntities(ctx context.Context, c *cluster) error {
	req := kmsg.NewPtrListConfigResourcesRequest()
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return err
	}
	if err := kerr.ErrorForCode(resp.ErrorCode); err != nil {
		return answerError("the entities that have settings", err, "")
	}
	names := []string{brokerDefault}
	for _, r := range resp.ConfigResources {
		names = append(names, entity{kmsg.ConfigResourceType(r.Type), r.Name}.String())
	}
	slices.Sort(names)
	t := newTable("ENTITY")
	for _, name := range names {
		t.add(name)
	}
	return s.show(names, t, "")
}

// showConfigs writes settings as a table, or with what they do one below the other.
func (s *shell) showConfigs(d describedEntity, docs bool, nothing string) error {
	if d.entries == nil {
		d.entries = []configEntry{}
	}
	if s.output == jsonOutput {
		return writeJSON(s.out, d.entries)
	}
	if docs && len(d.entries) > 0 {
		var b strings.Builder
		for i, e := range d.entries {
			if i > 0 {
				b.WriteByte('\n')
			}
			fmt.Fprintf(&b, "%s=%s\n  from %s, default %s%s\n", e.Name, e.shown(), e.Source, e.shownDefault(), e.remark())
			for _, line := range wrap(e.Documentation, 110) {
				fmt.Fprintf(&b, "  %s\n", line)
			}
		}
		_, err := fmt.Fprint(s.out, b.String())
		return err
	}
	t := newTable("KEY", "VALUE", "SOURCE", "DEFAULT", "")
	for _, e := range d.entries {
		t.add(e.Name, e.shown(), e.Source, e.shownDefault(), strings.TrimPrefix(e.remark(), ", "))
	}
	return s.show(nil, t, nothing)
}

// showNamed shows settings that were asked for by name, and fails for each that the entity does not have: brokers leave them out without a word.
func (s *shell) showNamed(d describedEntity, keys []string, docs bool) error {
	var outcomes []outcome
	for _, key := range keys {
		if !slices.ContainsFunc(d.entries, func(c configEntry) bool { return c.Name == key }) {
			outcomes = append(outcomes, outcome{err: fmt.Errorf("%s has no setting %s: `ottla config list %s --all` shows what it has", d.entity, key, d.entity)})
		}
	}
	if len(d.entries) > 0 {
		if err := s.showConfigs(d, docs, ""); err != nil {
			return err
		}
	}
	return s.reportFailures(outcomes)
}

func (e *configEntry) shownDefault() string {
	d := configEntry{Value: e.Default, Sensitive: e.Sensitive}
	return d.shown()
}

func (e *configEntry) remark() string {
	if e.ReadOnly {
		return ", read-only"
	}
	return ""
}

// wrap breaks text into lines.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for word := range strings.FieldsSeq(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

func (s *shell) configGetCommand() *cobra.Command {
	var docs bool
	c := &cobra.Command{
		Use: "get ENTITY KEY…", Short: "Show settings: value, where it comes from, and the default",
		Example: "  ottla config get topic/orders retention.ms\n  ottla config get broker/1 log.dirs --doc",
		Args:    entityArguments(2, "an entity and the names of settings"), ValidArgsFunction: s.completeEntity(s.completeKeys),
		RunE: s.asked(func(ctx context.Context, c *cluster, args []string) error {
			e, err := parseEntity(args[0])
			if err != nil {
				return err
			}
			d, err := c.describeEntity(ctx, e, args[1:], docs)
			if err != nil {
				return err
			}
			return s.showNamed(d, args[1:], docs)
		}),
	}
	c.Flags().BoolVar(&docs, "doc", false, "say what each setting does")
	return c
}

func (s *shell) configSetCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "set ENTITY KEY=VALUE…", Short: "Set settings of an entity, live",
		Long: `Set settings of an entity while the brokers run. KEY+=VALUE adds to a list, KEY-=VALUE takes from it.`,
		Example: `  ottla config set topic/orders retention.ms=86400000
  ottla config set broker-default log.retention.ms=86400000
  ottla config set topic/orders cleanup.policy+=compact
  ottla config set broker-logger/1 server=DEBUG`,
		Args: entityArguments(2, "an entity and settings, key=value"), ValidArgsFunction: s.completeEntity(s.completeKeysToSet),
		RunE: s.asked(func(ctx context.Context, c *cluster, args []string) error {
			e, err := parseEntity(args[0])
			if err != nil {
				return err
			}
			changes := make([]kmsg.IncrementalAlterConfigsRequestResourceConfig, 0, len(args)-1)
			for _, arg := range args[1:] {
				change, err := parseChange(arg)
				if err != nil {
					return err
				}
				if slices.ContainsFunc(changes, func(c kmsg.IncrementalAlterConfigsRequestResourceConfig) bool { return c.Name == change.Name }) {
					return usage("the setting %s stands twice", change.Name)
				}
				changes = append(changes, change)
			}
			return s.alterConfigs(ctx, c, e, changes, dryRun)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "let the brokers check everything and change nothing")
	return c
}

// entityArguments asks for an entity and more.
func entityArguments(low int, what string) cobra.PositionalArgs {
	enough := arguments(low, -1, what)
	return func(c *cobra.Command, args []string) error {
		if err := enough(c, args); err != nil {
			return err
		}
		_, err := parseEntity(args[0])
		return err
	}
}

// parseChange reads KEY=VALUE, KEY+=VALUE or KEY-=VALUE. No key ends in + or -.
func parseChange(arg string) (kmsg.IncrementalAlterConfigsRequestResourceConfig, error) {
	change := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	pairs, err := parsePairs("setting", []string{arg})
	if err != nil {
		return change, err
	}
	key, value := pairs[0].key, pairs[0].value
	change.Op = kmsg.IncrementalAlterConfigOpSet
	if list, ok := strings.CutSuffix(key, "+"); ok {
		key, change.Op = list, kmsg.IncrementalAlterConfigOpAppend
	} else if list, ok := strings.CutSuffix(key, "-"); ok {
		key, change.Op = list, kmsg.IncrementalAlterConfigOpSubtract
	}
	change.Name, change.Value = key, &value
	return change, nil
}

func (s *shell) configUnsetCommand() *cobra.Command {
	var dryRun bool
	c := &cobra.Command{
		Use: "unset ENTITY KEY…", Short: "Give settings back to what they inherit",
		Example: "  ottla config unset topic/orders retention.ms",
		Args:    entityArguments(2, "an entity and the names of settings"), ValidArgsFunction: s.completeEntity(s.completeKeys),
		RunE: s.asked(func(ctx context.Context, c *cluster, args []string) error {
			e, err := parseEntity(args[0])
			if err != nil {
				return err
			}
			changes := make([]kmsg.IncrementalAlterConfigsRequestResourceConfig, 0, len(args)-1)
			for _, key := range args[1:] {
				if strings.Contains(key, "=") {
					return usage("%s: unset takes the setting's name alone", key)
				}
				change := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
				change.Name, change.Op = key, kmsg.IncrementalAlterConfigOpDelete
				changes = append(changes, change)
			}
			return s.alterConfigs(ctx, c, e, changes, dryRun)
		}),
	}
	c.Flags().BoolVar(&dryRun, "dry-run", false, "let the brokers check everything and change nothing")
	return c
}

// checkedConfig is what a dry run found out; what was refused is an error instead.
type checkedConfig struct {
	Entity   string `json:"entity"`
	Accepted bool   `json:"accepted"`
	Changed  bool   `json:"changed"`
}

// alterConfigs changes settings and shows what they are afterwards.
func (s *shell) alterConfigs(ctx context.Context, c *cluster, e entity, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, dryRun bool) error {
	if err := c.alterEntity(ctx, e, changes, dryRun); err != nil {
		return err
	}
	if dryRun {
		if s.output == jsonOutput {
			return writeJSON(s.out, checkedConfig{Entity: e.String(), Accepted: true})
		}
		s.notef("%s would accept that; nothing was changed.", e)
		return nil
	}
	keys := make([]string, 0, len(changes))
	for _, change := range changes {
		keys = append(keys, change.Name)
	}
	d, err := c.describeEntity(ctx, e, keys, false)
	if err != nil {
		return fmt.Errorf("the settings were changed, but cannot be shown: %w", err)
	}
	if len(d.entries) == 0 && e == (entity{kind: kmsg.ConfigResourceTypeBroker}) { // the default of all brokers shows only what is set
		return s.showConfigs(d, false, fmt.Sprintf("%s has none of these of its own now.", e))
	}
	return s.showNamed(d, keys, false)
}
