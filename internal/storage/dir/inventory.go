package dir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// inventoryFile has the names and sizes of every log's files as a clean stop left them, so that the next start need not list ten thousand directories; see
// docs/format/manifest.md.
const inventoryFile = "ottla.inventory"

const (
	inventoryMagic      = "OTTLAINV"
	inventoryVersion    = 1
	inventoryHeaderSize = len(inventoryMagic) + 5*4
)

// inventory is what the directories of logs have, by the log's name.
type inventory map[string]contents

// contents is what one log's directory has, and what shows without listing it whether it still has that.
type contents struct {
	modified int64 // when a name came or went last, ns
	written  int64 // when the newest segment was written last, ns; 0 without one
	files    []vfs.DirEntry
}

// newestSegment returns the last of a log's segments.
func (c contents) newestSegment() (vfs.DirEntry, bool) {
	for i := len(c.files) - 1; i >= 0; i-- {
		if !c.files[i].IsDir && strings.HasSuffix(c.files[i].Name, ".log") {
			return c.files[i], true
		}
	}
	return vfs.DirEntry{}, false
}

// take lists a log's directory.
func take(fsys vfs.FS, path string) (c contents, err error) {
	info, err := fsys.Stat(path)
	if err != nil {
		return c, err
	}
	c.modified = info.ModTime.UnixNano()
	if c.files, err = fsys.ReadDir(path); err != nil {
		return c, err
	}
	if s, ok := c.newestSegment(); ok {
		if info, err = fsys.Stat(filepath.Join(path, s.Name)); err != nil {
			return c, err
		}
		c.written = info.ModTime.UnixNano()
	}
	return c, nil
}

// holds tells whether a log's directory is as it was: no name came or went, and the newest segment is the same.
func (c contents) holds(fsys vfs.FS, path string) bool {
	info, err := fsys.Stat(path)
	if err != nil || info.ModTime.UnixNano() != c.modified {
		return false
	}
	s, ok := c.newestSegment()
	if !ok {
		return true
	}
	info, err = fsys.Stat(filepath.Join(path, s.Name))
	return err == nil && info.Size == s.Size && info.ModTime.UnixNano() == c.written
}

// encodeInventory binds the inventory to the manifest that was written before it.
func encodeInventory(names []string, x inventory, manifest uint32) []byte {
	out := append(make([]byte, 0, inventoryHeaderSize+256*len(names)), inventoryMagic...)
	out = binary.BigEndian.AppendUint32(out, inventoryVersion)
	out = binary.BigEndian.AppendUint32(out, 0) // the checksum of all that follows
	out = binary.BigEndian.AppendUint32(out, manifest)
	out = binary.BigEndian.AppendUint32(out, uint32(len(names)))
	files := 0
	for _, name := range names {
		files += len(x[name].files)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(files))
	for _, name := range names {
		c := x[name]
		out = append(binary.BigEndian.AppendUint16(out, uint16(len(name))), name...)
		out = binary.BigEndian.AppendUint64(out, uint64(c.modified))
		out = binary.BigEndian.AppendUint64(out, uint64(c.written))
		out = binary.BigEndian.AppendUint32(out, uint32(len(c.files)))
		for _, f := range c.files {
			size := f.Size
			if f.IsDir {
				size = -1
			}
			out = append(binary.BigEndian.AppendUint16(out, uint16(len(f.Name))), f.Name...)
			out = binary.BigEndian.AppendUint64(out, uint64(size))
		}
	}
	sum := len(inventoryMagic) + 4
	binary.BigEndian.PutUint32(out[sum:], crc32.Checksum(out[sum+4:], castagnoli))
	return out
}

var errInventory = errors.New("inventory is not usable")

