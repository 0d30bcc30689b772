package wire

//go:generate go run gen_schema.go

// The tables in zz_schema.go are generated from the decoders of kmsg, so that what Check walks is exactly what kmsg will read. They are
// plain data without initialisation at start.

// kind is the wire shape of a field or of an array's element.
type kind uint8

const (
	kindFixed         kind = iota // size bytes
	kindString                    // length and bytes; kmsg copies them
	kindStringPointer             // the same behind a pointer
	kindBytes                     // length and bytes; kmsg aliases them
	kindArray
	kindStruct         // a struct in place
	kindOptionalStruct // a presence byte and a struct behind a pointer
)

// never is the version of a nullability that does not come.
const never = 1<<15 - 1

// field is one field of a message, in wire order.
type field struct {
	name string
	kind kind
	size uint8 // of a fixed field
	tag  uint8 // number among the tagged fields

	since, until int16 // versions that carry the field
	nullable     int16 // first version in which null is allowed, or never

	elem     kind    // of an array
	elemSize uint8   // of an array's fixed element
	elemMem  uint32  // memory of an array's element, or of an optional struct, in the decoded form
	of       *schema // of a struct, or of an array of structs
}

// schema is a struct of a message.
type schema struct {
	fields []field // in wire order
	tagged []field // known tagged fields, walked when the version is flexible
	// smallest has, for each version, the size of the smallest encoding of the struct, at least 1.
	smallest string
}

// root is a whole message.
type root struct {
	schema   schema
	max      int16 // newest version
	flexible int16 // first flexible version, or never
	mem      uint32
	// aliases is set when the decoded form keeps slices of the body: bytes fields somewhere in it.
	aliases bool
}
