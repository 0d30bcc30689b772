package server

import (
	"net"
	"syscall"
)

// canRest tells whether a socket can be waited for without a buffer.
func canRest(socket net.Conn) bool {
	_, ok := socket.(syscall.Conn)
	return ok
}

// awaitReadable returns when a read of the socket would not wait: there is something, the peer has left, a deadline has passed, or the socket is closed.
func awaitReadable(socket net.Conn) {
	raw, err := socket.(syscall.Conn).SyscallConn()
	if err != nil {
		return // closed
	}
	// What failed will fail the read that follows, which tells.
	_ = raw.Read(func(fd uintptr) bool {
		var first [1]byte
		_, _, err := syscall.Recvfrom(int(fd), first[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		return err != syscall.EAGAIN && err != syscall.EINTR
	})
}
