//go:build !unix

package cost

import "time"

// CPUTime is not to be had here.
func CPUTime() time.Duration { return 0 }
