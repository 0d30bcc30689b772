package plog

import (
	"errors"
	"fmt"

	"github.com/ottla/ottla/internal/kafka/model"
)

var (
	// ErrBudget says that there is no memory for an append: call WaitRoom with no lock held, then append again.
	ErrBudget = errors.New("no memory for the append at the moment")
	// ErrOffsetOutOfRange is Kafka's OFFSET_OUT_OF_RANGE.
	ErrOffsetOutOfRange error = model.OffsetOutOfRange
	// ErrClosed says that the log was closed or deleted.
	ErrClosed = errors.New("log is closed")
	// ErrNotContiguous says that a replicated batch does not begin at the log's end, or goes back in leader epochs.
	ErrNotContiguous = errors.New("batch does not continue the log")
)

func failure(code model.ErrorCode, format string, args ...any) error {
	return &model.Error{Code: code, Message: fmt.Sprintf(format, args...)}
}
