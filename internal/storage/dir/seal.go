package dir

import (
	"fmt"
	"hash/crc32"
	"strings"
)

// Kafka's text files have no checksums, so a flipped bit makes another offset of one. Ours have, where Kafka does not look: it splits the lines of its checkpoints at white
// space and takes no notice of what stands at their ends. There, sixteen blanks (0) and tabs (1) are the CRC-16 of the line. Lines without, as Kafka writes them, are believed.

// sealLength is the number of characters of a line's checksum.
const sealLength = 16

// SealLine appends the checksum of the line that begins at dst[from:].
func SealLine(dst []byte, from int) []byte {
	sum := crc16(dst[from:])
	for bit := sealLength - 1; bit >= 0; bit-- {
		dst = append(dst, " \t"[sum>>bit&1])
	}
	return dst
}

// UnsealLine returns a line without its checksum, and an error when it has one that differs.
func UnsealLine(line string) (string, error) {
	text := strings.TrimRight(line, " \t")
	switch len(line) - len(text) {
	case 0:
		return line, nil
	case sealLength:
		if string(SealLine([]byte(text), 0)) == line {
			return text, nil
		}
	}
	return "", fmt.Errorf("line %q is not what was written: its checksum differs", text)
}

// crc16 is CRC-16/CCITT, which finds every single flipped bit.
func crc16[T string | []byte](p T) uint16 {
	sum := uint16(0xffff)
	for i := range len(p) {
		sum = sum<<8 ^ crc16Table[byte(sum>>8)^p[i]]
	}
	return sum
}

var crc16Table = func() (table [256]uint16) {
	for i := range table {
		sum := uint16(i) << 8
		for range 8 {
			carry := sum >> 15
			sum = sum<<1 ^ carry*0x1021
		}
		table[i] = sum
	}
	return table
}()

// propertiesSeal begins the comment in which a properties file of ours has the checksum of what follows it.
const propertiesSeal = "#ottla.crc32c="

func sealProperties(body string) []byte {
	return fmt.Appendf(nil, "%s%08x\n%s", propertiesSeal, crc32.Checksum([]byte(body), castagnoli), body)
}

// unsealProperties refuses a properties file whose checksum differs. One without, as Kafka writes it, is believed.
func unsealProperties(data []byte) error {
	rest, ok := strings.CutPrefix(string(data), propertiesSeal)
	if !ok {
		return nil
	}
	if sum, body, _ := strings.Cut(rest, "\n"); sum != fmt.Sprintf("%08x", crc32.Checksum([]byte(body), castagnoli)) {
		return fmt.Errorf("it is not what was written: its checksum differs")
	}
	return nil
}
