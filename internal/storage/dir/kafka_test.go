package dir

import (
	"errors"
	"io/fs"
	"path/filepath"
	"testing"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestKafkasEmptyCheckpoints: Kafka makes its checkpoint files empty and fills them later. A directory that it left before is taken over and looked at like any other, also after a power
// cut. The empty files are gone before there is a manifest, which a crash could leave beside them.
func TestKafkasEmptyCheckpoints(t *testing.T) {
	made := func() *vfs.Mem {
		mem := vfs.NewMem()
		if err := makeDurably(mem, testPath); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{metaFile: "version=1\ncluster.id=cluster\nnode.id=1\ndirectory.id=h19kCnTSRBCN1MIHdjBLrA\n", recoveryFile: "", startFile: "", replicationFile: "", cleanerFile: ""} {
			f, err := mem.Create(filepath.Join(testPath, name))
			if err != nil {
				t.Fatal(err)
			}
			_, err = f.WriteAt([]byte(text), 0)
			if err := errors.Join(err, f.Sync(), f.Close(), mem.SyncDir(testPath)); err != nil {
				t.Fatal(err)
			}
		}
		return mem
	}
	look := func(fsys vfs.FS) {
		t.Helper()
		view, err := Look(fsys, testPath)
		if err != nil {
			t.Fatal(err)
		}
		if len(view.Problems) > 0 {
			t.Errorf("problems: %v", view.Problems)
		}
	}
	look(made())
	mem := made()
	d := openDir(t, mem, Options{JournalBytes: -1})
	x := newReel(t, d, "topic-0")
	x.put(10)
	x.mustSettle(t)
	for _, name := range []string{recoveryFile, startFile, replicationFile} {
		if _, err := mem.Stat(filepath.Join(testPath, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is still there before the first checkpoint: %v", name, err)
		}
	}
	image := mem.Crash(vfs.LoseUnsynced)
	for _, name := range []string{recoveryFile, startFile, replicationFile} {
		if _, err := image.Stat(filepath.Join(testPath, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s would be back after a power cut: %v", name, err)
		}
	}
	x.need(NeedRecovery)
	x.mustSettle(t)
	for _, image := range []*vfs.Mem{image, mem.Crash(vfs.LoseUnsynced)} {
		look(image)
		openDir(t, image, Options{})
	}
}
