package server

import (
	"errors"
	"syscall"
)

const wsaEMFILE = syscall.Errno(10024)

func outOfSockets(err error) bool { return errors.Is(err, wsaEMFILE) }
