package cli

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
)

var listenerLine = regexp.MustCompile(`(?m)^PLAINTEXT://(127\.0\.0\.1:\d+)$`)

// serve starts a node by the command line and waits until it serves.
func serve(t *testing.T, dir string, args ...string) (s *started, bootstrap string) {
	t.Helper()
	s = start(t, "", nil, append([]string{"serve", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs=" + dir,
		"--override", "ottla.admin.listener=127.0.0.1:0"}, args...)...)
	found := listenerLine.FindStringSubmatch(s.out.await(t, "\n"))
	if found == nil {
		t.Fatalf("no address was printed\n%s%s", s.out, s.err)
	}
	return s, found[1]
}

func TestServeStartsStopsAndStartsAgain(t *testing.T) {
	dir := t.TempDir()
	s, bootstrap := serve(t, dir)
	screen := s.out.await(t, "Ctrl-C stops the node")
	for _, want := range []string{dir, "kafka      " + bootstrap, "bootstrap_servers=\"" + bootstrap + "\"", "ottla -b " + bootstrap + " produce"} {
		if !strings.Contains(screen, want) {
			t.Errorf("the first screen does not say %q:\n%s", want, screen)
		}
	}
	health := regexp.MustCompile(`http://\S+/health`).FindString(screen)
	answer, err := http.Get(health)
	if err != nil {
		t.Fatalf("the address of health on the first screen: %v", err)
	}
	if _ = answer.Body.Close(); answer.StatusCode != http.StatusOK {
		t.Errorf("%s answers %s", health, answer.Status)
	}
	var written node.Addresses
	file, err := os.ReadFile(filepath.Join(dir, node.AddressesFile))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(file, &written); err != nil || written.Listeners["PLAINTEXT"] != bootstrap {
		t.Errorf("%s has %s, not %s (%v)", node.AddressesFile, file, bootstrap, err)
	}
	succeed(t, bootstrap, "kept\n", "produce", "words")
	s.interrupt()
	if got := s.wait(); got.code != exitOK || !strings.Contains(got.err, "msg=stopped") {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}

	s, bootstrap = serve(t, dir, "--quiet")
	if got := succeed(t, bootstrap, "", "consume", "words", "--from", "beginning", "--follow=false"); got.out != "kept\n" {
		t.Errorf("after the restart there is %q", got.out)
	}
	second := run(t, "", "", "serve", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs="+dir, "--override", "ottla.admin.listener=")
	if second.code != exitFailure || !strings.Contains(second.err, "ottla: FATAL: the node did not start: ") || !strings.Contains(second.err, dir) {
		t.Errorf("a second node on the same directory: exit %d\n%s", second.code, second.err)
	}
	taken := run(t, "", "", "serve", "--override", "listeners=PLAINTEXT://"+bootstrap, "--override", "log.dirs="+t.TempDir(), "--override", "ottla.admin.listener=")
	if taken.code != exitFailure || !strings.Contains(taken.err, bootstrap) {
		t.Errorf("a second node on the same port: exit %d\n%s", taken.code, taken.err)
	}
	s.interrupt()
	if got := s.wait(); got.code != exitOK || got.out != "PLAINTEXT://"+bootstrap+"\n" {
		t.Errorf("exit %d\n%s", got.code, got.out)
	}
}

func TestServeNamesEveryFault(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=0\n# fine\nlog.retention.ms=soon\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := run(t, "", "", "serve", file, "--override", "listeners=SSL://127.0.0.1:9093", "--override", "authorizer.class.name=x.Y")
	if got.code != exitFailure || got.out != "" {
		t.Errorf("exit %d\n%s", got.code, got.out)
	}
	lines := strings.Split(strings.TrimSpace(got.err), "\n")
	for _, want := range [][]string{{file + ":1", "num.partitions", "0"}, {file + ":3", "log.retention.ms", "soon"}, {"--override", "authorizer.class.name"}, {"--override", "SSL"}} {
		found := false
		for _, line := range lines {
			all := strings.HasPrefix(line, "ottla: ")
			for _, word := range want {
				all = all && strings.Contains(line, word)
			}
			found = found || all
		}
		if !found {
			t.Errorf("no line names %q:\n%s", want, got.err)
		}
	}
}

// A listener that cannot be opened is named with what to do about it, which is not always to take another port.
func TestServeNamesWhatIsWrongWithAListener(t *testing.T) {
	bootstrap := openNode(t)
	for _, c := range []struct{ listener, want string }{
		{"PLAINTEXT://" + bootstrap, "choose another port"},
		{"PLAINTEXT://192.0.2.5:0", "listeners takes an address of this machine"},
	} {
		got := run(t, "", "", "serve", "--override", "listeners="+c.listener, "--override", "log.dirs="+t.TempDir(), "--override", "ottla.admin.listener=")
		if want := "ottla: FATAL: the node did not start: listener " + c.listener + " cannot be opened: "; got.code != exitFailure || !strings.Contains(got.err, want) || !strings.Contains(got.err, c.want) {
			t.Errorf("exit %d, %s", got.code, got.err)
		}
	}
}

func TestServeUsage(t *testing.T) {
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"serve /does/not/exist", exitFailure, "ottla: the settings cannot be read: open /does/not/exist: no such file or directory"},
		{"serve --override nonsense", exitUsage, "ottla: --override nonsense: write it as key=value"},
		{"serve --log-level loud", exitUsage, "ottla: --log-level loud: it is one of trace, debug, info, warn, error"},
		{"serve a b", exitUsage, `ottla: ottla serve takes at most one settings file, and "b" is too much`},
		{"serve -b 127.0.0.1:1", exitUsage, "ottla: --bootstrap-server is for the client verbs; "},
		{"-o json", exitUsage, "ottla: --output is for the client verbs; "},
	} {
		if got := run(t, "", "", strings.Fields(c.args)...); got.code != c.code || !strings.HasPrefix(got.err, c.want) {
			t.Errorf("ottla %s: exit %d, %s", c.args, got.code, got.err)
		}
	}
}

