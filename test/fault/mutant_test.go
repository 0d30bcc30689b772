//go:build unix

package fault

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/node"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// Children with a deliberate bug.
const (
	noSync    = "nosync"    // syncing a file does nothing
	noDirSync = "nodirsync" // syncing a directory does nothing
)

// lazyFS is the real file system without some of its syncs.
type lazyFS struct {
	vfs.FS
	bug string
}

func (f lazyFS) Create(name string) (vfs.File, error) { return f.wrap(f.FS.Create(name)) }
func (f lazyFS) Open(name string) (vfs.File, error)   { return f.wrap(f.FS.Open(name)) }

func (f lazyFS) wrap(file vfs.File, err error) (vfs.File, error) {
	if err != nil || f.bug != noSync {
		return file, err
	}
	return lazyFile{file}, nil
}

func (f lazyFS) SyncDir(name string) error {
	if f.bug == noDirSync {
		return nil
	}
	return f.FS.SyncDir(name)
}

type lazyFile struct{ vfs.File }

func (lazyFile) Sync() error { return nil }

// serveMutant runs a node with a deliberate bug until it is told to stop.
func serveMutant(bug string, args []string) int {
	var overrides []string
	for _, a := range args {
		if a != "--override" {
			overrides = append(overrides, a)
		}
	}
	if err := runMutant(bug, overrides); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func runMutant(bug string, overrides []string) error {
	if bug != noSync && bug != noDirSync {
		return fmt.Errorf("no such bug: %s", bug)
	}
	settings, err := config.ParseOverrides(overrides)
	if err != nil {
		return err
	}
	static, err := config.Load(config.Options{}, settings)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	n, err := node.Open(ctx, node.Options{Static: static, Loggers: node.NewLoggers(os.Stderr, slog.LevelInfo), FS: lazyFS{vfs.OS(), bug}})
	if err != nil {
		return err
	}
	fmt.Println("PLAINTEXT://" + n.Addresses().Listeners["PLAINTEXT"])
	<-ctx.Done()
	return n.Close(context.Background())
}
