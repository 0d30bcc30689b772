//go:build race

package server

var poisoning = true
