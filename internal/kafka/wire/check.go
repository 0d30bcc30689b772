package wire

import "math"

// Check proves that body is a well-formed request of that key and version and returns how many bytes of memory Decode will allocate for
// it, at most. It takes time linear in the body, allocates nothing, and refuses declared counts and lengths that cannot be, tag floods,
// null where the protocol has none, and an early end. Bytes after the message are ignored, as Kafka ignores them.
//
// The error is a *UnsupportedError for a key or version without definition, else a *MalformedError.
func Check(key, version int16, body []byte) (cost int, err error) {
	if !defined(key, version) {
		return 0, &UnsupportedError{key, version}
	}
	walked, aliases, err := requests[key].check(apis[key].Name, version, body)
	if aliases {
		walked += memory(int64(len(body)))
	}
	return bounded(walked), err
}

// bounded is a cost as an int, which on 32 bits may be too small for it.
func bounded(cost int64) int { return int(min(cost, math.MaxInt)) }

func defined(key, version int16) bool {
	return key >= 0 && key <= MaxKey && version >= 0 && version <= requests[key].max
}

// check returns the cost of decoding by kmsg, and whether the result would keep slices of body: bytes fields, or the content of unknown
// tags.
func (m *root) check(name string, version int16, body []byte) (cost int64, aliases bool, err error) {
	w := walker{r: reader{buf: body}, version: version, flexible: version >= m.flexible, cost: memory(int64(m.mem)), aliases: m.aliases}
	if !w.fields(&m.schema) {
		return 0, false, w.refusal(name)
	}
	return w.cost, w.aliases, nil
}

// walker walks a body along a schema and adds up what decoding it costs.
type walker struct {
	r        reader
	version  int16
	flexible bool
	cost     int64
	aliases  bool

	// What went wrong, and where.
	field    *field
	reason   string
	declared int64
}

// memory is the most that the allocator takes for n bytes: its size classes waste up to a quarter.
func memory(n int64) int64 {
	if n == 0 {
		return 0
	}
	return (n + n/4 + 15) &^ 15
}

const (
	stringHeader = 16 // of a string that is behind a pointer
	// Unknown tags go into a map: one group of eight entries, or tables that double.
	smallTagMap = 400
	largeTagMap = 200 // for each tag
)

func (w *walker) fields(s *schema) bool {
	for i := range s.fields {
		f := &s.fields[i]
		if w.version < f.since || w.version > f.until {
			continue
		}
		if !w.value(f) {
			return false
		}
	}
	return !w.flexible || w.tags(s)
}

func (w *walker) value(f *field) bool {
	switch f.kind {
	case kindFixed:
		w.r.skip(int(f.size))
		return !w.r.failed || w.fail(f, reasonShort, 0)
	case kindString, kindStringPointer, kindBytes:
		return w.span(f, f.kind, f.nullable)
	case kindArray:
		return w.array(f)
	case kindStruct:
		return w.fields(f.of)
	default:
		return w.optional(f)
	}
}

// span walks a string or bytes.
func (w *walker) span(f *field, k kind, nullable int16) bool {
	n := w.r.length(w.flexible, k != kindBytes)
	switch {
	case w.r.failed:
		return w.fail(f, reasonShort, 0)
	case n < 0 && w.version < nullable:
		return w.fail(f, reasonNull, 0)
	case n < 0:
		return true
	case k != kindBytes && n > maxString:
		return w.fail(f, reasonLongString, int64(n))
	case n > w.r.remaining():
		return w.fail(f, reasonLength, int64(n))
	}
	w.r.off += n
	if k != kindBytes {
		w.cost += memory(int64(n))
	}
	if k == kindStringPointer {
		w.cost += stringHeader
	}
	return true
}

func (w *walker) array(f *field) bool {
	n := w.r.length(w.flexible, false)
	switch {
	case w.r.failed:
		return w.fail(f, reasonShort, 0)
	case n < 0 && w.version < f.nullable:
		return w.fail(f, reasonNull, 0)
	case n <= 0:
		return true
	case n > w.r.remaining()/w.smallest(f):
		return w.fail(f, reasonCount, int64(n))
	}
	w.cost += memory(int64(n) * int64(f.elemMem))
	if f.elem == kindFixed {
		w.r.off += n * int(f.elemSize)
		return true
	}
	for range n {
		if f.elem == kindStruct {
			if !w.fields(f.of) {
				return false
			}
		} else if !w.span(f, f.elem, never) {
			return false
		}
	}
	return true
}

// smallest is the size of the smallest encoding of an element of f.
func (w *walker) smallest(f *field) int {
	switch {
	case f.elem == kindFixed:
		return int(f.elemSize)
	case f.elem == kindStruct:
		return int(f.of.smallest[w.version])
	case w.flexible:
		return 1
	case f.elem == kindBytes:
		return 4
	default:
		return 2
	}
}

func (w *walker) optional(f *field) bool {
	switch presence := w.r.int8(); {
	case w.r.failed:
		return w.fail(f, reasonShort, 0)
	case presence == -1:
		return true
	case presence != 1:
		return w.fail(f, reasonPresence, int64(presence))
	}
	w.cost += memory(int64(f.elemMem))
	return w.fields(f.of)
}

// tags walks a tag section: known tags along their schema and within their declared length, unknown ones are skipped.
func (w *walker) tags(s *schema) bool {
	declared := w.r.uvarint()
	if w.r.failed {
		return w.fail(nil, reasonShort, 0)
	}
	if declared > MaxTags || int(declared) > w.r.remaining()/2 {
		return w.fail(nil, reasonTags, int64(declared))
	}
	unknown := 0
	for range declared {
		number, size := w.r.uvarint(), w.r.uvarint()
		switch {
		case w.r.failed:
			return w.fail(nil, reasonShort, 0)
		case int64(size) > int64(w.r.remaining()):
			return w.fail(nil, reasonLength, int64(size))
		}
		if f := s.known(number); f != nil {
			if !w.tagged(f, int(size)) {
				return false
			}
			continue
		}
		w.r.off += int(size)
		unknown++
	}
	if unknown > 0 {
		w.aliases = true
		w.cost += smallTagMap
	}
	if unknown > 8 {
		w.cost += largeTagMap * int64(unknown)
	}
	return true
}

// tagged walks a known tagged field, which must fill its declared size.
func (w *walker) tagged(f *field, size int) bool {
	whole := w.r.buf
	end := w.r.off + size
	w.r.buf = whole[:end]
	if !w.value(f) {
		return false
	}
	w.r.buf = whole
	return w.r.off == end || w.fail(f, reasonTagSize, int64(size))
}

func (s *schema) known(number uint32) *field {
	for i := range s.tagged {
		if uint32(s.tagged[i].tag) == number {
			return &s.tagged[i]
		}
	}
	return nil
}

func (w *walker) fail(f *field, reason string, declared int64) bool {
	w.field, w.reason, w.declared = f, reason, declared
	return false
}

func (w *walker) refusal(message string) error {
	e := &MalformedError{Message: message, Version: w.version, Offset: w.r.off, Reason: w.reason}
	if w.field != nil {
		e.Field = w.field.name
	} else {
		e.Field = "tags"
	}
	if w.declared != 0 {
		e.Declared, e.Remaining = w.declared, int64(w.r.remaining())
	}
	return e
}
