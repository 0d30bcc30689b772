package plog

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// told is how much of a story is kept.
const told = 40

// story is what happened last, for whoever must understand a failure: operations, faults, and what the directory logs.
type story struct {
	mu    sync.Mutex
	lines []string
}

func (s *story) add(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.lines) >= 2*told {
		s.lines = append(s.lines[:0], s.lines[len(s.lines)-told:]...)
	}
	s.lines = append(s.lines, fmt.Sprintf(format, args...))
}

// String implements fmt.Stringer.
func (s *story) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines[max(0, len(s.lines)-told):], "\n")
}

// Enabled implements slog.Handler.
func (s *story) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (s *story) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	r.Attrs(func(a slog.Attr) bool {
		fmt.Fprintf(&b, " %s=%v", a.Key, a.Value)
		return true
	})
	s.add("  log: %s%s", r.Message, b.String())
	return nil
}

// WithAttrs implements slog.Handler.
func (s *story) WithAttrs([]slog.Attr) slog.Handler { return s }

// WithGroup implements slog.Handler.
func (s *story) WithGroup(string) slog.Handler { return s }
