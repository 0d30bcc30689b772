package vfs

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Mem is a file system in memory that can crash.
//
// Every file has a page cache, which programs see, and a disk; every directory has its entries and those on the disk. Sync and SyncDir carry over.
// Crash makes the file system that a power cut at this moment would leave; Mem itself goes on, so that a test may cut the power at every step of
// one run. What a crash may do is more than any one real file system does: see settle for data, and for directories:
//
//   - a creation, removal or rename since the last SyncDir happened or not, each by itself;
//   - a rename is one step, within a directory and across two, until SyncDir of one of them made its half durable; then the other half is
//     on its own, and a file may be in both places or in none;
//   - a file whose entry was not synced is gone although its data was.
//
// Given the same calls in the same order, the same seed makes the same crash.
type Mem struct {
	mu struct {
		sync.Mutex
		root     *directory
		seq      uint64 // numbers changes
		inodes   uint64
		locks    map[string]bool
		capacity int64 // in pages; 0 is none
		used     int64 // pages
	}
}

// directory is a directory of Mem.
type directory struct {
	entries map[string]node
	disk    map[string]node
	pending []entryChange
	modTime time.Time
}

// node is an *inode or a *directory.
type node any

// entryChange is a creation, removal or rename; a rename across directories is one in each, with the same number.
type entryChange struct {
	seq      uint64
	old, new string // "" is none
	node     node   // that gets the new name
}

func newDirectory() *directory {
	return &directory{entries: make(map[string]node), disk: make(map[string]node), modTime: time.Now()}
}

// NewMem returns an empty file system, which has no limit of size.
func NewMem() *Mem {
	m := new(Mem)
	m.mu.root = newDirectory()
	m.mu.locks = make(map[string]bool)
	return m
}

// SetCapacity limits the files to a number of bytes, rounded down to pages of 4 KiB; 0 is no limit. What is there already may exceed it; then
// nothing can be added, as on a full disk.
func (m *Mem) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.capacity = bytes / pageSize
	if bytes > 0 {
		m.mu.capacity = max(m.mu.capacity, 1)
	}
}

// Crash returns what a power cut now would leave: everything that was synced, and of the rest what the seed decides. Nobody holds a lock on it.
func (m *Mem) Crash(seed uint64) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := m.mu.seq + 1
	m.mu.root.oldestPending(&first)
	c := crashing{fate: newFate(seed, first, m.mu.seq), nodes: make(map[node]node)}
	after := NewMem()
	after.mu.root = c.directory(m.mu.root)
	after.mu.seq, after.mu.inodes, after.mu.capacity, after.mu.used = m.mu.seq, m.mu.inodes, m.mu.capacity, c.used
	return after
}

// oldestPending lowers seq to the first change that was not synced.
func (d *directory) oldestPending(seq *uint64) {
	if len(d.pending) > 0 {
		*seq = min(*seq, d.pending[0].seq)
	}
	for _, n := range d.entries {
		switch n := n.(type) {
		case *directory:
			n.oldestPending(seq)
		case *inode:
			if len(n.pending) > 0 {
				*seq = min(*seq, n.pending[0].seq)
			}
		}
	}
}

// crashing makes the copies of one crash.
type crashing struct {
	fate  fate
	nodes map[node]node // a file may have two names afterwards
	used  int64
}

func (c *crashing) directory(d *directory) *directory {
	copied := newDirectory()
	copied.modTime = d.modTime
	c.nodes[d] = copied
	left := make(map[string]node, len(d.disk))
	for name, n := range d.disk {
		left[name] = n
	}
	for _, e := range d.pending {
		if c.fate.entry(e.seq) {
			e.apply(left)
		}
	}
	for name, n := range left {
		n = c.copy(n)
		if f, ok := n.(*inode); ok {
			f.links++
		}
		copied.entries[name], copied.disk[name] = n, n
	}
	return copied
}

func (e *entryChange) apply(entries map[string]node) {
	if e.old != "" {
		delete(entries, e.old)
	}
	if e.new != "" {
		entries[e.new] = e.node
	}
}

func (c *crashing) copy(n node) node {
	if done, ok := c.nodes[n]; ok {
		return done
	}
	switch n := n.(type) {
	case *directory:
		return c.directory(n)
	case *inode:
		disk := settle(&n.disk, n.pending, n.id, c.fate)
		f := &inode{id: n.id, disk: disk, cache: disk.clone(), modTime: n.modTime}
		c.used += disk.allocated()
		c.nodes[n] = f
		return f
	}
	panic("BUG: vfs: a node is neither file nor directory")
}

// split returns the names on the path from the root.
func split(name string) []string {
	var names []string
	for part := range strings.SplitSeq(filepath.ToSlash(filepath.Clean(name)), "/") {
		if part != "" && part != "." {
			names = append(names, part)
		}
	}
	return names
}

