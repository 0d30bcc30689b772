package config

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/test/cost"
)

func TestStaticViewIsTyped(t *testing.T) {
	b := mustLoad(t).Broker
	if b.NodeID != 1 || b.NumPartitions != 1 || b.DefaultReplicationFactor != 1 || !b.AutoCreateTopics || !b.DeleteTopics || b.AdminListener != "127.0.0.1:9644" {
		t.Errorf("defaults of topics: %+v", b)
	}
	if b.GroupInitialRebalanceDelay != 3*time.Second || b.GroupMinSessionTimeout != 6*time.Second || b.GroupMaxSessionTimeout != 30*time.Minute || b.GroupMaxSize != math.MaxInt32 {
		t.Errorf("defaults of groups: %+v", b)
	}
	if b.OffsetsTopicPartitions != 50 || b.OffsetsTopicReplicationFactor != 0 || b.OffsetsRetention != 7*24*time.Hour || b.OffsetsCommitTimeout != 5*time.Second {
		t.Errorf("defaults of offsets: %+v", b)
	}
	if b.SocketRequestMaxBytes != 100<<20 || b.RequestMemoryBytes != 256<<20 || b.ConnectionsMaxIdle != 10*time.Minute || b.FetchSessionCacheSlots != 1000 {
		t.Errorf("defaults of connections: %+v", b)
	}
	b = mustLoad(t, "offsets.topic.replication.factor=3", "connections.max.idle.ms=-1", "queued.max.request.bytes=104857600", "socket.send.buffer.bytes=-1",
		"broker.rack=r1", "offsets.retention.minutes=2147483647", "log.retention.check.interval.ms=9223372036854775807").Broker
	if b.OffsetsTopicReplicationFactor != 3 || b.ConnectionsMaxIdle >= 0 || b.SocketSendBufferBytes != -1 || b.Rack != "r1" {
		t.Errorf("what was set: %+v", b)
	}
	if b.RequestMemoryBytes < 100<<20*5/3 {
		t.Errorf("a budget of %d cannot hold the largest request", b.RequestMemoryBytes)
	}
	if b.LogRetentionCheckInterval != math.MaxInt64 || b.OffsetsRetention != math.MaxInt64 {
		t.Errorf("the longest times: %v, %v", b.LogRetentionCheckInterval, b.OffsetsRetention)
	}
	if l, found := b.AdvertisedAt("PLAINTEXT"); !found || l.Address() != "localhost:9092" {
		t.Errorf("PLAINTEXT is advertised at %v, %v", l, found)
	}
	if _, found := b.AdvertisedAt("OTHER"); found {
		t.Error("a listener that does not exist is advertised")
	}
}

func TestTakenPortsAreAdvertised(t *testing.T) {
	s := mustLoad(t, "listeners=PLAINTEXT://127.0.0.1:0,OTHER://127.0.0.1:7", "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,OTHER:PLAINTEXT")
	b := s.Broker.WithPorts(map[string]int{"PLAINTEXT": 5000, "OTHER": 7})
	if names(b.Advertised) != "PLAINTEXT://127.0.0.1:5000,OTHER://127.0.0.1:7" || names(b.Listeners) != names(b.Advertised) {
		t.Errorf("%s, %s", names(b.Listeners), names(b.Advertised))
	}
	if s.Broker.Advertised[0].Port != 0 {
		t.Error("the original changed")
	}
}

