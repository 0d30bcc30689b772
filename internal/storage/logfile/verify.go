package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"

	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Severity says how bad a finding is.
type Severity string

// The severities. Damage is of what was acknowledged; a Torn end never was, and the next start cuts it; a Hint is made anew by itself.
const (
	SeverityDamage Severity = "damage"
	SeverityTorn   Severity = "torn"
	SeverityHint   Severity = "hint"
)

// Finding is one thing that Verify does not find as it should be.
type Finding struct {
	Severity Severity `json:"severity"`
	Log      string   `json:"log,omitempty"`
	Path     string   `json:"path"`
	Position int64    `json:"position"`
	Problem  string   `json:"problem"`
	Remedy   string   `json:"remedy"`
}

// Report is what Verify looked at and found.
type Report struct {
	Path     string    `json:"path"`
	Running  bool      `json:"running"` // it was judged as the directory of a running node
	Logs     int       `json:"logs"`
	Segments int       `json:"segments"`
	Batches  int64     `json:"batches"`
	Bytes    int64     `json:"bytes"`
	Findings []Finding `json:"findings"`
	// Scrub is what the node's own check in the background remembers, nil when it never ran.
	Scrub *dir.Scrub `json:"scrub,omitempty"`
}

// Damaged tells whether anything that was acknowledged is not as it was written.
func (r *Report) Damaged() bool {
	return slices.ContainsFunc(r.Findings, func(f Finding) bool { return f.Severity == SeverityDamage })
}

const (
	remedyRestore = "restore the file from a replica or a backup"
	remedyGiveUp  = "restore the file from a replica or a backup, or give up what is damaged with `ottla log repair`"
	remedyStart   = "nothing: the next start cuts it and keeps it aside; nothing of it was acknowledged"
	remedyHint    = "nothing: it is made anew when it is needed"
)

// Verify checks a log directory: its own files, and every log in it. With running, the files above each log's recovery point are not judged, and a finding counts only when
// a second look at the log shows it too. logs names those to look at; none means all.
func Verify(fsys vfs.FS, path string, running bool, logs ...string) (*Report, error) {
	view, err := dir.Look(fsys, path)
	if err != nil {
		return nil, err
	}
	r := &Report{Path: path, Running: running, Findings: []Finding{}}
	if s, err := dir.ReadScrub(fsys, path); err != nil {
		return nil, err
	} else if s.BeganMs > 0 {
		r.Scrub = &s
	}
	for _, name := range slices.Sorted(maps.Keys(view.Problems)) {
		f := Finding{SeverityDamage, "", filepath.Join(path, name), 0, view.Problems[name].Error(), remedyRestore}
		switch {
		case name == dir.ManifestFile, name == dir.ReplicationFile:
			f.Severity, f.Remedy = SeverityHint, "nothing: the next start reads the logs from their files"
		case name == dir.RecoveryFile && view.Manifest != nil:
			f.Severity, f.Remedy = SeverityHint, "nothing: the manifest has what it says, and the next start writes it anew"
		case name == dir.StartFile:
			f.Remedy = "restore the file from a backup, or have `ottla log repair` make it anew: records may return that were deleted since the last checkpoint"
		}
		r.Findings = append(r.Findings, f)
	}
	if logs, err = logsIn(fsys, path, logs); err != nil {
		return nil, err
	}
	for _, name := range logs {
		findings, err := r.log(fsys, path, name, view)
		if err != nil {
			return nil, err
		}
		r.Logs++
		r.Findings = append(r.Findings, findings...)
	}
	return r, nil
}

// logsIn returns the logs of a directory: those that were named, which must be there, or all.
func logsIn(fsys vfs.FS, path string, named []string) ([]string, error) {
	entries, err := fsys.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var there []string
	for _, e := range entries {
		if _, _, ok := dir.SplitName(e.Name); ok && e.IsDir {
			there = append(there, e.Name)
		}
	}
	for _, name := range named {
		if !slices.Contains(there, name) {
			return nil, fmt.Errorf("%s has no log %s: a log is named as its directory, TOPIC-PARTITION", path, name)
		}
	}
	if len(named) > 0 {
		return named, nil
	}
	return there, nil
}

// log verifies one log. Beside a running node what it finds must show twice.
func (r *Report) log(fsys vfs.FS, path, name string, view *dir.View) ([]Finding, error) {
	look := func(view *dir.View) (*logCheck, error) {
		c := &logCheck{fs: fsys, path: filepath.Join(path, name), name: name, view: view, running: r.Running}
		return c, c.run()
	}
	c, err := look(view)
	if err == nil && r.Running && len(c.findings) > 0 {
		first := c.findings
		if view, err = dir.Look(fsys, path); err == nil {
			c, err = look(view)
		}
		if err == nil {
			c.findings = slices.DeleteFunc(c.findings, func(f Finding) bool { return !slices.Contains(first, f) })
		}
	}
	if r.Running && errors.Is(err, fs.ErrNotExist) {
		return nil, nil // deleted meanwhile
	}
	if err != nil {
		return nil, err
	}
	r.Segments += c.segments
	r.Batches += c.batches
	r.Bytes += c.bytes
	return c.findings, nil
}

