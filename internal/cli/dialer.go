package cli

import (
	"context"
	"net"
	"sync"
	"time"
)

// dialer opens the client's connections and remembers the last that failed: the client retries until time is up, and then only says that it is.
type dialer struct {
	mu struct {
		sync.Mutex
		address string // of the last failure
		err     error
		failing map[string]bool
		notef   func(format string, args ...any) // nil: nobody is told
		open    map[*dialed]struct{}
		isCut   bool
		made    bool // a connection, at some time
	}
}

// dialed is an open connection.
type dialed struct {
	net.Conn
	dialer *dialer
}

func (c *dialed) Close() error {
	c.dialer.mu.Lock()
	delete(c.dialer.mu.open, c)
	c.dialer.mu.Unlock()
	return c.Conn.Close()
}

const dialTimeout = 5 * time.Second

func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	n := net.Dialer{Timeout: dialTimeout}
	conn, err := n.DialContext(ctx, network, address)
	deadline, bounded := ctx.Deadline()
	switch {
	case err != nil && bounded && !time.Now().Before(deadline): // the socket's own deadline may be noticed before the context's
		d.noteLate(address, err)
	case ctx.Err() == nil: // else it says more about us than about the address
		d.note(address, err)
	}
	if err != nil {
		return nil, err
	}
	c := &dialed{conn, d}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mu.isCut {
		_ = conn.Close() // nobody has used it
		return nil, net.ErrClosed
	}
	if d.mu.open == nil {
		d.mu.open = map[*dialed]struct{}{}
	}
	d.mu.open[c], d.mu.made = struct{}{}, true
	return c, nil
}

// cut ends all connections and lets no further one be opened. The client library does not look at contexts everywhere; it does notice this.
func (d *dialer) cut() {
	d.mu.Lock()
	d.mu.isCut = true
	open := make([]*dialed, 0, len(d.mu.open))
	for c := range d.mu.open {
		open = append(open, c)
	}
	d.mu.Unlock()
	for _, c := range open {
		_ = c.Conn.Close() // the client closes it once more and is told
	}
}

// note remembers how a connection went, and tells when that is another way than before.
func (d *dialer) note(address string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	before := d.mu.failing[address]
	switch {
	case err == nil && before:
		delete(d.mu.failing, address)
		if d.mu.address == address {
			d.mu.address, d.mu.err = "", nil
		}
		if d.mu.notef != nil {
			d.mu.notef("%s can be reached again.", address)
		}
	case err != nil:
		if d.mu.failing == nil {
			d.mu.failing = map[string]bool{}
		}
		d.mu.failing[address], d.mu.address, d.mu.err = true, address, err
		if d.mu.notef != nil && !before {
			d.mu.notef("ottla: cannot reach %s, trying again: %s", address, dialReason(err))
		}
	}
}

// noteLate remembers a connection that was not made before our own time was up, unless something more telling is known: why another was not made, or that one was.
func (d *dialer) noteLate(address string, err error) {
	d.mu.Lock()
	telling := d.mu.err != nil || d.mu.made
	d.mu.Unlock()
	if !telling {
		d.note(address, err)
	}
}

// tell makes a long-running verb say that it lost its brokers and found them again.
func (d *dialer) tell(notef func(format string, args ...any)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.mu.notef = notef
}

func (d *dialer) lastFailure() (string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mu.address, d.mu.err
}
