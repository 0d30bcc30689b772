package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	blockPages  = 512 // of a piece that a virtual machine gives back
	blockOrder  = 9
	memoryShare = 2 // so much of what is available is taken at most, as a divisor
)

// holdMemory uses pages once, for as long as it may take, and gives all back but one of each piece: what is left of a piece is free, but it is not given back to the host. The
// pages are few, and freed when ready returns.
func holdMemory(bytes int64, limit time.Duration, ready func() error) error {
	began, page := time.Now(), os.Getpagesize()
	bytes += smallPieces(page)
	if memory, err := keyed("/proc/meminfo"); err == nil {
		bytes = min(bytes, memory["MemAvailable"]<<10/memoryShare)
	}
	block := blockPages * page
	bytes -= bytes % int64(block)
	p, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", bytes, err)
	}
	if err := unix.Madvise(p, unix.MADV_NOHUGEPAGE); err != nil && !errors.Is(err, unix.EINVAL) { // a kernel without large pages knows no such advice
		return fmt.Errorf("ask for small pages: %w", err)
	}
	used := 0
	for ; used < len(p) && time.Since(began) < limit; used += block {
		for i := used; i < used+block; i += page {
			p[i] = 1
		}
	}
	for i := 0; i < used; i += block {
		if err := unix.Madvise(p[i+page:i+block], unix.MADV_DONTNEED); err != nil {
			return fmt.Errorf("give memory back: %w", err)
		}
	}
	return errors.Join(ready(), unix.Munmap(p))
}

// smallPieces is how much memory lies free in pieces that are too small to be given back. It is taken first.
func smallPieces(page int) (bytes int64) {
	text, err := os.ReadFile("/proc/buddyinfo")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		_, counts, _ := strings.Cut(line, "zone")
		fields := strings.Fields(counts)
		for order, field := range fields[min(1, len(fields)):] {
			if n, err := strconv.ParseInt(field, 10, 64); err == nil && order < blockOrder {
				bytes += n << order * int64(page)
			}
		}
	}
	return bytes
}
