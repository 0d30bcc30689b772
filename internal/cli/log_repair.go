package cli

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/logfile"
	"github.com/ottla/ottla/internal/storage/vfs"
)

func (s *shell) logRepairCommand() *cobra.Command {
	var cut, skip, yes bool
	c := &cobra.Command{
		Use: "repair PATH", Short: "Give up what has rotted in a log directory, so that the rest is sound again",
		Long: `PATH is one of log.dirs, or the directory of one partition in it. The node must be stopped. Without --yes nothing is changed: what would be done is shown.

The directory is recovered, then every batch is looked at. For what is damaged and was acknowledged there is no way back without a replica or a backup; there are two to go on. With
--skip-rot an empty batch takes the place of each damaged range: its offsets stay, its records are gone, everything behind it stays. With --cut-rot the log ends where the first damage
begins. The damaged bytes are kept beside the segment in a *.cut file. Damaged checkpoints are made anew from the manifest.`,
		Example:           "  ottla log repair ottla-data\n  ottla log repair ottla-data/orders-0 --skip-rot --yes",
		Args:              arguments(1, 1, "a log directory, or a partition's directory in one"),
		ValidArgsFunction: completeDirectories,
		RunE: func(_ *cobra.Command, paths []string) error {
			o := logfile.RepairOptions{Apply: yes, Logger: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))}
			switch {
			case cut && skip:
				return usage("--cut-rot and --skip-rot exclude each other")
			case cut:
				o.Way = logfile.CutRot
			case skip:
				o.Way = logfile.SkipRot
			}
			path, err := filepath.Abs(paths[0])
			if err != nil {
				return err
			}
			if name := filepath.Base(path); isPartition(path) {
				o.Logs, path = []string{name}, filepath.Dir(path)
			}
			return s.repair(path, o)
		},
	}
	c.Flags().BoolVar(&cut, "cut-rot", false, "end each damaged log where its damage begins; everything behind it is given up too")
	c.Flags().BoolVar(&skip, "skip-rot", false, "put an empty batch in the place of each damaged range; everything behind it stays")
	c.Flags().BoolVar(&yes, "yes", false, "do it")
	return c
}

// isPartition tells a partition's directory from a log directory.
func isPartition(path string) bool {
	if _, _, ok := dir.SplitName(filepath.Base(path)); !ok {
		return false
	}
	_, err := vfs.OS().Stat(filepath.Join(path, dir.MetaFile))
	return err != nil
}

func (s *shell) repair(path string, o logfile.RepairOptions) error {
	done, err := logfile.Repair(vfs.OS(), path, o)
	if done == nil {
		return err
	}
	t := newTable("FILE", "BYTE", "OFFSETS", "PROBLEM", "WHAT IS DONE", "OFFSETS LOST", "KEPT IN")
	if done.Recover {
		t.add(path, "", "", "not closed cleanly", "recover it", "", "")
	}
	for _, name := range done.Checkpoints {
		t.add(name, "", "", "damaged", "make it anew", "", "")
	}
	for _, r := range done.Ranges {
		what, lost := "nothing: say --skip-rot or --cut-rot", ""
		switch r.Way {
		case logfile.SkipRot:
			what, lost = "put an empty batch there", number(r.Lost)
		case logfile.CutRot:
			what, lost = "end the log there", number(r.Lost)
		}
		t.add(r.File, fmt.Sprintf("%d, %d bytes", r.Position, r.Until-r.Position), fmt.Sprintf("%d to %d", r.From, r.To-1), r.Reason, what, lost, kept(r.Kept))
	}
	if shown := s.show(done, t, path+" needs nothing."); shown != nil {
		return shown
	}
	switch {
	case errors.Is(err, logfile.ErrUndecided):
		s.notef("ottla: %v; nothing was given up", err)
		return errReported
	case err != nil:
		return err
	case !o.Apply && len(t.rows) > 0:
		s.notef("ottla: nothing was changed; --yes does it")
	}
	return nil
}

// kept is the name of a file, without its directory.
func kept(path string) string {
	if path == "" {
		return ""
	}
	return filepath.Base(path)
}
