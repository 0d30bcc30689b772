package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestHeaderOfEveryRequest: what a client sends is split into header and body, and what we send is what a client sends.
func TestHeaderOfEveryRequest(t *testing.T) {
	clients := map[string]*kmsg.RequestFormatter{
		"":      kmsg.NewRequestFormatter(),
		"a":     kmsg.NewRequestFormatter(kmsg.FormatterClientID("a")),
		"empty": kmsg.NewRequestFormatter(kmsg.FormatterClientID("")),
	}
	versions(func(key, version int16) {
		if key == 7 && version == 0 {
			return // the only one without a client id; kmsg writes no whole frame for it
		}
		for id, formatter := range clients {
			req := newFiller(0).request(key, version)
			frame := formatter.AppendRequest(nil, req, 77)
			if int(FrameSize([4]byte(frame))) != len(frame)-4 {
				t.Fatalf("size %d of a frame of %d", FrameSize([4]byte(frame)), len(frame))
			}
			h, body, err := ParseHeader(frame[4:])
			if err != nil {
				t.Fatalf("%s v%d: %v", Name(key), version, err)
			}
			want := []byte(id)
			switch {
			case id == "":
				want = nil
			case id == "empty":
				want = []byte{}
			}
			if h.Key != key || h.Version != version || h.CorrelationID != 77 || !bytes.Equal(h.ClientID, want) || (h.ClientID == nil) != (want == nil) {
				t.Errorf("%s v%d: %+v, client id %q", Name(key), version, h, want)
			}
			if h.Flexible != req.IsFlexible() || !bytes.Equal(body, req.AppendTo(nil)) {
				t.Errorf("%s v%d: body %x", Name(key), version, body)
			}
			ours := append(AppendRequestHeader(nil, key, version, 77, want), body...)
			if !bytes.Equal(ours, frame[4:]) {
				t.Errorf("%s v%d: we send\n%x\na client\n%x", Name(key), version, ours, frame[4:])
			}
		}
	})
}

func TestHeaderVersion0(t *testing.T) {
	frame := append(AppendRequestHeader(nil, 7, 0, 77, []byte("a")), "body"...)
	h, body, err := ParseHeader(frame)
	if err != nil || len(frame) != 12 || h.ClientID != nil || h.CorrelationID != 77 || string(body) != "body" {
		t.Errorf("%+v %q %v", h, body, err)
	}
}

func TestHeaderRefusals(t *testing.T) {
	const metadata9 = "\x00\x03\x00\x09\x00\x00\x00\x05"
	for _, c := range []struct{ name, frame, field string }{
		{"empty", "", ""},
		{"seven bytes", metadata9[:7], ""},
		{"no client id", metadata9, "ClientId"},
		{"client id beyond the end", metadata9 + "\x00\x03ab", "ClientId"},
		{"no tags", metadata9 + "\xff\xff", "tags"},
		{"tag flood", metadata9 + "\xff\xff\xff\xff\xff\xff\x0f", "tags"},
		{"65 tags", metadata9 + "\xff\xff\x41" + strings.Repeat("\x00\x00", 65), "tags"},
		{"more tags than bytes", metadata9 + "\xff\xff\x02\x00\x00\x00", "tags"},
		{"a tag beyond the end", metadata9 + "\xff\xff\x01\x00\x02a", "tags"},
	} {
		h, body, err := ParseHeader([]byte(c.frame))
		var m *MalformedError
		if !errors.As(err, &m) || m.Field != c.field || body != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(c.frame) >= 8 && (h.Key != 3 || h.CorrelationID != 5) {
			t.Errorf("%s: what was read is lost: %+v", c.name, h)
		}
	}
	for _, key := range []int16{95, 200, -1, 32767} {
		frame := AppendRequestHeader(nil, key, 0, 1, nil)
		var u *UnsupportedError
		if h, _, err := ParseHeader(frame); !errors.As(err, &u) || u.Key != key || h.CorrelationID != 1 {
			t.Errorf("key %d: %v", key, err)
		}
	}
}

// TestHeaderSkipsTags: unknown tags in a header, up to the limit, do no harm.
func TestHeaderSkipsTags(t *testing.T) {
	frame := "\x00\x03\x00\x09\x00\x00\x00\x05\x00\x01a\x40" + strings.Repeat("\x07\x01x", 64) + "body"
	h, body, err := ParseHeader([]byte(frame))
	if err != nil || string(body) != "body" || string(h.ClientID) != "a" {
		t.Errorf("%+v %q %v", h, body, err)
	}
}

// TestFutureApiVersions: a client from the future gets an answer, whatever its header has become.
func TestFutureApiVersions(t *testing.T) {
	for _, rest := range []string{"", "\x00", "\x00\x05ab", "\x00\x01a", "\x00\x01a\x00\x01\x02\x03", "\x00\x01a\xff\xff\xff\xff\x0f"} {
		h, body, err := ParseHeader([]byte("\x00\x12\x00\x06\x00\x00\x00\x09" + rest))
		if err != nil || body != nil || h.Key != KeyApiVersions || h.Version != 6 || h.CorrelationID != 9 {
			t.Errorf("%x: %+v %v", rest, h, err)
		}
	}
	if _, body, err := ParseHeader([]byte("\x00\x12\x00\x05\x00\x00\x00\x09\x00\x01a\x00body")); err != nil || string(body) != "body" {
		t.Errorf("version 5: %q %v", body, err)
	}
}

func TestResponseHeader(t *testing.T) {
	for _, flexible := range []bool{false, true} {
		frame := append(AppendResponseHeader(nil, -5, flexible), "body"...)
		id, body, err := ParseResponseHeader(frame, flexible)
		if id != -5 || string(body) != "body" || err != nil {
			t.Errorf("%d %q %v", id, body, err)
		}
		if _, _, err := ParseResponseHeader(frame[:3], flexible); err == nil {
			t.Error("three bytes are accepted")
		}
	}
	if _, _, err := ParseResponseHeader(binary.AppendUvarint(make([]byte, 4), 1<<29), true); err == nil {
		t.Error("a tag flood is accepted")
	}
}

func TestHeaderAllocatesNothing(t *testing.T) {
	frame := AppendRequestHeader(nil, 3, 12, 7, []byte("client"))
	dst := make([]byte, 0, 64)
	n := testing.AllocsPerRun(100, func() {
		if _, _, err := ParseHeader(frame); err != nil {
			t.Error(err)
		}
		dst = AppendResponseHeader(dst[:0], 7, true)
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}
