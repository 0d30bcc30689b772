package server

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

const (
	complaintEvery   = 10 * time.Second
	complaintSources = 1024 // sources remembered; those beyond share one line
	longestAttr      = 300  // bytes of a name that a peer has chosen
)

// complaints writes log lines about misbehaving peers, at most one per source and kind in complaintEvery. What was left out is counted and said.
type complaints struct {
	logger *slog.Logger
	mu     struct {
		sync.Mutex
		last map[complaint]*silence
	}
}

type complaint struct {
	source netip.Addr
	kind   string
}

type silence struct {
	until      time.Time
	suppressed int
}

func newComplaints(logger *slog.Logger) *complaints {
	c := &complaints{logger: logger}
	c.mu.last = map[complaint]*silence{}
	return c
}

// say logs one line with attributes, or counts it. The kind is the message, a constant.
func (c *complaints) say(source netip.Addr, kind string, attrs ...slog.Attr) {
	now := time.Now()
	if suppressed, ok := c.admit(complaint{source, kind}, now); ok {
		c.log(kind, source, suppressed, attrs)
	}
}

func (c *complaints) admit(k complaint, now time.Time) (suppressed int, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.last[k] == nil && len(c.mu.last) >= complaintSources {
		k.source = netip.Addr{}
	}
	s := c.mu.last[k]
	if s == nil {
		s = &silence{}
		c.mu.last[k] = s
	}
	if now.Before(s.until) {
		s.suppressed++
		return 0, false
	}
	suppressed = s.suppressed
	*s = silence{until: now.Add(complaintEvery)}
	return suppressed, true
}

func (c *complaints) log(kind string, source netip.Addr, suppressed int, attrs []slog.Attr) {
	line := make([]slog.Attr, 0, len(attrs)+2)
	if source.IsValid() {
		line = append(line, slog.String("source", source.String()))
	}
	for _, a := range attrs {
		if v := a.Value; v.Kind() == slog.KindString && len(v.String()) > longestAttr {
			a = slog.String(a.Key, v.String()[:longestAttr]+"…")
		}
		line = append(line, a)
	}
	if suppressed > 0 {
		line = append(line, slog.Int("suppressed", suppressed))
	}
	c.logger.LogAttrs(context.Background(), slog.LevelWarn, kind, line...)
}

// settle tells what was left out where silence has ended, and forgets sources that have been quiet. With all it does not wait for that.
func (c *complaints) settle(now time.Time, all bool) {
	type remainder struct {
		complaint
		suppressed int
	}
	var said []remainder
	c.mu.Lock()
	for k, s := range c.mu.last {
		if !all && now.Before(s.until) {
			continue
		}
		if s.suppressed > 0 {
			said = append(said, remainder{k, s.suppressed})
		}
		delete(c.mu.last, k)
	}
	c.mu.Unlock()
	for _, r := range said {
		c.log(r.kind, r.source, r.suppressed, nil)
	}
}
