//go:build !linux

package server

import "net"

func canRest(net.Conn) bool { return false }

func awaitReadable(net.Conn) {}
