package plog

import (
	"hash/maphash"
	"math/bits"
)

const (
	keySlotBytes  = 8 + 8 + 8 // two halves of a key's hash, and an offset
	leastKeySlots = 1024
)

// KeyMap remembers for each key the greatest offset at which a cleaning saw it, in bounded memory: of a key it keeps a hash of 128 bits, under seeds of its own that nobody can
// know in order to make two keys collide.
type KeyMap struct {
	seeds [2]maphash.Seed
	slots []keySlot
	most  int // slots that the budget allows
	load  float64
	used  int
	next  int64 // the offset after the last one that was looked at
}

// keySlot is one key; an offset of 0 stands for none, so offsets are kept plus one.
type keySlot struct {
	a, b   uint64
	offset int64
}

// NewKeyMap returns a map that never takes more than so many bytes, and of them no more than load, a share between 0 and 1, for keys.
func NewKeyMap(budget int64, load float64) *KeyMap {
	return &KeyMap{
		seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, most: int(max(budget/keySlotBytes, leastKeySlots)), load: min(max(load, 0.01), 0.95),
	}
}

// Reset forgets all keys, and lets go of what a large log needed.
func (m *KeyMap) Reset() {
	m.used, m.next = 0, 0
	m.slots = nil
}

// Bytes is the memory in use.
func (m *KeyMap) Bytes() int64 { return int64(len(m.slots)) * keySlotBytes }

// put notes a key's offset; offsets come in ascending order. It returns false when the map is full.
func (m *KeyMap) put(key []byte, offset int64) bool {
	a, b := maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)
	if len(m.slots) == 0 {
		m.slots = make([]keySlot, min(leastKeySlots, m.most))
	}
	s := m.slot(a, b)
	if s.offset == 0 {
		if m.used+1 > int(m.load*float64(len(m.slots))) {
			if !m.grow() {
				return false
			}
			s = m.slot(a, b)
		}
		s.a, s.b = a, b
		m.used++
	}
	s.offset = offset + 1
	return true
}

// get returns the greatest offset of a key, -1 when it is not in the map.
func (m *KeyMap) get(key []byte) int64 {
	if m.used == 0 {
		return -1
	}
	return m.slot(maphash.Bytes(m.seeds[0], key), maphash.Bytes(m.seeds[1], key)).offset - 1
}

// slot returns where a hash is, or may go.
func (m *KeyMap) slot(a, b uint64) *keySlot {
	high, _ := bits.Mul64(a, uint64(len(m.slots)))
	for i := int(high); ; {
		s := &m.slots[i]
		if s.offset == 0 || s.a == a && s.b == b {
			return s
		}
		if i++; i == len(m.slots) {
			i = 0
		}
	}
}

func (m *KeyMap) grow() bool {
	size := min(2*len(m.slots), m.most)
	if int(m.load*float64(size)) <= m.used {
		return false
	}
	old := m.slots
	m.slots = make([]keySlot, size)
	for i := range old {
		if old[i].offset != 0 {
			*m.slot(old[i].a, old[i].b) = old[i]
		}
	}
	return true
}