// logCheck is one look at one log.
type logCheck struct {
	fs       vfs.FS
	path     string
	name     string
	view     *dir.View
	running  bool
	findings []Finding
	segments int
	batches  int64
	bytes    int64

	point, start int64
	state        *plog.StoredState
}

func (c *logCheck) find(s Severity, file string, at int64, remedy, format string, a ...any) {
	c.findings = append(c.findings, Finding{s, c.name, filepath.Join(c.path, file), at, fmt.Sprintf(format, a...), remedy})
}

func (c *logCheck) run() error {
	entries, err := c.fs.ReadDir(c.path)
	if err != nil {
		return err
	}
	c.point, c.start = c.view.RecoveryPoint(c.name), max(0, c.view.StartOffset(c.name))
	if m := c.view.Manifest; m != nil && m.Entries[c.name] != nil {
		if c.state, err = plog.ParseState(m.Entries[c.name].State); err != nil && m.Entries[c.name].State != nil {
			c.find(SeverityHint, "../"+dir.ManifestFile, 0, remedyHint, "the log's state: %v", err)
		}
	}
	var bases []int64
	sizes := map[int64]int64{}
	for _, e := range entries {
		base, suffix, ok := plog.ParseFileName(e.Name)
		if ok && suffix == plog.LogSuffix {
			bases, sizes[base] = append(bases, base), e.Size
		} else if !ok && filepath.Ext(e.Name) == plog.LogSuffix {
			c.find(SeverityDamage, e.Name, 0, "move the file away if it is not a segment, or give it the name of its first offset", "a segment's name is 20 digits")
		}
	}
	slices.Sort(bases)
	if c.state != nil {
		for i, s := range c.state.Segments {
			if i+1 < len(c.state.Segments) && !slices.Contains(bases, s.Base) && c.state.Segments[i+1].Base > c.start {
				c.find(SeverityDamage, plog.FileName(s.Base, plog.LogSuffix), 0, remedyGiveUp, "the segment is missing")
			}
		}
	}
	if len(bases) > 0 && bases[0] > c.start && bases[0] > 0 && c.point > c.start {
		c.find(SeverityDamage, plog.FileName(bases[0], plog.LogSuffix), 0, remedyGiveUp, "the log begins at offset %d, and this is its first segment", c.start)
	}
	if len(bases) == 0 && c.point > c.start {
		c.find(SeverityDamage, "", 0, remedyGiveUp, "the log was synced up to offset %d and has no segments", c.point)
	}
	expect, epoch := int64(-1), int32(-1)
	for i, base := range bases {
		if expect, epoch, err = c.segment(base, i == len(bases)-1, expect, epoch); err != nil {
			return err
		}
	}
	if expect >= 0 && expect < c.point && !slices.ContainsFunc(c.findings, func(f Finding) bool { return f.Severity == SeverityDamage }) {
		c.find(SeverityDamage, plog.FileName(bases[len(bases)-1], plog.LogSuffix), sizes[bases[len(bases)-1]], remedyGiveUp, "the log ends at offset %d and was synced up to %d", expect, c.point)
	}
	if err := c.checkpoints(entries); err != nil {
		return err
	}
	return c.small(entries)
}

// segment checks the batches of a segment and its indexes. It returns the offset that must follow.
func (c *logCheck) segment(base int64, last bool, expect int64, epoch int32) (int64, int32, error) {
	name := plog.FileName(base, plog.LogSuffix)
	f, err := c.fs.OpenRead(filepath.Join(c.path, name))
	if err != nil {
		return expect, epoch, err
	}
	size, err := f.Size()
	if err != nil {
		return expect, epoch, errors.Join(err, f.Close())
	}
	c.segments++
	if expect >= 0 && base < expect {
		c.find(c.severity(base), name, 0, c.remedy(base), "the segment begins at offset %d and the one before it ends at %d", base, expect)
	}
	if s := c.stored(base); s != nil && !last && size != s.Size && c.state.Segments[len(c.state.Segments)-1].Base != base {
		c.find(SeverityDamage, name, min(size, s.Size), remedyGiveUp, "the segment has %d bytes, the manifest says %d", size, s.Size)
	}
	index := c.index(base)
	s := newScanner(f, 0, size)
	first := true
	for {
		ok, err := s.step()
		if err != nil {
			return expect, epoch, errors.Join(err, f.Close())
		}
		if !ok {
			break
		}
		c.batches++
		b := s.head
		switch {
		case first && b.BaseOffset() < base, !first && b.BaseOffset() < expect:
			c.find(c.severity(b.BaseOffset()), name, s.at, c.remedy(b.BaseOffset()), "a batch begins at offset %d where %d was expected", b.BaseOffset(), max(expect, base))
		case b.PartitionLeaderEpoch() < epoch:
			c.find(c.severity(b.BaseOffset()), name, s.at, c.remedy(b.BaseOffset()), "a batch has leader epoch %d after %d", b.PartitionLeaderEpoch(), epoch)
		}
		first, expect, epoch = false, b.NextOffset(), b.PartitionLeaderEpoch()
		index.pass(s.at, b.LastOffset())
	}
	if first {
		expect = max(expect, base)
	}
	c.bytes += s.next
	if s.damage != nil {
		at := max(expect, base)
		if !c.running || at < c.point {
			remedy := c.remedy(at)
			c.find(c.severity(at), name, s.damage.Position, remedy, "where offset %d was expected: %s", at, s.damage.Reason)
		}
	} else {
		index.end()
	}
	return expect, epoch, f.Close()
}

