package vfs

import (
	"errors"
	"fmt"
	"io"
)

// maxSmallFile bounds the files that are read as a whole: identities, checkpoints, snapshots, the manifest.
const maxSmallFile = 1 << 30

// ReadSmall reads a whole small file.
func ReadSmall(fsys FS, name string) (_ []byte, err error) {
	f, err := fsys.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSmallFile {
		return nil, fmt.Errorf("%s has %d bytes, far more than it can need", name, size)
	}
	data := make([]byte, size)
	n, err := f.ReadAt(data, 0)
	if errors.Is(err, io.EOF) { // a running node has made it shorter meanwhile
		err = nil
	}
	return data[:n], err
}

// ReadFull reads exactly len(p) bytes; a short file is io.ErrUnexpectedEOF.
func ReadFull(f io.ReaderAt, p []byte, at int64) error {
	n, err := f.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
