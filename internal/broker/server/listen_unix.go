//go:build unix

package server

import (
	"errors"
	"fmt"
	"net"
	"syscall"
)

// setBacklog listens once more, which changes the backlog of a socket that listens already; Go itself always asks for the system's maximum.
func setBacklog(socket net.Listener, backlog int) error {
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return fmt.Errorf("setting the backlog of %s: %w", socket.Addr(), err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = syscall.Listen(int(fd), backlog) })
	if err := errors.Join(err, failed); err != nil {
		return fmt.Errorf("setting the backlog of %s to %d: %w", socket.Addr(), backlog, err)
	}
	return nil
}
