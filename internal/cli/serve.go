package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
)

// serveFlags are the flags of a command that starts a node.
type serveFlags struct {
	overrides   []string
	logLevel    string
	quiet       bool
	printConfig bool
}

// closeTimeout bounds an orderly stop. It is generous: what is parked is failed at once, and only a disk can take that long.
const closeTimeout = 60 * time.Second

var logLevels = []string{"trace", "debug", "info", "warn", "error"}

// noFile is the settings file of a node that has none.
const noFile = ""

func (s *shell) serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve [FILE.properties]",
		Short: "Start a node with Kafka's broker properties",
		Long: `Start a node. The file is a server.properties of Apache Kafka in KRaft mode, unchanged. Settings are read from the file, then from the environment
(KAFKA_LOG_DIRS is log.dirs, OTTLA_DURABILITY is ottla.durability), then from --override; each wins over the one before. docs/configs.md lists the keys.

The addresses that were taken are printed to stdout, one NAME://host:port a line, and written to ottla.addresses in the data directory, so port 0 can be asked for.

SIGTERM or SIGINT stops the node in order and ends with exit code 0; a second signal ends it at once.`,
		Example: `  ottla serve server.properties
  ottla serve --override listeners=PLAINTEXT://127.0.0.1:19092 --override log.dirs=/var/lib/ottla`,
		Args: arguments(0, 1, "at most one settings file"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"properties"}, cobra.ShellCompDirectiveFilterFileExt
		},
	}
	s.asNode(c, "")
	return c
}

// asNode makes a command start a node.
func (s *shell) asNode(c *cobra.Command, file string) {
	var f serveFlags
	flags := c.Flags()
	flags.StringArrayVar(&f.overrides, "override", nil, "set a broker property, key=value; may stand several times")
	flags.StringVar(&f.logLevel, "log-level", "info", "the least that is logged: "+strings.Join(logLevels, ", "))
	flags.BoolVar(&f.quiet, "quiet", false, "print the addresses and nothing more to stdout")
	flags.BoolVar(&f.printConfig, "print-config", false, "print a commented properties file with these settings, and start nothing")
	must(c.RegisterFlagCompletionFunc("log-level", cobra.FixedCompletions(logLevels, cobra.ShellCompDirectiveNoFileComp)))
	must(c.RegisterFlagCompletionFunc("override", completeBrokerKeys))
	c.RunE = func(c *cobra.Command, args []string) error {
		for _, name := range []string{"bootstrap-server", "output", "timeout"} {
			if c.Flags().Changed(name) {
				return usage("--%s is for the client verbs; a node is told its addresses with --override listeners=PLAINTEXT://HOST:PORT", name)
			}
		}
		path := file
		if len(args) > 0 {
			path = args[0]
		}
		return s.serve(c.Context(), path, &f)
	}
}

func completeBrokerKeys(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	var keys []string
	for _, k := range config.Keys(config.BrokerResource) {
		if !k.Hidden {
			keys = append(keys, k.Name+"=")
		}
	}
	return keys, cobra.ShellCompDirectiveNoSpace | cobra.ShellCompDirectiveNoFileComp
}

// settleTime is how long after its start a node gives up the pages of the program that the start ran through: first requests find them there.
const settleTime = time.Second

// serve runs a node until it is told to stop or fails.
func (s *shell) serve(ctx context.Context, path string, f *serveFlags) error {
	level, err := parseLevel(f.logLevel)
	if err != nil {
		return err
	}
	static, err := s.loadSettings(path, f.overrides)
	if err != nil {
		return err
	}
	if f.printConfig {
		return static.WriteSample(s.out)
	}
	loggers := node.NewLoggers(s.err, level)
	log := loggers.Logger("node")
	for _, warning := range static.Warnings {
		log.Warn(warning)
	}
	if len(static.Ignored) > 0 {
		log.Warn("these settings have no effect in this build; docs/configs.md says why", "keys", static.Ignored)
	}
	giveBack := func() {
		if err := forgetStart(); err != nil {
			log.Debug("the memory that only the start needed stays with the process", "error", err)
		}
	}
	n, err := node.Open(ctx, node.Options{Static: static, Loggers: loggers, Version: buildVersion().Version, ManyRest: func() {
		runtime.GC() // what pools hold outlives one collection
		debug.FreeOSMemory()
		giveBack()
	}})
	if err != nil {
		if interrupted := interruption(ctx); interrupted != nil {
			return interrupted
		}
		return fmt.Errorf("FATAL: the node did not start: %w", err)
	}
	if err := s.announce(n, static, path, f.quiet); err != nil {
		log.Warn("the addresses could not be printed; they stand in the data directory", "file", node.AddressesFile, "error", err)
	}
	settled := time.AfterFunc(settleTime, giveBack)
	defer settled.Stop()
	var failed error
	select {
	case <-ctx.Done():
		log.Info("stopping; a second signal ends the node at once")
	case failed = <-n.Failed():
		log.Error("FATAL: the node cannot go on", "error", failed)
	}
	return s.stop(n, failed, log)
}

// stop closes the node in order, also when it failed: what is on healthy disks is kept clean.
func (s *shell) stop(n *node.Node, failed error, log *slog.Logger) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	err := n.Close(ctx)
	switch {
	case failed != nil:
		return fmt.Errorf("FATAL: the node cannot go on: %w", failed)
	case err != nil:
		return fmt.Errorf("the node did not stop cleanly, the next start checks its logs: %w", err)
	}
	log.Info("stopped", "took", time.Since(began))
	return nil
}

// loadSettings reads file, environment and overrides. Every fault has a line of its own.
func (s *shell) loadSettings(path string, overrides []string) (*config.Static, error) {
	var file []config.Setting
	if path != noFile {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("the settings cannot be read: %w", err)
		}
		file, err = config.ParseProperties(f, path)
		if err := errors.Join(err, f.Close()); err != nil {
			return nil, fmt.Errorf("the settings cannot be read: %w", err)
		}
	}
	over, err := config.ParseOverrides(overrides)
	if err != nil {
		return nil, usage("%v", err)
	}
	environ := make([]string, 0, len(s.environ))
	for _, entry := range s.environ { // the verbs' variable is no broker property
		if !strings.HasPrefix(entry, bootstrapVariable+"=") {
			environ = append(environ, entry)
		}
	}
	static, err := config.Load(config.Options{}, file, config.ParseEnvironment(environ), over)
	if faults, ok := errors.AsType[config.Errors](err); ok {
		lines := make([]error, 0, len(faults))
		for _, fault := range faults {
			lines = append(lines, fault)
		}
		return nil, errors.Join(lines...)
	}
	return static, err
}

func parseLevel(text string) (slog.Level, error) {
	switch strings.ToLower(text) {
	case "trace":
		return slog.LevelDebug - 4, nil
	case "debug":
		return slog.LevelDebug, nil
	case "info":
		return slog.LevelInfo, nil
	case "warn":
		return slog.LevelWarn, nil
	case "error":
		return slog.LevelError, nil
	}
	return 0, usage("--log-level %s: it is one of %s", text, strings.Join(logLevels, ", "))
}
