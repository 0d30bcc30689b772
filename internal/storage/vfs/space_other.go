//go:build !linux && !darwin && !windows

package vfs

import "errors"

func freeSpace(string) (free, total int64, err error) { return 0, 0, errors.ErrUnsupported }
