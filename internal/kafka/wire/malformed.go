package wire

import "fmt"

// MaxTags is the most tags that one tag section may hold. Kafka defines at most four in any; each costs a decoder a map entry.
const MaxTags = 64

// MalformedError says where a header or a body stops making sense. Kafka closes the connection on such bytes.
type MalformedError struct {
	Message string // the request's name, "request header", or the name of an embedded blob
	Version int16
	Field   string // the field that was being read, "" when unknown
	Offset  int    // where in the bytes it was found
	Reason  string // what is wrong with it
	// Declared and Remaining are the length or count that the bytes claim and how many bytes follow; both 0 where they say nothing.
	Declared, Remaining int64
}

// Error implements error.
func (e *MalformedError) Error() string {
	s := fmt.Sprintf("malformed %s v%d", e.Message, e.Version)
	if e.Field != "" {
		s += ", field " + e.Field
	}
	s += fmt.Sprintf(", at byte %d: %s", e.Offset, e.Reason)
	if e.Declared != 0 || e.Remaining != 0 {
		s += fmt.Sprintf(" (declared %d, %d bytes remain)", e.Declared, e.Remaining)
	}
	return s
}

// UnsupportedError says that a key or a version of it has no definition.
type UnsupportedError struct{ Key, Version int16 }

// Error implements error.
func (e *UnsupportedError) Error() string {
	if name := Name(e.Key); name != "" {
		return fmt.Sprintf("%s (key %d) has no version %d", name, e.Key, e.Version)
	}
	return fmt.Sprintf("unknown API key %d (version %d)", e.Key, e.Version)
}

// The reasons of a MalformedError.
const (
	reasonShort      = "the bytes end inside the field"
	reasonCount      = "more elements are declared than can follow"
	reasonLength     = "the declared length is longer than what follows"
	reasonLongString = "the string is longer than 32767 bytes"
	reasonNull       = "null where null is not allowed"
	reasonTags       = "too many tags are declared"
	reasonTagSize    = "a tagged field does not fill its declared length"
	reasonPresence   = "the presence byte of a struct is neither -1 nor 1"
	reasonVersion    = "the embedded version is negative"
)
