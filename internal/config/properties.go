package config

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Setting is one key and value as a user wrote them, and where.
type Setting struct {
	Key, Value string
	Origin     string
}

// maxPropertiesBytes bounds a properties file: a real one has a few kilobytes.
const maxPropertiesBytes = 4 << 20

// ParseProperties reads a Java .properties file: comments with # or !, keys ended by =, : or white space, \ at the end of a line to continue it,
// and the escapes \t \n \r \f \uXXXX. The name is for messages. A key that stands twice is returned twice; the last counts.
func ParseProperties(r io.Reader, name string) ([]Setting, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxPropertiesBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxPropertiesBytes {
		return nil, fmt.Errorf("read %s: larger than %d bytes, which no properties file is", name, maxPropertiesBytes)
	}
	lines := bufio.NewScanner(strings.NewReader(normaliseLines(string(data))))
	lines.Buffer(nil, maxPropertiesBytes+1)
	var out []Setting
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimLeft(lines.Text(), " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		start := number
		if line == `\` {
			continue // as in Java, nothing continued is nothing: the next line begins anew
		}
		for continued(line) {
			line = line[:len(line)-1]
			if !lines.Scan() {
				break
			}
			number++
			line += strings.TrimLeft(lines.Text(), " \t\f")
		}
		rawKey, rawValue := cutProperty(line)
		origin := name + ":" + strconv.Itoa(start)
		key, err := unescape(rawKey)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		value, err := unescape(rawValue)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", origin, err)
		}
		out = append(out, Setting{Key: key, Value: value, Origin: origin})
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return out, nil
}

// normaliseLines makes \r and \r\n line ends \n, as Java reads them, and drops a byte order mark.
func normaliseLines(text string) string {
	return strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(strings.TrimPrefix(text, "\ufeff"))
}

// continued reports whether the line ends in an odd number of backslashes.
func continued(line string) bool {
	return (len(line)-len(strings.TrimRight(line, `\`)))%2 == 1
}

// cutProperty splits a logical line at the first separator that is not escaped: white space, = or :, with white space around one = or : dropped.
func cutProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
			continue
		}
		if strings.IndexByte(" \t\f=:", line[i]) >= 0 {
			end = i
			break
		}
	}
	key = line[:end]
	value = strings.TrimLeft(line[end:], " \t\f")
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], " \t\f")
	}
	return key, value
}

func unescape(text string) (string, error) {
	if !strings.Contains(text, `\`) {
		return text, nil
	}
	var b strings.Builder
	var units []uint16 // of consecutive \u escapes, which may be surrogate pairs
	flush := func() {
		b.WriteString(string(utf16.Decode(units)))
		units = units[:0]
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c != '\\' || i+1 == len(text) {
			flush()
			if c != '\\' {
				b.WriteByte(c)
			}
			continue
		}
		i++
		if text[i] == 'u' {
			if i+5 > len(text) {
				return "", fmt.Errorf(`\u needs four hexadecimal digits`)
			}
			n, err := strconv.ParseUint(text[i+1:i+5], 16, 16)
			if err != nil {
				return "", fmt.Errorf(`\u needs four hexadecimal digits, not %q`, text[i+1:i+5])
			}
			units = append(units, uint16(n))
			i += 4
			continue
		}
		flush()
		if at := strings.IndexByte("tnrf", text[i]); at >= 0 {
			b.WriteByte("\t\n\r\f"[at])
		} else {
			b.WriteByte(text[i])
		}
	}
	flush()
	return b.String(), nil
}
