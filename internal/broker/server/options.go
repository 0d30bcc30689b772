package server

import (
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// Options say what a Server serves. The zero value of a field that names a default takes it.
type Options struct {
	Listeners []Listener

	// BudgetBytes is the memory that requests and answers in flight may take together. It must fit one request of MaxRequestBytes with usual ones beside it (budgetFor). The
	// default does, and is 256 MiB at least.
	BudgetBytes int64
	// MaxRequestBytes is the largest frame that is accepted (socket.request.max.bytes, default 100 MiB).
	MaxRequestBytes int

	// IdleTimeout closes connections on which nothing moved for so long and nothing waits (connections.max.idle.ms, default 10 minutes; negative: never).
	IdleTimeout time.Duration
	// FrameTimeout closes a connection when a frame is half received and nothing more of it comes (default 30 s).
	FrameTimeout time.Duration
	// MemoryTimeout closes a connection that waited so long for memory (default 30 s).
	MemoryTimeout time.Duration
	// StallTimeout is for how long, when memory is short, a connection may hold some without making progress (default 1 s).
	StallTimeout time.Duration
	// RestAfter is how long a connection says nothing before it gives up its buffer and its stack (default 3 s).
	RestAfter time.Duration
	// DrainTimeout is for how long a connection that ends may take to write the answers it still owes (default 500 ms).
	DrainTimeout time.Duration

	// SendBufferBytes and ReceiveBufferBytes are the sockets' (socket.send.buffer.bytes, socket.receive.buffer.bytes); 0 or less leaves the system's.
	SendBufferBytes, ReceiveBufferBytes int

	// Count is told how many connections there are, after one came and after one went. Two calls may overlap; nil hears nothing.
	Count func(connections int)

	// ManyRest is told when many connections have come to rest, and left garbage of several KiB each; nil hears nothing.
	ManyRest func()

	Limits  *Limits // nil: none
	Logger  *slog.Logger
	Metrics *metric.Registry
}

// Listener is a socket that accepts, and what is served on it. The server closes it.
type Listener struct {
	Name   string // the listener's name in the configuration
	Socket net.Listener
	Table  *Table
}

// Unlimited is the value of a limit that is none, as in Kafka's configuration.
const Unlimited = math.MaxInt32

// Limits bound the connections of a node. They may be changed while it runs (Server.SetLimits).
type Limits struct {
	MaxConnections      int                // max.connections: beyond it connections wait to be served
	MaxConnectionsPerIP int                // max.connections.per.ip: beyond it they are closed
	PerIP               map[netip.Addr]int // max.connections.per.ip.overrides
	CreationRate        int                // max.connection.creation.rate, per second: beyond it accepting pauses
	Listeners           map[string]ListenerLimits
}

// ListenerLimits are the limits of one listener (listener.name.….max.connections and max.connection.creation.rate).
type ListenerLimits struct {
	MaxConnections int
	CreationRate   int
}

var noLimits = Limits{MaxConnections: Unlimited, MaxConnectionsPerIP: Unlimited, CreationRate: Unlimited}

func (l *Limits) perIP(ip netip.Addr) int {
	if n, ok := l.PerIP[ip]; ok {
		return n
	}
	return l.MaxConnectionsPerIP
}

func (l *Limits) listener(name string) ListenerLimits {
	if own, ok := l.Listeners[name]; ok {
		return own
	}
	return ListenerLimits{MaxConnections: Unlimited, CreationRate: Unlimited}
}

const (
	defaultMaxRequestBytes = 100 << 20
	defaultBudgetBytes     = 256 << 20
	defaultIdleTimeout     = 10 * time.Minute
	defaultFrameTimeout    = 30 * time.Second
	defaultMemoryTimeout   = 30 * time.Second
	defaultStallTimeout    = time.Second
	defaultRestAfter       = 3 * time.Second
	defaultDrainTimeout    = 500 * time.Millisecond
)

// complete fills in defaults and refuses what cannot work.
func (o *Options) complete() error {
	if len(o.Listeners) == 0 {
		return fmt.Errorf("server: no listeners")
	}
	for _, l := range o.Listeners {
		if l.Name == "" || l.Socket == nil || l.Table == nil {
			return fmt.Errorf("server: listener %q lacks its name, socket or table", l.Name)
		}
	}
	setDefault(&o.MaxRequestBytes, defaultMaxRequestBytes)
	need := budgetFor(o.MaxRequestBytes)
	setDefault(&o.BudgetBytes, max(need, defaultBudgetBytes))
	if o.BudgetBytes < need {
		return fmt.Errorf("server: a memory budget of %d bytes cannot take a request of %d bytes (socket.request.max.bytes): allow requests %d bytes at least",
			o.BudgetBytes, o.MaxRequestBytes, need)
	}
	setDefault(&o.IdleTimeout, defaultIdleTimeout)
	setDefault(&o.FrameTimeout, defaultFrameTimeout)
	setDefault(&o.MemoryTimeout, defaultMemoryTimeout)
	setDefault(&o.StallTimeout, defaultStallTimeout)
	setDefault(&o.RestAfter, defaultRestAfter)
	setDefault(&o.DrainTimeout, defaultDrainTimeout)
	if o.Limits == nil {
		o.Limits = &noLimits
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		o.Metrics = metric.NewRegistry()
	}
	return nil
}

func setDefault[T int | int64 | time.Duration](v *T, value T) {
	if *v == 0 {
		*v = value
	}
}