func TestDynamicViewIsTyped(t *testing.T) {
	s := mustLoad(t, "max.connections=100", "listener.name.plaintext.max.connections=50", "max.connections.per.ip.overrides=127.0.0.1:5,::1:6, box:7")
	d := mustResolve(t, s, map[string]string{"max.connections": "90", "max.connection.creation.rate": "3", "listener.name.plaintext.max.connection.creation.rate": "2"},
		map[string]string{"max.connections": "80", "producer.id.expiration.ms": "1000", "ottla.durability": "cache"})
	if (d.Connections != ConnectionLimits{80, 3}) {
		t.Errorf("limits of the node: %+v", d.Connections)
	}
	if (d.ListenerConnections["PLAINTEXT"] != ConnectionLimits{50, 2}) || len(d.ListenerConnections) != 1 {
		t.Errorf("limits of listeners: %+v", d.ListenerConnections)
	}
	if d.ConnectionsPerIP["127.0.0.1"] != 5 || d.ConnectionsPerIP["::1"] != 6 || d.ConnectionsPerIP["box"] != 7 || d.MaxConnectionsPerIP != math.MaxInt32 {
		t.Errorf("limits of addresses: %+v", d.ConnectionsPerIP)
	}
	if d.ProducerIDExpiration != time.Second || d.Topic.Durability != Cache {
		t.Errorf("%v, %v", d.ProducerIDExpiration, d.Topic.Durability)
	}
	if same, err := d.TopicWith(nil); err != nil || same != d.Topic {
		t.Errorf("a topic without overrides has a configuration of its own: %v", err)
	}
}

func TestGroupViewIsTyped(t *testing.T) {
	d := mustResolve(t, mustLoad(t), nil, nil)
	g, err := ResolveGroup(d, map[string]string{"consumer.session.timeout.ms": "50000", "share.isolation.level": "read_committed", "streams.rack.aware.assignment.tags": "a, b", "nonsense": "1"})
	if err == nil || !strings.Contains(err.Error(), "nonsense") {
		t.Errorf("an unknown override is not named: %v", err)
	}
	if g.ConsumerSessionTimeout != 50*time.Second || g.ConsumerHeartbeatInterval != 5*time.Second || !g.ShareReadCommitted || !slices.Equal(g.StreamsRackAwareTags, []string{"a", "b"}) ||
		g.StreamsAssignor != "sticky" || g.ShareAutoOffsetReset != "latest" || !g.ShareRenewAcknowledge || g.ShareDeliveryCountLimit != 5 {
		t.Errorf("%+v", g)
	}
	// A bound that became narrower holds over what was set before.
	d = mustResolve(t, mustLoad(t, "group.consumer.max.session.timeout.ms=46000"), nil, nil)
	if g, err = ResolveGroup(d, map[string]string{"consumer.session.timeout.ms": "50000"}); err != nil || g.ConsumerSessionTimeout != 46*time.Second {
		t.Errorf("%v, %v", g.ConsumerSessionTimeout, err)
	}
}

// TestWrongOverridesStandBack: what an older or newer node stored must never stop this one.
func TestWrongOverridesStandBack(t *testing.T) {
	d, err := ResolveBroker(mustLoad(t), map[string]string{"message.max.bytes": "x", "num.partitions": "7", "log.retention.bytes": "5"}, map[string]string{"max.connections": "-1", "log.segment.bytes": "2097152"})
	if faults, ok := err.(Errors); !ok || len(faults) != 3 {
		t.Fatalf("faults: %v", err)
	}
	if d.Topic.MaxMessageBytes != 1048588 || d.Topic.RetentionBytes != 5 || d.Topic.SegmentBytes != 2<<20 || d.Connections.MaxConnections != math.MaxInt32 {
		t.Errorf("%+v %+v", d.Topic, d.Connections)
	}
	// Values that do not go together all stand back.
	d, err = ResolveBroker(mustLoad(t), map[string]string{"log.retention.ms": "0", "log.retention.bytes": "5"}, nil)
	if err == nil || d.Topic.RetentionMs != 604800000 || d.Topic.RetentionBytes != -1 {
		t.Errorf("%v: %+v", err, d.Topic)
	}
}

