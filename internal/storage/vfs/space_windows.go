package vfs

import "golang.org/x/sys/windows"

func freeSpace(name string) (free, total int64, err error) {
	p, err := windows.UTF16PtrFromString(name)
	if err != nil {
		return 0, 0, err
	}
	var available, size, unused uint64
	if err := windows.GetDiskFreeSpaceEx(p, &available, &size, &unused); err != nil {
		return 0, 0, err
	}
	return int64(available), int64(size), nil
}
