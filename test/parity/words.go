package main

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

func itoa(n int) string { return strconv.Itoa(n) }

// long is a name of so many characters.
func long(n int) string { return strings.Repeat("n", n) }

// onOff is what a step is called by when something is on.
func onOff(text string, on bool) string {
	if on {
		return text
	}
	return ""
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
