package record

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ottla/ottla/internal/invariant"
)

// frameVersion is the only version of the frame around a record.
const frameVersion = 1

// ErrMalformed is wrapped by every error of Decode.
var ErrMalformed = errors.New("malformed metadata record")

// Message is one record: a pointer to one of the generated structs, or *Unknown.
type Message interface {
	// APIKey is the number of the record's type.
	APIKey() int16
	// TypeName is Kafka's name of the type, such as TopicRecord.
	TypeName() string
	// Versions are the versions of the record that this build reads and writes.
	Versions() (lowest, highest int16)
	appendBody(b []byte, version int16) []byte
	readBody(r *reader, version int16)
}

// Tag is a tagged field that this build does not know, kept so that it can be written again.
type Tag struct {
	Number uint32
	Data   []byte
}

// Unknown is a record whose type or version this build does not know. It is written again as it was read.
type Unknown struct {
	Key     int16
	Version int16
	Body    []byte
}

// APIKey implements Message.
func (u *Unknown) APIKey() int16 { return u.Key }

// TypeName implements Message.
func (u *Unknown) TypeName() string {
	return fmt.Sprintf("record type %d version %d", u.Key, u.Version)
}

// Versions implements Message.
func (u *Unknown) Versions() (lowest, highest int16) { return u.Version, u.Version }

func (u *Unknown) appendBody(b []byte, _ int16) []byte { return append(b, u.Body...) }

func (u *Unknown) readBody(r *reader, _ int16) { u.Body = r.rest() }

// Append appends the value of m in the given version, which must be one of m's; fields that the version cannot carry must have their default.
func Append(dst []byte, m Message, version int16) []byte {
	lowest, highest := m.Versions()
	invariant.Check(version >= lowest && version <= highest, "%s has no version %d", m.TypeName(), version)
	dst = binary.AppendUvarint(dst, frameVersion)
	dst = binary.AppendUvarint(dst, uint64(uint16(m.APIKey())))
	dst = binary.AppendUvarint(dst, uint64(uint16(version)))
	return m.appendBody(dst, version)
}

// Decode reads one value. Types and versions that this build does not know come back as *Unknown; errors wrap ErrMalformed.
func Decode(value []byte) (m Message, version int16, err error) {
	r := &reader{buf: value}
	if frame := r.uvarint(); r.err == nil && frame != frameVersion {
		return nil, 0, fmt.Errorf("%w: frame version %d, want %d", ErrMalformed, frame, frameVersion)
	}
	key, ver := r.uvarint(), r.uvarint()
	if r.err != nil {
		return nil, 0, r.err
	}
	if key > 0x7fff || ver > 0x7fff {
		return nil, 0, fmt.Errorf("%w: api key %d version %d is out of range", ErrMalformed, key, ver)
	}
	version = int16(ver)
	m = New(int16(key))
	if m == nil {
		m = &Unknown{Key: int16(key), Version: version}
	} else if lowest, highest := m.Versions(); version < lowest || version > highest {
		m = &Unknown{Key: int16(key), Version: version}
	}
	m.readBody(r, version)
	if r.err == nil && len(r.buf) != 0 {
		r.fail("%d bytes are left over", len(r.buf))
	}
	if r.err != nil {
		return nil, 0, fmt.Errorf("%s version %d: %w", m.TypeName(), version, r.err)
	}
	return m, version, nil
}