// TestSecretsStayInside loads every sensitive key and one nobody knows, and looks for the secret in everything the package tells.
func TestSecretsStayInside(t *testing.T) {
	const secret = "hunter2-hunter2"
	settings := []string{"some.plugin.password=" + secret, "listener.name.plaintext.ssl.keystore.password=" + secret}
	keys := 0
	for _, k := range Keys(BrokerResource) {
		if k.Sensitive() {
			keys++
			settings = append(settings, k.Name+"="+secret)
		}
	}
	if keys < 8 {
		t.Fatalf("only %d sensitive keys", keys)
	}
	s := mustLoad(t, settings...)
	d := mustResolve(t, s, map[string]string{"other.plugin.password": secret}, nil)
	var told bytes.Buffer
	if err := s.WriteSample(&told); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(&told, s, s.Warnings, s.Ignored)
	for _, e := range slices.Concat(DescribeBroker(d), DescribeClusterDefault(d)) {
		fmt.Fprintln(&told, e.Name, shown(e.Value))
		for _, synonym := range e.Synonyms {
			fmt.Fprintln(&told, shown(synonym.Value))
		}
	}
	for _, name := range []string{"ssl.keystore.password", "listener.name.plaintext.ssl.keystore.password", "delegation.token.secret.key"} {
		fmt.Fprintln(&told, ValidateBroker(name, secret, true))
	}
	if strings.Contains(told.String(), secret) {
		at := strings.Index(told.String(), secret)
		t.Errorf("a secret is told: …%s", told.String()[max(0, at-100):at+len(secret)])
	}
}

func TestSampleIsReadBack(t *testing.T) {
	s := mustLoad(t, "num.partitions=7", `broker.rack= a\b`, "listeners=PLAINTEXT://127.0.0.1:0", "node.id=3")
	var sample bytes.Buffer
	if err := s.WriteSample(&sample); err != nil {
		t.Fatal(err)
	}
	golden(t, "testdata/sample.properties", sample.String())
	settings, err := ParseProperties(&sample, "sample")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Load(Options{}, settings)
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%+v", again.Broker); got != fmt.Sprintf("%+v", s.Broker) {
		t.Errorf("the sample is read as\n%s, not\n%+v", got, s.Broker)
	}
	// Uncommented, every line of the sample is a good setting.
	text := strings.ReplaceAll("\n"+sampleOf(t, mustLoad(t)), "\n#", "\n")
	var lines []string
	for line := range strings.Lines(text) {
		if key, _, found := strings.Cut(line, "="); found && Lookup(BrokerResource, key) != nil && !strings.HasSuffix(line, "=\n") {
			lines = append(lines, line)
		}
	}
	if len(lines) < 50 {
		t.Fatalf("only %d settings in the sample", len(lines))
	}
	if settings, err = ParseProperties(strings.NewReader(strings.Join(lines, "")), "sample"); err != nil {
		t.Fatal(err)
	}
	settings = slices.DeleteFunc(settings, func(s Setting) bool {
		return s.Key == "controller.listener.names" || s.Key == "security.inter.broker.protocol"
	})
	if s, err = Load(Options{}, settings); err != nil || len(s.Warnings) > 0 {
		t.Errorf("the defaults are not good settings: %v %v", err, s)
	}
}

