//go:build !race

package server

var poisoning = false
