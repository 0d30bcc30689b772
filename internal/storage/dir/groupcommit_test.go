package dir

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/cost"
)

// BenchmarkGroupCommit measures one round of a committer whose logs all have one small record to be synced, for docs/adr/0002-group-commit.md:
//
//	files/N:   write each tail to its segment, sync the segments, N at a time
//	journal:   write each tail to its segment, write all of them once more to one journal file that was written before, and sync only that
//	syncfs:    write each tail to its segment, sync the whole file system with one call
//
// The journal is a prototype: frames with salt and sequence, recycled, and every segment is synced once per 64 MiB of journal, as a checkpoint would.
func BenchmarkGroupCommit(b *testing.B) {
	for _, logs := range []int{1, 6, 100, 1000, 10000} {
		for _, how := range []string{"files/1", "files/2", "files/4", "files/8", "journal", "syncfs"} {
			b.Run(fmt.Sprintf("logs=%d/%s", logs, how), func(b *testing.B) {
				r := newRounds(b, logs)
				defer r.close(b)
				r.run(b, how)
			})
		}
	}
}

const (
	tailBytes    = 1 << 10
	journalBytes = 64 << 20
)

// rounds has the files of so many logs.
type rounds struct {
	files   []vfs.File
	at      int64
	tail    []byte
	journal vfs.File
	where   int64
	frame   []byte
	salt    uint64
	number  uint64
}

func newRounds(b *testing.B, logs int) *rounds {
	fsys, path := vfs.OS(), b.TempDir()
	r := &rounds{tail: make([]byte, tailBytes), salt: uint64(time.Now().UnixNano())}
	for i := range logs {
		name := filepath.Join(path, fmt.Sprint("topic-", i))
		if err := fsys.MkdirAll(name); err != nil {
			b.Fatal(err)
		}
		f, err := fsys.Create(filepath.Join(name, "00000000000000000000.log"))
		if err != nil {
			b.Skipf("%d files: %v", logs, err)
		}
		r.files = append(r.files, f)
	}
	var err error
	if r.journal, err = fsys.Create(filepath.Join(path, "journal")); err != nil {
		b.Fatal(err)
	}
	zeros := make([]byte, 1<<20)
	for at := int64(0); at < journalBytes; at += int64(len(zeros)) {
		if _, err := r.journal.WriteAt(zeros, at); err != nil {
			b.Fatal(err)
		}
	}
	if err := r.journal.Sync(); err != nil {
		b.Fatal(err)
	}
	return r
}

func (r *rounds) close(b *testing.B) {
	for _, f := range append(r.files, r.journal) {
		if err := f.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func (r *rounds) run(b *testing.B, how string) {
	d := newDir(vfs.OS(), "", nil, Options{})
	var width int
	if _, err := fmt.Sscanf(how, "files/%d", &width); err == nil {
		d.syncer.width = width
	}
	files := make([]syncFile, len(r.files))
	for i, f := range r.files {
		files[i] = syncFile{handle: new(Handle), file: f}
	}
	before := cost.CPUTime()
	n := 0
	for b.Loop() {
		for _, f := range r.files {
			if _, err := f.WriteAt(r.tail, r.at); err != nil {
				b.Fatal(err)
			}
		}
		r.at += tailBytes
		var err error
		switch how {
		case "journal":
			err = r.log(d, files)
		case "syncfs":
			err = syncFileSystem(r.journal)
		default:
			err = d.syncer.each(len(files), func(i int) error { return d.syncOne(files[i].file) })
		}
		if err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(cost.CPUTime()-before)/float64(n)/1000, "cpu-us/round")
	b.ReportMetric(float64(n*len(r.files))/b.Elapsed().Seconds(), "appends/s")
}

// log writes all tails to the journal and syncs it.
func (r *rounds) log(d *Dir, files []syncFile) error {
	r.number++
	r.frame = binary.BigEndian.AppendUint64(r.frame[:0], r.salt)
	r.frame = binary.BigEndian.AppendUint64(r.frame, r.number)
	for i := range r.files {
		r.frame = binary.BigEndian.AppendUint32(r.frame, uint32(i))
		r.frame = binary.BigEndian.AppendUint64(r.frame, uint64(r.at))
		r.frame = append(r.frame, r.tail...)
	}
	if r.where+int64(len(r.frame)) > journalBytes { // the journal begins anew: what it had must be safe in its files first
		if err := d.syncer.files(files); err != nil {
			return err
		}
		r.where = 0
	}
	if _, err := r.journal.WriteAt(r.frame, r.where); err != nil {
		return err
	}
	r.where += int64(len(r.frame)+4095) &^ 4095
	return r.journal.Sync()
}
