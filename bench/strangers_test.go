package main

import (
	"testing"
	"time"
)

func TestWhatKafkasToolsPrintIsRead(t *testing.T) {
	rate, err := producedByTool("12345 records sent, 2468.0 records/sec (2.41 MB/sec), 1.0 ms avg latency\n100000 records sent, 150000.5 records/sec (146.48 MB/sec), 2.1 ms avg latency, 9 ms max latency.\n")
	if err != nil || rate != 150000.5 {
		t.Errorf("rate %v, %v", rate, err)
	}
	if _, err := producedByTool("Exception in thread main"); err == nil {
		t.Error("a failure has a rate")
	}
	bytes, records, took, err := consumedByTool("WARN something\n2026-11-21 10:00:00:000, 2026-11-21 10:00:04:000, 512.0000, 128.0000, 524288, 131072.0000, 3000, 1000, 512.0000, 524288.0000\n")
	if err != nil || bytes != 512<<20 || records != 524288 || took != time.Second {
		t.Errorf("%d bytes, %d records in %v, %v", bytes, records, took, err)
	}
	if _, _, _, err := consumedByTool("WARN nothing\n"); err == nil {
		t.Error("a failure has a rate")
	}
}

func TestWhatNATSAcknowledgesIsRead(t *testing.T) {
	for text, want := range map[string]int64{`{"stream":"a","seq":42}`: 42, `{"seq": 7,"stream":"a"}`: 7} {
		if got, err := natsSequence([]byte(text)); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, text := range []string{`{"error":{"code":503}}`, `{"seq":x}`, `{"seq":1`} {
		if _, err := natsSequence([]byte(text)); err == nil {
			t.Errorf("%s is an acknowledgement", text)
		}
	}
}
