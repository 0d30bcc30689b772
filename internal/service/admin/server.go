package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Options say what is served. All functions are required.
type Options struct {
	Socket  net.Listener // closed by Shutdown
	Metrics prometheus.Gatherer
	Health  func() Health
	Config  func() []Setting
	Logger  *slog.Logger
}

const (
	headerTimeout  = 5 * time.Second
	answerTimeout  = 30 * time.Second
	profileTimeout = 5 * time.Minute // the longest profile or trace that may be asked for, in all
	idleTimeout    = time.Minute
	headerBytes    = 16 << 10
	scrapes        = 4 // collections that may run at once
)

// Server is the admin listener of a node.
type Server struct {
	options Options
	http    http.Server
}

// New prepares a server; nothing is answered until Serve.
func New(options Options) (*Server, error) {
	if options.Socket == nil || options.Metrics == nil || options.Health == nil || options.Config == nil || options.Logger == nil {
		return nil, errors.New("admin: Socket, Metrics, Health, Config and Logger are required")
	}
	s := &Server{options: options}
	s.http = http.Server{
		Handler:           s.guard(s.routes()),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       headerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          slog.NewLogLogger(options.Logger.Handler(), slog.LevelDebug),
	}
	return s, nil
}

func (s *Server) routes() *http.ServeMux {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.options.Metrics, promhttp.HandlerOpts{
		ErrorLog: slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelWarn), MaxRequestsInFlight: scrapes,
	}))
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /config", s.config)
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /debug/pprof/", s.local(pprof.Index))
	mux.HandleFunc("GET /debug/pprof/cmdline", s.local(pprof.Cmdline))
	mux.HandleFunc("GET /debug/pprof/profile", s.local(pprof.Profile))
	mux.HandleFunc("GET /debug/pprof/symbol", s.local(pprof.Symbol))
	mux.HandleFunc("GET /debug/pprof/trace", s.local(pprof.Trace))
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprint(w, "ottla\n\n/metrics       for Prometheus\n/health        200 while the node serves, else 503\n/config        the configuration in force\n/debug/pprof/  profiles, from this machine only\n")
}

// Serve answers until Shutdown, and returns nil then.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.options.Socket); err != nil && !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin listener %s: %w", s.options.Socket.Addr(), err)
	}
	return nil
}

// Shutdown closes the socket, waits for the requests that are running, and cuts them when ctx ends.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if closing := s.options.Socket.Close(); closing != nil && !errors.Is(closing, net.ErrClosed) { // Serve may never have seen it
		err = errors.Join(err, closing)
	}
	if err != nil {
		return fmt.Errorf("admin listener %s: %w", s.options.Socket.Addr(), errors.Join(err, s.http.Close()))
	}
	return nil
}

// guard sets each request's deadline and refuses those that a browser was led to send.
func (s *Server) guard(next http.Handler) http.Handler {
	onLoopback := loopback(s.options.Socket.Addr().String())
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		timeout := answerTimeout
		if strings.HasPrefix(r.URL.Path, "/debug/pprof/") {
			timeout = profileTimeout
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			http.Error(w, "no deadline could be set", http.StatusInternalServerError)
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if onLoopback && !loopback(r.Host) {
			http.Error(w, "this listener is on loopback and answers to loopback names only", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// local lets only this machine in. A request that a proxy passed on is not from here.
func (s *Server) local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !loopback(r.RemoteAddr) || r.Header.Get("X-Forwarded-For") != "" || r.Header.Get("Forwarded") != "" {
			http.Error(w, "profiles are for this machine only", http.StatusForbidden)
			return
		}
		next(w, r)
	}
}

// loopback tells whether a host, with or without a port, is this machine's loopback.
func loopback(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
