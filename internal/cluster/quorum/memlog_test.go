package quorum

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// memLog is a log in memory whose syncs happen when the test says so, or at once.
type memLog struct {
	mu       sync.Mutex
	start    int64
	begun    int64 // the offset of the first batch ever, or since the log was emptied
	batches  []batch.Batch
	synced   int // how many of them are on disk
	manual   bool
	err      error
	progress func()
	cuts     int
	emptied  int
	forgot   int
	undo     func() // takes back what was emptied or forgotten and is not on disk yet
	closed   bool
	appended chan struct{} // gets a value after every append, when not nil
}

func (l *memLog) StartOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.start
}

func (l *memLog) EndOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endLocked(len(l.batches))
}

func (l *memLog) endLocked(n int) int64 {
	if n == 0 {
		return l.begun
	}
	return l.batches[n-1].NextOffset()
}

func (l *memLog) SyncedOffset() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endLocked(l.synced)
}

func (l *memLog) Append(_ context.Context, b batch.Batch) error {
	l.mu.Lock()
	if l.err != nil || l.closed {
		defer l.mu.Unlock()
		return errors.Join(l.err, errors.New("the log takes nothing"))
	}
	if end := l.endLocked(len(l.batches)); b.BaseOffset() != end {
		defer l.mu.Unlock()
		return fmt.Errorf("batch at %d, the log ends at %d", b.BaseOffset(), end)
	}
	l.batches = append(l.batches, append(batch.Batch(nil), b...))
	manual, appended := l.manual, l.appended
	l.mu.Unlock()
	if !manual {
		l.sync()
	}
	if appended != nil {
		appended <- struct{}{}
	}
	return nil
}

// sync puts everything on disk.
func (l *memLog) sync() {
	l.mu.Lock()
	l.synced, l.undo = len(l.batches), nil
	f := l.progress
	l.mu.Unlock()
	if f != nil {
		f()
	}
}

func (l *memLog) fail(err error) {
	l.mu.Lock()
	l.err = err
	f := l.progress
	l.mu.Unlock()
	f()
}

func (l *memLog) TruncateTo(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	for n := len(l.batches); n > 0 && l.batches[n-1].BaseOffset() >= offset; n-- {
		l.batches = l.batches[:n-1]
		l.cuts++
	}
	l.synced = min(l.synced, len(l.batches))
	return nil
}

func (l *memLog) ForgetBefore(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if offset <= l.start {
		return nil
	}
	if l.undo == nil {
		all, start, begun, synced := l.batches[:l.synced], l.start, l.begun, l.synced
		l.undo = func() { l.batches, l.start, l.begun, l.synced = all, start, begun, synced }
	}
	for len(l.batches) > 0 && l.batches[0].NextOffset() <= offset && l.synced > 0 {
		l.begun = l.batches[0].NextOffset()
		l.batches = l.batches[1:]
		l.synced--
		l.forgot++
	}
	l.start = offset
	return nil
}

func (l *memLog) BeginAt(offset int64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.undo == nil {
		all, start, begun, synced := l.batches[:l.synced], l.start, l.begun, l.synced
		l.undo = func() { l.batches, l.start, l.begun, l.synced = all, start, begun, synced }
	}
	l.batches, l.synced, l.start, l.begun = nil, 0, offset, offset
	l.emptied++
	return nil
}

func (l *memLog) Size() (n int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range l.batches {
		n += int64(len(b))
	}
	return n
}

func (l *memLog) Read(dst []byte, from int64, limit int) ([]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if from < l.start {
		return dst, fmt.Errorf("read from offset %d, the log begins at %d", from, l.start)
	}
	n := len(dst)
	for _, b := range l.batches {
		if b.NextOffset() <= from {
			continue
		}
		if len(dst) > n && len(dst)+len(b) > n+limit {
			break
		}
		dst = append(dst, b...)
	}
	return dst, nil
}

func (l *memLog) OnProgress(f func()) {
	l.mu.Lock()
	l.progress = f
	l.mu.Unlock()
}

func (l *memLog) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

func (l *memLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	return nil
}

// crash returns what a power cut leaves: everything synced, and perhaps some more.
func (l *memLog) crash(r *rand.Rand) *memLog {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.undo != nil && r.IntN(2) == 0 {
		l.undo()
	}
	keep := l.synced
	if more := len(l.batches) - l.synced; more > 0 {
		keep += r.IntN(more + 1)
	}
	return &memLog{batches: append([]batch.Batch(nil), l.batches[:keep]...), synced: keep, manual: l.manual, cuts: l.cuts, start: l.start, begun: l.begun, emptied: l.emptied, forgot: l.forgot}
}
