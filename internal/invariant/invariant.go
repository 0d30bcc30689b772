// Package invariant is how the house dies when it must: a broken promise of our own, or a disk or operating system that broke its own.
//
// # Invariants
//
//  1. A BUG is never survived: state that contradicts itself must not reach a disk or a client.
//
// # Ownership
//
// The package keeps no state.
//
// # Does not
//
// It does not judge input: bad input is an error of the one who sent it.
package invariant

import "fmt"

// Check panics with "BUG: …" unless ok. The message names file, offset and topic where there are any.
func Check(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf("BUG: "+format, args...))
	}
}
