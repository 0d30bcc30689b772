//go:build !unix

package vfs

import "errors"

// Locked tells whether somebody holds the lock of a file. This system cannot be asked without taking the lock.
func Locked(string) (bool, error) { return false, errors.ErrUnsupported }