func sampleOf(t *testing.T, s *Static) string {
	t.Helper()
	var b strings.Builder
	if err := s.WriteSample(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestLaterListsWin(t *testing.T) {
	file := []Setting{{"num.partitions", "2", "f:1"}, {"node.id", "5", "f:2"}}
	env := []Setting{{"num.partitions", "3", "environment"}}
	override := []Setting{{"num.partitions", "4", "--override"}}
	s, err := Load(Options{}, file, env, override)
	if err != nil || s.Broker.NumPartitions != 4 || s.Broker.NodeID != 5 {
		t.Errorf("%v: %+v", err, s)
	}
	if _, err := Load(Options{}, file, []Setting{{"num.partitions", "0", "environment KAFKA_NUM_PARTITIONS"}}); err == nil || !strings.HasPrefix(err.Error(), "environment KAFKA_NUM_PARTITIONS: ") {
		t.Errorf("the place of the bad value is not named: %v", err)
	}
}

// TestStrangersInTheEnvironment: Kubernetes puts variables there that look like settings.
func TestStrangersInTheEnvironment(t *testing.T) {
	s, err := Load(Options{}, ParseEnvironment([]string{"OTTLA_SERVICE_HOST=10.0.0.1", "KAFKA_PORT=tcp://10.0.0.2:9092", "OTTLA_DURABILITY=cache"}))
	if err != nil || len(s.Warnings) != 2 {
		t.Fatalf("%v: %v", err, s)
	}
	if d := mustResolve(t, s, nil, nil); d.Topic.Durability != Cache {
		t.Error("OTTLA_DURABILITY did not count")
	}
}

func TestOverrideArguments(t *testing.T) {
	got, err := ParseOverrides([]string{"a=1", "b=x=y", " c = "})
	if err != nil || list(got) != "--override: \"a\" = \"1\"\n--override: \"b\" = \"x=y\"\n--override: \"c\" = \" \"\n" {
		t.Errorf("%v %v", got, err)
	}
	for _, bad := range []string{"a", "=1", ""} {
		if _, err := ParseOverrides([]string{bad}); err == nil {
			t.Errorf("--override %q is taken", bad)
		}
	}
}

func TestDoublesAreWrittenAsJavaDoes(t *testing.T) {
	for f, want := range map[float64]string{0.5: "0.5", 1: "1.0", 0: "0.0", 15000: "15000.0", 1e7: "1.0E7", 1.7976931348623157e308: "1.7976931348623157E308",
		0.001: "0.001", 0.0001: "1.0E-4", -12345678.9: "-1.23456789E7", math.Inf(1): "Infinity", math.Inf(-1): "-Infinity"} {
		if got := formatDouble(f); got != want {
			t.Errorf("%v is written %s, want %s", f, got, want)
		}
	}
}

// TestPropertiesKeepWhatTheyMean: any value, escaped, is read back as it was.
func TestPropertiesKeepWhatTheyMean(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOf(rapid.SampledFrom([]rune(" \t\n\r\f\\=:#!aé😀"))).Draw(t, "value")
		settings, err := ParseProperties(strings.NewReader("before=1\nkey="+escape(value)+"\nafter=2\n"), "f")
		if err != nil || len(settings) != 3 || settings[1].Value != value {
			t.Fatalf("%q is read as %+v, %v", value, settings, err)
		}
	})
}

func TestPropertiesAreBounded(t *testing.T) {
	if _, err := ParseProperties(strings.NewReader(strings.Repeat("a=1\n", maxPropertiesBytes/4+1)), "f"); err == nil {
		t.Error("a file beyond the bound is read")
	}
	settings, err := ParseProperties(strings.NewReader("\ufeffa=1\r\nb=2\rc=3  "), "f")
	if err != nil || list(settings) != "f:1: \"a\" = \"1\"\nf:2: \"b\" = \"2\"\nf:3: \"c\" = \"3  \"\n" {
		t.Errorf("%v %v", settings, err)
	}
}

// TestListOperationsAreIdempotent: appending or subtracting twice is as once, and what was appended is there.
func TestListOperationsAreIdempotent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.SliceOf(rapid.SampledFrom([]string{"compact", "delete", "x"}))
		text := func(name string) *string { return new(strings.Join(words.Draw(t, name), ",")) }
		current := map[string]string{"cleanup.policy": *text("current")}
		for _, kind := range []OpKind{Append, Subtract} {
			op := Op{Kind: kind, Key: "cleanup.policy", Value: text(kind.String())}
			once, err := ApplyOps(TopicResource, current, []Op{op})
			if err != nil {
				t.Fatal(err)
			}
			twice, err := ApplyOps(TopicResource, once, []Op{op})
			if err != nil {
				t.Fatal(err)
			}
			if once["cleanup.policy"] != twice["cleanup.policy"] {
				t.Fatalf("%s %s: %q, then %q", kind, *op.Value, once["cleanup.policy"], twice["cleanup.policy"])
			}
			for _, word := range splitList(*op.Value) {
				if slices.Contains(splitList(once["cleanup.policy"]), word) != (kind == Append) {
					t.Fatalf("%s %s gives %q", kind, *op.Value, once["cleanup.policy"])
				}
			}
		}
	})
}

func FuzzParseProperties(f *testing.F) {
	for _, seed := range []string{"a=1", "a\\\n b=c", "\\u0041=\\ud83d", "#\n!\n=", "a:\\", "k\\ k\tv"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var settings []Setting
		var err error
		cost.Within(t, cost.Parsing(len(text)), func() { settings, err = ParseProperties(strings.NewReader(text), "f") })
		if err != nil {
			return
		}
		if len(settings) > strings.Count(text, "\n")+strings.Count(text, "\r")+1 {
			t.Fatalf("%d settings in %q", len(settings), text)
		}
		if _, err := Load(Options{Hostname: func() (string, error) { return "h", nil }}, settings); err != nil && err.Error() == "" {
			t.Fatal("an error without words")
		}
	})
}

