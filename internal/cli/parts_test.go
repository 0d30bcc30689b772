package cli

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/config"
)

func TestParsePosition(t *testing.T) {
	zone := time.FixedZone("here", 3600)
	now := time.Date(2026, 10, 1, 12, 0, 0, 0, zone)
	at := func(y, mo, d, h, mi, s, ms int, l *time.Location) position {
		return position{anchor: atTime, millis: time.Date(y, time.Month(mo), d, h, mi, s, ms*1e6, l).UnixMilli()}
	}
	for text, want := range map[string]position{
		"beginning": {anchor: atStart}, "earliest": {anchor: atStart}, "beginning+5": {anchor: atStart, shift: 5},
		"end": {anchor: atEnd}, "latest": {anchor: atEnd}, "end-10": {anchor: atEnd, shift: -10},
		"0": {anchor: atOffset}, "42": {anchor: atOffset, offset: 42}, "@1700000000000": {anchor: atTime, millis: 1700000000000},
		"2026-01-02T03:04:05Z": at(2026, 1, 2, 3, 4, 5, 0, time.UTC), "2026-01-02T03:04:05.678+02:00": at(2026, 1, 2, 1, 4, 5, 678, time.UTC),
		"2026-01-02": at(2026, 1, 2, 0, 0, 0, 0, zone), "2026-01-02 03:04": at(2026, 1, 2, 3, 4, 0, 0, zone), "2026-01-02T03:04:05": at(2026, 1, 2, 3, 4, 5, 0, zone),
		"-1h30m": at(2026, 10, 1, 10, 30, 0, 0, zone),
	} {
		if got, err := parsePosition(text, now); err != nil || got != want {
			t.Errorf("%q is %+v, %v, not %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "begin", "end+1", "beginning-1", "end-", "endless", "-1", "--1h", "@", "@-1", "@x", "1.5", "2026-13-01", "99999999999999999999"} {
		if got, err := parsePosition(text, now); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestPositionBegins(t *testing.T) {
	for _, c := range []struct {
		text string
		want int64
	}{{"beginning", 5}, {"beginning+2", 7}, {"beginning+100", 20}, {"end", 20}, {"end-3", 17}, {"end-100", 5}, {"7", 7}, {"1", 5}, {"99", 20}, {"@1", 11}} {
		p, err := parsePosition(c.text, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if got := p.begin(5, 20, 11); got != c.want {
			t.Errorf("%s begins at %d, not %d", c.text, got, c.want)
		}
	}
}

func TestParseTopicPart(t *testing.T) {
	for text, want := range map[string]topicPart{"a": {topic: "a"}, "a:0": {"a", []int32{0}}, "a:2,0, 2": {"a", []int32{2, 0}}} {
		if got, err := parseTopicPart(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q is %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":1", "a:", "a:x", "a:-1", "a:1,,2"} {
		if got, err := parseTopicPart(text); err == nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}

func TestParseBootstrap(t *testing.T) {
	for text, want := range map[string][]string{
		"a:1": {"a:1"}, "a": {"a:9092"}, " a:1 , b:2,": {"a:1", "b:2"}, "[::1]:9": {"[::1]:9"}, "[::1]": {"[::1]:9092"}, "::1": {"[::1]:9092"},
	} {
		if got, err := parseBootstrap(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q is %q, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ",", "PLAINTEXT://a:1", "a:1:2", "a:0", "a:65536", "a:x", "a:"} {
		if got, err := parseBootstrap(text); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}

func TestFormat(t *testing.T) {
	r := &kgo.Record{
		Topic: "t", Partition: 3, Offset: 42, LeaderEpoch: 7, Key: []byte("k"), Value: []byte{0xff, 'v'}, Timestamp: time.UnixMilli(1700000000123),
		Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("1")}, {Key: "b"}},
	}
	for layout, want := range map[string]string{
		`%t-%p@%o`: "t-3@42", `%k=%v\n`: "k=\xffv\n", `%s|%S|%V|%K`: "\xffv|2|2|1", `%T %d`: "1700000000123 2023-11-14T22:13:20.123Z",
		`%h %H`: "a=1,b= 2", `%e%%`: "7%", `%v{hex}{x}`: "ff76{x}", `%k{base64}%t{hex}`: "aw==74", `\x41\t\\\r\0{}`: "A\t\\\r\x00{}", ``: "", `plain`: "plain",
		`%k{json}`: "k{json}",
	} {
		f, err := parseFormat(layout)
		if err != nil {
			t.Errorf("%s: %v", layout, err)
			continue
		}
		if got := string(f.appendRecord([]byte("+"), r)); got != "+"+want {
			t.Errorf("%s prints %q, not %q", layout, got, want)
		}
	}
	null := &kgo.Record{}
	f, err := parseFormat("%K %V [%k%v%h]")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(f.appendRecord(nil, null)); got != "-1 -1 []" {
		t.Errorf("nulls print %q", got)
	}
	for _, layout := range []string{"%", "a%", "%z", `\`, `\q`, `\x1`, `\xzz`, "%o{hex}"} {
		if _, err := parseFormat(layout); err == nil {
			t.Errorf("%s is a format", layout)
		}
	}
}

func TestJSONRecordsRoundTrip(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	bytesOrNull := func() []byte {
		switch random.IntN(5) {
		case 0:
			return nil
		case 1:
			return []byte{}
		case 2:
			return []byte("<tag> & \"quotes\" \u2028 ü \x00")
		}
		b := make([]byte, random.IntN(20))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		return b
	}
	for range 500 {
		in := &kgo.Record{Topic: "t", Partition: 1, Offset: 9, Timestamp: time.UnixMilli(random.Int64N(1e15)), Key: bytesOrNull(), Value: bytesOrNull()}
		for range random.IntN(3) {
			in.Headers = append(in.Headers, kgo.RecordHeader{Key: "h", Value: bytesOrNull()})
		}
		line, err := appendJSON(nil, in)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Count(line, []byte("\n")) != 1 || line[len(line)-1] != '\n' {
			t.Fatalf("not one line: %s", line)
		}
		out, err := parseJSONRecord(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		want := &kgo.Record{Key: in.Key, Value: in.Value, Headers: in.Headers, Timestamp: in.Timestamp}
		if !reflect.DeepEqual(out, want) {
			t.Fatalf("%s came back as %+v", line, out)
		}
	}
	for _, line := range []string{"", "{", "[]", `{"key":"a"} x`, `{"key":"!","key_encoding":"base64"}`, `{"key":"a","key_encoding":"hex"}`, `{"headers":{"a":1}}`, `{"valeu":1}`} {
		if r, err := parseJSONRecord([]byte(line)); err == nil {
			t.Errorf("%s is %+v", line, r)
		}
	}
}

func TestLineSource(t *testing.T) {
	read := func(s recordSource) (values []string, err error) {
		for {
			r, err := s.next()
			if err != nil {
				return values, err
			}
			values = append(values, string(r.Value))
		}
	}
	values, err := read(newLineSource("in", strings.NewReader("a\r\nb\n\nlast"), 100, textLines("", false)))
	if err != io.EOF || !slices.Equal(values, []string{"a", "b", "", "last"}) {
		t.Errorf("%q, %v", values, err)
	}
	_, err = read(newLineSource("in", strings.NewReader("a\n"+strings.Repeat("x", 200)), 100, textLines("", false)))
	if err == nil || !strings.HasPrefix(err.Error(), "in:2: the line is longer than 100 bytes") {
		t.Errorf("%v", err)
	}
	_, err = read(newLineSource("in", io.MultiReader(strings.NewReader("a\n"), brokenReader{}), 100, textLines("", false)))
	if err == nil || err.Error() != "in:2: broken" {
		t.Errorf("%v", err)
	}
	values, err = read(newGeneratedSource(1000, 10))
	if err != io.EOF || len(values) != 1000 || len(values[999]) != 10 {
		t.Errorf("%d generated, %v", len(values), err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

func TestLatencies(t *testing.T) {
	var l latencies
	if l.quantile(0.5) != 0 {
		t.Error("nothing has a median")
	}
	for i := range 1000 {
		l.add(time.Duration(i+1) * time.Millisecond)
	}
	for q, exact := range map[float64]time.Duration{0.001: time.Millisecond, 0.5: 500 * time.Millisecond, 0.99: 990 * time.Millisecond, 1: time.Second} {
		if got := l.quantile(q); got < exact || got > exact+exact/7 {
			t.Errorf("quantile %v is %v, not about %v", q, got, exact)
		}
	}
	for micros := uint64(0); micros < 1<<20; micros++ { // buckets follow each other without a gap
		if a, b := latencyBucket(micros), latencyBucket(micros+1); b != a && b != a+1 {
			t.Fatalf("%d µs is in bucket %d, %d µs in %d", micros, a, micros+1, b)
		}
	}
	if last := latencyBucket(1<<63 - 1); last >= len(l.buckets) {
		t.Errorf("the last bucket is %d", last)
	}
}

func TestTable(t *testing.T) {
	grid := newTable("NAME", "COUNT", "NOTE")
	grid.add("ü", "10", "")
	grid.add("long name", "-", "x")
	grid.add("", "-3", "")
	var b bytes.Buffer
	if err := grid.write(&b); err != nil {
		t.Fatal(err)
	}
	want := "NAME       COUNT  NOTE\nü             10\nlong name      -  x\n              -3\n"
	if b.String() != want {
		t.Errorf("\n%s is not\n%s", b.String(), want)
	}
}

func TestAmounts(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 1: "1 byte", 1023: "1023 bytes", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 40: "3.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := byteCount(n); got != want {
			t.Errorf("%d is %s, not %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		1234567 * time.Nanosecond: "1.23ms", 23456789 * time.Nanosecond: "23.5ms", 2345678901 * time.Nanosecond: "2.35s", 500 * time.Nanosecond: "500ns",
	} {
		if got := roundDuration(d).String(); got != want {
			t.Errorf("%d is %s, not %s", d, got, want)
		}
	}
}

func TestAsk(t *testing.T) {
	for answer, want := range map[string]error{"y\n": nil, "Yes \n": nil, "y": nil, "n\n": errNotConfirmed, "": errNotConfirmed, "yeah\n": errNotConfirmed} {
		var shown bytes.Buffer
		s := &shell{in: strings.NewReader(answer), err: &shown}
		if err := s.ask(t.Context(), "Delete x?"); err != want {
			t.Errorf("%q: %v", answer, err)
		}
		if shown.String() != "Delete x? [y/N] " {
			t.Errorf("asked %q", shown.String())
		}
	}
	typing, _ := io.Pipe()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errInterrupted)
	if err := (&shell{in: typing, err: io.Discard}).ask(ctx, "?"); err != errInterrupted {
		t.Errorf("an interrupted question: %v", err)
	}
	if err := (&shell{in: strings.NewReader("n"), err: io.Discard}).confirm(t.Context(), false, "?"); err != nil {
		t.Errorf("nobody is there, and yet: %v", err)
	}
}

func TestProgressIsRenewedAndRemoved(t *testing.T) {
	shown := newWatched()
	s := &shell{err: shown}
	ticks := make(chan time.Time)
	n, ended := 0, false
	stop := s.renew(ticks, func() string { n++; return strings.Repeat("#", n) }, func() { ended = true })
	ticks <- time.Time{}
	ticks <- time.Time{}
	shown.await(t, "##")
	stop()
	if got := shown.String(); got != "\r\x1b[K#\r\x1b[K##\r\x1b[K" || !ended {
		t.Errorf("%q, ended %v", got, ended)
	}
	shown = newWatched()
	(&shell{err: shown}).progress(func() string { return "never" })()
	if shown.String() != "" {
		t.Errorf("nobody watches, and yet there is %q", shown.String())
	}
}

func TestDialerTellsChanges(t *testing.T) {
	var d dialer
	var told []string
	refused := errors.New("refused")
	d.note("a:1", refused)
	d.tell(func(format string, args ...any) { told = append(told, format) })
	d.note("a:1", refused)
	d.note("b:2", nil)
	d.note("a:1", nil)
	d.note("a:1", nil)
	d.note("b:2", refused)
	if address, err := d.lastFailure(); address != "b:2" || err != refused || len(told) != 2 {
		t.Errorf("%s %v, told %q", address, err, told)
	}
}

// A dial that our own deadline ends does not hide why those before it failed; when nothing else is known it is what is known.
func TestDialerKeepsTheTellingFailure(t *testing.T) {
	late, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	var d dialer
	refused := errors.New("refused")
	d.note("a:1", refused)
	if _, err := d.dial(late, "tcp", "127.0.0.1:1"); err == nil {
		t.Fatal("dialled after the deadline")
	}
	if address, err := d.lastFailure(); address != "a:1" || err != refused {
		t.Errorf("%s %v", address, err)
	}
	var fresh dialer
	if _, err := fresh.dial(late, "tcp", "127.0.0.1:1"); err == nil {
		t.Fatal("dialled after the deadline")
	}
	if address, err := fresh.lastFailure(); address != "127.0.0.1:1" || err == nil {
		t.Errorf("%s %v", address, err)
	}
	interrupted, interrupt := context.WithCancel(t.Context())
	interrupt()
	var cut dialer
	if _, err := cut.dial(interrupted, "tcp", "127.0.0.1:1"); err == nil {
		t.Fatal("dialled after the interrupt")
	}
	if address, err := cut.lastFailure(); err != nil {
		t.Errorf("%s %v", address, err)
	}
}

func TestEndTracker(t *testing.T) {
	tracker := newEndTracker()
	tracker.add("a", 0, 0, 3)
	tracker.add("a", 1, 5, 5)
	done := func() bool {
		_, done := tracker.poll(t.Context())
		return done
	}
	if done() {
		t.Error("done before anything was assigned")
	}
	polling, _ := tracker.poll(t.Context())
	tracker.assign(map[string][]int32{"a": {0, 1, 7}})
	if polling.Err() == nil {
		t.Error("an assignment does not end the poll")
	}
	if done() {
		t.Error("done before the committed offsets are known")
	}
	at := func(offset int64) kgo.Offset { return kgo.NewOffset().At(offset).WithEpoch(4) }
	tracker.place(map[string]map[int32]kgo.Offset{"a": {0: at(1), 1: at(5), 7: at(0)}})
	if done() {
		t.Error("done with two records left")
	}
	record := func(p int32, offset int64) *kgo.Record { return &kgo.Record{Topic: "a", Partition: p, Offset: offset} }
	if tracker.wants(record(7, 0)) || tracker.wants(record(1, 5)) || !tracker.wants(record(0, 1)) {
		t.Error("it wants what came after the start, or not what was there")
	}
	tracker.passed([]*kgo.Record{record(0, 1)})
	if done() {
		t.Error("done with one record left")
	}
	if tracker.wants(record(0, 9)) || !done() {
		t.Error("a record behind the end, where compaction took the last before it, does not end the partition")
	}
	tracker.assign(map[string][]int32{"a": {0}})
	tracker.revoke(map[string][]int32{"a": {0}})
	if !done() {
		t.Error("what went to another member holds up the end")
	}
}

func TestUncommittedPartitions(t *testing.T) {
	for _, p := range []position{{anchor: atStart}, {anchor: atStart, shift: 2}, {anchor: atEnd}, {anchor: atEnd, shift: -3}, {anchor: atOffset, offset: 4}, {anchor: atTime, millis: 1700000000000}} {
		got := uncommitted(map[string]map[int32]kgo.Offset{"a": {0: p.kgoOffset(), 1: kgo.NewOffset().At(7).WithEpoch(2)}}, p)
		if len(got) != 1 || !slices.Equal(got["a"], []int32{0}) {
			t.Errorf("%+v: %v", p, got)
		}
	}
}

func TestConfigDefaults(t *testing.T) {
	text := func(s string) *string { return &s }
	synonym := func(name, value string, source kmsg.ConfigSource) kmsg.DescribeConfigsResponseResourceConfigConfigSynonym {
		return kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{Name: name, Value: &value, Source: source}
	}
	for _, c := range []struct {
		in   kmsg.DescribeConfigsResponseResourceConfig
		want string
	}{
		{kmsg.DescribeConfigsResponseResourceConfig{Name: "x", Value: text("1"), Source: kmsg.ConfigSourceDefaultConfig}, "1"},
		{kmsg.DescribeConfigsResponseResourceConfig{Name: "segment.bytes", Value: text("1"), Source: kmsg.ConfigSourceDynamicTopicConfig,
			ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{synonym("segment.bytes", "1", kmsg.ConfigSourceDynamicTopicConfig),
				synonym("log.segment.bytes", "5", kmsg.ConfigSourceDefaultConfig)}}, "5"},
		{kmsg.DescribeConfigsResponseResourceConfig{Name: "retention.ms", Value: text("1"), Source: kmsg.ConfigSourceDynamicTopicConfig,
			ConfigSynonyms: []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{synonym("log.retention.hours", "168", kmsg.ConfigSourceDefaultConfig)}}, "604800000"},
		{kmsg.DescribeConfigsResponseResourceConfig{Name: "unheard.of", Value: text("1"), Source: kmsg.ConfigSourceDynamicTopicConfig}, absent},
	} {
		e := newConfigEntry(kmsg.ConfigResourceTypeTopic, &c.in)
		if got := e.shownDefault(); got != c.want {
			t.Errorf("%s: default %s, not %s", c.in.Name, got, c.want)
		}
	}
}

func TestClientAddress(t *testing.T) {
	for _, c := range []struct {
		listeners, advertised string
		bound                 []string
		address               string
		loopback              bool
	}{
		{"PLAINTEXT://127.0.0.1:0", "", []string{"PLAINTEXT://127.0.0.1:7"}, "127.0.0.1:7", true},
		{"PLAINTEXT://127.0.0.1:9,CONTROLLER://:10", "", []string{"CONTROLLER://[::]:10", "PLAINTEXT://127.0.0.1:9"}, "127.0.0.1:9", true},
		{"PLAINTEXT://:0", "PLAINTEXT://kafka.example:0", []string{"PLAINTEXT://[::]:7"}, "kafka.example:7", false},
		{"PLAINTEXT://0.0.0.0:9", "PLAINTEXT://kafka.example:99", []string{"PLAINTEXT://0.0.0.0:9"}, "kafka.example:99", false},
		{"PLAINTEXT://10.0.0.1:9", "", []string{"PLAINTEXT://10.0.0.1:9"}, "10.0.0.1:9", false},
	} {
		args := []string{"listeners=" + c.listeners, "log.dirs=x"}
		if c.advertised != "" {
			args = append(args, "advertised.listeners="+c.advertised)
		}
		settings, err := config.ParseOverrides(args)
		if err != nil {
			t.Fatal(err)
		}
		static, err := config.Load(config.Options{Hostname: func() (string, error) { return "here", nil }}, settings)
		if err != nil {
			t.Fatal(err)
		}
		if address, loopback := clientAddress(c.bound, &static.Broker); address != c.address || loopback != c.loopback {
			t.Errorf("%s: %s, loopback %v", c.listeners, address, loopback)
		}
	}
}

// Every command says what it does, takes no argument unchecked, and completes no files by accident.
func TestEveryCommandIsComplete(t *testing.T) {
	s := &shell{}
	var visit func(c *cobra.Command)
	visit = func(c *cobra.Command) {
		path := c.CommandPath()
		if c.Short == "" || c.RunE == nil && c.Run == nil {
			t.Errorf("%s has no Short or does nothing", path)
		}
		if c.Args == nil && path != "ottla group describe" {
			t.Errorf("%s does not check its arguments", path)
		}
		if strings.Contains(c.Use, " ") && c.ValidArgsFunction == nil {
			t.Errorf("%s completes its arguments with files", path)
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no text", path, f.Name)
			}
			if _, ok := c.GetFlagCompletionFunc(f.Name); !ok && f.NoOptDefVal == "" && f.Name != "file" {
				t.Errorf("%s --%s completes its value with files", path, f.Name)
			}
		})
		args := strings.Fields(path)[1:]
		if help := succeed(t, "", "", append(args, "--help")...); !strings.Contains(help.out, c.UseLine()) || c.Long == "" && !strings.Contains(help.out, c.Short) {
			t.Errorf("%s --help says\n%s", path, help.out)
		}
		if got := succeed(t, "127.0.0.1:1", "", append([]string{cobra.ShellCompNoDescRequestCmd}, append(args, "-")...)...); !strings.Contains(got.out, "--help\n") {
			t.Errorf("%s: its flags complete as %q", path, got.out)
		}
		for _, sub := range c.Commands() {
			visit(sub)
		}
	}
	visit(s.root())
}
