package node

import (
	"context"
	"io"
	"log/slog"
	"maps"
	"strings"
	"sync"
)

// rootLogger gives its level to every logger that has none of its own.
const rootLogger = "root"

// components are the loggers by name; log lines carry the name as "component".
var components = []string{"admin", "api", "node", "quorum", "server", "storage"}

// Loggers are the process's loggers with their levels, which admin clients may change while it runs (resource type BROKER_LOGGER).
type Loggers struct {
	handler slog.Handler
	mu      sync.Mutex
	levels  map[string]*slog.LevelVar
	own     map[string]string // levels that were set, in Kafka's words
	root    slog.Level
}

// NewLoggers writes lines of text to w, from the level on.
func NewLoggers(w io.Writer, level slog.Level) *Loggers {
	l := &Loggers{handler: slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug - 4}), levels: map[string]*slog.LevelVar{}, own: map[string]string{}, root: level}
	for _, name := range append(components, rootLogger) {
		l.levels[name] = new(slog.LevelVar)
		l.levels[name].Set(level)
	}
	return l
}

// Logger returns the logger of a component.
func (l *Loggers) Logger(component string) *slog.Logger {
	return slog.New(&leveled{l.handler, l.levels[component]}).With("component", component)
}

// leveled lets through what its own level allows.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

func (h *leveled) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level.Level() }
func (h *leveled) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &leveled{h.Handler.WithAttrs(attrs), h.level}
}
func (h *leveled) WithGroup(name string) slog.Handler {
	return &leveled{h.Handler.WithGroup(name), h.level}
}

// kafkaLevels are Kafka's levels and ours: slog has no TRACE and no FATAL.
var kafkaLevels = map[string]slog.Level{
	"TRACE": slog.LevelDebug - 4, "DEBUG": slog.LevelDebug, "INFO": slog.LevelInfo, "WARN": slog.LevelWarn, "ERROR": slog.LevelError, "FATAL": slog.LevelError + 4,
}

func kafkaLevel(level slog.Level) string {
	best := "TRACE"
	for name, l := range kafkaLevels {
		if l <= level && l > kafkaLevels[best] {
			best = name
		}
	}
	return best
}

// Levels returns every logger's level in Kafka's words.
func (l *Loggers) Levels() map[string]string {
	l.mu.Lock()
	defer l.mu.Unlock()
	out := map[string]string{}
	for name, level := range l.levels {
		out[name] = kafkaLevel(level.Level())
	}
	maps.Copy(out, l.own)
	return out
}

// Set changes a logger's level; an empty level gives it back to the root's.
func (l *Loggers) Set(logger, level string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.own, logger)
	if level != "" {
		l.own[logger] = strings.ToUpper(level)
	}
	root := l.root
	if own, ok := l.own[rootLogger]; ok {
		root = kafkaLevels[own]
	}
	for name, v := range l.levels {
		if own, ok := l.own[name]; ok {
			v.Set(kafkaLevels[own])
		} else {
			v.Set(root)
		}
	}
}
