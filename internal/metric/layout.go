package metric

import "math/bits"

// Unit says what a family's values are, and for a histogram which buckets it has. The buckets are log-linear: a few steps in each power of ten or two.
type Unit uint8

const (
	Things  Unit = iota // a plain number; histogram buckets 1, 2, 4 … 65,536
	Seconds             // observed in nanoseconds, shown in seconds; buckets 1, 2, 3, 5, 7 in each decade from 10 µs to 100 s
	Bytes               // buckets are the powers of two from 64 B to 128 MiB
)

var layouts = [...]*layout{
	Things:  newLayout(1, powers(0, 16)),
	Seconds: newLayout(1e9, decades(10_000, 100_000_000_000, 1, 2, 3, 5, 7)),
	Bytes:   newLayout(1, powers(6, 27)),
}

// layout is the bounds of a histogram's buckets and the way to find a value's bucket: first holds, for each bit length, the lowest bucket that a value of
// that length can be in, from where a step or two find it.
type layout struct {
	bounds []int64 // inclusive upper bounds, ascending
	first  [65]uint8
	per    float64 // how many of the observed unit make one of the shown; dividing by it rounds once, so that a millisecond is shown as 0.001
}

func newLayout(per float64, bounds []int64) *layout {
	l := &layout{bounds: bounds, per: per}
	for n := range l.first {
		smallest := int64(0)
		if n > 0 {
			smallest = int64(uint64(1)<<(n-1)) & (1<<63 - 1)
		}
		i := 0
		for i < len(bounds) && bounds[i] < smallest {
			i++
		}
		l.first[n] = uint8(i)
	}
	return l
}

func (l *layout) bucket(v int64) int {
	if v < 0 {
		return 0
	}
	i := int(l.first[bits.Len64(uint64(v))])
	for i < len(l.bounds) && l.bounds[i] < v {
		i++
	}
	return i
}

func powers(from, to int) []int64 {
	var out []int64
	for n := from; n <= to; n++ {
		out = append(out, 1<<n)
	}
	return out
}

func decades(from, to int64, steps ...int64) []int64 {
	var out []int64
	for base := from; base < to; base *= 10 {
		for _, step := range steps {
			out = append(out, base*step)
		}
	}
	return append(out, to)
}
