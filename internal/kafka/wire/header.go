package wire

import "encoding/binary"

// FrameSize reads the four bytes that start every frame: how many bytes follow. It may be negative or absurd, which its caller judges.
func FrameSize(prefix [4]byte) int32 { return int32(binary.BigEndian.Uint32(prefix[:])) }

// Header is a request header of version 0, 1 or 2.
type Header struct {
	Key           int16
	Version       int16
	CorrelationID int32
	ClientID      []byte // aliases the frame; nil when the client sent null or the header version has none
	Flexible      bool   // the header carried a tag section, and the body of that version is flexible
}

// ParseHeader reads the header of a frame (without its size) and returns what follows it, the body. The header's tags are skipped.
//
// A frame shorter than key, version and correlation id, a lying client id or a lying tag section is a *MalformedError; the fields read so
// far are returned with it. An unknown key is a *UnsupportedError. The version is not judged here, except that the layout follows it.
//
// For ApiVersions above the newest known version the body is nil and neither client id nor tags can fail the header: Kafka answers such
// a request without parsing it.
func ParseHeader(frame []byte) (h Header, body []byte, err error) {
	r := reader{buf: frame}
	h.Key = r.int16()
	h.Version = r.int16()
	h.CorrelationID = r.int32()
	if r.failed {
		return h, nil, h.malformed(&r, "")
	}
	info, ok := Info(h.Key)
	if !ok {
		return h, nil, &UnsupportedError{h.Key, h.Version}
	}
	if h.Key == keyControlledShutdown && h.Version == 0 {
		return h, r.buf[r.off:], nil
	}
	future := h.Key == KeyApiVersions && h.Version > info.Max
	h.ClientID = r.string(false)
	if r.failed && !future {
		return h, nil, h.malformed(&r, "ClientId")
	}
	h.Flexible = info.Flexible(h.Version)
	if h.Flexible && !r.failed {
		r.skipTags()
	}
	if future {
		return h, nil, nil
	}
	if r.failed {
		return h, nil, h.malformed(&r, "tags")
	}
	return h, r.buf[r.off:], nil
}

func (h *Header) malformed(r *reader, field string) error {
	return &MalformedError{Message: "request header", Version: h.Version, Field: field, Offset: r.off, Reason: reasonShort}
}

// AppendRequestHeader appends the header that a request of that key and version carries; a nil client id is null.
func AppendRequestHeader(dst []byte, key, version int16, correlationID int32, clientID []byte) []byte {
	dst = appendInt16(dst, key)
	dst = appendInt16(dst, version)
	dst = appendInt32(dst, correlationID)
	if key == keyControlledShutdown && version == 0 {
		return dst
	}
	dst = appendNullableString(dst, clientID, clientID == nil, false)
	if info, ok := Info(key); ok && info.Flexible(version) {
		dst = append(dst, 0)
	}
	return dst
}

// AppendResponseHeader appends a response header: version 0, or version 1 (with an empty tag section) when flexible.
// See ResponseHeaderFlexible: the response to ApiVersions is never flexible in its header.
func AppendResponseHeader(dst []byte, correlationID int32, flexible bool) []byte {
	dst = appendInt32(dst, correlationID)
	if flexible {
		dst = append(dst, 0)
	}
	return dst
}

// ResponseHeaderFlexible tells whether the response to a request of that key and version has header version 1.
// ApiVersions keeps version 0, so that a client of any age can read the answer.
func ResponseHeaderFlexible(key, version int16) bool {
	info, ok := Info(key)
	return ok && key != KeyApiVersions && info.Flexible(version)
}

// ParseResponseHeader reads a response header and returns what follows it.
func ParseResponseHeader(frame []byte, flexible bool) (correlationID int32, body []byte, err error) {
	r := reader{buf: frame}
	correlationID = r.int32()
	if flexible && !r.failed {
		r.skipTags()
	}
	if r.failed {
		return correlationID, nil, &MalformedError{Message: "response header", Offset: r.off, Reason: reasonShort}
	}
	return correlationID, r.buf[r.off:], nil
}
