package dir

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// syncFileSystem syncs the file system that a file is on.
func syncFileSystem(f vfs.File) error {
	o, err := os.Open(f.Name())
	if err != nil {
		return err
	}
	return errors.Join(unix.Syncfs(int(o.Fd())), o.Close())
}
