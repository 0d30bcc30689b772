package plog

import (
	"errors"
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
)

// What recovery does with damage below the recovery point: it is never cut. Where the log is sound again behind it, the range is marked and the log is as good as any other.

// verify checks a segment from a position on, past what has rotted below the recovery point. It returns how far the bytes are good, and why they are not further.
func (r *recovery) verify(v *verifier, i int, at int64) (good int64, bad string, err error) {
	size := r.files.sizes[fileName(v.segment.base, logSuffix)]
	for {
		good, bad, err = v.run(at, size)
		if err != nil || bad == "" {
			return good, bad, err
		}
		over, ok, err := r.passOver(v, i, good, size, bad)
		if err != nil || !ok {
			return good, bad, err
		}
		at = over
	}
}

// passOver marks damage at a position of segment i and returns where the file is sound again. ok is false when it lies above the recovery point, where the log is cut, and
// when nothing below that is sound behind it.
func (r *recovery) passOver(v *verifier, i int, at, size int64, reason string) (next int64, ok bool, err error) {
	l := r.log
	if v.expect >= r.point || l.dir.Mutants()&dir.CutRot != 0 {
		return 0, false, nil
	}
	end, last := r.point, true
	if i+1 < len(r.list) && r.list[i+1].base <= r.point {
		end, last = r.list[i+1].base, false
	}
	f, err := l.dir.FS().OpenRead(l.fileName(v.segment.base, logSuffix))
	if err != nil {
		return 0, false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	s := &surveyor{file: f, size: size, gaps: l.mayHaveGaps(), buf: make([]byte, surveyWindow)}
	next, base, found, err := s.resume(at, v.expect, end)
	if err != nil || !found && last {
		return 0, false, err
	}
	r.mark(v.segment, RotRange{at, next, v.expect, base, reason, v.epoch})
	v.expect = base
	return next, true, nil
}

// missing marks a gap between segments below the recovery point.
func (r *recovery) missing(end mark, base int64) bool {
	if base <= end.offset || base > r.point || r.log.dir.Mutants()&dir.CutRot != 0 {
		return false
	}
	i := r.list.find(end.base)
	if i < 0 || r.list[i].base != end.base {
		return false
	}
	r.mark(r.list[i], RotRange{end.at, end.at, end.offset, base, "the segments behind are missing", 0})
	return true
}

func (r *recovery) mark(s *segment, x RotRange) {
	l := r.log
	l.mu.Lock()
	defer l.mu.Unlock()
	l.start.Store(r.start) // as settle will
	var ranges []RotRange
	for _, old := range l.mu.rot {
		if old.Segment == s.base {
			ranges = append(ranges, RotRange{old.Position, old.Until, old.From, old.To, old.Detail, 0})
		}
	}
	l.markLocked(s, append(ranges, x))
}

// openDamaged opens a log of whose synced part the end is not what was written, so that nobody knows where it would go on: readable as far as it is sound, closed to appends,
// and untouched.
func (r *recovery) openDamaged(rot *RotError) error {
	l := r.log
	l.found = r.found
	if len(r.list) == 0 {
		r.list = segmentList{newSegment(min(r.start, rot.From), time.Now().UnixMilli())}
	}
	for len(r.list) > 1 && r.list.active().base >= r.point {
		r.list = r.list[:len(r.list)-1]
	}
	for i, s := range r.list {
		if s.base == rot.Segment {
			rot.Until = max(s.size, rot.Position)
			s.size = min(s.size, rot.Position)
			rot.To = min(rot.To, r.list.endOf(i, r.point))
		}
	}
	end := mark{r.point, r.list.active().base, r.list.active().size, r.list.active().summary}
	if err := r.settle(end, end); err != nil {
		return err
	}
	l.mu.rot = append(l.mu.rot, rot)
	l.damagedAnywhere.Store(true)
	l.dir.Logger().Error("a log is damaged: nothing can be appended to it", "log", l.name, "directory", l.dir.Path(), "error", rot)
	err := failure(model.KafkaStorageError, "%v", rot)
	l.failure.Store(&err)
	return nil
}
