//go:build unix

package node

import (
	"math"
	"syscall"
)

// descriptorLimit is how many descriptors this process may have, 0 when nobody can tell.
func descriptorLimit() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), math.MaxInt32))
}
