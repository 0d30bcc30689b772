package partition

import (
	"bytes"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// What is compressed anew waits for room in the log while the validator that made it has the next batch.
func TestWhatIsCompressedAnewIsItsOwn(t *testing.T) {
	rules := plain().Rules
	rules.MaxPlainBytes, rules.Recompress, rules.Codec = maxPlainBytes, true, batch.LZ4
	for _, size := range []int{100, modestPlainBytes} {
		first, err := admit(bytes.Clone(records(string(bytes.Repeat([]byte("a"), size)))), &rules)
		if err != nil {
			t.Fatal(err)
		}
		before := bytes.Clone(first)
		for range 100 { // whichever of the pool's validators it was
			if _, err := admit(bytes.Clone(records(string(bytes.Repeat([]byte("b"), 100)))), &rules); err != nil {
				t.Fatal(err)
			}
		}
		if size == modestPlainBytes { // the one for large batches
			if _, err := admit(bytes.Clone(records(string(bytes.Repeat([]byte("b"), size)))), &rules); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.Equal(first, before) || first.Check() != nil || first.Codec() != batch.LZ4 {
			t.Errorf("a batch of %d bytes was overwritten by one that came later", size)
		}
	}
}
