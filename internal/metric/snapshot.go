package metric

// Snapshot is a histogram that somebody else keeps, in the family's shown unit. Counts has one more than Bounds, for what lies above the last.
type Snapshot struct {
	Bounds []float64
	Counts []int64
	Sum    float64
}

// HistogramFunc shows what function returns at each collection.
func (r *Registry) HistogramFunc(f *Family, function func() Snapshot, labels ...string) {
	s := r.series(f, HistogramKind, labels, func() *series { return &series{} })
	r.mu.Lock()
	defer r.mu.Unlock()
	s.snapshot = function
}

// shown is Histogram.shown for a snapshot.
func (s Snapshot) shown() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(s.Bounds))
	for i, n := range s.Counts {
		count += uint64(n)
		if i < len(s.Bounds) {
			buckets[s.Bounds[i]] = count
		}
	}
	return count, s.Sum, buckets
}
