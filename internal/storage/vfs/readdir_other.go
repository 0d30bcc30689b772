//go:build !linux

package vfs

import (
	"errors"
	"io/fs"
	"os"
)

func readDir(name string) ([]DirEntry, error) {
	found, err := os.ReadDir(name)
	if err != nil {
		return nil, err
	}
	entries := make([]DirEntry, 0, len(found))
	for _, f := range found {
		e := DirEntry{Name: f.Name(), IsDir: f.IsDir()}
		if !e.IsDir {
			info, err := f.Info()
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed since the directory was read
			}
			if err != nil {
				return nil, err
			}
			e.Size = info.Size()
		}
		entries = append(entries, e)
	}
	return entries, nil
}
