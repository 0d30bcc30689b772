package config

import (
	"errors"
	"fmt"
	"strings"
)

// Error is one refused setting or operation. Its text is what a user or an admin client sees.
type Error struct {
	Key     string
	Value   string
	Problem string
	// Origin is where the setting stands ("server.properties:12", "environment", "--override"), or "" for a request.
	Origin string
	// Request is true where Kafka answers INVALID_REQUEST, false where it answers INVALID_CONFIG.
	Request bool

	plain     bool // Problem is the whole sentence
	sensitive bool
}

func (e *Error) Error() string {
	text := e.Problem
	if !e.plain {
		shown := e.Value
		if e.sensitive {
			shown = "(hidden)"
		}
		text = fmt.Sprintf("Invalid value %s for configuration %s: %s", shown, e.Key, e.Problem)
	}
	if e.Origin != "" {
		return e.Origin + ": " + text
	}
	return text
}

func refusal(key, format string, args ...any) *Error {
	return &Error{Key: key, Problem: fmt.Sprintf(format, args...), plain: true}
}

func requestRefusal(key, format string, args ...any) *Error {
	e := refusal(key, format, args...)
	e.Request = true
	return e
}

// Errors is every fault found, in the order of the settings. It is what Load returns.
type Errors []*Error

func (list Errors) Error() string {
	if len(list) == 1 {
		return list[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d settings are refused:", len(list))
	for _, e := range list {
		b.WriteString("\n  ")
		b.WriteString(e.Error())
	}
	return b.String()
}

// Unwrap lets errors.As find a single fault.
func (list Errors) Unwrap() []error {
	out := make([]error, len(list))
	for i, e := range list {
		out[i] = e
	}
	return out
}

func (list Errors) orNil() error {
	if len(list) == 0 {
		return nil
	}
	return list
}

// add appends err, which must be nil, an *Error or Errors.
func (list *Errors) add(err error) {
	if err == nil {
		return
	}
	if one, ok := errors.AsType[*Error](err); ok {
		*list = append(*list, one)
		return
	}
	panic(fmt.Sprintf("BUG: config error of another type: %v", err))
}
