package quorum

import (
	"path/filepath"
	"testing"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// FuzzCheckpoint: whatever the bytes of a snapshot are, they are read as a whole snapshot or refused; only what passed verify is loaded. The checksums are set right, or no input
// would get far.
func FuzzCheckpoint(f *testing.F) {
	for _, values := range [][]string{nil, {"a"}, {"a", "b", "c"}} {
		fsys := vfs.NewMem()
		end := machine.Position{Epoch: 3, Offset: 77}
		if err := fsys.MkdirAll(path); err != nil {
			f.Fatal(err)
		}
		w, err := createCheckpoint(fsys, path, end, 5)
		if err == nil {
			err = w.header(9, 12, []Voter{self})
		}
		for r := range of(values...) {
			if err == nil {
				err = w.record(r)
			}
		}
		if err == nil {
			err = w.footer()
		}
		if err == nil {
			err = w.seal()
		}
		if err != nil {
			f.Fatal(err)
		}
		data, err := readSmall(fsys, filepath.Join(path, checkpointName(end)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
		f.Add(data[:len(data)-3])
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for rest := data; len(rest) > 0; {
			b, next, err := batch.Next(rest)
			if err != nil {
				break
			}
			b.SealCRC()
			rest = next
		}
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll(path); err != nil {
			t.Fatal(err)
		}
		end := machine.Position{Epoch: 3, Offset: 77}
		if err := replaceFile(fsys, filepath.Join(path, checkpointName(end)), data); err != nil {
			t.Fatal(err)
		}
		list, err := checkpoints(fsys, path)
		if err != nil || len(list) != 1 || list[0].End != end {
			t.Fatalf("%+v, %v", list, err)
		}
		if list[0].verify() != nil {
			return
		}
		records := 0
		if err := list[0].Records(func(at machine.Position, _ machine.Record) error {
			records++
			if at.Offset != 76 || at.Epoch != 3 {
				t.Fatalf("a record at %v", at)
			}
			return nil
		}); err == nil && records > len(data) {
			t.Fatalf("%d records in %d bytes", records, len(data))
		}
	})
}
