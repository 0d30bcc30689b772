package plog

import (
	"errors"
	"testing"
)

// TestIdentityThatWasTorn: wherever a write of the file ended, and whether zeros follow or nothing, the log was never complete. A file of Kafka's is the first two lines alone.
func TestIdentityThatWasTorn(t *testing.T) {
	whole := encodeIdentity(testID)
	for n := range whole {
		zeros := make([]byte, len(whole))
		copy(zeros, whole[:n])
		if _, err := parseIdentity(zeros); !errors.Is(err, errTorn) {
			t.Errorf("%d bytes and zeros: %v", n, err)
		}
		if id, err := parseIdentity(whole[:n]); !errors.Is(err, errTorn) && (err != nil || id != testID) {
			t.Errorf("%d bytes: %v, %v", n, id, err)
		}
	}
	if id, err := parseIdentity(whole); err != nil || id != testID {
		t.Errorf("all: %v, %v", id, err)
	}
}
