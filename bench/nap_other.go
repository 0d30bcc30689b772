//go:build !linux

package main

import "time"

// nap waits as well as the runtime's timers do.
func nap(d time.Duration) error {
	time.Sleep(d)
	return nil
}
