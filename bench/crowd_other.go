//go:build !linux

package main

import "errors"

// crowded is for systems with epoll; elsewhere each connection has a goroutine.
func (j *job) crowded() bool { return false }

func newCrowd(*job) (worker, error) { return nil, errors.New("this load needs Linux") }
