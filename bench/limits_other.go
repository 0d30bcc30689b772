//go:build !linux

package main

import (
	"errors"
	"time"
)

// diskLimits and forget need Linux; elsewhere the disk is not measured and the page cache stays.
func diskLimits(string, time.Duration, figures) error { return nil }

func forget(string) error { return errors.New("dropping the page cache needs Linux") }
