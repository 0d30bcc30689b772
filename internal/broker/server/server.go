package server

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// Server serves the connections of a node's listeners.
type Server struct {
	options    Options
	start      time.Time
	limits     atomic.Pointer[Limits]
	budget     *budget
	metrics    *metrics
	complaints *complaints
	listeners  []*listener

	stopping chan struct{} // closed when Shutdown begins
	hurry    chan struct{} // holds a token when memory has become short
	running  sync.WaitGroup
	helper   atomic.Pointer[Conn] // who called an Answer.Help last

	mu struct {
		sync.Mutex
		shutting    bool
		serving     bool
		connections map[*Conn]struct{}
		perIP       map[netip.Addr]int
		room        sync.Cond // a connection ended, or limits changed, or the server stops
	}
}

// ErrStopped is returned by Serve when the server has been shut down before.
var ErrStopped = errors.New("server: shut down")

// ErrCut is returned by a second Shutdown that closed connections on which the first was still waiting.
var ErrCut = errors.New("server: connections were cut by a second shutdown")

// New prepares a server; the listeners' sockets accept already, but nothing is served until Serve.
func New(options Options) (*Server, error) {
	if err := options.complete(); err != nil {
		return nil, err
	}
	s := &Server{
		options:    options,
		start:      time.Now(),
		metrics:    newMetrics(options.Metrics),
		complaints: newComplaints(options.Logger),
		stopping:   make(chan struct{}),
		hurry:      make(chan struct{}, 1),
	}
	s.mu.connections = map[*Conn]struct{}{}
	s.mu.perIP = map[netip.Addr]int{}
	s.mu.room.L = &s.mu
	s.limits.Store(options.Limits)
	s.budget = newBudget(options.BudgetBytes, options.MaxRequestBytes, options.Metrics.Counter(metric.BudgetWaits), s.memoryIsShort)
	options.Metrics.GaugeFunc(metric.BudgetUsedBytes, func() float64 { return float64(s.budget.used()) })
	options.Metrics.GaugeFunc(metric.BudgetLimitBytes, func() float64 { return float64(options.BudgetBytes) })
	options.Metrics.GaugeFunc(metric.BudgetWaiting, func() float64 { return float64(s.budget.waiters()) })
	routes := map[*Table][]route{}
	for _, l := range options.Listeners {
		if routes[l.Table] == nil {
			routes[l.Table] = newRoutes(options.Metrics, l.Table)
		}
		s.listeners = append(s.listeners, newListener(l, routes[l.Table], options.Metrics))
	}
	return s, nil
}

// Serve accepts and serves until Shutdown, and returns nil then.
func (s *Server) Serve() error {
	s.mu.Lock()
	if s.mu.shutting {
		s.mu.Unlock()
		return ErrStopped
	}
	if s.mu.serving {
		s.mu.Unlock()
		return errors.New("server: Serve was called twice")
	}
	s.mu.serving = true
	var accepting sync.WaitGroup
	for _, l := range s.listeners {
		s.running.Add(1)
		accepting.Go(func() {
			defer s.running.Done()
			s.accept(l)
		})
	}
	s.running.Go(s.watch)
	s.mu.Unlock()
	accepting.Wait()
	return nil
}

// SetLimits changes the limits. Connections that are open stay so.
func (s *Server) SetLimits(l Limits) {
	s.limits.Store(&l)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.room.Broadcast()
}

// Shutdown closes the listeners, lets stage one of each connection finish the request it is at, stops what is parked (it is answered as its handler sees fit),
// closes the connections, and returns when all that has happened. When ctx ends first, it cuts what is left and returns the context's error, possibly while a
// handler is still running.
//
// A second call while the first is waiting cuts every connection and returns ErrCut at once; when all has ended it returns nil.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	again := s.mu.shutting
	s.mu.shutting = true
	left := make([]*Conn, 0, len(s.mu.connections))
	for c := range s.mu.connections {
		left = append(left, c)
	}
	s.mu.room.Broadcast()
	s.mu.Unlock()

	if again {
		for _, c := range left {
			c.cut(closedByShutdown)
		}
		if len(left) > 0 {
			return ErrCut
		}
		return nil
	}
	close(s.stopping)
	var failed error
	for _, l := range s.listeners {
		if err := l.Socket.Close(); err != nil {
			failed = errors.Join(failed, fmt.Errorf("server: closing listener %s: %w", l.Name, err))
		}
	}
	for _, c := range left {
		c.drain(closedByShutdown)
	}
	ended := make(chan struct{})
	go func() {
		s.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		s.cutAll()
		failed = errors.Join(failed, fmt.Errorf("server: shutdown: %w", ctx.Err()))
	}
	s.complaints.settle(time.Now(), true)
	return failed
}

func (s *Server) cutAll() {
	for _, c := range s.snapshot() {
		c.cut(closedByShutdown)
	}
}

// snapshot returns the open connections.
func (s *Server) snapshot() []*Conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]*Conn, 0, len(s.mu.connections))
	for c := range s.mu.connections {
		out = append(out, c)
	}
	return out
}

// sinceStart is a time as one number that atomics can hold: nanoseconds, never zero.
func (s *Server) sinceStart(t time.Time) int64 { return int64(t.Sub(s.start)) + 1 }

// memoryIsShort makes the watch look soon.
func (s *Server) memoryIsShort() {
	select {
	case s.hurry <- struct{}{}:
	default:
	}
}