func FuzzListeners(f *testing.F) {
	f.Add("PLAINTEXT://:9092", "PLAINTEXT:PLAINTEXT")
	f.Add("A://[::1]:1,B://h:0", "A:PLAINTEXT,B:SSL")
	f.Fuzz(func(t *testing.T, listeners, protocols string) {
		var s *Static
		var err error
		limit := cost.Parsing(len(listeners) + len(protocols))
		limit.Bytes += 1 << 20 // of all other settings
		cost.Within(t, limit, func() {
			s, err = Load(Options{Hostname: func() (string, error) { return "h", nil }}, []Setting{{"listeners", listeners, "f"}, {"listener.security.protocol.map", protocols, "f"}})
		})
		if err != nil {
			return
		}
		for _, l := range append(s.Broker.Listeners, s.Broker.Advertised...) {
			if l.Protocol != "PLAINTEXT" || l.Port < 0 || l.Port > 65535 {
				t.Fatalf("%q with %q gives %+v", listeners, protocols, l)
			}
			if again, problem := parseListener(l.String()); problem != "" || again.Address() != l.Address() {
				t.Fatalf("%s is read back as %v, %s", l, again, problem)
			}
		}
		for _, l := range s.Broker.Advertised {
			if wildcard(l.Host) {
				t.Fatalf("%q advertises %s", listeners, l)
			}
		}
	})
}

// TestRetentionSpellings: milliseconds go before minutes, and those before hours, wherever they were set; a topic's own setting goes before all.
func TestRetentionSpellings(t *testing.T) {
	const hour, minute = 3_600_000, 60_000
	for name, test := range map[string]struct {
		static                   []string
		cluster, topic           map[string]string
		retention, roll, jitters int64
	}{
		"nothing is set":                  {nil, nil, nil, 168 * hour, 168 * hour, 0},
		"hours":                           {[]string{"log.retention.hours=2", "log.roll.hours=3", "log.roll.jitter.hours=1"}, nil, nil, 2 * hour, 3 * hour, hour},
		"minutes before hours":            {[]string{"log.retention.hours=2", "log.retention.minutes=5"}, nil, nil, 5 * minute, 168 * hour, 0},
		"milliseconds before both":        {[]string{"log.retention.hours=2", "log.retention.minutes=5", "log.retention.ms=7000", "log.roll.hours=3", "log.roll.ms=8000", "log.roll.jitter.hours=1", "log.roll.jitter.ms=9"}, nil, nil, 7000, 8000, 9},
		"any negative number is for ever": {[]string{"log.retention.hours=-5"}, nil, nil, -1, 168 * hour, 0},
		"negative minutes before hours":   {[]string{"log.retention.hours=2", "log.retention.minutes=-1"}, nil, nil, -1, 168 * hour, 0},
		"the cluster's before the file's": {[]string{"log.retention.hours=2", "log.retention.ms=7000"}, map[string]string{"log.retention.ms": "9000", "log.roll.ms": "4000"}, nil, 9000, 4000, 0},
		"the topic's before all":          {[]string{"log.retention.ms=7000"}, map[string]string{"log.retention.ms": "9000"}, map[string]string{"retention.ms": "-1", "segment.ms": "5", "segment.jitter.ms": "3"}, -1, 5, 3},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := ResolveBroker(mustLoad(t, test.static...), test.cluster, nil)
			if err != nil {
				t.Fatal(err)
			}
			topic, err := d.TopicWith(test.topic)
			if err != nil {
				t.Fatal(err)
			}
			if topic.RetentionMs != test.retention || topic.SegmentMs != test.roll || topic.SegmentJitterMs != test.jitters {
				t.Errorf("retention.ms %d, segment.ms %d, segment.jitter.ms %d, want %d, %d, %d", topic.RetentionMs, topic.SegmentMs, topic.SegmentJitterMs, test.retention, test.roll, test.jitters)
			}
		})
	}
}
