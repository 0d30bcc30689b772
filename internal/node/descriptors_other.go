//go:build !unix

package node

// descriptorLimit is how many descriptors this process may have, 0 when nobody can tell.
func descriptorLimit() int { return 0 }
