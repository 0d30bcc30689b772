package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/logfile"
	"github.com/ottla/ottla/internal/storage/vfs"
)

func (s *shell) logCommand() *cobra.Command {
	return family("log", "Look at the files of a log directory, check, recover and repair them, without a node",
		s.logDumpCommand(), s.logCatCommand(), s.logVerifyCommand(), s.logRecoverCommand(), s.logRepairCommand())
}

// entryWriter writes entries as lines of text or of JSON.
type entryWriter struct {
	ctx  context.Context
	out  *bufio.Writer
	json *json.Encoder
}

func (s *shell) entryWriter(ctx context.Context) *entryWriter {
	w := &entryWriter{ctx: ctx, out: bufio.NewWriter(s.out)}
	if s.output == jsonOutput {
		w.json = json.NewEncoder(w.out)
		w.json.SetEscapeHTML(false)
	}
	return w
}

func (w *entryWriter) write(e logfile.Entry) error {
	if err := interruption(w.ctx); err != nil {
		return err
	}
	if w.json != nil {
		return w.json.Encode(e)
	}
	_, err := io.WriteString(w.out, e.Text()+"\n")
	return err
}

// end flushes; damage was shown in its place, and fails the verb.
func (w *entryWriter) end(err error) error {
	if flushed := w.out.Flush(); flushed != nil {
		return flushed
	}
	if errors.Is(err, logfile.ErrDamaged) {
		return errReported
	}
	return err
}

const encodingUsage = "how keys, values and headers are shown: auto (text where it is UTF-8, else base64), text, base64 or hex"

func completeEncodings(c *cobra.Command) {
	var names []string
	for _, e := range logfile.Encodings {
		names = append(names, string(e))
	}
	must(c.RegisterFlagCompletionFunc("encoding", cobra.FixedCompletions(names, cobra.ShellCompDirectiveNoFileComp)))
}

func (s *shell) logDumpCommand() *cobra.Command {
	var o logfile.DumpOptions
	var encoding string
	c := &cobra.Command{
		Use: "dump PATH…", Short: "Show what files of a log directory have: segments, indexes, snapshots, checkpoints, manifest, inventory, journal",
		Long: `PATH is a file, or a directory whose files are all shown. Nothing is changed; a node may run. A place that makes no sense is shown where it is, with what was expected there, and
what is sound behind it follows; the exit code is 1 then. With -o json each line is one document, whose field "kind" says what it is.`,
		Example:           "  ottla log dump ottla-data/orders-0/00000000000000000000.log --records\n  ottla log dump ottla-data/__consumer_offsets-7 --records -o json",
		Args:              arguments(1, -1, "files or directories"),
		ValidArgsFunction: completeFiles,
		RunE: func(c *cobra.Command, paths []string) (err error) {
			if o.Encoding, err = logfile.ParseEncoding(encoding); err != nil {
				return usage("--encoding: %v", err)
			}
			w := s.entryWriter(c.Context())
			for _, path := range paths {
				if one := logfile.Dump(vfs.OS(), path, o, w.write); one != nil && (err == nil || errors.Is(err, logfile.ErrDamaged)) {
					err = one
				}
			}
			return w.end(err)
		},
	}
	c.Flags().BoolVar(&o.Records, "records", false, "show the records of each batch; those of the cluster's own topics decoded")
	c.Flags().BoolVar(&o.Raw, "raw", false, "leave the records of the cluster's own topics undecoded")
	c.Flags().Int64Var(&o.From, "from", 0, "only batches and records from this offset on")
	c.Flags().Int64Var(&o.To, "to", logfile.AllOffsets, "only batches and records before this offset")
	c.Flags().StringVar(&encoding, "encoding", string(logfile.Auto), encodingUsage)
	completeEncodings(c)
	return c
}

func (s *shell) logCatCommand() *cobra.Command {
	o := logfile.CatOptions{FromMs: math.MinInt64, ToMs: math.MaxInt64}
	var encoding string
	c := &cobra.Command{
		Use: "cat DIR", Short: "Show the records in a partition's directory",
		Long: `DIR is the directory of one partition, such as ottla-data/orders-0. Records below the log's start offset are left out, as a consumer would not get them. Records of transactions that
were aborted or are open are shown. Nothing is changed; a node may run.`,
		Example:           "  ottla log cat ottla-data/orders-0 --from 1000 --limit 10",
		Args:              arguments(1, 1, "one partition's directory"),
		ValidArgsFunction: completeDirectories,
		RunE: func(c *cobra.Command, paths []string) (err error) {
			if o.Encoding, err = logfile.ParseEncoding(encoding); err != nil {
				return usage("--encoding: %v", err)
			}
			if o.Limit < 0 {
				return usage("--limit %d: it is at least 0", o.Limit)
			}
			path, err := filepath.Abs(paths[0])
			if err != nil {
				return err
			}
			w := s.entryWriter(c.Context())
			return w.end(logfile.Cat(vfs.OS(), path, o, w.write))
		},
	}
	c.Flags().Int64Var(&o.From, "from", 0, "only records from this offset on")
	c.Flags().Int64Var(&o.To, "to", logfile.AllOffsets, "only records before this offset")
	c.Flags().Int64Var(&o.FromMs, "from-time", o.FromMs, "only records with this timestamp or a newer one, in milliseconds")
	c.Flags().Int64Var(&o.ToMs, "to-time", o.ToMs, "only records with an older timestamp, in milliseconds")
	c.Flags().Int64Var(&o.Limit, "limit", 0, "at most so many records; 0 for all")
	c.Flags().BoolVar(&o.WithMarker, "control", false, "also the records that are not for applications, such as transaction markers")
	c.Flags().BoolVar(&o.Raw, "raw", false, "leave the records of the cluster's own topics undecoded")
	c.Flags().StringVar(&encoding, "encoding", string(logfile.Auto), encodingUsage)
	completeEncodings(c)
	return c
}

