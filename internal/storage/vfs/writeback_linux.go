package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// WriteBack writes back everything dirty on the file system that holds name. It promises nothing: it makes the syncs that follow find little to do.
func (osFS) WriteBack(name string) error {
	d, err := os.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(d.Fd())), d.Close())
}
