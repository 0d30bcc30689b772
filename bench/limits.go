package main

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// limits measures what the machine gives without a broker.
func (b *bench) limits(ctx context.Context, _ *cell, _ *side) (figures, error) {
	f := figures{}
	settle(ctx)
	if err := diskLimits(b.scratch, b.pace.measure/2, f); err != nil {
		return nil, err
	}
	rate, err := loopback(b.pace.measure / 2)
	if err != nil {
		return nil, err
	}
	f[colLoopback], f[colMemcpy] = rate, memcpy(b.pace.measure/4)
	return f, nil
}

// memcpy copies between two large buffers with one thread.
func memcpy(d time.Duration) (mbPerSecond float64) {
	from, to := make([]byte, 64<<20), make([]byte, 64<<20)
	noise(from[:1<<20], 1)
	for n := 1 << 20; n < len(from); n *= 2 { // every page of both has memory of its own
		copy(from[n:], from[:n])
	}
	copy(to, from)
	bytes, began := 0, time.Now()
	for time.Since(began) < d {
		bytes += copy(to, from)
	}
	return float64(bytes) / 1e6 / time.Since(began).Seconds()
}

// loopback sends over two connections with 1 MiB writes and reads 256 KiB at a time.
func loopback(d time.Duration) (mbPerSecond float64, err error) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	const connections = 2
	var all sync.WaitGroup
	failed := make([]error, 2*connections)
	counts := make([]int64, connections)
	began := time.Now()
	for i := range connections {
		out, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			return 0, err
		}
		in, err := l.Accept()
		if err != nil {
			return 0, errors.Join(err, out.Close())
		}
		all.Go(func() {
			defer out.Close()
			for chunk := make([]byte, 1<<20); time.Since(began) < d && failed[i] == nil; {
				_, failed[i] = out.Write(chunk)
			}
		})
		all.Go(func() {
			defer in.Close()
			for chunk := make([]byte, 256<<10); ; {
				n, err := in.Read(chunk)
				counts[i] += int64(n)
				if err != nil {
					if !errors.Is(err, io.EOF) {
						failed[connections+i] = err
					}
					return
				}
			}
		})
	}
	all.Wait()
	total := int64(0)
	for _, n := range counts {
		total += n
	}
	return float64(total) / 1e6 / time.Since(began).Seconds(), errors.Join(failed...)
}
