//go:build !windows

package server

func outOfSockets(error) bool { return false }
