package wire

import (
	"bytes"
	"os"
	"os/exec"
	"testing"
)

// TestSchemaIsFresh: zz_schema.go is what the generator makes of the kmsg that go.mod names.
func TestSchemaIsFresh(t *testing.T) {
	committed, err := os.ReadFile("zz_schema.go")
	if err != nil {
		t.Fatal(err)
	}
	var problems bytes.Buffer
	cmd := exec.Command("go", "run", "gen_schema.go", "-stdout")
	cmd.Stderr = &problems
	fresh, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, problems.Bytes())
	}
	if !bytes.Equal(committed, fresh) {
		t.Error("zz_schema.go is out of date: run go generate ./internal/kafka/wire")
	}
}

// TestSmallestIsPossible: invariant 2 needs a smallest size of at least 1 for every struct in every version.
func TestSmallestIsPossible(t *testing.T) {
	var walk func(name string, s *schema, versions int)
	walk = func(name string, s *schema, versions int) {
		if len(s.smallest) != versions {
			t.Fatalf("%s has sizes for %d versions of %d", name, len(s.smallest), versions)
		}
		for v := range versions {
			if s.smallest[v] == 0 {
				t.Errorf("%s v%d: size 0", name, v)
			}
		}
		for _, fields := range [][]field{s.fields, s.tagged} {
			for i := range fields {
				if fields[i].of != nil {
					walk(name+"."+fields[i].name, fields[i].of, versions)
				}
			}
		}
	}
	for key := range requests {
		walk(apis[key].Name, &requests[key].schema, int(requests[key].max)+1)
	}
}
