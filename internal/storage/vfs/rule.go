package vfs

import (
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
)

// Rule spoils calls of one kind.
type Rule struct {
	Op Op // "" is any
	// Path is a pattern as of path.Match with slashes; it is compared with as many last elements of the call's path as it has itself, so that
	// "*.log" is every log and "topic-0/*.log" are those of one partition. "" is any. For a rename, either name may match.
	Path string
	// Nth is which of the calls that match is spoilt, from 1; 0 is all.
	Nth int
	// Onwards also spoils those after the Nth.
	Onwards bool
	Fault   Fault

	seen atomic.Int64
}

// Hits tells how many calls matched so far, spoilt or not.
func (r *Rule) Hits() int { return int(r.seen.Load()) }

// Bitten tells how many calls were spoilt so far; a test whose faults did not bite tested nothing.
func (r *Rule) Bitten() int {
	hits := r.Hits()
	switch {
	case r.Nth == 0:
		return hits
	case hits < r.Nth:
		return 0
	case r.Onwards:
		return hits - r.Nth + 1
	}
	return 1
}

// Rules is an Injector that asks its rules in order; the first that spoils a call decides.
type Rules []*Rule

// Before implements Injector.
func (rs Rules) Before(c Call) Fault {
	for _, r := range rs {
		if !c.matches(r.Op, r.Path) {
			continue
		}
		n := int(r.seen.Add(1))
		if r.Nth == 0 || n == r.Nth || r.Onwards && n > r.Nth {
			return r.Fault
		}
	}
	return Fault{}
}

// After implements Injector.
func (Rules) After(LoggedCall) {}

// Hooks is an Injector made of functions, either of which may be nil.
type Hooks struct {
	OnBefore func(Call) Fault
	OnAfter  func(LoggedCall)
}

// Before implements Injector.
func (h Hooks) Before(c Call) Fault {
	if h.OnBefore == nil {
		return Fault{}
	}
	return h.OnBefore(c)
}

// After implements Injector.
func (h Hooks) After(c LoggedCall) {
	if h.OnAfter != nil {
		h.OnAfter(c)
	}
}

func (c *Call) matches(op Op, pattern string) bool {
	if op != "" && op != c.Op {
		return false
	}
	return matchPath(pattern, c.Path) || c.Op == OpRename && matchPath(pattern, c.To)
}

func matchPath(pattern, name string) bool {
	if pattern == "" {
		return true
	}
	elements := strings.Split(filepath.ToSlash(filepath.Clean(name)), "/")
	if n := strings.Count(pattern, "/") + 1; n < len(elements) {
		elements = elements[len(elements)-n:]
	}
	ok, err := path.Match(pattern, strings.Join(elements, "/"))
	if err != nil {
		panic("BUG: vfs: pattern " + pattern + ": " + err.Error())
	}
	return ok
}

// Gate holds calls until it is opened.
type Gate struct {
	reached, open           chan struct{}
	reachedOnce, openedOnce sync.Once
}

// NewGate returns a closed gate.
func NewGate() *Gate { return &Gate{reached: make(chan struct{}), open: make(chan struct{})} }

// Reached is closed when the first call stands before the gate.
func (g *Gate) Reached() <-chan struct{} { return g.reached }

// Open lets all calls pass, from now on too.
func (g *Gate) Open() { g.openedOnce.Do(func() { close(g.open) }) }

func (g *Gate) pass() {
	g.reachedOnce.Do(func() { close(g.reached) })
	<-g.open
}
