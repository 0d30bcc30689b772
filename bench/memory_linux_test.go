package main

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestHeldMemoryIsGivenBackButForAPageOfEachPiece(t *testing.T) {
	resident := func() int64 {
		text, err := os.ReadFile("/proc/self/statm")
		if err != nil {
			t.Fatal(err)
		}
		pages, err := strconv.ParseInt(strings.Fields(string(text))[1], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		return pages
	}
	before := resident()
	called := false
	if err := holdMemory(64<<20, 100*time.Millisecond, func() error {
		called = true
		if more := resident() - before; more > 1024 {
			t.Errorf("%d pages are kept", more)
		}
		return nil
	}); err != nil || !called {
		t.Errorf("called %v: %v", called, err)
	}
}
