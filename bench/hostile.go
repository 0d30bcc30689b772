package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"
)

const (
	hostileFrame = 50 << 20
	hostileSent  = 1 << 10
	hostileGrace = 20 * time.Second // for a good client's measurement, on top of its length
)

// hostile looks at a good client before and while many connections owe the broker the rest of a large request. A broker that does not survive it gets a note instead of figures.
func (b *bench) hostile(ctx context.Context, c *cell, s *side) (f figures, err error) {
	err = b.own(ctx, s.kind, func(target *broker, _ started) error {
		t, err := b.freshTopic(ctx, target, basePartitions, s.configs)
		if err != nil {
			return err
		}
		if err := b.warmUp(ctx, target); err != nil {
			return err
		}
		j := pacedJob(500)
		j.Address, j.Topic, j.Warm, j.Measure, j.MaxBytes = target.address, t, b.pace.warm, b.pace.measure, b.pace.maxBytes
		before, err := runJob(ctx, &j, nil, nil)
		if err != nil {
			return err
		}
		rest, err := target.usage()
		if err != nil {
			return err
		}
		attackers, refused := attack(target.address, b.pace.scaled(1000))
		defer func() {
			for _, a := range attackers {
				_ = a.Close()
			}
		}()
		limited, cancel := context.WithTimeoutCause(ctx, j.Warm+j.Measure+hostileGrace, errors.New("it did not answer in time"))
		defer cancel()
		meanwhile, err := runJob(limited, &j, nil, nil)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		u, gone := target.usage()
		if err = errors.Join(err, gone); err != nil {
			b.result.at(c.name, s.name).Note = fmt.Sprintf("the good client got no further with %d such connections: %v", len(attackers), err)
			return nil
		}
		was, is := before.EndToEnd.quantile(0.99), meanwhile.EndToEnd.quantile(0.99)
		f = figures{colBefore99: ms(was), colMeanwhile99: ms(is), colWorse: float64(is) / float64(was)}
		if u.known {
			f[colAdded] = mib(u.rss - rest.rss)
			target.memory(f, u)
		}
		if refused != nil {
			b.result.at(c.name, s.name).Note = fmt.Sprintf("%d of %d such connections were kept: %v", len(attackers), b.pace.scaled(1000), refused)
		}
		return nil
	})
	return f, err
}

// attack opens connections that announce a large Produce and send the beginning of it. It stops at the first that is refused.
func attack(address string, n int) (open []net.Conn, refused error) {
	begin := append(binary.BigEndian.AppendUint32(nil, hostileFrame), produceFrame("nowhere", 0, -1, make([]byte, hostileSent))[4:]...)[:hostileSent]
	for range n {
		socket, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err != nil {
			return open, err
		}
		open = append(open, socket)
		if _, err := socket.Write(begin); err != nil {
			return open, err
		}
	}
	return open, nil
}
