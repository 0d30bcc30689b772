package dir

import (
	"sync"
	"time"
)

// later runs things after a delay, one timer each, none of them periodic.
type later struct {
	mu struct {
		sync.Mutex
		timers map[*time.Timer]struct{}
		closed bool
	}
	running sync.WaitGroup
}

func (l *later) after(delay time.Duration, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return
	}
	if l.mu.timers == nil {
		l.mu.timers = map[*time.Timer]struct{}{}
	}
	l.running.Add(1)
	var t *time.Timer
	t = time.AfterFunc(delay, func() {
		defer l.running.Done()
		l.mu.Lock()
		delete(l.mu.timers, t)
		l.mu.Unlock()
		f()
	})
	l.mu.timers[t] = struct{}{}
}

// now runs f at once, in the background; false when it is too late for that.
func (l *later) now(f func()) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return false
	}
	l.running.Go(f)
	return true
}

// hurry runs what waits at once.
func (l *later) hurry() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for t := range l.mu.timers {
		if t.Stop() {
			t.Reset(0)
		}
	}
}

// close drops what has not begun and waits for what has.
func (l *later) close() {
	l.mu.Lock()
	l.mu.closed = true
	for t := range l.mu.timers {
		if t.Stop() {
			l.running.Done()
			delete(l.mu.timers, t)
		}
	}
	l.mu.Unlock()
	l.running.Wait()
}
