package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	directAlign  = 4096
	directBytes  = 2 << 30 // of the file at most
	directBlock  = 1 << 20
	directAtOnce = 4
	syncedBytes  = 64 << 20
)

// diskLimits writes past the page cache: a file that grows, and single blocks of one that is there, each on the disk before the next.
func diskLimits(dir string, d time.Duration, f figures) (err error) {
	path := filepath.Join(dir, "direct")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|unix.O_DIRECT, 0o600)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close(), os.Remove(path)) }()
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make([]error, directAtOnce)
	began := time.Now()
	for i := range directAtOnce {
		all.Go(func() {
			block := alignedBlock(directBlock)
			for time.Since(began) < d && failed[i] == nil {
				at := next.Add(directBlock) - directBlock
				if at >= directBytes {
					return
				}
				_, failed[i] = file.WriteAt(block, at)
			}
		})
	}
	all.Wait()
	written := min(next.Load(), directBytes)
	f[colDisk] = float64(written) / 1e6 / time.Since(began).Seconds()
	if err := errors.Join(failed...); err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return syncedWrites(path, min(written, syncedBytes), d, f)
}

func syncedWrites(path string, bytes int64, d time.Duration, f figures) error {
	file, err := os.OpenFile(path, os.O_RDWR|unix.O_DIRECT|unix.O_DSYNC, 0)
	if err != nil {
		return fmt.Errorf("measure the disk: %w", err)
	}
	defer file.Close()
	block := alignedBlock(directAlign)
	n, began := 0, time.Now()
	for ; time.Since(began) < d; n++ {
		if _, err := file.WriteAt(block, int64(n)*directAlign%bytes); err != nil {
			return fmt.Errorf("measure the disk: %w", err)
		}
	}
	f[colSyncs] = float64(n) / time.Since(began).Seconds()
	return nil
}

// alignedBlock is memory that the disk can be written from directly.
func alignedBlock(size int) []byte {
	p := make([]byte, size+directAlign)
	skip := -int(uintptr(unsafe.Pointer(&p[0]))) & (directAlign - 1)
	noise(p, 1)
	return p[skip : skip+size]
}

// forget drops what the page cache has of a broker's files.
func forget(dir string) error {
	unix.Sync()
	return filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && !d.Type().IsRegular() {
			return nil
		}
		if err != nil {
			return err
		}
		file, err := os.Open(path)
		if err != nil { // deleted meanwhile
			return nil
		}
		defer file.Close()
		return unix.Fadvise(int(file.Fd()), 0, 0, unix.FADV_DONTNEED)
	})
}