func (c *logCheck) severity(offset int64) Severity {
	if offset < c.point {
		return SeverityDamage
	}
	return SeverityTorn
}

func (c *logCheck) remedy(offset int64) string {
	if offset < c.point {
		return remedyGiveUp
	}
	return remedyStart
}

func (c *logCheck) stored(base int64) *plog.StoredSegment {
	if c.state == nil {
		return nil
	}
	for i := range c.state.Segments {
		if c.state.Segments[i].Base == base {
			return &c.state.Segments[i]
		}
	}
	return nil
}

// index reads a segment's offset index, whose entries must point at batches.
func (c *logCheck) index(base int64) *indexCheck {
	x := &indexCheck{log: c, name: plog.FileName(base, plog.IndexSuffix), base: base}
	data, err := vfs.ReadSmall(c.fs, filepath.Join(c.path, x.name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		c.find(SeverityHint, x.name, 0, remedyHint, "%v", err)
	}
	x.rest = data
	return x
}

// indexCheck is an offset index beside a walk over its segment; both go up by position.
type indexCheck struct {
	log  *logCheck
	name string
	base int64
	rest []byte
	at   int64
	bad  bool
}

// pass takes the next batch of the walk.
func (x *indexCheck) pass(position, lastOffset int64) {
	for {
		e, ok := x.entry()
		if !ok || e.Position > position {
			return
		}
		if e.Position < position || e.Offset != lastOffset {
			x.wrong(e)
			return
		}
		x.rest, x.at = x.rest[plog.IndexEntrySize:], x.at+plog.IndexEntrySize
	}
}

// entry is the first entry that no batch was found for. Kafka preallocates its indexes: zeros behind the first entry are room.
func (x *indexCheck) entry() (plog.IndexEntry, bool) {
	if x.bad || len(x.rest) < plog.IndexEntrySize {
		return plog.IndexEntry{}, false
	}
	e := plog.ParseIndexEntry(x.rest, x.base)
	return e, e.Position != 0 || e.Offset != x.base
}

// end refuses entries behind the last batch.
func (x *indexCheck) end() {
	if e, ok := x.entry(); ok {
		x.wrong(e)
	}
}

// wrong reports the first bad entry. Beside a running node those for batches that came since are passed over.
func (x *indexCheck) wrong(e plog.IndexEntry) {
	x.bad = true
	if x.log.running && e.Offset >= x.log.point {
		return
	}
	x.log.find(SeverityHint, x.name, x.at, remedyHint, "an entry says that a batch ending at offset %d is at byte %d, and none is", e.Offset, e.Position)
}

// small checks the files beside the segments.
func (c *logCheck) small(entries []vfs.DirEntry) error {
	identity := false
	for _, e := range entries {
		kind := kindOf(e.Name)
		if kind != plog.EpochFile && kind != plog.IdentityFile && kind != plog.SnapshotSuffix {
			continue
		}
		data, err := vfs.ReadSmall(c.fs, filepath.Join(c.path, e.Name))
		if err != nil {
			return err
		}
		_, err = smallEntries(e.Name, kind, data)
		identity = identity || kind == plog.IdentityFile
		switch {
		case err == nil:
		case kind == plog.IdentityFile && errors.Is(err, plog.ErrNeverComplete) && c.point <= 0:
			c.find(SeverityTorn, e.Name, 0, "nothing: the next start discards the log; nothing of it was acknowledged", "%v", err)
		case kind == plog.IdentityFile:
			c.find(SeverityDamage, e.Name, 0, remedyRestore, "%v", err)
		default:
			c.find(SeverityHint, e.Name, 0, remedyHint, "%v", err)
		}
	}
	if !identity && c.point > 0 {
		c.find(SeverityDamage, plog.IdentityFile, 0, remedyRestore, "the file is missing, and the log was synced up to offset %d", c.point)
	}
	return nil
}
