package config

import (
	"bufio"
	"io"
	"strings"
)

// WriteSample writes a .properties file with every broker key that acts in this build, each under its documentation: keys that s sets as they
// stand, all others commented out with their default. Secrets are left out.
func (s *Static) WriteSample(w io.Writer) error {
	out := bufio.NewWriter(w)
	for _, a := range areas {
		if a.resource != BrokerResource {
			continue
		}
		titled := false
		for _, k := range Keys(BrokerResource) {
			if k.Area != a.title || !k.Effect.Acts() || k.Sensitive() || k.Name == "broker.id" { // the old name of node.id
				continue
			}
			if !titled {
				titled = true
				out.WriteString("##### " + a.title + "\n\n")
			}
			comment(out, k.Doc+" Allowed: "+k.Allowed()+".")
			if setting, found := s.set[k.Name]; found {
				out.WriteString(k.Name + "=" + escape(setting.Value) + "\n\n")
			} else if fallback, ok := k.Default(); ok {
				out.WriteString("#" + k.Name + "=" + escape(fallback) + "\n\n")
			} else {
				out.WriteString("#" + k.Name + "=\n\n")
			}
		}
	}
	return out.Flush()
}

// comment writes text as comment lines of some hundred columns.
func comment(out *bufio.Writer, text string) {
	column := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case column == 0:
			out.WriteString("# ")
		case column+len(word) > 100:
			out.WriteString("\n# ")
			column = 0
		default:
			out.WriteByte(' ')
		}
		out.WriteString(word)
		column += len(word) + 1
	}
	out.WriteByte('\n')
}

// escape writes a value so that ParseProperties reads it back.
func escape(value string) string {
	text := strings.NewReplacer(`\`, `\\`, "\n", `\n`, "\r", `\r`, "\t", `\t`, "\f", `\f`).Replace(value)
	if strings.HasPrefix(text, " ") {
		text = `\` + text
	}
	return text
}
