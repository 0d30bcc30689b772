package server

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/metric"
)

func TestBadInputClosesTheConnectionWithOneLine(t *testing.T) {
	announce := func(size int32, rest string) []byte {
		return append(binary.BigEndian.AppendUint32(nil, uint32(size)), rest...)
	}
	header := func(key, version int16, rest string) []byte {
		b := binary.BigEndian.AppendUint16(nil, uint16(key))
		b = binary.BigEndian.AppendUint16(b, uint16(version))
		b = append(b, 0, 0, 0, 1)
		b = append(b, rest...)
		return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
	}
	for _, test := range []struct {
		name  string
		bytes []byte
		why   reason
		line  []string
	}{
		{"TLS", []byte{0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc}, closedForeign, []string{"TLS handshake", "security.protocol=PLAINTEXT", "source=127.0.0.1", "listener=PLAINTEXT"}},
		{"HTTP", []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), closedForeign, []string{"HTTP request", "GET ", "ottla.admin.listener"}},
		{"HTTP POST", []byte("POST /topics HTTP/1.1\r\n\r\n"), closedForeign, []string{"HTTP request"}},
		{"HTTP/2", []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), closedForeign, []string{"HTTP/2 request"}},
		{"SSH", []byte("SSH-2.0-OpenSSH_9.6\r\n"), closedForeign, []string{"SSH"}},
		{"too large", announce(1<<30, "x"), closedTooLarge, []string{"bytes=1073741824", "socket.request.max.bytes=104857600"}},
		{"negative", announce(-5, "x"), closedTooLarge, []string{"bytes=-5"}},
		{"empty", announce(0, "x"), closedTooLarge, []string{"bytes=0"}},
		{"too small for a header", announce(7, "1234567"), closedTooLarge, []string{"bytes=7"}},
		{"unknown key", header(9999, 0, "\xff\xff"), closedUnsupported, []string{"unknown API key 9999"}},
		{"negative key", header(-1, 0, "\xff\xff"), closedUnsupported, []string{"unknown API key -1"}},
		{"key that is not served", frame(2, 1, 1, ""), closedUnsupported, []string{"api=ListOffsets", "client=test"}},
		{"version that is not served", frame(keyPark, 6, 1, ""), closedUnsupported, []string{"api=Park", "version=6", "to=5"}},
		{"negative version", frame(keyPark, -1, 1, ""), closedUnsupported, []string{"api=Park", "version=-1"}},
		{"lying client id", header(keyEcho, 1, "\x7f\xffabc"), closedMalformed, []string{"ClientId"}},
		{"lying tags", header(keyEcho, 9, "\x00\x01a\xff\xff\xff\xff\x07"), closedMalformed, []string{"tags"}},
		{"body that lies", frame(keyCheck, 0, 1, "lie"), closedMalformed, []string{"api=Check", "it lies"}},
		{"body that is too costly", frame(keyCheck, 0, 1, "costly"), closedMalformed, []string{"api=Check", "more than"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := prepareHarness(t)
			h.handlers[keyCheck] = checkHandler()
			h.run(nil)
			good := h.dial()
			for range 3 {
				c := h.dial()
				c.send(test.bytes)
				c.closed()
			}
			h.eventually("the reason is counted", func() bool {
				return h.metrics.Counter(metric.ConnectionsClosed, test.why.String()).Value() == 3
			})
			h.log.Has(t, test.line...)
			if n := strings.Count(h.log.String(), "\n"); n != 1 {
				t.Errorf("%d log lines for one source, want 1:\n%s", n, h.log)
			}
			good.request(keyEcho, 1, 1, "others notice nothing")
			good.expect(1, "others notice nothing")
		})
	}
}

const keyCheck int16 = 20

func checkHandler() *Handler {
	return &Handler{Key: keyCheck, Name: "Check", Min: 0, Max: 6,
		Check: func(_ int16, body []byte) (int, error) {
			switch string(body) {
			case "lie":
				return 0, errors.New("it lies")
			case "costly":
				return 1 << 30, nil
			}
			return 1 << 20, nil
		},
		Serve: func(r *Request) Answer {
			return Now(Bytes(bytes.Clone(r.Body)))
		}}
}

func TestAnswersBeforeABadFrameAreSent(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.send(append(frame(keyEcho, 1, 1, "good"), "\xff\xff\xff\xff"...))
	c.expect(1, "good")
	c.closed()
}

func TestSuppressedLinesAreCounted(t *testing.T) {
	h := newHarness(t, nil)
	for range 50 {
		c := h.dial()
		c.send([]byte("GET / HTTP/1.0\r\n\r\n"))
		c.closed()
	}
	h.stop()
	h.log.Has(t, "does not speak Kafka", "source=127.0.0.1", "suppressed=49")
	if n := strings.Count(h.log.String(), "\n"); n != 2 {
		t.Errorf("%d log lines, want 2:\n%s", n, h.log)
	}
}

func TestTruncatedFrame(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.send(frame(keyEcho, 1, 1, strings.Repeat("x", 100_000))[:70_000])
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	h.eventually("it is logged", func() bool { return strings.Contains(h.log.String(), "in the middle of a request") })
	h.log.Has(t, "middle of a request", "bytes=100014", "source=127.0.0.1")
}

func TestCheckedRequestIsServed(t *testing.T) {
	h := prepareHarness(t)
	h.handlers[keyCheck] = checkHandler()
	h.run(nil)
	c := h.dial()
	c.request(keyCheck, 0, 1, "fine")
	c.expect(1, "fine")
}

// endless is a body that no frame takes.
type endless struct{}

func (endless) Len() int                         { return math.MaxInt32 + 1 }
func (endless) WriteTo(io.Writer) (int64, error) { panic("it is written") }
func (endless) Close()                           {}
func (endless) Held() int                        { return 0 }

// TestResponseThatFitsNoFrame ends the connection that asked for it, and nothing else.
func TestResponseThatFitsNoFrame(t *testing.T) {
	h := prepareHarness(t)
	h.handlers[keyCheck] = &Handler{Key: keyCheck, Name: "Check", Min: 0, Max: 6, Serve: func(*Request) Answer { return Now(endless{}) }}
	h.run(nil)
	good, c := h.dial(), h.dial()
	c.request(keyCheck, 0, 1, "")
	c.closed()
	h.log.Has(t, "does not fit a frame", "api=Check", "source=127.0.0.1")
	good.request(keyEcho, 1, 1, "others notice nothing")
	good.expect(1, "others notice nothing")
}

// TestMeasure: what an answer tells of its size after its wait is reserved before its body is made.
func TestMeasure(t *testing.T) {
	h := prepareHarness(t)
	waited := false
	h.handlers[keyCheck] = &Handler{Key: keyCheck, Name: "Check", Min: 0, Max: 6, Serve: func(*Request) Answer {
		return Answer{
			Wait: func(<-chan struct{}) { waited = true },
			Measure: func() int {
				if !waited {
					t.Error("measured before the wait")
				}
				return 1 << 20
			},
			Body: func() Body {
				b := h.server.budget
				b.mu.Lock()
				defer b.mu.Unlock()
				return Bytes(strconv.FormatInt(b.mu.used[forAnswer], 10))
			},
		}
	}}
	h.run(nil)
	c := h.dial()
	c.request(keyCheck, 0, 1, "")
	c.expect(1, "1048576")
}
