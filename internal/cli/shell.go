package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// shell is what every verb has: the three streams, the environment and the flags that all client verbs share.
type shell struct {
	in       io.Reader
	out, err io.Writer
	environ  []string
	started  time.Time
	terminal func(stream any) bool // tells whether a person is at a stream; nil looks at the stream

	bootstrap string
	output    string
	timeout   time.Duration
}

const (
	bootstrapVariable = "OTTLA_BOOTSTRAP"
	defaultBootstrap  = "127.0.0.1:9092"
	tableOutput       = "table"
	jsonOutput        = "json"
)

// root makes the tree of commands. Making it is cheap and touches nothing: a node starts through it too.
func (s *shell) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "ottla",
		Short: "A Kafka in one binary: a node, and the verbs to use it",
		Long: `Without a verb, ottla starts one durable node with nothing configured: its data is in ./ottla-data, the Kafka protocol is on 127.0.0.1:9092
and [::1]:9092, metrics and health are on http://127.0.0.1:9644.

The verbs for topics, groups, records, configuration and the cluster are clients: they speak the Kafka protocol with the node, or any other Kafka, at --bootstrap-server.

Exit codes: 0 done, 1 failed, 2 the command line was not understood, 130 interrupted.`,
		SilenceErrors: true, SilenceUsage: true,
		Args: noArguments,
	}
	flags := root.PersistentFlags()
	bootstrap := defaultBootstrap
	if named := lookupEnvironment(s.environ, bootstrapVariable); named != "" {
		bootstrap = named
	}
	flags.StringVarP(&s.bootstrap, "bootstrap-server", "b", bootstrap, "brokers to connect to, host:port[,host:port…]; the environment's "+bootstrapVariable+" sets the default")
	flags.StringVarP(&s.output, "output", "o", tableOutput, "what results look like: table or json")
	flags.DurationVar(&s.timeout, "timeout", 10*time.Second, "how long to wait for the brokers' answers")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	root.Version = buildVersion().String()
	root.SetVersionTemplate("{{.Version}}\n")
	root.Flags().Bool("version", false, "say which Ottla this is")
	root.SetHelpCommand(helpCommand())
	root.PersistentPreRunE = func(*cobra.Command, []string) error { return s.checkFlags() }
	s.asNode(root, noFile)
	root.AddCommand(s.serveCommand(), s.topicCommand(), s.groupCommand(), s.produceCommand(), s.consumeCommand(), s.configCommand(), s.clusterCommand(), offline(s.logCommand()), offline(s.completionCommand()), offline(s.versionCommand()))
	must(root.RegisterFlagCompletionFunc("output", cobra.FixedCompletions([]string{tableOutput, jsonOutput}, cobra.ShellCompDirectiveNoFileComp)))
	must(root.RegisterFlagCompletionFunc("bootstrap-server", cobra.NoFileCompletions))
	completeNoFiles(root)
	return root
}

// must stops a program whose own commands contradict each other.
func must(err error) {
	if err != nil {
		panic("BUG: " + err.Error())
	}
}

func (s *shell) checkFlags() error {
	if s.output != tableOutput && s.output != jsonOutput {
		return usage("--output %s: it is table or json", s.output)
	}
	if s.timeout <= 0 {
		return usage("--timeout %v: it must be more than 0", s.timeout)
	}
	return nil
}

func lookupEnvironment(environ []string, name string) string {
	for _, entry := range slices.Backward(environ) {
		if key, value, _ := strings.Cut(entry, "="); key == name {
			return value
		}
	}
	return ""
}

// family makes a command that only has verbs below it.
func family(use, short string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{Use: use, Short: short, Args: noArguments, RunE: func(c *cobra.Command, _ []string) error { return c.Help() }}
	c.AddCommand(verbs...)
	return c
}

// offline keeps the help of a command that asks no brokers from offering what is about them.
func offline(c *cobra.Command) *cobra.Command {
	help := c.HelpFunc()
	c.SetHelpFunc(func(c *cobra.Command, args []string) {
		for _, name := range []string{"bootstrap-server", "timeout"} {
			f := c.InheritedFlags().Lookup(name)
			f.Hidden = true
			defer func() { f.Hidden = false }()
		}
		help(c, args)
	})
	return c
}

