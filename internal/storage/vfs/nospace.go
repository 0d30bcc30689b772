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