func (s *shell) logVerifyCommand() *cobra.Command {
	var logs []string
	var running bool
	c := &cobra.Command{
		Use: "verify DIR", Short: "Check everything in a log directory: every batch, index, checkpoint and snapshot",
		Long: `DIR is one of log.dirs. Nothing is changed. When a node has the directory open, what lies above each log's recovery point is not judged, and a finding counts only if a second look
shows it too. Damage is what was acknowledged and is not as it was written: the exit code is 1. A torn end was never acknowledged, and indexes are made anew by themselves: the exit code is 0.`,
		Example:           "  ottla log verify ottla-data\n  ottla log verify ottla-data --log orders-0 -o json",
		Args:              arguments(1, 1, "one log directory"),
		ValidArgsFunction: completeDirectories,
		RunE: func(c *cobra.Command, paths []string) error {
			if !running {
				locked, err := vfs.Locked(filepath.Join(paths[0], dir.LockFile))
				if err != nil && !errors.Is(err, errors.ErrUnsupported) {
					return fmt.Errorf("%s: %w", paths[0], err)
				}
				running = locked
			}
			report, err := logfile.Verify(vfs.OS(), paths[0], running, logs...)
			if err != nil {
				return err
			}
			return s.showReport(report)
		},
	}
	c.Flags().StringSliceVar(&logs, "log", nil, "only these logs, such as orders-0")
	must(c.RegisterFlagCompletionFunc("log", completeLogs))
	c.Flags().BoolVar(&running, "running", false, "judge the directory as that of a running node; usually its lock tells")
	return c
}

func (s *shell) showReport(r *logfile.Report) error {
	t := newTable("SEVERITY", "FILE", "BYTE", "PROBLEM", "WHAT TO DO")
	for _, f := range r.Findings {
		t.add(string(f.Severity), f.Path, number(f.Position), f.Problem, f.Remedy)
	}
	state := "closed"
	if r.Running {
		state = "in use"
	}
	if err := s.show(r, t, fmt.Sprintf("%s (%s): %s, %s, %s, %d bytes: all sound.", r.Path, state, count(r.Logs, "log"), count(r.Segments, "segment"), count(r.Batches, "batch"), r.Bytes)); err != nil {
		return err
	}
	if x := r.Scrub; x != nil && x.CompletedMs > 0 {
		s.notef("ottla: the node's own check of the sealed segments last ended %s; it remembers %s", time.UnixMilli(x.CompletedMs).UTC().Format(time.RFC3339), count(len(x.Rot), "damaged range"))
	}
	if r.Damaged() {
		return errReported
	}
	return nil
}

func (s *shell) logRecoverCommand() *cobra.Command {
	return &cobra.Command{
		Use: "recover DIR…", Short: "Recover log directories after a crash, without starting the node",
		Long: `Does once what the node's next start would do with the directory: the journal is brought to the segments, ends that a crash tore are cut and kept aside as *.cut files, and the
directory is closed cleanly. After a power cut Apache Kafka may open an Ottla directory only when this, or a node, has opened it. A directory that needs nothing is left as it is, to the byte. A directory
that a node has open is refused.`,
		Args:              arguments(1, -1, "log directories"),
		ValidArgsFunction: completeDirectories,
		RunE: func(_ *cobra.Command, paths []string) error {
			logger := slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelWarn}))
			done := []*logfile.Recovery{}
			t := newTable("DIRECTORY", "NEEDED", "LOGS", "DAMAGED")
			for _, path := range paths {
				r, err := logfile.Recover(vfs.OS(), path, logger)
				if err != nil {
					return err
				}
				done = append(done, r)
				t.add(r.Path, fmt.Sprint(r.Needed), number(int64(r.Logs)), number(int64(len(r.Damaged))))
			}
			if err := s.show(done, t, ""); err != nil {
				return err
			}
			for _, r := range done {
				for _, name := range r.Damaged {
					s.notef("ottla: %s is damaged and was left as it is: `ottla log verify %s --log %s` shows where", filepath.Join(r.Path, name), r.Path, name)
				}
				if len(r.Damaged) > 0 {
					return errReported
				}
			}
			return nil
		},
	}
}

func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func completeDirectories(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}
