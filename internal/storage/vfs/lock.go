package vfs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// held has the paths that this process has locked. POSIX locks need it twice: they never exclude their own process, and closing any descriptor
// of a file drops all locks on it, so that a second open of a locked file must not even happen.
var held struct {
	sync.Mutex
	paths map[string]bool
}

// fileLock is a held lock; closing it twice is harmless.
type fileLock struct {
	once sync.Once
	file *os.File
	key  string
	err  error
}

func lockFile(name string) (*fileLock, error) {
	key, err := lockKey(name)
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", name, err)
	}
	if !hold(key) {
		return nil, fmt.Errorf("lock %s: held by this process: %w", name, ErrLocked)
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, filePermissions)
	if err != nil {
		release(key)
		return nil, err
	}
	if err := lockOS(f); err != nil {
		err = errors.Join(fmt.Errorf("lock %s: %w", name, err), f.Close())
		release(key)
		return nil, err
	}
	return &fileLock{file: f, key: key}, nil
}

// Close lets the lock go; the file stays, as Kafka leaves it.
func (l *fileLock) Close() error {
	l.once.Do(func() {
		l.err = l.file.Close()
		release(l.key)
	})
	return l.err
}

// lockKey names the file however the path to it is written.
func lockKey(name string) (string, error) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	dir, err := filepath.EvalSymlinks(filepath.Dir(abs))
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, filepath.Base(abs)), nil
}

func hold(key string) bool {
	held.Lock()
	defer held.Unlock()
	if held.paths[key] {
		return false
	}
	if held.paths == nil {
		held.paths = make(map[string]bool)
	}
	held.paths[key] = true
	return true
}

func release(key string) {
	held.Lock()
	defer held.Unlock()
	delete(held.paths, key)
}
