package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
)

type maskRule struct {
	pattern *regexp.Regexp
	with    string
}

// maskRules take out of a tool's output what differs between two runs of the same broker.
var maskRules = []maskRule{
	{regexp.MustCompile(`\b127\.0\.0\.1[: ]\d+`), "ADDRESS"},
	{regexp.MustCompile(`\bEpoch: \d+`), "Epoch: N"},
	{regexp.MustCompile(`\b(producerId|crc): \d+`), "$1: N"},
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b(console-consumer|consumer-perf|perf-consumer|groupid|EndToEndLatencyGroupId)-?\d+\b`), "$1-N"},
	{regexp.MustCompile(`(TopicId: |Cluster ID: |ClusterId: +|DirectoryId: |directoryId"?: ?"?|topicId"?: ?"?)[A-Za-z0-9_-]{22}`), "${1}ID"},
	{regexp.MustCompile(`\b1[5-9]\d{11}\b`), "TIME"},
	{regexp.MustCompile(`\b\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d([,.:]\d+)?`), "DATE"},
	{regexp.MustCompile(`(?m)[ \t]+$`), ""},
	{regexp.MustCompile(`(?m)^\s+at [\w.$/<>@]+\(.*\)\n|^\s+\.\.\. \d+ more\n`), ""}, // frames of the tool's own stack
	{regexp.MustCompile(`(?m)^exit \d\n^Tools\$Exited: exit \d\n`), ""},              // of the runner
	{regexp.MustCompile(`(?m)^\d+ records sent, .* ms max latency\.\n`), ""},         // said every five seconds: a slow run has such lines; the last one goes on behind the maximum
	{regexp.MustCompile(`(?m)^\[stderr\]\n?\z`), ""},
}

var (
	number    = regexp.MustCompile(`-?\b\d+(\.\d+)?\b|\bNaN\b`)
	blanks    = regexp.MustCompile(`[ \t]+`)
	sizes     = regexp.MustCompile(`\b(size|position): \d+`)
	logSize   = regexp.MustCompile(`\.size [1-9]\d*`)
	uuidShape = regexp.MustCompile(`\b[A-Za-z0-9_-]{22}\b`)
)

// masked is what is compared: exit code, then both outputs.
func masked(o toolOutput, c toolCase, n *Node) string {
	text := o.stdout
	if o.stderr != "" {
		text += "\n[stderr]\n" + o.stderr
	}
	text = strings.ReplaceAll(text, n.DataDir, "DATA")
	text = strings.ReplaceAll(text, n.Dir, "DIR")
	for _, r := range maskRules {
		text = r.pattern.ReplaceAllString(text, r.with)
	}
	switch c.mask {
	case "numbers", "numbers sorted":
		text = blanks.ReplaceAllString(number.ReplaceAllString(uuidShape.ReplaceAllString(text, "ID"), "N"), " ")
	case "sizes": // a time's distance to the batch's first takes one byte or two
		text = sizes.ReplaceAllString(text, "$1: N")
	case "json":
		text = logSize.ReplaceAllString(sortedJSON(text), ".size N")
	case "records":
		text = recordTypes(text)
	}
	// Tools pad their columns to the widest value, and an address or a generated name is one.
	if strings.Contains(text, "ADDRESS") || strings.Contains(text, "UUID") || strings.Contains(text, "console-consumer-N") {
		text = blanks.ReplaceAllString(text, " ")
	}
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if strings.Contains(c.mask, "sorted") {
		slices.Sort(lines)
	}
	return strings.TrimRight("exit "+o.exit+"\n"+strings.Join(lines, "\n"), "\n") + "\n"
}

// sortedJSON spreads a line of JSON over lines in an order of its own: the tools print maps as they come.
func sortedJSON(text string) string {
	var out []string
	for line := range strings.Lines(text) {
		var v any
		if err := json.Unmarshal([]byte(line), &v); err != nil {
			out = append(out, strings.TrimRight(line, "\n"))
			continue
		}
		var leaves []string
		flatten("", v, &leaves)
		slices.Sort(leaves)
		out = append(out, leaves...)
	}
	return strings.Join(out, "\n")
}

func flatten(path string, v any, out *[]string) {
	switch v := v.(type) {
	case map[string]any:
		if name, ok := v["partition"].(string); ok {
			path += "[" + name + "]"
		}
		for k, each := range v {
			flatten(path+"."+k, each, out)
		}
	case []any:
		for _, each := range v {
			flatten(path, each, out)
		}
	default:
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte(err.Error())
		}
		*out = append(*out, path+" "+string(text))
	}
}

var recordType = regexp.MustCompile(`payload: \{"type":"(\w+)","version":(\d+)`)

// recordTypes keeps of a dumped metadata log which types and versions it holds; how many of each is each broker's own affair.
func recordTypes(text string) string {
	var types []string
	for _, m := range recordType.FindAllStringSubmatch(text, -1) {
		types = append(types, m[1]+" v"+m[2])
	}
	slices.Sort(types)
	return strings.Join(slices.Compact(types), "\n")
}
