//go:build !linux

package vfs

import (
	"os"
	"syscall"
)

// syncFile relies on package os: F_FULLFSYNC on darwin, FlushFileBuffers on Windows, fd_sync on wasip1.
func syncFile(f *os.File, _ syscall.RawConn, _ bool) error { return f.Sync() }
