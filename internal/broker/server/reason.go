package server

// reason is why a connection ended.
type reason uint8

const (
	open           reason = iota
	closedByPeer          // it said goodbye, or is gone
	closedByAnswer        // the handler asked for it
	closedIdle
	closedByShutdown
	closedTooLarge    // a frame's size is negative or above the limit
	closedForeign     // it speaks another protocol
	closedMalformed   // a header or body that does not parse
	closedUnsupported // an API or version that is not served
	closedSlowFrame   // a frame was not completed in time
	closedStalled     // memory was short and it held some without progress
	closedNoMemory    // it waited too long for memory, or asked for more than there is
	closedBody        // an answer's body could not be finished
	closedDisk        // the disk did not deliver what an answer needs
	reasons
)

const (
	// pausing is no end: the reader rests until the peer says something.
	pausing = reasons + iota
	// relieved is none either: another goroutine reads on.
	relieved
)

func (r reason) String() string {
	return [...]string{"open", "peer", "answer", "idle", "shutdown", "too_large", "foreign_protocol", "malformed", "unsupported", "slow_frame", "stalled",
		"no_memory", "broken_body", "disk_error"}[r]
}
