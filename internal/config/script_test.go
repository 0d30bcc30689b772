package config

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// TestScripts runs testdata/scripts: what a user wrote, and what Ottla makes of it or says about it.
func TestScripts(t *testing.T) {
	datadriven.Walk(t, "testdata/scripts", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			switch d.Cmd {
			case "properties":
				return scriptProperties(d)
			case "environment":
				return list(ParseEnvironment(strings.Split(d.Input, "\n")))
			case "load":
				return scriptLoad(d)
			case "alter":
				return scriptAlter(t, d)
			case "describe":
				return scriptDescribe(t, d)
			case "resolve":
				return scriptResolve(t, d)
			}
			t.Fatalf("%s: unknown command %s", d.Pos, d.Cmd)
			return ""
		})
	})
}

func list(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "%s: %q = %q\n", s.Origin, s.Key, s.Value)
	}
	return b.String()
}

func scriptProperties(d *datadriven.TestData) string {
	settings, err := ParseProperties(strings.NewReader(d.Input), "f")
	if err != nil {
		return err.Error() + "\n"
	}
	return list(settings)
}

// scriptLoad loads the input as a file; the argument override=(k=v,…) comes after it.
func scriptLoad(d *datadriven.TestData) string {
	settings, err := ParseProperties(strings.NewReader(d.Input), "server.properties")
	if err != nil {
		return err.Error() + "\n"
	}
	hostname := func() (string, error) { return "box.example", nil }
	if d.HasArg("nameless") {
		hostname = func() (string, error) { return "", errors.New("no name") }
	}
	s, err := Load(Options{Hostname: hostname}, settings)
	if err != nil {
		return err.Error() + "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "node %d  data %s  metadata %s\n", s.Broker.NodeID, strings.Join(s.Broker.LogDirs, ","), s.Broker.MetadataLogDir)
	show := func(title string, listeners []Listener) {
		for _, l := range listeners {
			fmt.Fprintf(&b, "%s %s (%s)", title, l, l.Protocol)
			if l.Optional {
				b.WriteString(" if the machine has it")
			}
			b.WriteByte('\n')
		}
	}
	show("bind", s.Broker.Listeners)
	show("advertise", s.Broker.Advertised)
	show("controller", s.Broker.AdvertisedControllers)
	for _, w := range s.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	if len(s.Ignored) > 0 {
		fmt.Fprintf(&b, "without effect: %s\n", strings.Join(s.Ignored, " "))
	}
	return b.String()
}

var opKinds = map[string]OpKind{"set": Set, "delete": Delete, "append": Append, "subtract": Subtract}

var scriptResources = map[string]Resource{"topic": TopicResource, "broker": BrokerResource, "cluster": BrokerResource, "group": GroupResource, "client-metrics": ClientMetricsResource}

// scriptAlter applies operations, one a line, to the overrides after "have" and shows what results: alter topic have=(k=v).
func scriptAlter(t *testing.T, d *datadriven.TestData) string {
	kind := d.CmdArgs[0].Key
	var ops []Op
	for line := range strings.Lines(d.Input) {
		op, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		key, value, found := strings.Cut(rest, "=")
		o := Op{Kind: opKinds[op], Key: key}
		if found {
			o.Value = &value
		}
		ops = append(ops, o)
	}
	next, err := ApplyOps(scriptResources[kind], overridesArg(d, "have"), ops)
	if err == nil {
		static := mustLoad(t)
		dynamic := mustResolve(t, static, nil, nil)
		switch kind {
		case "topic":
			err = ValidateTopicOverrides(dynamic, next)
		case "broker":
			err = ValidateBrokerOverrides(static, nil, next, true)
		case "cluster":
			err = ValidateBrokerOverrides(static, next, nil, false)
		case "group":
			err = ValidateGroupOverrides(dynamic, next)
		case "client-metrics":
			err = ValidateClientMetricsOverrides(next)
		}
	}
	if err != nil {
		refused, ok := errors.AsType[*Error](err)
		if !ok {
			t.Fatalf("%s: %v is no *Error", d.Pos, err)
		}
		code := "INVALID_CONFIG"
		if refused.Request {
			code = "INVALID_REQUEST"
		}
		return code + ": " + err.Error() + "\n"
	}
	var b strings.Builder
	for _, k := range sortedKeys(next) {
		fmt.Fprintf(&b, "%s=%s\n", k, next[k])
	}
	if len(next) == 0 {
		return "nothing\n"
	}
	return b.String()
}

// overridesArg reads an argument name=(k=v,k=v); + stands for a comma within a value.
func overridesArg(d *datadriven.TestData, name string) map[string]string {
	out := map[string]string{}
	for _, arg := range d.CmdArgs {
		if arg.Key != name {
			continue
		}
		for _, pair := range arg.Vals {
			key, value, _ := strings.Cut(pair, "=")
			out[key] = strings.ReplaceAll(value, "+", ",")
		}
	}
	return out
}

// scriptDescribe shows the keys named in the input, one a line: describe topic static=(…) cluster=(…) broker=(…) own=(…).
func scriptDescribe(t *testing.T, d *datadriven.TestData) string {
	var settings []string
	for k, v := range overridesArg(d, "static") {
		settings = append(settings, k+"="+v)
	}
	dynamic := mustResolve(t, mustLoad(t, settings...), overridesArg(d, "cluster"), overridesArg(d, "broker"))
	own := overridesArg(d, "own")
	var entries []Entry
	switch d.CmdArgs[0].Key {
	case "topic":
		entries = DescribeTopic(dynamic, own)
	case "broker":
		entries = DescribeBroker(dynamic)
	case "cluster":
		entries = DescribeClusterDefault(dynamic)
	case "group":
		entries = DescribeGroup(dynamic, own)
	case "client-metrics":
		entries = DescribeClientMetrics(own)
	case "loggers":
		entries = DescribeLoggers(own)
	}
	var b strings.Builder
	for _, e := range entries {
		if d.Input != "" && !strings.Contains("\n"+d.Input+"\n", "\n"+e.Name+"\n") {
			continue
		}
		fmt.Fprintf(&b, "%s=%s source %d %s", e.Name, shown(e.Value), e.Source, e.Type)
		if e.ReadOnly {
			b.WriteString(" read-only")
		}
		if e.Sensitive {
			b.WriteString(" sensitive")
		}
		for _, s := range e.Synonyms {
			fmt.Fprintf(&b, "\n  %s=%s source %d", s.Name, shown(s.Value), s.Source)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// scriptResolve shows the typed topic: resolve static=(…) cluster=(…) broker=(…) own=(…). Its input names the fields to show.
func scriptResolve(t *testing.T, d *datadriven.TestData) string {
	var settings []string
	for k, v := range overridesArg(d, "static") {
		settings = append(settings, k+"="+v)
	}
	topic, err := ResolveTopic(mustLoad(t, settings...), overridesArg(d, "cluster"), overridesArg(d, "broker"), overridesArg(d, "own"))
	var b strings.Builder
	for _, field := range strings.Split(strings.Trim(fmt.Sprintf("%+v", *topic), "{}"), " ") {
		name, _, _ := strings.Cut(field, ":")
		if strings.Contains(" "+d.Input+" ", " "+name+" ") {
			b.WriteString(field + "\n")
		}
	}
	if err != nil {
		fmt.Fprintf(&b, "skipped: %v\n", err)
	}
	return b.String()
}
