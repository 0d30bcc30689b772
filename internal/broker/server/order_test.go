package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestAnswersLeaveInOrder(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.request(keyEcho, 1, 1, "at once")
	c.expect(1, "at once")
	c.request(keyPark, 1, 2, "first")
	c.request(keyEcho, 1, 3, "behind")
	c.request(keyPark, 1, 4, "second")
	c.request(keyMute, 3, 5, "")
	c.request(keyEcho, 1, 6, strings.Repeat("large", 100_000))
	second := h.parked("second")
	close(second.release)
	close(h.parked("first").release)
	c.expect(2, "first")
	c.expect(3, "behind")
	c.expect(4, "second")
	c.expect(6, strings.Repeat("large", 100_000))
	c.request(keyEcho, 1, 7, "at once again")
	c.expect(7, "at once again")
}

func TestPipelinedRequests(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	for _, n := range []int{1, 10, 100, 1000, 1500, 2000, 2048, 2100, 5000, 70_000, 65_536, 200_000} {
		var all []byte
		for i := range 20 {
			all = append(all, frame(keyEcho, 1, int32(i), fmt.Sprintf("%d %s", i, strings.Repeat("x", n)))...)
		}
		go c.send(all)
		for i := range 20 {
			c.expect(int32(i), fmt.Sprintf("%d %s", i, strings.Repeat("x", n)))
		}
	}
}

func TestFlexibleResponseHeader(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.request(keyEcho, 9, 1, "flexible")
	if id, body := c.response(true); id != 1 || body != "flexible" {
		t.Fatalf("got %d %q", id, body)
	}
	c.request(keyHello, 3, 2, "ApiVersions never has tags in its response header")
	c.expect(2, "ApiVersions never has tags in its response header")
	c.request(keyHello, 99, 3, "what is this")
	c.expect(3, "which?")
	c.request(keyEcho, 1, 4, "still open")
	c.expect(4, "still open")
}
