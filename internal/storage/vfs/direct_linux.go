package vfs

import (
	"os"

	"golang.org/x/sys/unix"
)

// OpenDirect implements DirectOpener with O_DIRECT. Some file systems refuse here, some only the first write.
func (osFS) OpenDirect(name string) (File, error) { return openOS(name, os.O_RDWR|unix.O_DIRECT) }
