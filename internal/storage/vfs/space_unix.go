//go:build linux || darwin

package vfs

import "golang.org/x/sys/unix"

func freeSpace(name string) (free, total int64, err error) {
	var s unix.Statfs_t
	for {
		if err = unix.Statfs(name, &s); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, err
	}
	block := int64(s.Bsize)
	return int64(s.Bavail) * block, int64(s.Blocks) * block, nil
}
