package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Way is what Repair does with a damaged range.
type Way string

// The ways to give up what cannot be restored. With none, Repair gives up nothing.
const (
	NoWay   Way = ""
	CutRot  Way = "cut"  // the log ends where the damage begins: everything behind it goes too
	SkipRot Way = "skip" // an empty batch takes the place of the damage: everything behind it stays
)

// RepairOptions say what to repair, and how.
type RepairOptions struct {
	Way   Way
	Apply bool     // else nothing is changed
	Logs  []string // none means all
	// Logger is told what recovery does.
	Logger *slog.Logger
}

// Repaired is what Repair would do, or did.
type Repaired struct {
	Path        string        `json:"path"`
	Applied     bool          `json:"applied"`
	Recover     bool          `json:"recover"`     // the directory was not closed cleanly, and is recovered first
	Checkpoints []string      `json:"checkpoints"` // damaged files that are made anew
	Ranges      []RepairRange `json:"ranges"`
}

// RepairRange is a damaged range and what becomes of it.
type RepairRange struct {
	Log      string `json:"log"`
	File     string `json:"file"`
	Position int64  `json:"position"`
	Until    int64  `json:"until"`
	From     int64  `json:"first_offset"`
	To       int64  `json:"next_offset"`
	Reason   string `json:"reason"`
	// Way is empty while nobody decided. Lost is how many offsets are given up by it.
	Way  Way    `json:"way,omitempty"`
	Lost int64  `json:"lost_offsets"`
	Kept string `json:"kept,omitempty"` // the file with the damaged bytes

	base  int64
	epoch int32
}

// ErrUndecided says that there is damage and no way was given.
var ErrUndecided = errors.New("there is damage, and nothing says what to do with it: --skip-rot keeps what is behind it, --cut-rot cuts the log there")

// Repair brings a directory that no node has open to where nothing in it is damaged: it recovers it, looks at every batch, and gives up what cannot be read, in the way
// that the options name. The damaged bytes are kept aside first. A directory without damage is only recovered; one that needs nothing is left as it is.
func Repair(fsys vfs.FS, path string, o RepairOptions) (*Repaired, error) {
	lock, err := lockForRepair(fsys, path)
	if err != nil {
		return nil, err
	}
	out, err := planRepair(fsys, path, o)
	err = errors.Join(err, lock.Close())
	if err != nil || !o.Apply {
		return out, err
	}
	if len(out.Checkpoints) > 0 {
		if err := operate(fsys, path, nil); err != nil {
			return out, err
		}
		out.Recover = true
	}
	if out.Recover {
		if _, err := Recover(fsys, path, o.Logger); err != nil {
			return out, err
		}
		after, err := planRepair(fsys, path, o)
		if err != nil {
			return out, err
		}
		out.Ranges = after.Ranges
	}
	if len(out.Ranges) == 0 {
		out.Applied = out.Recover
		return out, nil
	}
	if o.Way == NoWay {
		return out, ErrUndecided
	}
	if err := out.apply(fsys); err != nil {
		return out, err
	}
	if _, err := Recover(fsys, path, o.Logger); err != nil {
		return out, fmt.Errorf("the damage is given up, and the directory still has to be recovered: %w", err)
	}
	out.Applied = true
	return out, nil
}

func lockForRepair(fsys vfs.FS, path string) (interface{ Close() error }, error) {
	view, err := dir.Look(fsys, path)
	if err != nil {
		return nil, err
	}
	if !view.Ours {
		return nil, fmt.Errorf("%s is a directory of Apache Kafka (it has no %s), which cuts its logs at damage by itself: start an Ottla node on it once, and stop it", path, dir.FormatFile)
	}
	lock, err := fsys.Lock(filepath.Join(path, dir.LockFile))
	if errors.Is(err, vfs.ErrLocked) {
		return nil, fmt.Errorf("a node has %s open (%w): stop it first", path, err)
	}
	return lock, err
}

// operate makes the directory one that is read from its files; see dir.Surgery.
func operate(fsys vfs.FS, path string, lowered map[string]int64) error {
	lock, err := lockForRepair(fsys, path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Surgery(fsys, path, lowered), lock.Close())
}

// planRepair looks at everything and changes nothing.
func planRepair(fsys vfs.FS, path string, o RepairOptions) (*Repaired, error) {
	view, err := dir.Look(fsys, path)
	if err != nil {
		return nil, err
	}
	out := &Repaired{Path: path, Recover: !view.Clean || view.Journal, Checkpoints: []string{}, Ranges: []RepairRange{}}
	for _, name := range slices.Sorted(maps.Keys(view.Problems)) {
		switch name {
		case dir.StartFile, dir.RecoveryFile, dir.ReplicationFile:
			out.Checkpoints = append(out.Checkpoints, filepath.Join(path, name))
		case dir.ManifestFile: // the next start does without
			out.Recover = true
		default:
			return nil, fmt.Errorf("%s: %w", filepath.Join(path, name), view.Problems[name])
		}
	}
	compacted, err := compactedTopics(fsys, path)
	if err != nil {
		return nil, err
	}
	logs, err := logsIn(fsys, path, o.Logs)
	if err != nil {
		return nil, err
	}
	for _, name := range logs {
		topic, _, _ := dir.SplitName(name)
		p := &repairPlan{fs: fsys, path: path, log: name, point: view.RecoveryPoint(name), start: max(0, view.StartOffset(name)), gaps: compacted(topic), sizes: map[int64]int64{}}
		if view.Manifest != nil && view.Manifest.Entries[name] != nil {
			if st, err := plog.ParseState(view.Manifest.Entries[name].State); err == nil {
				for _, x := range st.Segments {
					p.sizes[x.Base] = x.Size
				}
			}
		}
		if err := p.look(); err != nil {
			return nil, err
		}
		if len(p.ranges) > 0 && topic == model.MetadataTopic && o.Way != NoWay {
			return nil, fmt.Errorf("%s is damaged at byte %d of %s: the cluster's metadata cannot do without a part of itself; restore the log from a backup or another controller", filepath.Join(path, name), p.ranges[0].Position, p.ranges[0].File)
		}
		out.Ranges = append(out.Ranges, p.decide(o.Way)...)
	}
	return out, nil
}

