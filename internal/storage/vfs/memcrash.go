package vfs

// What Crash does for the first two seeds; every other seed is a mixture of its own.
const (
	LoseUnsynced uint64 = 0 // nothing is left but what was synced
	KeepUnsynced uint64 = 1 // everything is left, as after a kill of the process alone
)

// mode is the temper of a crash. Independent coins for every sector alone would hardly ever lose nothing, or everything, or all data but no size.
type mode uint8

const (
	loseAll    mode = iota
	keepAll         // everything made it
	coins           // a coin for each sector, size and entry
	inOrder         // everything up to some moment made it
	sizesOnly       // sizes and entries made it, data did not
	sizesCoins      // sizes and entries made it, of data some
	dataOnly        // data made it, of sizes and entries some
	byFile          // each file and entry made it wholly or not at all
	modeCount
	randomModes = modeCount - coins
)

// fate decides, reproducibly, what of the unsynced changes a crash leaves.
type fate struct {
	mode  mode
	seed  uint64
	until uint64 // inOrder: the last change that made it
}

// newFate makes the fate of a seed for changes numbered first to last.
func newFate(seed, first, last uint64) fate {
	switch seed {
	case LoseUnsynced:
		return fate{mode: loseAll}
	case KeepUnsynced:
		return fate{mode: keepAll}
	}
	f := fate{seed: seed, mode: coins + mode(mix(seed)%uint64(randomModes))}
	if f.mode == inOrder && last >= first {
		f.until = first + mix(seed, 1)%(last-first+2) - 1
	}
	return f
}

// mix hashes numbers; splitmix64's finaliser.
func mix(numbers ...uint64) uint64 {
	h := uint64(0x9e3779b97f4a7c15)
	for _, n := range numbers {
		h += n + 0x9e3779b97f4a7c15
		h = (h ^ h>>30) * 0xbf58476d1ce4e5b9
		h = (h ^ h>>27) * 0x94d049bb133111eb
		h ^= h >> 31
	}
	return h
}

// entry tells whether a change of a directory made it.
func (f fate) entry(seq uint64) bool {
	switch f.mode {
	case loseAll:
		return false
	case keepAll, sizesOnly, sizesCoins:
		return true
	case inOrder:
		return seq <= f.until
	}
	return mix(f.seed, 2, seq)%2 == 0
}

// sizes tells how many of a file's changes of size made it, in order.
func (f fate) sizes(id uint64, changes []change) int {
	switch f.mode {
	case loseAll:
		return 0
	case keepAll, sizesOnly, sizesCoins:
		return len(changes)
	case inOrder:
		n := 0
		for n < len(changes) && changes[n].seq <= f.until {
			n++
		}
		return n
	case byFile:
		return len(changes) * int(f.file(id))
	}
	return int(mix(f.seed, 3, id) % uint64(len(changes)+1))
}

func (f fate) file(id uint64) uint64 { return mix(f.seed, 4, id) % 2 }

// share is how much of a sector made it.
type share uint8

const (
	shareNone share = iota
	shareSome       // decided change by change
	shareAll
)

func (f fate) sector(id, sector uint64) share {
	switch f.mode {
	case loseAll, sizesOnly:
		return shareNone
	case keepAll, dataOnly:
		return shareAll
	case inOrder:
		return shareSome
	case byFile:
		return shareAll * share(f.file(id))
	}
	return share(mix(f.seed, 5, id, sector) % 3)
}

// change tells how many bytes of a sector changed on the disk when it got what it held after the change; less than sectorSize is the last that
// the sector got.
func (f fate) change(id, sector, seq uint64) int {
	if f.mode == inOrder {
		if seq < f.until {
			return sectorSize
		}
		if seq > f.until {
			return 0
		}
	}
	switch h := mix(f.seed, 6, id, sector, seq); h % 4 {
	case 0:
		return 0
	case 1:
		return int(h >> 8 % sectorSize)
	}
	return sectorSize
}

// settling is an image that becomes what a crash leaves. Pages that it shares with others are copied before it changes them.
type settling struct {
	image
	owned   []bool
	stopped map[uint64]bool // sectors that got no more after some change
	id      uint64
	fate    fate
}

// settle returns the disk after as much of the changes as fate lets happen.
//
// Sizes are metadata, which file systems keep in order: fate picks the last one that made it. Data goes sector by sector: of each sector one of
// the contents that it had made it, perhaps torn. A write behind a cut that did not make it went to blocks that nothing points at.
func settle(disk *image, changes []change, id uint64, fate fate) image {
	if len(changes) == 0 {
		return disk.clone()
	}
	s := settling{image: disk.clone(), id: id, fate: fate}
	sizes := fate.sizes(id, changes)
	visible := int64(1<<63 - 1) // up to the first byte behind a cut that did not happen
	for k := range changes {
		c := &changes[k]
		switch {
		case c.data != nil:
			s.write(c, visible)
		case k < sizes:
			s.cut(c.size, s.own)
		default:
			visible = min(visible, c.size)
		}
		if k < sizes {
			s.size = c.size
		}
	}
	s.cut(s.size, s.own)
	return s.image
}

// write applies what of a write made it.
func (s *settling) write(c *change, visible int64) {
	end := min(c.off+int64(len(c.data)), visible)
	for at := c.off; at < end; {
		next := min((at/sectorSize+1)*sectorSize, end)
		limit := s.limit(uint64(at/sectorSize), c.seq, at)
		if stop := min(next, limit); at < stop {
			s.writeAt(c.data[at-c.off:stop-c.off], at, s.own)
		}
		at = next
	}
}

// limit returns the offset up to which a write to a sector made it.
func (s *settling) limit(sector, seq uint64, at int64) int64 {
	switch s.fate.sector(s.id, sector) {
	case shareNone:
		return at
	case shareAll:
		return at + sectorSize
	}
	if s.stopped[sector] {
		return at
	}
	n := s.fate.change(s.id, sector, seq)
	if n < sectorSize {
		if s.stopped == nil {
			s.stopped = make(map[uint64]bool)
		}
		s.stopped[sector] = true
	}
	return int64(sector)*sectorSize + int64(n)
}

func (s *settling) own(i int) *page {
	if i < len(s.owned) && s.owned[i] && s.page(i) != nil { // a cut may have dropped the page again
		return s.page(i)
	}
	if i >= len(s.owned) {
		s.owned = append(s.owned, make([]bool, i+1-len(s.owned))...)
	}
	s.owned[i] = true
	p := new(page)
	if old := s.page(i); old != nil {
		*p = *old
	}
	s.setPage(i, p)
	return p
}
