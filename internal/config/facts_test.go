package config

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fact is one line of testdata/kafka-4.4.txt.
type fact struct {
	resource, name, typ, value, mode, limits string
	secret                                   bool
	synonyms                                 []string
}

func facts(t *testing.T) []fact {
	t.Helper()
	data, err := os.ReadFile("testdata/kafka-4.4.txt")
	if err != nil {
		t.Fatal(err)
	}
	var out []fact
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 8 {
			t.Fatalf("fact with %d fields: %q", len(f), line)
		}
		out = append(out, fact{f[0], f[1], f[2], f[3], f[4], f[6], f[5] == "secret", strings.Fields(f[7])})
	}
	if len(out) != 411 {
		t.Fatalf("%d facts, want 411", len(out))
	}
	return out
}

// differs are the keys in which Ottla means to differ from Kafka, with the field and the reason.
var differs = map[string]map[string]string{
	"node.id":                        {"value": "Ottla starts without configuration", "synonyms": "it has a default"},
	"broker.id":                      {"value": "it follows node.id"},
	"process.roles":                  {"value": "Ottla starts without configuration", "synonyms": "it has a default"},
	"controller.listener.names":      {"value": "Ottla starts without configuration", "synonyms": "it has a default"},
	"listeners":                      {"value": "unconfigured, Ottla binds loopback only", "mode": "this build binds at start only"},
	"listener.security.protocol.map": {"mode": "this build binds at start only"},
	"log.dir":                        {"value": "data does not belong into /tmp"},
}

func mustLoad(t *testing.T, settings ...string) *Static {
	t.Helper()
	list, err := ParseOverrides(settings)
	if err != nil {
		t.Fatal(err)
	}
	s, err := Load(Options{Hostname: func() (string, error) { return "box.example", nil }}, list)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func mustResolve(t *testing.T, s *Static, cluster, broker map[string]string) *Dynamic {
	t.Helper()
	d, err := ResolveBroker(s, cluster, broker)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func shown(value *string) string {
	if value == nil {
		return "null"
	}
	return *value
}

func TestEveryKeyIsShownAsKafkaShowsIt(t *testing.T) {
	d := mustResolve(t, mustLoad(t), nil, nil)
	described := map[string][]Entry{
		"topic": DescribeTopic(d, nil), "broker": DescribeBroker(d), "group": DescribeGroup(d, nil), "client-metrics": DescribeClientMetrics(nil),
	}
	used := map[string]bool{}
	for _, want := range facts(t) {
		check := func(field, got, expected string) {
			if got == expected {
				return
			}
			if why := differs[want.name][field]; want.resource == "broker" && why != "" {
				used[want.name+" "+field] = true
				return
			}
			t.Errorf("%s %s: %s is %q, Kafka's is %q", want.resource, want.name, field, got, expected)
		}
		at := slices.IndexFunc(described[want.resource], func(e Entry) bool { return e.Name == want.name })
		if at < 0 {
			t.Errorf("%s %s is not shown", want.resource, want.name)
			continue
		}
		e := described[want.resource][at]
		described[want.resource] = slices.Delete(described[want.resource], at, at+1)
		check("type", e.Type.String(), want.typ)
		check("value", shown(e.Value), want.value)
		check("secret", strconv.FormatBool(e.Sensitive), strconv.FormatBool(want.secret))
		check("mode", strconv.FormatBool(e.ReadOnly), strconv.FormatBool(want.mode == "read-only"))
		var synonyms []string
		for _, s := range e.Synonyms {
			synonyms = append(synonyms, s.Name)
			if s.Source != FromDefault {
				t.Errorf("%s %s: synonym %s has source %d, want default", want.resource, want.name, s.Name, s.Source)
			}
		}
		check("synonyms", strings.Join(synonyms, " "), strings.Join(want.synonyms, " "))
		if e.Source != FromDefault {
			t.Errorf("%s %s has source %d, want default", want.resource, want.name, e.Source)
		}
		if want.resource == "broker" {
			check("mode", Lookup(BrokerResource, want.name).Mode.String(), want.mode)
		}
	}
	for resource, rest := range described {
		for _, e := range rest {
			if !strings.HasPrefix(e.Name, "ottla.") {
				t.Errorf("%s %s is shown, but Kafka has no such key", resource, e.Name)
			}
		}
	}
	for name, fields := range differs {
		for field := range fields {
			if !used[name+" "+field] {
				t.Errorf("%s no longer differs in its %s: take it off the list", name, field)
			}
		}
	}
}

var rangePattern = regexp.MustCompile(`^\[(-?[\d.]+),\.\.\.(?:,(-?[\d.]+))?\]$`)

func TestEveryRangeIsKafkas(t *testing.T) {
	resources := map[string]Resource{"topic": TopicResource, "broker": BrokerResource, "group": GroupResource, "client-metrics": ClientMetricsResource}
	ranges := 0
	for _, want := range facts(t) {
		if want.limits == "-" {
			continue
		}
		k := Lookup(resources[want.resource], want.name)
		limits := rangePattern.FindStringSubmatch(want.limits)
		if k.Type == Double {
			continue // two keys, tested by hand below
		}
		ranges++
		for i, step := range []int64{-1, 1} {
			if limits[i+1] == "" {
				continue
			}
			edge, err := strconv.ParseInt(limits[i+1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := k.Check(strconv.FormatInt(edge, 10)); err != nil {
				t.Errorf("%s refuses %d, which Kafka takes: %v", k.Name, edge, err)
			}
			if _, err := k.Check(strconv.FormatInt(edge+step, 10)); err == nil {
				t.Errorf("%s takes %d, which Kafka refuses", k.Name, edge+step)
			}
		}
	}
	if ranges < 150 {
		t.Fatalf("only %d ranges were compared", ranges)
	}
	ratio := Lookup(TopicResource, "min.cleanable.dirty.ratio")
	for text, ok := range map[string]bool{"0": true, "1": true, "-0.1": false, "1.01": false, "NaN": false} {
		if _, err := ratio.Check(text); (err == nil) != ok {
			t.Errorf("%s=%s: %v", ratio.Name, text, err)
		}
	}
}
