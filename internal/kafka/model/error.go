package model

import "errors"

// Error is an ErrorCode with the message that is shown to the user: what failed, on which thing, what to do.
type Error struct {
	Code    ErrorCode
	Message string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Message
}

// Unwrap makes errors.Is(err, code) work.
func (e *Error) Unwrap() error { return e.Code }

// CodeOf returns the code and the message that err carries: None for nil, UnknownServerError for an error that carries no code.
func CodeOf(err error) (ErrorCode, string) {
	if err == nil {
		return None, ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code, e.Message
	}
	if c, ok := errors.AsType[ErrorCode](err); ok {
		return c, err.Error()
	}
	return UnknownServerError, err.Error()
}
