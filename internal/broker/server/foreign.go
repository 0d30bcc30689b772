package server

import (
	"bytes"
	"fmt"
)

// foreign names the protocol whose first bytes these are, and what to do about it, "" when they may be the start of a Kafka request. Read as a frame's size, each of these would be
// hundreds of megabytes, so no first request of a Kafka client looks like one.
func foreign(first []byte) string {
	if len(first) < 4 {
		return ""
	}
	if first[0] == 0x16 && first[1] == 0x03 {
		return "a TLS handshake; this listener is not encrypted: set security.protocol=PLAINTEXT in the client, or point it at another listener"
	}
	for _, p := range foreignPrefixes {
		if bytes.HasPrefix(first, p.prefix) {
			return fmt.Sprintf("%s (%q); this is a Kafka listener: %s", p.name, first[:4], p.remedy)
		}
	}
	return ""
}

// elsewhere is where HTTP is answered.
const elsewhere = "/metrics and /health are at ottla.admin.listener"

var foreignPrefixes = []struct {
	prefix       []byte
	name, remedy string
}{
	{[]byte("GET "), "an HTTP request", elsewhere}, {[]byte("POST"), "an HTTP request", elsewhere}, {[]byte("PUT "), "an HTTP request", elsewhere}, {[]byte("HEAD"), "an HTTP request", elsewhere},
	{[]byte("DELE"), "an HTTP request", elsewhere}, {[]byte("OPTI"), "an HTTP request", elsewhere}, {[]byte("PATC"), "an HTTP request", elsewhere}, {[]byte("CONN"), "an HTTP request", elsewhere},
	{[]byte("TRAC"), "an HTTP request", elsewhere}, {[]byte("PRI "), "an HTTP/2 request", elsewhere}, {[]byte("SSH-"), "an SSH greeting", "check host and port"},
}
