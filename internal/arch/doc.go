// Package arch holds the tests of the code's own shape: floors, purity, headings, names and sizes.
//
// # Invariants
//
//  1. The order of the floors is written once, in floors.txt, and every package stands in it.
//
// # Ownership
//
// It keeps no state.
//
// # Does not
//
// Nothing imports it.
package arch