// walkLocked finds the directory that has the last name of the path, and that name, which is empty for the root.
func (m *Mem) walkLocked(name string) (*directory, string, error) {
	names := split(name)
	d := m.mu.root
	if len(names) == 0 {
		return d, "", nil
	}
	last := len(names) - 1
	for _, n := range names[:last] {
		switch found := d.entries[n].(type) {
		case *directory:
			d = found
		case *inode:
			return nil, "", syscall.ENOTDIR
		default:
			return nil, "", fs.ErrNotExist
		}
	}
	return d, names[last], nil
}

// findLocked returns the node at the path.
func (m *Mem) findLocked(name string) (node, error) {
	d, last, err := m.walkLocked(name)
	if err != nil || last == "" {
		return d, err
	}
	if n, ok := d.entries[last]; ok {
		return n, nil
	}
	return nil, fs.ErrNotExist
}

func (m *Mem) findDirectoryLocked(name string) (*directory, error) {
	n, err := m.findLocked(name)
	if err != nil {
		return nil, err
	}
	if d, ok := n.(*directory); ok {
		return d, nil
	}
	return nil, syscall.ENOTDIR
}

// changeLocked applies a change of entries with a new number.
func (m *Mem) changeLocked(d *directory, old, new string, n node) {
	m.mu.seq++
	d.change(entryChange{seq: m.mu.seq, old: old, new: new, node: n})
}

func (d *directory) change(e entryChange) {
	e.apply(d.entries)
	d.pending = append(d.pending, e)
	d.modTime = later(d.modTime)
}

// later is the time now, but always after a time before, as it is on a real clock.
func later(before time.Time) time.Time {
	if now := time.Now(); now.After(before) {
		return now
	}
	return before.Add(time.Nanosecond)
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

// Create implements FS.
func (m *Mem) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.walkLocked(name)
	if err == nil && (last == "" || d.entries[last] != nil) {
		err = fs.ErrExist
	}
	if err == nil && m.mu.capacity > 0 && m.mu.used >= m.mu.capacity {
		err = syscall.ENOSPC
	}
	if err != nil {
		return nil, pathError("create", name, err)
	}
	m.mu.inodes++
	f := &inode{id: m.mu.inodes, links: 1, modTime: time.Now()}
	m.changeLocked(d, "", last, f)
	return m.openLocked(f, name, true), nil
}

// Open implements FS.
func (m *Mem) Open(name string) (File, error) { return m.open(name, true) }

// OpenRead implements FS.
func (m *Mem) OpenRead(name string) (File, error) { return m.open(name, false) }

func (m *Mem) open(name string, writable bool) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked(name)
	if err != nil {
		return nil, pathError("open", name, err)
	}
	f, ok := n.(*inode)
	if !ok {
		return nil, pathError("open", name, syscall.EISDIR)
	}
	return m.openLocked(f, name, writable), nil
}

func (m *Mem) openLocked(f *inode, name string, writable bool) File {
	f.handles++
	return &memFile{mem: m, inode: f, name: name, writable: writable}
}

// Remove implements FS.
func (m *Mem) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.walkLocked(name)
	if err == nil && last == "" {
		err = syscall.EBUSY
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	n, ok := d.entries[last]
	if !ok {
		return pathError("remove", name, fs.ErrNotExist)
	}
	if sub, ok := n.(*directory); ok && len(sub.entries) > 0 {
		return pathError("remove", name, syscall.ENOTEMPTY)
	}
	m.removeLocked(d, last, n)
	return nil
}

func (m *Mem) removeLocked(d *directory, name string, n node) {
	m.changeLocked(d, name, "", nil)
	m.unlinkLocked(n)
}

// unlinkLocked takes a name off a node; a file without names and handles frees its pages.
func (m *Mem) unlinkLocked(n node) {
	if f, ok := n.(*inode); ok {
		f.links--
		m.freeLocked(f)
	}
}

func (m *Mem) freeLocked(f *inode) {
	if f.links == 0 && f.handles == 0 {
		m.mu.used -= f.cache.allocated()
	}
}

// RemoveAll implements FS. A crash may leave any of the removals undone.
func (m *Mem) RemoveAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, last, err := m.walkLocked(name)
	if err == fs.ErrNotExist {
		return nil
	}
	if err == nil && last == "" {
		err = syscall.EBUSY
	}
	if err != nil {
		return pathError("remove", name, err)
	}
	if n, ok := d.entries[last]; ok {
		m.removeAllLocked(d, last, n)
	}
	return nil
}

func (m *Mem) removeAllLocked(d *directory, name string, n node) {
	if sub, ok := n.(*directory); ok {
		for _, child := range sub.names() {
			m.removeAllLocked(sub, child, sub.entries[child])
		}
	}
	m.removeLocked(d, name, n)
}

