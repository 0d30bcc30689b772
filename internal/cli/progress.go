package cli

import (
	"fmt"
	"sync"
	"time"
)

// progressPace is how often a line of progress is renewed; what is done before it passes shows none.
const progressPace = 500 * time.Millisecond

// progress renews a line on stderr while something long goes on and a person watches. The function that it returns ends and removes the line.
func (s *shell) progress(line func() string) (stop func()) {
	if !s.attended(s.err) {
		return func() {}
	}
	ticker := time.NewTicker(progressPace)
	return s.renew(ticker.C, line, ticker.Stop)
}

// renew writes the line at every tick, over the one before.
func (s *shell) renew(ticks <-chan time.Time, line func() string, ended func()) (stop func()) {
	var running sync.WaitGroup
	done := make(chan struct{})
	running.Go(func() {
		shown := false
		for {
			select {
			case <-done:
				if shown {
					fmt.Fprint(s.err, "\r\x1b[K")
				}
				return
			case <-ticks:
				fmt.Fprintf(s.err, "\r\x1b[K%s", line())
				shown = true
			}
		}
	})
	return func() {
		close(done)
		running.Wait()
		ended()
	}
}
