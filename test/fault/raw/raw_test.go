package raw

import (
	"net"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestDecodeIsStrict(t *testing.T) {
	req := kmsg.NewPtrHeartbeatRequest()
	req.Version = 4
	resp := kmsg.NewPtrHeartbeatResponse()
	resp.Version = 4
	good := append([]byte{0, 0, 0, 7, 0}, resp.AppendTo(nil)...)
	if _, err := Decode(req, 7, good); err != nil {
		t.Fatal(err)
	}
	for name, frame := range map[string][]byte{
		"another correlation id": append([]byte{0, 0, 0, 8}, good[4:]...),
		"bytes left over":        append(append([]byte{}, good...), 0),
		"cut short":              good[:len(good)-1],
		"no header tags":         append([]byte{0, 0, 0, 7, 1}, good[5:]...),
		"no correlation id":      good[:3],
	} {
		if _, err := Decode(req, 7, frame); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestDoSendsOnceAndReads(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	got := make(chan []byte, 1)
	go func() {
		s, err := l.Accept()
		if err != nil {
			return
		}
		defer s.Close()
		peer := &Conn{Conn: s, Timeout: DefaultTimeout}
		frame, err := peer.ReceiveFrame()
		if err != nil {
			return
		}
		got <- frame
		resp := kmsg.NewPtrHeartbeatResponse()
		resp.Version, resp.ErrorCode = 0, 25
		body := resp.AppendTo(append([]byte{0, 0, 0, 0}, frame[4:8]...))
		body[3] = byte(len(body) - 4)
		if err := peer.SendBytes(body); err != nil {
			return
		}
	}()
	c, err := Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrHeartbeatRequest()
	req.Group = "g"
	resp, err := Ask[*kmsg.HeartbeatResponse](c, req)
	if err != nil {
		t.Fatal(err)
	}
	if resp.ErrorCode != 25 {
		t.Fatalf("error code %d", resp.ErrorCode)
	}
	if frame := <-got; !strings.Contains(string(frame), "raw") {
		t.Fatalf("no client id in %x", frame)
	}
	if _, err := c.Do(req); err == nil {
		t.Fatal("a closed connection answered")
	}
}
