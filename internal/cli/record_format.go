package cli

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recordFormat writes records as --format says. The letters are kcat's.
type recordFormat struct{ parts []formatPart }

type formatPart func(b []byte, r *kgo.Record) []byte

const formatHelp = `%t topic, %p partition, %o offset, %k key, %v value (also %s), %h headers as key=value,…, %T timestamp in milliseconds,
%d timestamp as a date, %e leader epoch, %K %V length of key and value (-1 for null), %H number of headers, %% a percent sign; \n \t \r \\ \xNN
are escapes. %k, %v and %t may carry {hex} or {base64}: %v{hex}.`

// parseFormat reads a format, or says what in it is wrong.
func parseFormat(text string) (*recordFormat, error) {
	text, err := unescape(text)
	if err != nil {
		return nil, fmt.Errorf("--format: %w", err)
	}
	f := &recordFormat{}
	for text != "" {
		at := strings.IndexByte(text, '%')
		if at < 0 {
			f.literal(text)
			break
		}
		if at > 0 {
			f.literal(text[:at])
		}
		if at+1 == len(text) {
			return nil, fmt.Errorf("--format ends in a lone %%: write %%%% for a percent sign")
		}
		letter := text[at+1]
		text = text[at+2:]
		encoding := ""
		if inner, ok := strings.CutPrefix(text, "{"); ok {
			name, rest, closed := strings.Cut(inner, "}")
			if closed && (name == "hex" || name == "base64") {
				encoding, text = name, rest
			}
		}
		part, err := formatLetter(letter, encoding)
		if err != nil {
			return nil, err
		}
		f.parts = append(f.parts, part)
	}
	return f, nil
}

func (f *recordFormat) literal(text string) {
	f.parts = append(f.parts, func(b []byte, _ *kgo.Record) []byte { return append(b, text...) })
}

func formatLetter(letter byte, encoding string) (formatPart, error) {
	encode := func(b, data []byte) []byte { return append(b, data...) }
	switch encoding {
	case "hex":
		encode = hex.AppendEncode
	case "base64":
		encode = base64.StdEncoding.AppendEncode
	}
	switch letter {
	case 't':
		return func(b []byte, r *kgo.Record) []byte { return encode(b, []byte(r.Topic)) }, nil
	case 'k':
		return func(b []byte, r *kgo.Record) []byte { return encode(b, r.Key) }, nil
	case 'v', 's':
		return func(b []byte, r *kgo.Record) []byte { return encode(b, r.Value) }, nil
	}
	if encoding != "" {
		return nil, fmt.Errorf("--format: %%%c cannot carry {%s}: only %%k, %%v and %%t can", letter, encoding)
	}
	switch letter {
	case 'p':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, int64(r.Partition), 10) }, nil
	case 'o':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, r.Offset, 10) }, nil
	case 'T':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, r.Timestamp.UnixMilli(), 10) }, nil
	case 'd':
		return func(b []byte, r *kgo.Record) []byte { return r.Timestamp.UTC().AppendFormat(b, dateLayout) }, nil
	case 'e':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, int64(r.LeaderEpoch), 10) }, nil
	case 'K':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, nullableLength(r.Key), 10) }, nil
	case 'V', 'S':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, nullableLength(r.Value), 10) }, nil
	case 'H':
		return func(b []byte, r *kgo.Record) []byte { return strconv.AppendInt(b, int64(len(r.Headers)), 10) }, nil
	case 'h':
		return appendHeaders, nil
	case '%':
		return func(b []byte, _ *kgo.Record) []byte { return append(b, '%') }, nil
	}
	return nil, fmt.Errorf("--format: there is no %%%c; `ottla consume --help` lists the letters", letter)
}

const dateLayout = "2006-01-02T15:04:05.000Z07:00"

func nullableLength(data []byte) int64 {
	if data == nil {
		return -1
	}
	return int64(len(data))
}

func appendHeaders(b []byte, r *kgo.Record) []byte {
	for i, h := range r.Headers {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, h.Key...), '='), h.Value...)
	}
	return b
}

func (f *recordFormat) appendRecord(b []byte, r *kgo.Record) []byte {
	for _, part := range f.parts {
		b = part(b, r)
	}
	return b
}

// unescape reads \n \t \r \0 \\ and \xNN.
func unescape(text string) (string, error) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			b.WriteByte(text[i])
			continue
		}
		if i++; i == len(text) {
			return "", fmt.Errorf(`%q ends in a lone \: write \\ for a backslash`, text)
		}
		switch text[i] {
		case 'n':
			b.WriteByte('\n')
		case 't':
			b.WriteByte('\t')
		case 'r':
			b.WriteByte('\r')
		case '0':
			b.WriteByte(0)
		case '\\':
			b.WriteByte('\\')
		case 'x':
			if i+2 >= len(text) {
				return "", fmt.Errorf(`%q: \x needs two hexadecimal digits`, text)
			}
			code, err := strconv.ParseUint(text[i+1:i+3], 16, 8)
			if err != nil {
				return "", fmt.Errorf(`%q: \x needs two hexadecimal digits`, text)
			}
			b.WriteByte(byte(code))
			i += 2
		default:
			return "", fmt.Errorf(`%q: there is no escape \%c, only \n \t \r \0 \\ \xNN`, text, text[i])
		}
	}
	return b.String(), nil
}
