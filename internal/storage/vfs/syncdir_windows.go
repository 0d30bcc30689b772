package vfs

import (
	"io/fs"
	"os"
	"syscall"
)

// syncDir only checks the name: Windows gives no handle on a directory that could be flushed, and NTFS journals entries in order.
func syncDir(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return &fs.PathError{Op: "sync", Path: name, Err: syscall.ENOTDIR}
	}
	return nil
}
