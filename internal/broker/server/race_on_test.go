//go:build race

package server

// raceDetector tells tests that it slows them down and changes what they measure.
const raceDetector = true
