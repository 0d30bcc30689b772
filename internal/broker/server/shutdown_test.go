package server

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestShutdownStopsAndAnswersWhatIsParked(t *testing.T) {
	h := newHarness(t, nil)
	c := h.dial()
	c.request(keyPark, 1, 1, "first")
	c.request(keyEcho, 1, 2, "behind")
	c.request(keyPark, 1, 3, "second")
	first, second := h.parked("first"), h.parked("second")
	idle := h.dial()
	h.stop()
	<-first.stopped
	<-second.stopped
	<-first.closed
	<-second.closed
	c.expect(1, "first")
	c.expect(2, "behind")
	c.expect(3, "second")
	c.closed()
	idle.closed()
	if err := h.server.Shutdown(context.Background()); err != nil {
		t.Errorf("a shutdown after all has ended: %v", err)
	}
	if err := h.server.Serve(); !errors.Is(err, ErrStopped) {
		t.Errorf("serving after shutdown: %v", err)
	}
}

func TestShutdownWithoutServe(t *testing.T) {
	h := prepareHarness(t)
	s, err := New(Options{Listeners: []Listener{{Name: "A", Socket: newPipeListener(), Table: h.table()}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
}

// blocked is a server with a client whose request is in stage one, and stays there until it is released.
func blocked(t *testing.T) (h *harness, c *client, release chan struct{}) {
	t.Helper()
	h = prepareHarness(t)
	entered, release := make(chan struct{}), make(chan struct{})
	h.handlers[keyCheck] = &Handler{Key: keyCheck, Name: "Block", Min: 0, Max: 6, Serve: func(*Request) Answer {
		close(entered)
		<-release
		return Now(Bytes("done"))
	}}
	h.run(nil)
	c = h.dial()
	c.request(keyCheck, 0, 1, "")
	<-entered
	return h, c, release
}

func TestShutdownFinishesStageOne(t *testing.T) {
	h, c, release := blocked(t)
	down := make(chan error, 1)
	go func() { down <- h.server.Shutdown(context.Background()) }()
	<-h.server.stopping
	select {
	case err := <-down:
		t.Fatalf("shutdown returned %v while a request was being served", err)
	default:
	}
	close(release)
	c.expect(1, "done")
	c.closed()
	if err := <-down; err != nil {
		t.Error(err)
	}
}

func TestShutdownGivesUpWithItsContext(t *testing.T) {
	h, c, release := blocked(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown returned %v", err)
	}
	c.closed()
	close(release)
	h.eventually("the connection ends", func() bool { return len(h.server.snapshot()) == 0 })
}

func TestSecondShutdownCuts(t *testing.T) {
	h, c, release := blocked(t)
	down := make(chan error, 1)
	go func() { down <- h.server.Shutdown(context.Background()) }()
	<-h.server.stopping
	if err := h.server.Shutdown(context.Background()); !errors.Is(err, ErrCut) {
		t.Errorf("the second shutdown returned %v", err)
	}
	c.closed()
	close(release)
	if err := <-down; err != nil {
		t.Error(err)
	}
}

// A peer that does not read cannot hold up the end.
func TestShutdownDoesNotWaitForPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newPipeHarness(t, nil)
		deaf := h.dial()
		go func() {
			_, err := deaf.Write(append(frame(keyEcho, 1, 1, "one"), frame(keyEcho, 1, 2, "two")...))
			_ = err // the connection is cut below it
		}()
		synctest.Wait()
		half := h.dial()
		half.send(frame(keyEcho, 1, 1, "half")[:10])
		start := time.Now()
		h.stop()
		between(t, "over", time.Since(start), 0, time.Second)
	})
}