// parseInventory returns what the logs have, or an error when the file is damaged or belongs to another manifest than the one with the checksum given.
func parseInventory(data []byte, manifest uint32) (inventory, error) {
	if len(data) < inventoryHeaderSize || string(data[:len(inventoryMagic)]) != inventoryMagic {
		return nil, fmt.Errorf("%w: no inventory header", errInventory)
	}
	p := reader{text: string(data), at: len(inventoryMagic)}
	version, sum, of, logs, count := p.u32(), p.u32(), p.u32(), int(p.u32()), int(p.u32())
	switch {
	case version != inventoryVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", errInventory, version, inventoryVersion)
	case sum != crc32.Checksum(data[len(inventoryMagic)+8:], castagnoli):
		return nil, fmt.Errorf("%w: its checksum differs", errInventory)
	case of != manifest:
		return nil, fmt.Errorf("%w: it belongs to another %s", errInventory, manifestFile)
	case count > len(data)/10 || logs > len(data)/22:
		return nil, fmt.Errorf("%w: it ends early", errInventory)
	}
	out, all := make(inventory, logs), make([]vfs.DirEntry, 0, count)
	for range logs {
		name := p.take(int(p.u16()))
		c := contents{modified: p.i64(), written: p.i64()}
		n, from := int(p.u32()), len(all)
		for range n {
			if p.bad || len(all) == count {
				return nil, fmt.Errorf("%w: it ends early", errInventory)
			}
			e := vfs.DirEntry{Name: p.take(int(p.u16())), Size: p.i64()}
			if e.IsDir = e.Size < 0; e.IsDir {
				e.Size = 0
			}
			all = append(all, e)
		}
		c.files = all[from:len(all):len(all)]
		out[name] = c
	}
	if p.bad || p.at != len(p.text) || len(all) != count {
		return nil, fmt.Errorf("%w: it ends early, or late", errInventory)
	}
	return out, nil
}

// reader reads fields of a text whose pieces are kept; bad once it was too short.
type reader struct {
	text string
	at   int
	bad  bool
}

func (r *reader) take(n int) string {
	if r.bad || n > len(r.text)-r.at {
		r.bad = true
		return ""
	}
	r.at += n
	return r.text[r.at-n : r.at]
}

func (r *reader) number(size int) (v uint64) {
	for _, b := range []byte(r.take(size)) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (r *reader) u16() uint16 { return uint16(r.number(2)) }
func (r *reader) u32() uint32 { return uint32(r.number(4)) }
func (r *reader) i64() int64  { return int64(r.number(8)) }

// writeInventory ends a clean stop. Nobody changes a log's files any more. A directory that cannot be listed, or a disk that is full, costs the next start time and no more.
func (d *Dir) writeInventory() error {
	names, err := d.logNames()
	if err != nil {
		d.logger.Warn("the next start lists every log's directory", "directory", d.path, "error", err)
		return nil
	}
	before := d.untouched()
	listed := make([]contents, len(names))
	err = d.syncer.spread(len(names), min(listWidth, len(names)), func(i int) (err error) {
		var known bool
		if listed[i], known = before[names[i]]; !known {
			listed[i], err = take(d.fs, filepath.Join(d.path, names[i]))
		}
		return err
	})
	if err != nil {
		d.logger.Warn("the next start lists every log's directory", "directory", d.path, "error", err)
		return nil
	}
	x := make(inventory, len(names))
	for i, name := range names {
		x[name] = listed[i]
	}
	err = replace(d.fs, d.path, file{inventoryFile, encodeInventory(names, x, d.manifestSum)})
	if err != nil && NoSpace(err) {
		d.logger.Info("no space for an inventory: the next start lists every log's directory", "directory", d.path, "error", err)
		return nil
	}
	return err
}

// untouched is what the inventory of the last stop has, if this process began with that, of logs whose files the committer did not touch since. Should they have changed all the same, the next
// start sees that, as it would if they changed while nobody used the directory.
func (d *Dir) untouched() inventory {
	if d.inventoryOf == 0 {
		return nil
	}
	data, err := vfs.ReadSmall(d.fs, filepath.Join(d.path, inventoryFile))
	if err != nil {
		return nil
	}
	x, err := parseInventory(data, d.inventoryOf)
	if err != nil {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.mu.logs {
		if c, ok := l.(Closer); !ok || c.Place().touched {
			delete(x, name)
		}
	}
	return x
}

// logNames lists the directories of logs.
func (d *Dir) logNames() ([]string, error) {
	entries, err := d.fs.ReadDir(d.path)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if _, _, ok := splitName(e.Name); ok && e.IsDir {
			names = append(names, e.Name)
		}
	}
	return names, nil
}

// readInventory reads what the last stop left, if that was clean and nobody used the directory since.
func (d *Dir) readInventory(t turn) (inventory, error) {
	if !t.clean || t.foreign() || d.journal != nil || d.manifestSum == 0 {
		return nil, nil
	}
	name := filepath.Join(d.path, inventoryFile)
	data, err := vfs.ReadSmall(d.fs, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	x, err := parseInventory(data, d.manifestSum)
	if err != nil {
		d.logger.Warn("every log's directory is listed", "directory", d.path, "error", err)
		return nil, nil
	}
	d.inventoryOf = d.manifestSum
	return x, nil
}