func (d *directory) names() []string {
	names := make([]string, 0, len(d.entries))
	for name := range d.entries {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Rename implements FS.
func (m *Mem) Rename(oldName, newName string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.renameLocked(oldName, newName); err != nil {
		return pathError("rename", oldName, fmt.Errorf("to %s: %w", newName, err))
	}
	return nil
}

func (m *Mem) renameLocked(oldName, newName string) error {
	from, oldLast, err := m.walkLocked(oldName)
	if err != nil {
		return err
	}
	to, newLast, err := m.walkLocked(newName)
	if err != nil {
		return err
	}
	n, ok := from.entries[oldLast]
	replaced := to.entries[newLast]
	_, moveDirectory := n.(*directory)
	_, ontoDirectory := replaced.(*directory)
	switch {
	case oldLast == "" || newLast == "":
		return syscall.EBUSY
	case !ok:
		return fs.ErrNotExist
	case n == replaced && !moveDirectory:
		return nil
	case ontoDirectory:
		return fs.ErrExist
	case moveDirectory && replaced != nil:
		return syscall.ENOTDIR
	case moveDirectory && slices.Equal(split(oldName), split(newName)[:min(len(split(newName)), len(split(oldName)))]):
		return syscall.EINVAL // into itself
	}
	m.mu.seq++
	if from == to {
		from.change(entryChange{seq: m.mu.seq, old: oldLast, new: newLast, node: n})
	} else {
		from.change(entryChange{seq: m.mu.seq, old: oldLast})
		to.change(entryChange{seq: m.mu.seq, new: newLast, node: n})
	}
	if replaced != nil {
		m.unlinkLocked(replaced)
	}
	return nil
}

// MkdirAll implements FS.
func (m *Mem) MkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d := m.mu.root
	for _, n := range split(name) {
		switch found := d.entries[n].(type) {
		case *directory:
			d = found
		case *inode:
			return pathError("mkdir", name, syscall.ENOTDIR)
		default:
			sub := newDirectory()
			m.changeLocked(d, "", n, sub)
			d = sub
		}
	}
	return nil
}

// SyncDir implements FS.
func (m *Mem) SyncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDirectoryLocked(name)
	if err != nil {
		return pathError("sync", name, err)
	}
	for i := range d.pending {
		d.pending[i].apply(d.disk)
	}
	d.pending = nil
	return nil
}

// FailSyncDir does to the directory what a SyncDir does that fails: some changes are on the disk, no later SyncDir will bring the others there.
func (m *Mem) FailSyncDir(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDirectoryLocked(name)
	if err != nil {
		return
	}
	m.mu.seq++
	fate := fate{mode: coins, seed: m.mu.seq}
	for i := range d.pending {
		if fate.entry(d.pending[i].seq) {
			d.pending[i].apply(d.disk)
		}
	}
	d.pending = nil
}

// ReadDir implements FS.
func (m *Mem) ReadDir(name string) ([]DirEntry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	d, err := m.findDirectoryLocked(name)
	if err != nil {
		return nil, pathError("read", name, err)
	}
	entries := make([]DirEntry, 0, len(d.entries))
	for _, n := range d.names() {
		e := DirEntry{Name: n}
		if f, ok := d.entries[n].(*inode); ok {
			e.Size = f.cache.size
		} else {
			e.IsDir = true
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Stat implements FS.
func (m *Mem) Stat(name string) (Info, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.findLocked(name)
	if err != nil {
		return Info{}, pathError("stat", name, err)
	}
	if f, ok := n.(*inode); ok {
		return Info{Size: f.cache.size, ModTime: f.modTime}, nil
	}
	return Info{IsDir: true, ModTime: n.(*directory).modTime}, nil
}

// Lock implements FS.
func (m *Mem) Lock(name string) (io.Closer, error) {
	f, err := m.open(name, true)
	if err != nil {
		if f, err = m.Create(name); err != nil {
			return nil, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	key := strings.Join(split(name), "/")
	if m.mu.locks[key] {
		f.(*memFile).closeLocked()
		return nil, fmt.Errorf("lock %s: held by this process: %w", name, ErrLocked)
	}
	m.mu.locks[key] = true
	return &memLock{mem: m, key: key, file: f.(*memFile)}, nil
}

// FreeSpace implements FS. Without a capacity there is 1 TiB.
func (m *Mem) FreeSpace(name string) (free, total int64, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, err := m.findLocked(name); err != nil {
		return 0, 0, pathError("free space", name, err)
	}
	capacity := m.mu.capacity
	if capacity == 0 {
		capacity = 1 << 40 / pageSize
	}
	return max(capacity-m.mu.used, 0) * pageSize, capacity * pageSize, nil
}

type memLock struct {
	mem  *Mem
	key  string
	file *memFile
}

// Close lets the lock go; twice is harmless.
func (l *memLock) Close() error {
	l.mem.mu.Lock()
	defer l.mem.mu.Unlock()
	if !l.file.closed {
		delete(l.mem.mu.locks, l.key)
		l.file.closeLocked()
	}
	return nil
}
