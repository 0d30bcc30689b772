package config

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// rule is a limit on a key's values beyond its type. check returns what is wrong, or "".
type rule interface {
	check(v value) string
	allowed() string
}

// between is a closed range of whole numbers.
type between struct{ min, max int64 }

func atLeast(min int64) rule { return between{min, math.MaxInt64} }

func (r between) check(v value) string {
	if v.num < r.min {
		return fmt.Sprintf("Value must be at least %d", r.min)
	}
	if v.num > r.max {
		return fmt.Sprintf("Value must be no more than %d", r.max)
	}
	return ""
}

func (r between) allowed() string {
	if r.max == math.MaxInt64 {
		return fmt.Sprintf("at least %d", r.min)
	}
	return fmt.Sprintf("%d to %d", r.min, r.max)
}

// realBetween is a closed range of doubles.
type realBetween struct{ min, max float64 }

func (r realBetween) check(v value) string {
	if math.IsNaN(v.real) || v.real < r.min {
		return "Value must be at least " + plainReal(r.min)
	}
	if v.real > r.max {
		return "Value must be no more than " + plainReal(r.max)
	}
	return ""
}

func (r realBetween) allowed() string { return plainReal(r.min) + " to " + plainReal(r.max) }

func plainReal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// gzipLevel is 1 to 9, or -1 for the codec's own default.
type gzipLevel struct{}

func (gzipLevel) check(v value) string {
	if v.num == -1 || (v.num >= 1 && v.num <= 9) {
		return ""
	}
	return "Value must be between 1 and 9 or equal to -1"
}

func (gzipLevel) allowed() string { return "1 to 9, or -1" }

// oneOf is a choice of words.
type oneOf struct {
	words []string
	fold  bool // case does not matter
}

func choice(words ...string) rule     { return oneOf{words: words} }
func choiceFold(words ...string) rule { return oneOf{words: words, fold: true} }

func (r oneOf) has(word string) bool {
	return slices.ContainsFunc(r.words, func(w string) bool { return w == word || r.fold && strings.EqualFold(w, word) })
}

func (r oneOf) check(v value) string {
	if r.has(v.text) {
		return ""
	}
	if r.fold {
		return "String must be one of (case insensitive): " + strings.Join(r.words, ", ")
	}
	return "String must be one of: " + strings.Join(r.words, ", ")
}

func (r oneOf) allowed() string { return strings.Join(r.words, ", ") }

// elements is a list without empty or repeated elements, of the given words when there are any.
type elements struct {
	words  []string
	filled bool // at least one element
	repeat bool // repeated elements are tolerated
}

var (
	distinct       = elements{}
	distinctFilled = elements{filled: true}
)

func (r elements) check(v value) string {
	if r.filled && len(v.list) == 0 {
		return "Value must not be empty"
	}
	for i, word := range v.list {
		switch {
		case word == "":
			return "Values must not be empty"
		case !r.repeat && slices.Contains(v.list[:i], word):
			return "Values must not be duplicated"
		case len(r.words) > 0 && !slices.Contains(r.words, word):
			return "String must be one of: " + strings.Join(r.words, ", ")
		}
	}
	return ""
}

func (r elements) allowed() string {
	text := "a list"
	if len(r.words) > 0 {
		text += " of " + strings.Join(r.words, ", ")
	}
	if r.filled {
		text += ", not empty"
	}
	return text
}

// filledText is any text but the empty one.
type filledText struct{}

func (filledText) check(v value) string {
	if v.text == "" {
		return "Value must not be empty"
	}
	return ""
}

func (filledText) allowed() string { return "any text, not empty" }

// throttledReplicas is "*" or a list of partition:broker.
type throttledReplicas struct{}

func (throttledReplicas) check(v value) string {
	if len(v.list) == 1 && v.list[0] == "*" {
		return ""
	}
	for _, pair := range v.list {
		partition, broker, found := strings.Cut(pair, ":")
		if !found || !digits(partition) || !digits(broker) {
			return "Value must be the literal '*' or a list of replicas in the following format: [partitionId]:[brokerId],[partitionId]:[brokerId],..."
		}
	}
	return ""
}

func (throttledReplicas) allowed() string { return "* or a list of partition:broker" }

func digits(text string) bool {
	return text != "" && strings.Trim(text, "0123456789") == ""
}

// checked is a rule that is a function of its own, with its allowed values in words.
type checked struct {
	words string
	test  func(v value) string
}

func (r checked) check(v value) string { return r.test(v) }
func (r checked) allowed() string      { return r.words }
