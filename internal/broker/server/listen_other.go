//go:build !unix

package server

import "net"

// setBacklog leaves the backlog to the system, which takes as many as it likes here.
func setBacklog(net.Listener, int) error { return nil }
