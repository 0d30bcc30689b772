package plog

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// RotError says that bytes which had been synced are not what was written: the range cannot be served. It is a model.CorruptMessage.
type RotError struct {
	Log             string
	Segment         int64 // base offset
	Position, Until int64 // in the segment's file
	From, To        int64 // offsets that cannot be served
	Detail          string
	marked          bool // the bounds are those of a survey
}

// Error implements error.
func (e *RotError) Error() string {
	return fmt.Sprintf("log %s is damaged at byte %d of segment %020d: %s; offsets %d to %d cannot be read: restore them from a replica or a backup, or give them up with `ottla log repair`",
		e.Log, e.Position, e.Segment, e.Detail, e.From, e.To-1)
}

// Unwrap makes errors.Is(err, model.CorruptMessage) work.
func (e *RotError) Unwrap() error { return model.CorruptMessage }

func asRot(err error) (*RotError, bool) { return errors.AsType[*RotError](err) }

// maxRot is how many damaged ranges of a log are remembered.
const maxRot = 1024

// resurveyAfter is how long a segment in which a survey found nothing is not surveyed again, whatever a reader claims.
const resurveyAfter = 10 * time.Second

// damaged tells bytes that are not there or make no sense from a disk that cannot be read.
func (l *Log) damaged(s *segment, at, offset int64, err error) error {
	if _, ok := errors.AsType[*DiskError](err); ok {
		return err
	}
	return l.rotten(s, at, offset, err.Error())
}

// rotten is called with bytes that are not what was written. A survey of the whole segment finds out which ranges are; they are marked and reported once. It returns the mark
// that holds the position; where there is none, the segment is sound by now, and only this read fails.
func (l *Log) rotten(s *segment, at, offset int64, detail string) error {
	if err := l.dir.Err(); err != nil { // what was only in memory is gone with it
		return err
	}
	l.examining.Lock() // one survey for all readers that come by
	defer l.examining.Unlock()
	if e := l.markAt(s, at); e != nil {
		return e
	}
	e := &RotError{Log: l.name, Segment: s.base, Position: at, Until: at, From: offset, To: offset + 1, Detail: detail}
	if _, err := l.examine(s, nil); err != nil {
		return e // gone meanwhile, or unreadable: whoever reads next finds out
	}
	if e := l.markAt(s, at); e != nil {
		return e
	}
	return e
}

// markAt returns the mark that holds a position of a segment.
func (l *Log) markAt(s *segment, at int64) *RotError {
	if !l.damagedAnywhere.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.mu.rot {
		if x.Segment == s.base && x.Position <= at && (at < x.Until || x.Position == x.Until) {
			return x
		}
	}
	return nil
}

var errNotSurveyed = errors.New("the segment has changed since")

