package cli

import (
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/storage/dir"
)

// completionTimeout bounds what a person who pressed Tab waits for a cluster that does not answer.
const completionTimeout = 2 * time.Second

const noFiles = cobra.ShellCompDirectiveNoFileComp

// complete asks the brokers for names. One that cannot be reached completes nothing: a shell has no place for errors.
func (s *shell) complete(command *cobra.Command, ask func(ctx context.Context, c *cluster) ([]string, error)) []string {
	parent := command.Context()
	if parent == nil {
		parent = context.Background()
	}
	ctx, cancel := context.WithTimeout(parent, min(s.timeout, completionTimeout))
	defer cancel()
	c, err := s.connect(ctx)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
		return nil
	}
	defer c.close()
	names, err := ask(ctx, c)
	if err != nil {
		cobra.CompDebugln(err.Error(), false)
	}
	return names
}

// completeNoFiles keeps the shell from offering files for the values of flags that take none.
func completeNoFiles(c *cobra.Command) {
	visit := func(f *pflag.Flag) {
		if _, known := c.GetFlagCompletionFunc(f.Name); !known && f.NoOptDefVal == "" && f.Name != "file" {
			must(c.RegisterFlagCompletionFunc(f.Name, cobra.NoFileCompletions))
		}
	}
	c.Flags().VisitAll(visit)
	c.PersistentFlags().VisitAll(visit)
	for _, sub := range c.Commands() {
		completeNoFiles(sub)
	}
}

// matching keeps the names that go on from what was typed and do not stand there already.
func matching(names, args []string, typed string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasPrefix(name, typed) || slices.Contains(args, name) })
}

func (s *shell) completeTopics(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return matching(s.complete(command, topicNames), args, typed), noFiles
}

// completeTopic is for verbs with one topic.
func (s *shell) completeTopic(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return s.completeTopics(command, args, typed)
}

func topicNames(ctx context.Context, c *cluster) ([]string, error) {
	topics, err := c.admin.ListTopics(ctx)
	return topics.Names(), err
}

func (s *shell) completeGroups(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	return matching(s.complete(command, groupNames), args, typed), noFiles
}

func (s *shell) completeGroup(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, noFiles
	}
	return s.completeGroups(command, args, typed)
}

func groupNames(ctx context.Context, c *cluster) ([]string, error) {
	groups, err := c.admin.ListGroups(ctx)
	return groups.Groups(), err
}

// completeEntity completes the first argument with entities and the others with what rest makes of that entity.
func (s *shell) completeEntity(rest cobra.CompletionFunc) cobra.CompletionFunc {
	return func(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			if rest == nil {
				return nil, noFiles
			}
			return rest(command, args, typed)
		}
		kind, _, named := strings.Cut(typed, "/")
		if !named {
			return matching([]string{"topic/", "broker/", brokerDefault, "group/", "client-metrics/", "broker-logger/"}, nil, typed), noFiles | cobra.ShellCompDirectiveNoSpace
		}
		names := s.complete(command, func(ctx context.Context, c *cluster) ([]string, error) {
			switch kind {
			case "topic":
				return topicNames(ctx, c)
			case "group":
				return groupNames(ctx, c)
			case "broker", "broker-logger":
				return brokerNames(ctx, c)
			}
			return nil, nil
		})
		for i, name := range names {
			names[i] = kind + "/" + name
		}
		return matching(names, nil, typed), noFiles
	}
}

func brokerNames(ctx context.Context, c *cluster) ([]string, error) {
	brokers, err := c.admin.ListBrokers(ctx)
	var names []string
	for _, b := range brokers {
		names = append(names, number(int64(b.NodeID)))
	}
	return names, err
}

// completeKeys completes the names of an entity's settings, as its broker knows them.
func (s *shell) completeKeys(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	e, err := parseEntity(args[0])
	if err != nil {
		return nil, noFiles
	}
	keys := s.complete(command, func(ctx context.Context, c *cluster) ([]string, error) {
		d, err := c.describeEntity(ctx, e, nil, false)
		var keys []string
		for _, entry := range d.entries {
			keys = append(keys, entry.Name)
		}
		return keys, err
	})
	return matching(keys, args[1:], typed), noFiles
}

func (s *shell) completeKeysToSet(command *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	keys, directive := s.completeKeys(command, args, typed)
	for i := range keys {
		keys[i] += "="
	}
	return keys, directive | cobra.ShellCompDirectiveNoSpace
}

// completeLogs completes the names of the logs in a log directory that stands before.
func completeLogs(_ *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
	var logs []string
	if len(args) > 0 {
		entries, err := os.ReadDir(args[0])
		if err != nil {
			cobra.CompDebugln(err.Error(), false)
		}
		for _, e := range entries {
			if _, _, ok := dir.SplitName(e.Name()); ok && e.IsDir() {
				logs = append(logs, e.Name())
			}
		}
	}
	return matching(logs, nil, typed), noFiles
}

// completeTopicKeys completes the settings of a topic that does not exist yet, from our own table.
func completeTopicKeys(_ *cobra.Command, _ []string, typed string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, k := range config.Keys(config.TopicResource) {
		if !k.Hidden {
			keys = append(keys, k.Name+"=")
		}
	}
	return matching(keys, nil, typed), noFiles | cobra.ShellCompDirectiveNoSpace
}
