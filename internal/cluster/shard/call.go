package shard

import (
	"errors"

	"github.com/ottla/ottla/internal/machine"
)

// Errors that a call can end with besides those of the log.
var (
	ErrLoading = errors.New("the shard is still loading its log")
	ErrClosed  = errors.New("the shard is closed")
	ErrBusy    = errors.New("the shard's mailbox is full")
	ErrTooBig  = errors.New("the records of this request are larger than one batch may be")
)

// Call is one input on its way through a shard.
type Call struct {
	input  any
	caller machine.Caller
	done   chan struct{}
	reply  any
	err    error
}

// Done is closed when Result is there.
func (c *Call) Done() <-chan struct{} { return c.done }

// Result returns the machine's reply, or why there is none. It may be called only after Done was closed.
func (c *Call) Result() (any, error) { return c.reply, c.err }

// Wait waits for the result; stop, when closed first, gives ErrClosed.
func (c *Call) Wait(stop <-chan struct{}) (any, error) {
	select {
	case <-c.done:
		return c.reply, c.err
	case <-stop:
		return nil, ErrClosed
	}
}

func (c *Call) finish(reply any, err error) {
	c.reply, c.err = reply, err
	close(c.done)
}

func failed(input any, err error) *Call {
	c := &Call{input: input, done: make(chan struct{})}
	c.finish(nil, err)
	return c
}
