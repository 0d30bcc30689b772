//go:build race

package plog

const raceEnabled = true
