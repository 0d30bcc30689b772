package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestCompareNamesTheLinesOfEachSide(t *testing.T) {
	got := compare("a\nb\nc\nd", "a\nx\nc\nd\ne")
	if want := []string{"-b", "+x", "+e"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := compare("same\n", "same\n"); got != nil {
		t.Errorf("equal outputs differ in %q", got)
	}
}

func TestDifferencesWantReasonsAndTellWhatWasUsed(t *testing.T) {
	write := func(text string) string {
		file := filepath.Join(t.TempDir(), "differences.txt")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	for _, bad := range []string{"case -line\n", "# reason\ncase line\n", "# reason\ncase\n", "# reason\ncase -(\n"} {
		if _, err := readDifferences(write(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	all, err := readDifferences(write("# one\n# reason\nca.e -old \\d\ncase +new\n\n# another\nother -old \\d\n"))
	if err != nil {
		t.Fatal(err)
	}
	left := unexpected("case", []string{"-old 1", "+new", "-old x", "+old 1"}, all)
	if want := []string{"-old x", "+old 1"}; !slices.Equal(left, want) {
		t.Errorf("left %q, want %q", left, want)
	}
	if !all[0].used || !all[1].used || all[2].used || all[0].reason != "one reason" {
		t.Errorf("used %v %v %v, reason %q", all[0].used, all[1].used, all[2].used, all[0].reason)
	}
}

func TestMaskHidesWhatDiffersBetweenRunsAndNothingElse(t *testing.T) {
	n := &Node{Dir: "/scratch/kafka-1", DataDir: "/scratch/kafka-1/data"}
	for in, want := range map[string]string{
		"broker 127.0.0.1:9092 has  it":             "broker ADDRESS has it",
		"TopicId: abcdefghijklmnopqrstuv":           "TopicId: ID",
		"CreateTime:1795259097793":                  "CreateTime:TIME",
		"/scratch/kafka-1/data/t-0":                 "DATA/t-0",
		"retention.ms=3600000":                      "retention.ms=3600000",
		"x: oops\n\tat a.b.C.run(C.java:1)\nCause":  "x: oops\nCause",
		"group console-consumer-81234   Empty":      "group console-consumer-N Empty",
		"crc: 123 size: 76 producerId: 4":           "crc: N size: 76 producerId: N",
		"at 2026-11-21 09:47:16,444 or 2026-11-21Z": "at DATE or 2026-11-21Z",
	} {
		if got := masked(toolOutput{exit: "0", stdout: in}, toolCase{}, n); got != "exit 0\n"+want+"\n" {
			t.Errorf("%q is masked as %q, want %q", in, got, want)
		}
	}
	sizes := masked(toolOutput{exit: "1", stdout: "position: 7 size: 76", stderr: "b\na"}, toolCase{mask: "sizes"}, n)
	if want := "exit 1\nposition: N size: N\n[stderr]\nb\na\n"; sizes != want {
		t.Errorf("got %q, want %q", sizes, want)
	}
}

func TestReportIsRedForAMissingAnswer(t *testing.T) {
	o := options{target: "ottla"}
	o.features = regexp.MustCompile("^topic.list$")
	r := newReport(o)
	r.column("client")
	var b strings.Builder
	if err := r.print(&b); err == nil || !strings.Contains(b.String(), "the driver gave no answer") {
		t.Errorf("error %v, report:\n%s", err, b.String())
	}
	r.set("client", "topic.list", cell{verdict: pass})
	b.Reset()
	if err := r.print(&b); err != nil || !strings.Contains(b.String(), "compat: 1 passed, 0 failed") {
		t.Errorf("error %v, report:\n%s", err, b.String())
	}
}

func TestListsAreReadable(t *testing.T) {
	if _, err := readDifferences("differences.txt"); err != nil {
		t.Error(err)
	}
	if entries, err := readSuite("suite.txt"); err != nil || len(entries) == 0 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	seen := map[string]bool{}
	for _, c := range append(toolCases(), dumpCases...) {
		if seen[c.name] {
			t.Errorf("two cases are named %s", c.name)
		}
		seen[c.name] = true
	}
}
