package server

import (
	"errors"
	"syscall"
)

// outOfDescriptors tells whether an accept failed for want of something that the process or the system has too few of.
func outOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) || outOfSockets(err)
}

// connectionAborted tells whether the connection that was to be accepted has gone.
func connectionAborted(err error) bool { return errors.Is(err, syscall.ECONNABORTED) }
