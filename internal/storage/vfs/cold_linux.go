package vfs

import (
	"errors"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// coldBuffer is how much is read from the disk at once.
	coldBuffer = 1 << 20
	// coldAlign is what memory and positions of a direct read must be multiples of.
	coldAlign = 4096
)

// OpenCold implements ColdOpener with O_DIRECT; where the file system refuses that, what was read is dropped from the page cache again.
func (osFS) OpenCold(name string) (File, error) {
	f, err := openOS(name, os.O_RDONLY|unix.O_DIRECT)
	direct := err == nil
	if errors.Is(err, unix.EINVAL) {
		f, err = openOS(name, os.O_RDONLY)
	}
	if err != nil {
		return nil, err
	}
	memory := make([]byte, coldBuffer+coldAlign)
	skip := -int(uintptr(unsafe.Pointer(&memory[0]))) & (coldAlign - 1)
	return &coldFile{File: f, name: name, direct: direct, buf: memory[skip : skip+coldBuffer]}, nil
}

// coldFile reads a file in large aligned pieces. It is for one goroutine.
type coldFile struct {
	File
	name   string
	direct bool
	buf    []byte
	from   int64 // position of buf
	have   int
}

// ReadAt implements io.ReaderAt.
func (f *coldFile) ReadAt(p []byte, at int64) (n int, err error) {
	for n < len(p) {
		if at < f.from || at >= f.from+int64(f.have) {
			if err := f.fill(at); err != nil {
				return n, err
			}
			if at >= f.from+int64(f.have) {
				return n, io.EOF
			}
		}
		k := copy(p[n:], f.buf[at-f.from:f.have])
		n, at = n+k, at+int64(k)
	}
	return n, nil
}

func (f *coldFile) fill(at int64) error {
	f.from, f.have = at&^(coldAlign-1), 0
	n, err := f.File.ReadAt(f.buf, f.from)
	if errors.Is(err, unix.EINVAL) && f.direct { // it took the flag and refuses the read
		buffered, openErr := openOS(f.name, os.O_RDONLY)
		if openErr != nil {
			return openErr
		}
		old := f.File
		f.File, f.direct = buffered, false
		if err := old.Close(); err != nil {
			return err
		}
		n, err = f.File.ReadAt(f.buf, f.from)
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	if err != nil {
		return err
	}
	f.have = n
	if !f.direct {
		return f.drop(int64(n))
	}
	return nil
}

// drop takes what was read out of the page cache.
func (f *coldFile) drop(n int64) error {
	var advised error
	err := f.File.(*osFile).raw.Control(func(fd uintptr) {
		if advised = unix.Fadvise(int(fd), f.from, n, unix.FADV_DONTNEED); errors.Is(advised, unix.EINVAL) || errors.Is(advised, unix.ENOSYS) {
			advised = nil // advice that nobody takes is none the worse
		}
	})
	return errors.Join(err, advised)
}
