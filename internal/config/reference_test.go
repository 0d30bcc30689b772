package config

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// rewriting reports whether expected files are to be written anew; datadriven defines the flag.
func rewriting() bool { return flag.Lookup("rewrite").Value.String() == "true" }

const referencePage = "../../docs/configs.md"

// TestReferencePage proves that docs/configs.md is what the tables say; go generate writes it anew.
func TestReferencePage(t *testing.T) {
	golden(t, referencePage, reference())
}

func golden(t *testing.T, path, got string) {
	t.Helper()
	if rewriting() {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got == string(want) {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for i, line := range gotLines {
		if i >= len(wantLines) || line != wantLines[i] {
			t.Fatalf("%s is not up to date from line %d on; run go generate ./internal/config and look at the difference\n got: %s", path, i+1, line)
		}
	}
	t.Fatalf("%s has lines too many from line %d on; run go generate ./internal/config", path, len(gotLines))
}

const referenceHead = `# Configuration

<!-- Written by go generate ./internal/config from the tables in that package. Change the tables, not this page. -->

Ottla takes Kafka's configuration: the names, types, defaults and meanings of Apache Kafka 4.4, from a ` + "`.properties`" + ` file, from the environment and
from ` + "`--override key=value`" + `, each winning over the one before. With none of them it starts one durable node on the loopback addresses.

In the environment ` + "`KAFKA_LOG_DIRS`" + ` is ` + "`log.dirs`" + ` and ` + "`OTTLA_DURABILITY`" + ` is ` + "`ottla.durability`" + `, as in Kafka's images: one underscore stands for a dot, two for a
dash, three for an underscore.

* A key that nobody knows is named in a warning; a bad value stops the start, with the key, the value and what is allowed, for all of them at once.
* A key that asks for a protection this build lacks stops the start too: an SSL or SASL listener, an authorizer, a policy or quota class; setting one
  later, on the running node, is refused. Nothing is ever served with less protection than was asked for.
* "read-only" keys are read at start. "per-broker" keys change while the node runs, on one broker; "cluster-wide" ones on one broker or as the default
  of all (` + "`kafka-configs`, `ottla config`" + `). A broker's own override wins over the cluster's, that over the file, that over the default; a topic's or
  group's own wins over all.
* A key that acts does what its line says. Every other key is checked, stored and shown like Kafka's, and stands at the end of its chapter under the
  reason for which it has no effect in this build.

`

// chapters are the resources in the order of the page.
var chapters = []struct {
	title    string
	resource Resource
}{{"Broker keys", BrokerResource}, {"Topic keys", TopicResource}, {"Group keys", GroupResource}, {"Client metrics keys", ClientMetricsResource}}

func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	b.WriteString("## Where Ottla differs from Kafka on purpose\n\n| key | difference | why |\n| --- | --- | --- |\n")
	for _, name := range sortedKeys(differs) {
		for _, field := range sortedKeys(differs[name]) {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", name, differences[field], differs[name][field])
		}
	}
	b.WriteByte('\n')
	for _, chapter := range chapters {
		fmt.Fprintf(&b, "## %s\n\n", chapter.title)
		for _, a := range areas {
			if a.resource == chapter.resource {
				writeArea(&b, a)
			}
		}
		writeWithout(&b, chapter.resource)
	}
	b.WriteString("## Broker loggers\n\nThe resource BROKER_LOGGER has one key for each logger and `root` for the rest; its values are " +
		strings.Join(LogLevels, ", ") + ". Levels change at once and are not stored; deleting one returns it to `root`.\n")
	return b.String()
}

var differences = map[string]string{"value": "other default", "synonyms": "DescribeConfigs lists the default among its synonyms", "mode": "read-only"}

func writeArea(b *strings.Builder, a area) {
	acting := slices.DeleteFunc(slices.Clone(Keys(a.resource)), func(k *Key) bool { return k.Area != a.title || !k.Effect.Acts() })
	if len(acting) == 0 {
		return
	}
	fmt.Fprintf(b, "### %s\n\n| key | type | default | changes | what it does |\n| --- | --- | --- | --- | --- |\n", a.title)
	for _, k := range acting {
		changes := k.Mode.String()
		if k.Resource != BrokerResource {
			changes = "live"
		}
		doc := k.Doc
		if len(k.Synonyms) > 0 && k.Resource != BrokerResource {
			doc += " Broker key: " + code(k.Synonyms...) + "."
		}
		if k.rule != nil {
			doc += " Allowed: " + k.Allowed() + "."
		}
		fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Type, defaultCell(k), changes, doc)
	}
	b.WriteByte('\n')
}

