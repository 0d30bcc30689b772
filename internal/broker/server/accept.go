package server

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

// listener is a Listener with what is counted about it.
type listener struct {
	Listener
	routes []route

	count    int       // guarded by Server.mu
	nextFree time.Time // when CreationRate allows the next connection; the accepting goroutine's own

	open           *metric.Gauge
	opened         *metric.Counter
	refused        *metric.Counter
	acceptFailures *metric.Counter
}

func newListener(l Listener, routes []route, r *metric.Registry) *listener {
	return &listener{
		Listener: l, routes: routes,
		open: r.Gauge(metric.Connections, l.Name), opened: r.Counter(metric.ConnectionsOpened, l.Name),
		refused: r.Counter(metric.ConnectionsRefused, l.Name), acceptFailures: r.Counter(metric.AcceptErrors, l.Name),
	}
}

const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// accept takes connections until the server stops. No failure ends it: what is short today, such as file descriptors, is there again tomorrow.
func (s *Server) accept(l *listener) {
	pause := acceptPauseMin
	for {
		socket, err := l.Socket.Accept()
		if err == nil {
			pause = acceptPauseMin
			s.admit(l, socket)
			if s.stopped() {
				return
			}
			continue
		}
		if s.stopped() || errors.Is(err, net.ErrClosed) {
			if !s.stopped() {
				s.options.Logger.Error("a listener was closed by somebody else; it accepts no more", "listener", l.Name)
			}
			return
		}
		if connectionAborted(err) {
			continue // the peer was gone before it was accepted
		}
		l.acceptFailures.Inc()
		kind := "accepting connections failed, pausing"
		if outOfDescriptors(err) {
			kind = "out of file descriptors, accepting pauses until some are closed; raise the limit (ulimit -n)"
		}
		s.complaints.say(netip.Addr{}, kind, slog.String("listener", l.Name), slog.String("error", err.Error()))
		if !s.pause(pause) {
			return
		}
		pause = min(2*pause, acceptPauseMax)
	}
}

func (s *Server) stopped() bool {
	select {
	case <-s.stopping:
		return true
	default:
		return false
	}
}

// pause waits and reports whether the server still runs.
func (s *Server) pause(d time.Duration) bool {
	if d <= 0 {
		return !s.stopped()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.stopping:
		return false
	}
}

// admit serves one accepted connection, after waiting for the limits that make connections wait and unless one is met that closes them.
func (s *Server) admit(l *listener, socket net.Conn) {
	ip := addrOf(socket.RemoteAddr())
	limits := s.limits.Load()
	if !s.pause(l.delay(min(limits.CreationRate, limits.listener(l.Name).CreationRate))) || !s.enter(l, ip) {
		_ = socket.Close() // it was never served; there is nobody to tell
		return
	}
	s.tune(l, socket)
	c := newConn(s, l, socket, ip)
	if !s.register(c) {
		s.leave(l, ip)
		_ = socket.Close() // as above
		return
	}
	l.opened.Inc()
	l.open.Add(1)
	go c.run()
}

// delay spaces connections evenly at rate per second; up to a second's worth that was not used may come at once.
func (l *listener) delay(rate int) time.Duration {
	if rate <= 0 || rate >= Unlimited {
		return 0
	}
	now := time.Now()
	if earliest := now.Add(-time.Second); l.nextFree.Before(earliest) {
		l.nextFree = earliest
	}
	l.nextFree = l.nextFree.Add(time.Second / time.Duration(rate))
	return l.nextFree.Sub(now)
}

// counted tells how many connections there are now.
func (s *Server) counted() {
	if s.options.Count == nil {
		return
	}
	s.mu.Lock()
	n := s.totalLocked()
	s.mu.Unlock()
	s.options.Count(n)
}

// enter counts a connection in. It waits for the node's and the listener's maximum and refuses at the address's.
func (s *Server) enter(l *listener, ip netip.Addr) bool {
	if s.crowded(l) {
		s.complaints.say(netip.Addr{}, "as many connections as are allowed, accepting pauses until some are closed; raise max.connections, or the limit of descriptors (ulimit -n)",
			slog.String("listener", l.Name), slog.Int("limit", min(s.limits.Load().MaxConnections, s.limits.Load().listener(l.Name).MaxConnections)))
	}
	ok, most := s.tryEnter(l, ip)
	if ok {
		s.counted()
	}
	if !ok && most >= 0 {
		l.refused.Inc()
		s.complaints.say(ip, "too many connections from one address, closing the newest", slog.String("listener", l.Name), slog.Int("limit", most))
	}
	return ok
}

// tryEnter returns the limit that refused an address, -1 when it was the server's end.
func (s *Server) tryEnter(l *listener, ip netip.Addr) (ok bool, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		limits := s.limits.Load()
		if s.mu.shutting {
			return false, -1
		}
		if most := limits.perIP(ip); s.mu.perIP[ip] >= most {
			return false, most
		}
		if s.totalLocked() < limits.MaxConnections && l.count < limits.listener(l.Name).MaxConnections {
			l.count++
			s.mu.perIP[ip]++
			return true, 0
		}
		s.mu.room.Wait()
	}
}

// crowded tells whether the node, or a listener, has all the connections that it may have.
func (s *Server) crowded(l *listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	limits := s.limits.Load()
	return s.totalLocked() >= limits.MaxConnections || l.count >= limits.listener(l.Name).MaxConnections
}

func (s *Server) totalLocked() (n int) {
	for _, l := range s.listeners {
		n += l.count
	}
	return n
}

// register makes a connection known to Shutdown, unless that has begun.
func (s *Server) register(c *Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.shutting {
		return false
	}
	s.mu.connections[c] = struct{}{}
	s.running.Add(1)
	return true
}

// leave counts a connection out.
func (s *Server) leave(l *listener, ip netip.Addr) {
	defer s.counted()
	s.mu.Lock()
	defer s.mu.Unlock()
	l.count--
	if s.mu.perIP[ip]--; s.mu.perIP[ip] == 0 {
		delete(s.mu.perIP, ip)
	}
	s.mu.room.Broadcast()
}

// unsentLimit bounds what the system keeps of answers that a peer does not take. Without it that is megabytes a connection, and a thousand peers that stop reading
// use up the memory that the system has for all its sockets.
const unsentLimit = 128 << 10

// tune sets a socket's buffers. A system that refuses sizes keeps its own.
func (s *Server) tune(l *listener, socket net.Conn) {
	tcp, ok := socket.(*net.TCPConn)
	if !ok {
		return
	}
	set := func(key string, size int, set func(int) error) {
		if size <= 0 {
			return
		}
		if err := set(size); err != nil {
			s.complaints.say(netip.Addr{}, "a socket buffer could not be set, the system's size is used", slog.String("listener", l.Name),
				slog.String("key", key), slog.Int("bytes", size), slog.String("error", err.Error()))
		}
	}
	set("socket.receive.buffer.bytes", s.options.ReceiveBufferBytes, tcp.SetReadBuffer)
	set("socket.send.buffer.bytes", s.options.SendBufferBytes, tcp.SetWriteBuffer)
	set("TCP_NOTSENT_LOWAT", unsentLimit, func(n int) error { return limitUnsent(tcp, n) })
}

func addrOf(a net.Addr) netip.Addr {
	if tcp, ok := a.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}
