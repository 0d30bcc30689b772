package dir

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// The checkpoint files, in Kafka's text format: version, number of lines, then "topic partition offset" lines.
const (
	recoveryFile    = "recovery-point-offset-checkpoint"
	startFile       = "log-start-offset-checkpoint"
	replicationFile = "replication-offset-checkpoint"
	cleanerFile     = "cleaner-offset-checkpoint"
)

// offsets maps a log's name (topic-partition) to an offset.
type offsets map[string]int64

// encodeOffsets writes Kafka's checkpoint format with a checksum in every line, sorted by name so that equal contents are equal bytes.
func encodeOffsets(o offsets) []byte {
	names := make([]string, 0, len(o))
	for name := range o {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]byte, 0, 16+64*len(o))
	out = fmt.Appendf(out, "0\n%d\n", len(o))
	for _, name := range names {
		i, from := strings.LastIndexByte(name, '-'), len(out)
		out = append(out, name[:i]...)
		out = append(out, ' ')
		out = append(out, name[i+1:]...)
		out = append(out, ' ')
		out = strconv.AppendInt(out, o[name], 10)
		out = append(SealLine(out, from), '\n')
	}
	return out
}

// parseOffsets reads what encodeOffsets or Kafka wrote. Anything else is an error: a checkpoint is replaced as a whole, so it has no torn form.
func parseOffsets(data []byte) (offsets, error) {
	line := func() (string, bool) {
		i := bytes.IndexByte(data, '\n')
		if i < 0 {
			s := string(data)
			data = nil
			return s, s != ""
		}
		s := string(data[:i])
		data = data[i+1:]
		return s, true
	}
	if v, ok := line(); !ok || v != "0" {
		return nil, fmt.Errorf("version %q, want 0", v)
	}
	c, _ := line()
	count, err := strconv.Atoi(c)
	if err != nil || count < 0 {
		return nil, fmt.Errorf("%q is no number of entries", c)
	}
	out := make(offsets, min(count, len(data)/6))
	for {
		s, ok := line()
		if !ok {
			break
		}
		s, err := UnsealLine(s)
		if err != nil {
			return nil, err
		}
		f := strings.Split(s, " ")
		if len(f) != 3 {
			return nil, fmt.Errorf("line %q is not \"topic partition offset\"", s)
		}
		name := f[0] + "-" + f[1]
		offset, err := strconv.ParseInt(f[2], 10, 64)
		if _, _, good := splitName(name); !good || err != nil || offset < 0 {
			return nil, fmt.Errorf("line %q is not \"topic partition offset\"", s)
		}
		if _, twice := out[name]; twice {
			return nil, fmt.Errorf("%s stands twice", name)
		}
		out[name] = offset
	}
	if len(out) != count {
		return nil, fmt.Errorf("%d entries announced, %d found", count, len(out))
	}
	return out, nil
}
