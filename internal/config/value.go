package config

import (
	"math"
	"strconv"
	"strings"
)

// Type is the type of a key's value, numbered as DescribeConfigs numbers types.
type Type int8

const (
	Unknown  Type = 0
	Boolean  Type = 1
	String   Type = 2
	Int      Type = 3
	Short    Type = 4
	Long     Type = 5
	Double   Type = 6
	List     Type = 7
	Class    Type = 8
	Password Type = 9
)

var typeNames = [...]string{"unknown", "boolean", "string", "int", "short", "long", "double", "list", "class", "password"}

func (t Type) String() string { return typeNames[t] }

func (t Type) describe() string {
	switch t {
	case Boolean:
		return "true or false"
	case Int, Short, Long, Double:
		return "any " + t.String()
	case List:
		return "a comma-separated list"
	case Class:
		return "a Java class name"
	}
	return "any text"
}

// value is a parsed value: the canonical text and, by type, what it stands for.
type value struct {
	text string
	num  int64
	real float64
	flag bool
	list []string
}

// parse reads text as Kafka's ConfigDef does. The problem is "" when the text is a value of the type.
func (t Type) parse(text string) (v value, problem string) {
	trimmed := strings.TrimSpace(text)
	switch t {
	case Boolean:
		switch strings.ToLower(trimmed) {
		case "true":
			return value{text: "true", flag: true}, ""
		case "false":
			return value{text: "false"}, ""
		}
		return value{}, "Expected value to be either true or false"
	case Int, Short, Long:
		n, err := strconv.ParseInt(trimmed, 10, t.bits())
		if err != nil {
			return value{}, "Not a number of type " + strings.ToUpper(t.String())
		}
		return value{text: strconv.FormatInt(n, 10), num: n}, ""
	case Double:
		f, err := strconv.ParseFloat(withoutSuffix(trimmed), 64)
		if err != nil || strings.Contains(trimmed, "_") {
			return value{}, "Not a number of type DOUBLE"
		}
		return value{text: formatDouble(f), real: f}, ""
	case List:
		parts := splitList(trimmed)
		return value{text: strings.Join(parts, ","), list: parts}, ""
	case Password:
		return value{text: text}, ""
	}
	return value{text: trimmed}, ""
}

// withoutSuffix drops the d or f with which Java marks the width of a floating point number.
func withoutSuffix(text string) string {
	if n := len(text) - 1; n > 0 && strings.IndexByte("dDfF", text[n]) >= 0 {
		return text[:n]
	}
	return text
}

func (t Type) bits() int {
	switch t {
	case Short:
		return 16
	case Int:
		return 32
	}
	return 64
}

// splitList splits at commas and drops the white space around them. The empty text is the empty list; an empty element stays, for a rule to refuse.
func splitList(text string) []string {
	if text == "" {
		return nil
	}
	parts := strings.Split(text, ",")
	for i := range parts {
		parts[i] = strings.TrimSpace(parts[i])
	}
	return parts
}

// formatDouble writes a double as Java's Double.toString: at least one decimal, an upper-case exponent from 10^7 and below 10^-3.
func formatDouble(f float64) string {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return strings.NewReplacer("+Inf", "Infinity", "-Inf", "-Infinity").Replace(strconv.FormatFloat(f, 'g', -1, 64))
	}
	if a := math.Abs(f); a != 0 && (a >= 1e7 || a < 1e-3) {
		mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(f, 'E', -1, 64), "E")
		if !strings.Contains(mantissa, ".") {
			mantissa += ".0"
		}
		n, err := strconv.Atoi(exponent)
		if err != nil {
			panic("BUG: FormatFloat wrote the exponent " + exponent)
		}
		return mantissa + "E" + strconv.Itoa(n)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
