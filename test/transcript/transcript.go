// Package transcript keeps what a process or a logger writes, for tests that look at it while it grows.
package transcript

import (
	"strings"
	"sync"
	"testing"
)

// Transcript is a writer that keeps everything. It may be written and read at the same time; the zero value is empty.
type Transcript struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write implements io.Writer.
func (x *Transcript) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.Write(p)
}

// String is all of it.
func (x *Transcript) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.text.String()
}

// Tail is its end, at most so many bytes.
func (x *Transcript) Tail(most int) string {
	text := x.String()
	return text[max(0, len(text)-most):]
}

// Lines are the lines that have all of the words.
func (x *Transcript) Lines(words ...string) (found []string) {
	for line := range strings.Lines(x.String()) {
		all := true
		for _, word := range words {
			all = all && strings.Contains(line, word)
		}
		if all {
			found = append(found, line)
		}
	}
	return found
}

// Has fails the test when no line has all of the words.
func (x *Transcript) Has(t testing.TB, words ...string) {
	t.Helper()
	if len(x.Lines(words...)) == 0 {
		t.Errorf("no line has all of %q:\n%s", words, x)
	}
}
