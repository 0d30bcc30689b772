package server

import (
	"bytes"
	"fmt"
)

// foreign names the protocol whose first bytes these are, "" when they may be the start of a Kafka request. Read as a frame's size, each of these would be
// hundreds of megabytes, so no first request of a Kafka client looks like one.
func foreign(first []byte) string {
	if len(first) < 4 {
		return ""
	}
	if first[0] == 0x16 && first[1] == 0x03 {
		return "a TLS handshake; this listener speaks plain Kafka"
	}
	for _, p := range foreignPrefixes {
		if bytes.HasPrefix(first, p.prefix) {
			return fmt.Sprintf("%s (%q); this is a Kafka listener", p.name, first[:4])
		}
	}
	return ""
}

var foreignPrefixes = []struct {
	prefix []byte
	name   string
}{
	{[]byte("GET "), "an HTTP request"}, {[]byte("POST"), "an HTTP request"}, {[]byte("PUT "), "an HTTP request"}, {[]byte("HEAD"), "an HTTP request"},
	{[]byte("DELE"), "an HTTP request"}, {[]byte("OPTI"), "an HTTP request"}, {[]byte("PATC"), "an HTTP request"}, {[]byte("CONN"), "an HTTP request"},
	{[]byte("TRAC"), "an HTTP request"}, {[]byte("PRI "), "an HTTP/2 request"}, {[]byte("SSH-"), "an SSH greeting"},
}
