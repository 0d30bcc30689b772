package main

import (
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// nap waits with a call of its own: the runtime's timers wait for whole milliseconds while nothing else runs, and would send what is due in between in pairs.
func nap(d time.Duration) error {
	for left := unix.NsecToTimespec(d.Nanoseconds()); ; {
		err := unix.Nanosleep(&left, &left)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("nap: %w", err)
		}
	}
}