// writeWithout lists a resource's keys without effect under their reasons.
func writeWithout(b *strings.Builder, resource Resource) {
	byReason := map[string][]*Key{}
	for _, k := range Keys(resource) {
		if !k.Effect.Acts() {
			byReason[k.Effect.Reason()] = append(byReason[k.Effect.Reason()], k)
		}
	}
	if len(byReason) == 0 {
		return
	}
	b.WriteString("### Without effect in this build\n\n")
	for _, reason := range sortedKeys(byReason) {
		fmt.Fprintf(b, "**%s.**\n\n| key | type | default | changes | what it means |\n| --- | --- | --- | --- | --- |\n", strings.ToUpper(reason[:1])+reason[1:])
		for _, k := range byReason[reason] {
			changes := k.Mode.String()
			if k.Resource != BrokerResource {
				changes = "live"
			}
			fmt.Fprintf(b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Type, defaultCell(k), changes, k.Doc)
		}
		b.WriteByte('\n')
	}
}

func defaultCell(k *Key) string {
	fallback, ok := k.Default()
	switch {
	case !ok:
		return "none"
	case fallback == "":
		return "empty"
	}
	return "`" + fallback + "`"
}

func code(names ...string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = "`" + name + "`"
	}
	return strings.Join(quoted, ", ")
}

func TestEveryKeyIsHonest(t *testing.T) {
	for _, resource := range []Resource{TopicResource, BrokerResource, GroupResource, ClientMetricsResource} {
		for _, k := range Keys(resource) {
			if !strings.HasSuffix(k.Doc, ".") || len(k.Doc) < 20 {
				t.Errorf("%s %s: documentation %q is no sentence", resource, k.Name, k.Doc)
			}
			if fallback, ok := k.Default(); ok {
				canonical, err := k.Check(fallback)
				if err != nil {
					t.Errorf("%s %s: its default is refused: %v", resource, k.Name, err)
				} else if canonical != fallback {
					t.Errorf("%s %s: its default %q is spelled %q", resource, k.Name, fallback, canonical)
				}
			}
			if !k.Effect.Acts() && len(k.Effect.Reason()) < 20 {
				t.Errorf("%s %s has no effect and no reason: %q", resource, k.Name, k.Effect.Reason())
			}
			if k.Allowed() == "" {
				t.Errorf("%s %s does not say what it allows", resource, k.Name)
			}
			for _, synonym := range k.Synonyms {
				if Lookup(BrokerResource, synonym) == nil {
					t.Errorf("%s %s: its synonym %s is no broker key", resource, k.Name, synonym)
				}
			}
		}
	}
}

// TestEveryActingKeyIsRead: a key that claims to act must be read by one of the typed views, by itself or as the default of a topic key that is.
func TestEveryActingKeyIsRead(t *testing.T) {
	var source strings.Builder
	for _, name := range []string{"broker.go", "addresses.go", "dynamic.go", "topic.go", "group.go", "reader.go", "load.go"} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	read := func(name string) bool { return strings.Contains(source.String(), `"`+name+`"`) }
	behind := map[string]bool{}
	for _, k := range Keys(TopicResource) {
		if k.Effect.Acts() != read(k.Name) {
			t.Errorf("topic key %s acts: %v, is read: %v", k.Name, k.Effect.Acts(), read(k.Name))
		}
		for _, synonym := range k.Synonyms {
			behind[synonym] = behind[synonym] || k.Effect.Acts()
		}
	}
	for _, k := range Keys(BrokerResource) {
		if k.Effect.Acts() && !read(k.Name) && !behind[k.Name] {
			t.Errorf("broker key %s claims to act, but nothing reads it", k.Name)
		}
		if acts, found := behind[k.Name]; found && acts != k.Effect.Acts() {
			t.Errorf("broker key %s and the topic key whose default it is do not agree on whether they act", k.Name)
		}
	}
}
