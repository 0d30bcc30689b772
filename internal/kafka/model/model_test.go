package model

import (
	"errors"
	"strings"
	"testing"
)

func TestValidateTopicName(t *testing.T) {
	for _, good := range []string{"a", "a.b_c-D9", strings.Repeat("x", 249)} {
		if err := ValidateTopicName(good); err != nil {
			t.Errorf("%q: %v", good, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "a/b", "a b", "ä", strings.Repeat("x", 250), "a\x00"} {
		if err := ValidateTopicName(bad); !errors.Is(err, InvalidTopicException) {
			t.Errorf("%q: %v, want InvalidTopicException", bad, err)
		}
	}
}

// The hashes in the comments are Java's String.hashCode.
func TestPartitionFor(t *testing.T) {
	for key, want := range map[string]int32{
		"hello":              22, // 99162322
		"":                   0,
		"polygenelubricants": 0,  // the smallest int32, which has no absolute value
		"\U0001F600":         49, // 1772899, two UTF-16 units
		"my-group":           12, // -1906497762
		"g-ä":                6,  // 100606
	} {
		if got := PartitionFor(key, 50); got != want {
			t.Errorf("PartitionFor(%q, 50) = %d, want %d", key, got, want)
		}
	}
}

func TestTopicIDRoundTrip(t *testing.T) {
	id := TopicID{1, 2, 3, 255}
	got, err := ParseTopicID(id.String())
	if err != nil || got != id {
		t.Fatalf("ParseTopicID(%q) = %v, %v", id.String(), got, err)
	}
	if _, err := ParseTopicID("short"); err == nil {
		t.Error("a short id was taken")
	}
}

func TestCodeOf(t *testing.T) {
	if c, m := CodeOf(&Error{InvalidConfig, "x"}); c != InvalidConfig || m != "x" {
		t.Errorf("got %v %q", c, m)
	}
	if c, _ := CodeOf(OffsetOutOfRange); c != OffsetOutOfRange {
		t.Errorf("got %v", c)
	}
	if c, _ := CodeOf(errors.New("?")); c != UnknownServerError {
		t.Errorf("got %v", c)
	}
}
