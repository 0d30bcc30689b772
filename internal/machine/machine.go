package machine

import "time"

// Position is a place in a log: the leader epoch under which the record there was appended, and its offset.
type Position struct {
	Epoch  int32
	Offset int64
}

// Record is one record of a machine's log. Timestamp is in milliseconds since the Unix epoch; zero lets the log choose.
type Record struct {
	Key, Value []byte
	Timestamp  int64
}

// Caller names whoever waits for a reply to an input; the driver makes it up, the machine only hands it back. Zero means that nobody waits.
type Caller uint64

// Reply answers one caller. Value is the reply struct that belongs to the input.
type Reply struct {
	To    Caller
	Value any
}

// Send is a message to another machine or broker, released when the records of the same Out are committed.
type Send struct {
	To    string
	Value any
}

// Out is what a Step decided. Replies and Sends wait until Records, and all records of earlier Steps, are committed.
type Out struct {
	Records []Record
	Replies []Reply
	Sends   []Send
}

// Refused is stepped into a machine when its log would not take the records of an input, or would not admit the input at all, so that soft state can
// follow: the waiting caller has been failed with Err already.
type Refused struct {
	Caller Caller
	Input  any
	Err    error
}

// Abandoned is stepped into a machine when a caller stopped waiting, such as a connection that closed during a join.
type Abandoned struct {
	Caller Caller
}

// Loaded is stepped once, after the log was replayed and its end had been committed, before any other input.
type Loaded struct{}

// Machine decides. It has no I/O, clock, goroutine, lock or randomness of its own.
type Machine interface {
	// Step reads hard state and changes only soft state: who waits, deadlines. With from zero and input nil, a deadline has passed.
	Step(now time.Time, from Caller, input any) Out
	// Apply is the only method that changes hard state; replaying a log calls it too.
	Apply(at Position, record Record)
	// Deadline says when the machine wants to be stepped without input; the zero Time means never.
	Deadline() time.Time
}
