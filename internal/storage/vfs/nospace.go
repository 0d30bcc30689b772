//go:build !windows

package vfs

import (
	"errors"
	"syscall"
)

// IsNoSpace tells whether err says that the disk, or what this user may have of it, is full.
func IsNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// IsOutOfFiles tells whether err says that this process, or the system, can open no more files for now.
func IsOutOfFiles(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
