//go:build !linux

package server

import "net"

// limitUnsent does nothing: the system's own limits hold.
func limitUnsent(*net.TCPConn, int) error { return nil }
