//go:build !linux

package dir

import (
	"errors"

	"github.com/ottla/ottla/internal/storage/vfs"
)

func syncFileSystem(vfs.File) error { return errors.ErrUnsupported }