// File, environment and --override win over each other in this order; the verbs' own variable is no setting.
func TestSettingsOrder(t *testing.T) {
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("num.partitions=2\nlog.retention.ms=1000\nmessage.max.bytes=3000\nno.such.key=1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	environ := []string{"KAFKA_NUM_PARTITIONS=4", "KAFKA_LOG_RETENTION_MS=2000", "OTTLA_DURABILITY=cache", bootstrapVariable + "=127.0.0.1:1"}
	got := startIn(t, environ, nil, "serve", file, "--override", "num.partitions=8", "--print-config").wait()
	if got.code != exitOK {
		t.Fatalf("exit %d\n%s", got.code, got.err)
	}
	for _, want := range []string{"\nnum.partitions=8\n", "\nlog.retention.ms=2000\n", "\nmessage.max.bytes=3000\n", "\nottla.durability=cache\n"} {
		if !strings.Contains(got.out, want) {
			t.Errorf("the printed settings lack %q", want)
		}
	}
	settings, err := config.ParseProperties(strings.NewReader(got.out), "printed")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.Load(config.Options{}, settings); err != nil {
		t.Errorf("the printed settings are no settings: %v", err)
	}
}

func TestServeWarns(t *testing.T) {
	s, _ := serve(t, t.TempDir(), "--override", "no.such.key=1", "--override", "zookeeper.connect=x:2181", "--log-level", "warn")
	s.interrupt()
	got := s.wait()
	for _, want := range []string{"no.such.key is ignored", "zookeeper.connect is ignored"} {
		if !strings.Contains(got.err, want) {
			t.Errorf("there is no warning %q:\n%s", want, got.err)
		}
	}
	if strings.Contains(got.err, "level=INFO") {
		t.Errorf("--log-level warn logs\n%s", got.err)
	}
}

// A node whose disk failed ends with a FATAL line, after an orderly close of what is left.
func TestFailedNodeIsFatal(t *testing.T) {
	settings, err := config.ParseOverrides([]string{"listeners=PLAINTEXT://127.0.0.1:0", "log.dirs=" + t.TempDir(), "ottla.admin.listener="})
	if err != nil {
		t.Fatal(err)
	}
	static, err := config.Load(config.Options{}, settings)
	if err != nil {
		t.Fatal(err)
	}
	loggers := node.NewLoggers(io.Discard, slog.LevelError)
	n, err := node.Open(t.Context(), node.Options{Static: static, Loggers: loggers})
	if err != nil {
		t.Fatal(err)
	}
	s := &shell{out: io.Discard, err: io.Discard}
	disk := errors.New("the disk is on fire")
	if err := s.stop(n, disk, loggers.Logger("node")); !errors.Is(err, disk) || !strings.HasPrefix(err.Error(), "FATAL: ") {
		t.Errorf("%v", err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Errorf("closing it again: %v", err)
	}
}

// A reader of stdout that goes away does not take the node with it.
func TestServeOutlivesItsOutput(t *testing.T) {
	out := newWatched()
	out.fail(syscall.EPIPE)
	s := startTo(t, out, nil, nil, "serve", "--override", "listeners=PLAINTEXT://127.0.0.1:0", "--override", "log.dirs="+t.TempDir(), "--override", "ottla.admin.listener=")
	s.err.await(t, "could not be printed")
	s.interrupt()
	if got := s.wait(); got.code != exitOK || !strings.Contains(got.err, "msg=stopped") {
		t.Errorf("exit %d\n%s", got.code, got.err)
	}
}
