package vfs

import (
	"slices"
	"time"
)

const (
	sectorSize     = 512 // what a disk writes in one piece, if it does not tear even that
	pageSize       = 4096
	sectorsPerPage = pageSize / sectorSize
	// maxPending bounds the changes of one file that wait for a Sync; beyond it the older half counts as written back by the system in the meantime.
	maxPending = 1 << 14
)

// page is immutable once two places point at it; nil is a page of zeros.
type page = [pageSize]byte

// image is the content of a file: what programs see, or what is on the disk.
type image struct {
	size  int64
	pages []*page // covers size, or less where there are zeros to the end
}

// change is a write or a cut that no Sync has covered yet.
type change struct {
	seq  uint64
	off  int64
	data []byte // nil for Truncate
	size int64  // of the file after it
}

// inode is a file of Mem. Its page cache and its disk are two images: a write changes the first and is remembered as pending, a Sync brings the
// second up to date, and a crash leaves the second with some of what is pending.
type inode struct {
	id      uint64
	cache   image
	private []bool // pages of the cache that nothing else points at
	disk    image
	pending []change
	modTime time.Time
	links   int // names in directories
	handles int // open files
}

func pagesFor(size int64) int { return int((size + pageSize - 1) / pageSize) }

func (m *image) clone() image { return image{size: m.size, pages: slices.Clone(m.pages)} }

func (m *image) page(i int) *page {
	if i < len(m.pages) {
		return m.pages[i]
	}
	return nil
}

func (m *image) setPage(i int, p *page) {
	if i >= len(m.pages) {
		if p == nil {
			return
		}
		m.pages = append(m.pages, make([]*page, i+1-len(m.pages))...)
	}
	m.pages[i] = p
}

func (m *image) readAt(p []byte, off int64) int {
	if off >= m.size {
		return 0
	}
	p = p[:min(int64(len(p)), m.size-off)]
	for done := 0; done < len(p); {
		at := off + int64(done)
		begin := int(at % pageSize)
		n := min(len(p)-done, pageSize-begin)
		if src := m.page(int(at / pageSize)); src != nil {
			copy(p[done:done+n], src[begin:])
		} else {
			clear(p[done : done+n])
		}
		done += n
	}
	return len(p)
}

// writeAt changes bytes, not the size. own makes a page private.
func (m *image) writeAt(p []byte, off int64, own func(i int) *page) {
	for len(p) > 0 {
		n := copy(own(int(off / pageSize))[off%pageSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

// cut drops everything from size on, so that it reads as zeros if the file grows again. own makes a page private.
func (m *image) cut(size int64, own func(i int) *page) {
	n := pagesFor(size)
	if n < len(m.pages) {
		clear(m.pages[n:])
		m.pages = m.pages[:n]
	}
	if end := int(size % pageSize); end != 0 && m.page(n-1) != nil {
		clear(own(n - 1)[end:])
	}
}

// allocated counts the pages that take room.
func (m *image) allocated() int64 {
	n := int64(0)
	for _, p := range m.pages {
		if p != nil {
			n++
		}
	}
	return n
}

// ownCache returns a page of the cache for changing: one that a disk may share is copied first, because disks' pages never change.
func (f *inode) ownCache(i int) *page {
	p := f.cache.page(i)
	if i >= len(f.private) {
		f.private = append(f.private, make([]bool, i+1-len(f.private))...)
	}
	if p != nil && f.private[i] {
		return p
	}
	f.private[i] = true
	if p == nil {
		p = new(page)
	} else {
		p = new(*p)
	}
	f.cache.setPage(i, p)
	return p
}

func (f *inode) write(seq uint64, p []byte, off int64) {
	f.cache.writeAt(p, off, f.ownCache)
	f.cache.size = max(f.cache.size, off+int64(len(p)))
	f.remember(change{seq: seq, off: off, data: slices.Clone(p), size: f.cache.size})
}

func (f *inode) truncate(seq uint64, size int64) {
	if size < f.cache.size {
		f.cache.cut(size, f.ownCache)
	}
	f.cache.size = size
	f.remember(change{seq: seq, size: size})
}

func (f *inode) remember(c change) {
	f.pending = append(f.pending, c)
	if len(f.pending) > maxPending {
		half := len(f.pending) / 2
		f.disk = settle(&f.disk, f.pending[:half], f.id, fate{mode: keepAll})
		f.pending = slices.Clone(f.pending[half:])
	}
}

// sync brings the disk up to date with the pages that are dirty. Pages that a failed Sync left clean are not among them: they stay lost.
func (f *inode) sync() {
	for _, c := range f.pending {
		first, last := int(c.off/pageSize), int((c.off+int64(len(c.data))-1)/pageSize)
		if c.data == nil {
			first, last = int(c.size/pageSize), int(c.size/pageSize)
			f.disk.pages = f.disk.pages[:min(len(f.disk.pages), first)]
		}
		for i := first; i <= last; i++ {
			f.disk.setPage(i, f.cache.page(i))
			if i < len(f.private) {
				f.private[i] = false
			}
		}
	}
	f.disk.size = f.cache.size
	f.pending = nil
}

// failSync leaves on the disk some of what was to be written, and all of it clean in the cache: no later Sync will write it.
func (f *inode) failSync(fate fate) {
	f.disk = settle(&f.disk, f.pending, f.id, fate)
	f.pending = nil
}