// repairPlan is the look at one log.
type repairPlan struct {
	fs           vfs.FS
	path, log    string
	point, start int64
	gaps         bool
	sizes        map[int64]int64 // of the segments that the manifest knows
	ranges       []RepairRange
}

func (p *repairPlan) file(base int64) string {
	return filepath.Join(p.path, p.log, plog.FileName(base, plog.LogSuffix))
}

func (p *repairPlan) add(base int64, epoch int32, r plog.RotRange) {
	p.ranges = append(p.ranges, RepairRange{Log: p.log, File: p.file(base), Position: r.Position, Until: r.Until, From: r.From, To: r.To, Reason: r.Detail, base: base, epoch: epoch})
}

// look surveys every segment below the recovery point.
func (p *repairPlan) look() error {
	entries, err := p.fs.ReadDir(filepath.Join(p.path, p.log))
	if err != nil {
		return err
	}
	var bases []int64
	for _, e := range entries {
		if base, suffix, ok := plog.ParseFileName(e.Name); ok && suffix == plog.LogSuffix && !e.IsDir {
			bases = append(bases, base)
		}
	}
	there := slices.Clone(bases)
	for base := range p.sizes {
		if !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	slices.Sort(bases)
	for len(bases) > 1 && bases[1] <= p.start {
		bases = bases[1:] // deleted, and not gone yet
	}
	bases = slices.DeleteFunc(bases, func(base int64) bool { return base >= p.point })
	if p.point <= p.start {
		return nil
	}
	if len(bases) == 0 || bases[0] > p.start {
		to := p.point
		if len(bases) > 0 {
			to = bases[0]
		}
		p.add(p.start, 0, plog.RotRange{From: p.start, To: to, Detail: "the segment is missing"})
	}
	epoch := int32(0)
	for i, base := range bases {
		end, open := p.point, true
		if i+1 < len(bases) {
			end, open = bases[i+1], false
		}
		if !slices.Contains(there, base) {
			p.add(base, epoch, plog.RotRange{From: base, To: end, Detail: "the segment is missing"})
			continue
		}
		if epoch, err = p.segment(base, end, open, epoch); err != nil {
			return err
		}
	}
	return nil
}

func (p *repairPlan) segment(base, end int64, open bool, epoch int32) (_ int32, err error) {
	f, err := p.fs.OpenRead(p.file(base))
	if err != nil {
		return epoch, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return epoch, err
	}
	found, err := plog.Survey(f, size, plog.SurveyOptions{Base: base, End: end, Open: open, Gaps: p.gaps, Size: p.sizes[base], Epoch: epoch})
	if err != nil {
		return epoch, err
	}
	for _, r := range found.Rot {
		p.add(base, r.Epoch, r)
	}
	return found.Epoch, nil
}

// decide says what becomes of each range. Cut, a log has one decision only: where it ends.
func (p *repairPlan) decide(way Way) []RepairRange {
	for i := range p.ranges {
		r := &p.ranges[i]
		if r.Way = way; way == NoWay {
			continue
		}
		if r.Lost = max(0, r.To-max(r.From, p.start)); way == SkipRot || r.Lost == 0 {
			r.Way = SkipRot // nothing that could be read goes with it
			continue
		}
		r.Lost = p.point - max(r.From, p.start)
		p.ranges = p.ranges[:i+1]
		break
	}
	return p.ranges
}

// apply gives up the ranges. The order makes every moment of it one that can be repeated: what is damaged is copied aside, segments behind a cut go from the last one on, then
// the directory ceases to be a clean one, and only then are files changed.
func (r *Repaired) apply(fsys vfs.FS) error {
	lowered := map[string]int64{}
	segments := map[string][]*RepairRange{}
	for i := range r.Ranges {
		x := &r.Ranges[i]
		if err := keepAside(fsys, x); err != nil {
			return fmt.Errorf("keep the damaged bytes of %s: %w", x.File, err)
		}
		if x.Way == SkipRot {
			segments[x.File] = append(segments[x.File], x)
			continue
		}
		lowered[x.Log] = x.From
		if err := setSegmentsAside(fsys, x); err != nil {
			return fmt.Errorf("set the segments behind %s aside: %w", x.File, err)
		}
	}
	if err := operate(fsys, r.Path, lowered); err != nil {
		return err
	}
	for _, x := range r.Ranges {
		if x.Way == CutRot {
			if err := cutThere(fsys, &x); err != nil {
				return fmt.Errorf("cut %s: %w", x.File, err)
			}
		}
	}
	for _, file := range slices.Sorted(maps.Keys(segments)) {
		if err := skipRanges(fsys, file, segments[file]); err != nil {
			return fmt.Errorf("write %s without the damage: %w", file, err)
		}
	}
	return nil
}

func notThere(err error) bool { return errors.Is(err, fs.ErrNotExist) }
