//go:build unix

package vfs_test

import (
	"bufio"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

const lockEnv = "OTTLA_TEST_LOCK_FILE"

// TestLockHolder is not a test: TestLockExcludesProcesses runs it in a process of its own. It prints what became of the lock and holds it until
// its input ends.
func TestLockHolder(t *testing.T) {
	name := os.Getenv(lockEnv)
	if name == "" {
		t.Skip("runs as a process of TestLockExcludesProcesses")
	}
	_, err := vfs.OS().Lock(name)
	switch {
	case err == nil:
		os.Stdout.WriteString("locked\n")
	case errors.Is(err, vfs.ErrLocked):
		os.Stdout.WriteString("refused: " + err.Error() + "\n")
	default:
		os.Stdout.WriteString(err.Error() + "\n")
	}
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		t.Error(err)
	}
}

// holder starts another process that tries the lock and returns what it says, and what ends it.
func holder(t *testing.T, name string) (said string, end func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestLockHolder$")
	cmd.Env = append(os.Environ(), lockEnv+"="+name)
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	end = func() {
		in.Close()
		if _, err := io.Copy(io.Discard, out); err != nil {
			t.Error(err)
		}
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		end()
		t.Fatal(err)
	}
	return strings.TrimSpace(line), end
}

func TestLockExcludesProcesses(t *testing.T) {
	name := filepath.Join(t.TempDir(), ".lock")
	said, end := holder(t, name)
	if said != "locked" {
		t.Fatalf("the other process says %q", said)
	}
	_, err := vfs.OS().Lock(name)
	wantError(t, "while another process holds it", err, vfs.ErrLocked)
	end()

	lock, err := vfs.OS().Lock(name)
	must(t, err)
	if _, err := vfs.OS().Lock(name); !errors.Is(err, vfs.ErrLocked) { // must not open the file, which would drop the lock
		t.Errorf("a second lock in this process: %v", err)
	}
	said, end = holder(t, name)
	if !strings.HasPrefix(said, "refused: ") || !strings.Contains(said, "held by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("the other process says %q", said)
	}
	end()
	must(t, lock.Close())
	said, end = holder(t, name)
	if said != "locked" {
		t.Errorf("after Close the other process says %q", said)
	}
	end()
}

// A lock through a symbolic link is the same lock.
func TestLockThroughSymlink(t *testing.T) {
	dir := t.TempDir()
	must(t, os.Mkdir(filepath.Join(dir, "real"), 0o755))
	must(t, os.Symlink("real", filepath.Join(dir, "link")))
	lock, err := vfs.OS().Lock(filepath.Join(dir, "real", ".lock"))
	must(t, err)
	_, err = vfs.OS().Lock(filepath.Join(dir, "link", ".lock"))
	wantError(t, "through the link", err, vfs.ErrLocked)
	must(t, lock.Close())
}
