package session

import "container/heap"

// evictables is a heap of sessions, the one to go first at its root.
type evictables struct {
	all   []*session
	place func(*session) *int
}

// less orders sessions by worth: consumers' before followers', small before large, then by id.
func less(privileged bool, size int, id int32, otherPrivileged bool, otherSize int, otherID int32) bool {
	switch {
	case privileged != otherPrivileged:
		return otherPrivileged
	case size != otherSize:
		return size < otherSize
	default:
		return id < otherID
	}
}

func (h *evictables) least() *session {
	if len(h.all) == 0 {
		return nil
	}
	return h.all[0]
}

func (h *evictables) add(s *session) { heap.Push(h, s) }

func (h *evictables) remove(s *session) {
	if at := *h.place(s); at > 0 {
		heap.Remove(h, at-1)
	}
}

// Len implements heap.Interface.
func (h *evictables) Len() int { return len(h.all) }

// Less implements heap.Interface.
func (h *evictables) Less(i, j int) bool {
	a, b := h.all[i], h.all[j]
	return less(a.privileged, a.ranked, a.id, b.privileged, b.ranked, b.id)
}

// Swap implements heap.Interface.
func (h *evictables) Swap(i, j int) {
	h.all[i], h.all[j] = h.all[j], h.all[i]
	*h.place(h.all[i]), *h.place(h.all[j]) = i+1, j+1
}

// Push implements heap.Interface.
func (h *evictables) Push(x any) {
	s := x.(*session)
	h.all = append(h.all, s)
	*h.place(s) = len(h.all)
}

// Pop implements heap.Interface.
func (h *evictables) Pop() any {
	last := len(h.all) - 1
	s := h.all[last]
	h.all[last] = nil
	h.all = h.all[:last]
	*h.place(s) = 0
	return s
}
