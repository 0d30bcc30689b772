package main

import (
	"context"
	"fmt"
	"time"
)

// warmMemory keeps a part of the machine's memory warm until it is released. A virtual machine gives what is free back to its host after seconds, in pieces of 2 MiB, and pays
// dearly for the first use of each page that it gets anew: more than all that a broker does with it. Every broker finds the same warm memory this way.
func (b *bench) warmMemory(ctx context.Context) (release func(), err error) {
	if b.pace.warmed == 0 {
		return func() {}, nil
	}
	g, err := startGenerator(&job{Kind: "memory", MaxBytes: b.pace.warmed, Measure: b.pace.limit / 20})
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = g.cmd.Process.Kill() })
	if err := g.ready(); err != nil {
		stop()
		g.end()
		return nil, fmt.Errorf("warm the machine's memory: %w", err)
	}
	b.note("the machine's memory is warm after %v", b.elapsed().Round(100*time.Millisecond))
	return func() {
		stop()
		g.end()
	}, nil
}