// examine surveys what is written of a segment and replaces its marks by what that finds. through opens the file, at the leisure of who gives it; nil for the log's own handle.
func (l *Log) examine(s *segment, through func(name string) (vfs.File, error)) (found Surveyed, err error) {
	l.mu.Lock()
	generation := l.mu.generation
	size, o, ok := l.surveyableLocked(s)
	if through == nil && l.mu.sound.segment == s && time.Since(l.mu.sound.at) < resurveyAfter {
		ok = false
	}
	l.mu.Unlock()
	if !ok || !s.acquire() {
		return Surveyed{}, errNotSurveyed
	}
	defer l.release(s)
	if found, err = l.survey(s, size, o, through); err != nil {
		return found, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	list := *l.segments.Load()
	if i := list.find(s.base); generation != l.mu.generation || i < 0 || list[i] != s {
		return found, errNotSurveyed
	}
	if len(found.Rot) == 0 {
		l.mu.sound.segment, l.mu.sound.at = s, time.Now()
	}
	l.markLocked(s, found.Rot)
	return found, nil
}

// surveyableLocked tells how many bytes of a segment are in its file, and between which offsets; false when it has left the log, or nothing of it is written.
func (l *Log) surveyableLocked(s *segment) (size int64, o SurveyOptions, ok bool) {
	list := *l.segments.Load()
	i := list.find(s.base)
	if i < 0 || list[i] != s {
		return 0, o, false
	}
	size, o = s.size, SurveyOptions{Base: s.base, End: list.endOf(i, l.end.Load()), Gaps: l.mayHaveGaps()}
	if m := &l.mu.writtenMark; l.opened.Load() {
		if s.base > m.base {
			return 0, o, false
		}
		if s.base == m.base {
			size, o.End = m.at, m.offset
		}
	}
	return size, o, size > 0
}

func (l *Log) survey(s *segment, size int64, o SurveyOptions, through func(name string) (vfs.File, error)) (found Surveyed, err error) {
	var f vfs.File
	if through != nil {
		name := l.fileName(s.base, logSuffix)
		if l.placeOf(s) != placeFinal {
			return found, errNotSurveyed // it is being put in place
		}
		if f, err = through(name); err != nil {
			return found, err
		}
		defer func() { err = errors.Join(err, f.Close()) }()
		if l.placeOf(s) != placeFinal {
			return found, errNotSurveyed
		}
	} else {
		f, err = l.openSegment(s)
		if err != nil {
			return found, err
		}
		defer func() { err = errors.Join(err, l.dir.Handles().Release(&s.log)) }()
	}
	have, err := f.Size()
	if err != nil {
		return found, err
	}
	o.Size = size
	return Survey(f, min(size, have), o)
}

// markLocked replaces a segment's marks. What is new is reported.
func (l *Log) markLocked(s *segment, ranges []RotRange) {
	var marks []*RotError
	for _, r := range ranges {
		e := &RotError{Log: l.name, Segment: s.base, Position: r.Position, Until: r.Until, From: r.From, To: r.To, Detail: r.Detail, marked: true}
		if !slices.ContainsFunc(l.mu.rot, func(x *RotError) bool { return *x == *e }) && e.To > l.start.Load() {
			l.dir.Logger().Error("a log is damaged: the offsets cannot be read", "log", l.name, "file", l.fileName(s.base, logSuffix), "position", e.Position, "until", e.Until,
				"first_offset", e.From, "last_offset", e.To-1, "reason", e.Detail, "remedy", "restore them from a replica or a backup, or give them up with `ottla log repair`")
		}
		marks = append(marks, e)
	}
	l.mu.rot = slices.DeleteFunc(l.mu.rot, func(x *RotError) bool { return x.Segment == s.base })
	l.mu.rot = append(l.mu.rot, marks[:min(len(marks), max(0, maxRot-len(l.mu.rot)))]...)
	l.damagedAnywhere.Store(len(l.mu.rot) > 0)
}

// Rot lists the damaged ranges that are known, as far as they are not deleted.
func (l *Log) Rot() []*RotError {
	if !l.damagedAnywhere.Load() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	start := l.start.Load()
	var out []*RotError
	for _, x := range l.mu.rot {
		if x.To <= start {
			continue
		}
		if x.From < start {
			y := *x
			y.From = start
			x = &y
		}
		out = append(out, x)
	}
	return out
}

// cutRotLocked forgets damage that was cut off.
func (l *Log) cutRotLocked(to int64) {
	if !l.damagedAnywhere.Load() {
		return
	}
	kept := l.mu.rot[:0:0]
	for _, x := range l.mu.rot {
		if x.From >= to {
			continue
		}
		if x.To > to {
			y := *x
			y.To = to
			x = &y
		}
		kept = append(kept, x)
	}
	l.mu.rot = kept
	l.damagedAnywhere.Store(len(kept) > 0)
}

// sound returns the error of the damage that holds an offset, and the first offset at or after it, up to upTo, at which damage begins.
func (l *Log) sound(from, upTo int64) (int64, error) {
	if !l.damagedAnywhere.Load() {
		return upTo, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.mu.rot {
		if x.From <= from && from < x.To {
			return from, x
		}
		if x.From > from {
			upTo = min(upTo, x.From)
		}
	}
	return upTo, nil
}

// soundRange cuts a range of a segment's bytes short at the first damage in it; end is the offset after it.
func (l *Log) soundRange(s *segment, at, limit, end int64) (int64, int64) {
	if !l.damagedAnywhere.Load() {
		return limit, end
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, x := range l.mu.rot {
		if x.Segment == s.base && x.Position >= at && (x.Position < limit || x.Position == limit && x.From < end) {
			limit, end = x.Position, x.From
		}
	}
	return limit, end
}

// SurveySegment surveys the first sealed segment whose base offset is above after, through a file that open opens, and marks what has rotted. It returns the segment's base
// offset; ok is false when there is none. A segment that is deleted, or replaced by compaction, meanwhile is passed over.
func (l *Log) SurveySegment(after int64, open func(name string) (vfs.File, error)) (base int64, found Surveyed, ok bool, err error) {
	list := *l.segments.Load()
	i := list.find(after) + 1
	if i >= len(list)-1 {
		return 0, Surveyed{}, false, nil
	}
	found, err = l.examine(list[i], open)
	if errors.Is(err, errNotSurveyed) || errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return list[i].base, found, true, err
}