// noArguments refuses arguments; where verbs stand below, what looks like a mistyped one is named.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasAvailableSubCommands() {
		return usage("%s takes no arguments, not %q", c.CommandPath(), args[0])
	}
	problem := fmt.Sprintf("%s has no verb %q", c.CommandPath(), args[0])
	c.SuggestionsMinimumDistance = 2
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		problem += "; did you mean " + strings.Join(near, " or ") + "?"
	}
	return usage("%s", problem)
}

// helpCommand is cobra's, but that it says when there is no such verb.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use: "help [VERB…]", Short: "Help about any verb",
		ValidArgsFunction: func(c *cobra.Command, args []string, typed string) ([]string, cobra.ShellCompDirective) {
			var names []string
			if at, rest, err := c.Root().Find(args); err == nil && len(rest) == 0 {
				for _, verb := range at.Commands() {
					if verb.IsAvailableCommand() {
						names = append(names, verb.Name())
					}
				}
			}
			return matching(names, nil, typed), noFiles
		},
		RunE: func(c *cobra.Command, args []string) error {
			at, rest, err := c.Root().Find(args)
			if err != nil {
				return err
			}
			if err := noArguments(at, rest); err != nil {
				return err
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// flagError says what a flag takes, in place of what the parser of its value says.
func flagError(err error) error {
	bad, ok := errors.AsType[*pflag.InvalidValueError](err)
	if !ok {
		return usage("%v", err)
	}
	flag := bad.GetFlag()
	want, ok := map[string]string{
		"int": "a whole number", "int16": "a whole number up to 32767", "int32": "a whole number up to 2147483647", "int64": "a whole number",
		"duration": "a time with its unit, such as 500ms, 10s or 1m", "bool": "true or false",
	}[flag.Value.Type()]
	if !ok {
		return usage("%v", err)
	}
	return usage("--%s %s: it is %s", flag.Name, bad.GetValue(), want)
}

// distinct asks for things of a kind, each named once.
func distinct(low int, kind string) cobra.PositionalArgs {
	enough := arguments(low, -1, "the name of a "+kind)
	return func(c *cobra.Command, args []string) error {
		if err := enough(c, args); err != nil {
			return err
		}
		for i, name := range args {
			if slices.Contains(args[:i], name) {
				return usage("the %s %s stands twice", kind, name)
			}
		}
		return nil
	}
}

// arguments asks for at least low and at most high arguments; high < 0 means no bound.
func arguments(low, high int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		switch {
		case len(args) < low:
			return usage("%s needs %s", c.CommandPath(), what)
		case high >= 0 && len(args) > high:
			return usage("%s takes %s, and %q is too much", c.CommandPath(), what, args[high])
		case slices.Contains(args, ""):
			return usage("%s needs %s, and one that stands here is empty", c.CommandPath(), what)
		}
		return nil
	}
}

// notef tells a person something that is no result.
func (s *shell) notef(format string, args ...any) { fmt.Fprintf(s.err, format+"\n", args...) }

func (s *shell) attended(stream any) bool {
	if s.terminal != nil {
		return s.terminal(stream)
	}
	return attended(stream)
}

// attended reports whether a stream is a terminal: a person reads or types there.
func attended(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// confirm asks before something is destroyed, when a person is there to answer.
func (s *shell) confirm(ctx context.Context, yes bool, question string) error {
	if yes || !s.attended(s.in) || !s.attended(s.err) {
		return nil
	}
	return s.ask(ctx, question)
}

var errNotConfirmed = errors.New("not confirmed, nothing was done (--yes does it without asking)")

func (s *shell) ask(ctx context.Context, question string) error {
	fmt.Fprintf(s.err, "%s [y/N] ", question)
	type line struct {
		text string
		err  error
	}
	answered := make(chan line, 1)
	go func() { // an interrupt ends the verb though the read goes on
		text, err := bufio.NewReader(s.in).ReadString('\n')
		answered <- line{text, err}
	}()
	select {
	case <-ctx.Done():
		fmt.Fprintln(s.err)
		return context.Cause(ctx)
	case answer := <-answered:
		if answer.err != nil && answer.err != io.EOF {
			return fmt.Errorf("read the answer: %w", answer.err)
		}
		switch strings.ToLower(strings.TrimSpace(answer.text)) {
		case "y", "yes":
			return nil
		}
		return errNotConfirmed
	}
}
