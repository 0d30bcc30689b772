package logfile

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"
)

// Encoding is how bytes are shown.
type Encoding string

// The ways to show bytes. Auto is text where the bytes are UTF-8, else base64.
const (
	Auto   Encoding = "auto"
	Text   Encoding = "text"
	Base64 Encoding = "base64"
	Hex    Encoding = "hex"
)

// Encodings are all of them.
var Encodings = []Encoding{Auto, Text, Base64, Hex}

// ParseEncoding reads the name of one.
func ParseEncoding(name string) (Encoding, error) {
	for _, e := range Encodings {
		if string(e) == name {
			return e, nil
		}
	}
	return "", fmt.Errorf("%q is none of auto, text, base64, hex", name)
}

// Bytes are a key or a value, as they are to be shown; nil is null.
type Bytes struct {
	data     []byte
	encoding Encoding
}

// show copies bytes; null stays null.
func show(p []byte, e Encoding) *Bytes {
	if p == nil {
		return nil
	}
	if e == Auto || e == "" {
		e = Text
		if !utf8.Valid(p) {
			e = Base64
		}
	}
	return &Bytes{append([]byte{}, p...), e}
}

// Data is what is shown; nil for null.
func (b *Bytes) Data() []byte {
	if b == nil {
		return nil
	}
	return b.data
}

// MarshalJSON writes text as a string, and what is shown otherwise as an object with one field that names the encoding.
func (b *Bytes) MarshalJSON() ([]byte, error) {
	switch {
	case b == nil:
		return []byte("null"), nil
	case b.encoding == Base64:
		return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(b.data)})
	case b.encoding == Hex:
		return json.Marshal(map[string]string{"hex": hex.EncodeToString(b.data)})
	}
	return json.Marshal(string(b.data))
}

// Text writes null, "text", base64:… or hex:….
func (b *Bytes) Text() string {
	switch {
	case b == nil:
		return "null"
	case b.encoding == Base64:
		return "base64:" + base64.StdEncoding.EncodeToString(b.data)
	case b.encoding == Hex:
		return "hex:" + hex.EncodeToString(b.data)
	}
	return strconv.Quote(string(b.data))
}

func quoted(s string) string { return strconv.Quote(s) }
