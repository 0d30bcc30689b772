package admin

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/metric"
)

type fixture struct {
	t      *testing.T
	server *Server
	base   string
	served chan error
	health func() Health
}

func healthy() Health {
	return Health{NodeID: 1, ClusterID: "c", Phase: Serving, Directories: []Directory{{Path: "/data", ID: "d", Online: true, Partitions: 3}}, Partitions: Partitions{Total: 3, Leading: 3}}
}

func start(t *testing.T) *fixture {
	t.Helper()
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{t: t, base: "http://" + socket.Addr().String(), served: make(chan error, 1), health: healthy}
	registry := metric.NewRegistry()
	registry.Counter(metric.AcceptErrors, "PLAINTEXT").Inc()
	f.server, err = New(Options{
		Socket: socket, Metrics: registry.Gatherer(), Logger: slog.New(slog.DiscardHandler),
		Health: func() Health { return f.health() },
		Config: func() []Setting {
			return []Setting{
				{Name: "node.id", Value: new("1"), Source: "STATIC_BROKER_CONFIG", ReadOnly: true},
				{Name: "a.password", Value: new("geheim"), Sensitive: true}, {Name: "b.password", Sensitive: true},
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { f.served <- f.server.Serve() }()
	t.Cleanup(func() {
		if err := f.server.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if err := <-f.served; err != nil {
			t.Error(err)
		}
	})
	return f
}

func (f *fixture) get(path string, change func(*http.Request)) (int, string, http.Header) {
	f.t.Helper()
	request, err := http.NewRequest(http.MethodGet, f.base+path, nil)
	if err != nil {
		f.t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		f.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		f.t.Fatal(err)
	}
	return response.StatusCode, string(body), response.Header
}

func TestMetrics(t *testing.T) {
	f := start(t)
	code, body, header := f.get("/metrics", nil)
	if code != 200 || !strings.HasPrefix(header.Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s", code, header.Get("Content-Type"))
	}
	for _, want := range []string{`ottla_accept_errors_total{listener="PLAINTEXT"} 1`, "go_goroutines ", "process_open_fds "} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
	}
}

func TestHealth(t *testing.T) {
	offline := Directory{Path: "/b", Error: "sync: input/output error"}
	for _, test := range []struct {
		status string
		code   int
		change func(*Health)
	}{
		{"ok", 200, func(*Health) {}},
		{"starting", 503, func(h *Health) { h.Phase, h.Recovery = Starting, Recovery{LogsDone: 3, LogsTotal: 10} }},
		{"stopping", 503, func(h *Health) { h.Phase = Stopping }},
		{"degraded", 200, func(h *Health) { h.Directories = append(h.Directories, offline) }},
		{"degraded", 200, func(h *Health) { h.Partitions.Offline = 1 }},
		{"degraded", 200, func(h *Health) { h.Problems = []string{"the disk is full"} }},
		{"failed", 503, func(h *Health) { h.Directories = []Directory{offline} }},
		{"failed", 503, func(h *Health) { h.Phase, h.Directories = Starting, []Directory{offline} }},
	} {
		f := start(t)
		h := healthy()
		test.change(&h)
		f.health = func() Health { return h }
		code, body, _ := f.get("/health", nil)
		var got Health
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		if code != test.code || got.Status != test.status || got.Recovery != h.Recovery || len(got.Directories) != len(h.Directories) {
			t.Errorf("%d %s, want %d %s:\n%s", code, got.Status, test.code, test.status, body)
		}
	}
}

func TestConfigHidesSecrets(t *testing.T) {
	f := start(t)
	code, body, _ := f.get("/config", nil)
	var got []Setting
	if err := json.Unmarshal([]byte(body), &got); err != nil || code != 200 {
		t.Fatalf("%d %v", code, err)
	}
	if strings.Contains(body, "geheim") {
		t.Error("a secret is shown")
	}
	if len(got) != 3 || got[0].Name != "a.password" || *got[0].Value != masked || got[1].Value != nil || *got[2].Value != "1" {
		t.Errorf("got %s", body)
	}
}

func TestProfiles(t *testing.T) {
	f := start(t)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/cmdline"} {
		if code, _, _ := f.get(path, nil); code != 200 {
			t.Errorf("%s: %d", path, code)
		}
	}
	if code, _, _ := f.get("/debug/pprof/heap", func(r *http.Request) { r.Header.Set("X-Forwarded-For", "192.0.2.1") }); code != 403 {
		t.Errorf("a forwarded request got %d", code)
	}
	request, err := http.NewRequest(http.MethodGet, "/debug/pprof/heap", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.RemoteAddr = "192.0.2.1:1234"
	recorder := newRecorder()
	f.server.local(func(http.ResponseWriter, *http.Request) { t.Error("a stranger got a profile") })(recorder, request)
	if recorder.code != 403 {
		t.Errorf("a stranger got %d", recorder.code)
	}
}

type recorder struct {
	header http.Header
	code   int
}

func newRecorder() *recorder                         { return &recorder{header: http.Header{}} }
func (r *recorder) Header() http.Header              { return r.header }
func (r *recorder) Write(b []byte) (int, error)      { return len(b), nil }
func (r *recorder) WriteHeader(code int)             { r.code = code }
func (r *recorder) SetWriteDeadline(time.Time) error { return nil }

func TestGuard(t *testing.T) {
	f := start(t)
	for host, want := range map[string]int{
		"localhost": 200, "LOCALHOST:9644": 200, "127.0.0.1:1": 200, "127.9.9.9": 200, "[::1]:9644": 200, "::1": 200, "[::ffff:127.0.0.1]": 200,
		"evil.example": 403, "evil.example:9644": 403, "192.0.2.7": 403, "localhost.evil.example": 403, "127.0.0.1.evil.example": 403,
	} {
		if code, _, _ := f.get("/health", func(r *http.Request) { r.Host = host }); code != want {
			t.Errorf("Host %s got %d, want %d", host, code, want)
		}
	}
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete} {
		if code, _, _ := f.get("/config", func(r *http.Request) { r.Method = method }); code != 405 {
			t.Errorf("%s got %d", method, code)
		}
	}
	if code, body, _ := f.get("/", nil); code != 200 || !strings.Contains(body, "/metrics") {
		t.Errorf("the index is %d %q", code, body)
	}
	if code, _, _ := f.get("/nothing", nil); code != 404 {
		t.Errorf("a path that is not there got %d", code)
	}
}

func TestGuardLetsNamesInWhenBoundOpenly(t *testing.T) {
	socket, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(Options{Socket: open{socket}, Metrics: metric.NewRegistry().Gatherer(), Health: healthy, Config: func() []Setting { return nil }, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodGet, "http://node1.example/config", nil)
	if err != nil {
		t.Fatal(err)
	}
	recorder := newRecorder()
	s.http.Handler.ServeHTTP(recorder, request)
	if recorder.code != 200 {
		t.Errorf("got %d", recorder.code)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// open is a listener that says it is bound to every address.
type open struct{ net.Listener }

func (open) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4zero, Port: 9644} }

func TestShutdownCutsWhatHangs(t *testing.T) {
	f := start(t)
	release, entered := make(chan struct{}), make(chan struct{})
	f.health = func() Health {
		close(entered)
		<-release
		return healthy()
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		response, err := http.Get(f.base + "/health")
		if err == nil {
			_ = response.Body.Close()
		}
	}()
	<-entered
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := f.server.Shutdown(ctx); err == nil {
		t.Error("shutdown of a hanging server returned nil")
	}
	close(release)
	<-done
}

func TestNewRefusesHalfOptions(t *testing.T) {
	if _, err := New(Options{}); err == nil {
		t.Error("no error")
	}
}
