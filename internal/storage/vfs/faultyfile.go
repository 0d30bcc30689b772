package vfs

import (
	"errors"
	"io"
)

// faultyFile is an open file of Faulty.
type faultyFile struct {
	File
	fs *Faulty
}

func (f *faultyFile) run(c Call, do func() error, fail func(Fault)) error {
	c.Path = f.Name()
	return f.fs.run(c, do, fail)
}

// ReadAt implements File.
func (f *faultyFile) ReadAt(p []byte, off int64) (n int, err error) {
	var end error // the end of the file is no failure of the call
	err = f.run(Call{Op: OpRead, Offset: off, Len: len(p)}, func() (err error) {
		n, err = f.File.ReadAt(p, off)
		if errors.Is(err, io.EOF) {
			end, err = err, nil
		}
		return err
	}, func(fault Fault) {
		n, end = f.File.ReadAt(p[:min(fault.Short, len(p))], off)
	})
	if err == nil {
		err = end
	}
	return n, err
}

// WriteAt implements File.
func (f *faultyFile) WriteAt(p []byte, off int64) (n int, err error) {
	err = f.run(Call{Op: OpWrite, Offset: off, Len: len(p)}, func() (err error) {
		n, err = f.File.WriteAt(p, off)
		return err
	}, func(fault Fault) {
		var short error
		if n, short = f.File.WriteAt(p[:min(fault.Short, len(p))], off); short != nil {
			n = 0
		}
	})
	return n, err
}

// Sync implements File.
func (f *faultyFile) Sync() error {
	return f.run(Call{Op: OpSync}, f.File.Sync, func(Fault) {
		if m, ok := f.File.(interface{ FailSync() }); ok {
			m.FailSync()
		}
	})
}

// Truncate implements File.
func (f *faultyFile) Truncate(size int64) error {
	return f.run(Call{Op: OpTruncate, Offset: size}, func() error { return f.File.Truncate(size) }, nil)
}

// Size implements File.
func (f *faultyFile) Size() (size int64, err error) {
	err = f.run(Call{Op: OpSize}, func() (err error) {
		size, err = f.File.Size()
		return err
	}, nil)
	if err != nil {
		return 0, err
	}
	return size, nil
}

// Close implements File. The file is closed also when an error is injected.
func (f *faultyFile) Close() error {
	return f.run(Call{Op: OpClose}, f.File.Close, func(Fault) {
		_ = f.File.Close() // the injected error is returned
	})
}
