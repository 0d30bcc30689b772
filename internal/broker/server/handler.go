package server

import (
	"fmt"
	"time"

	"github.com/ottla/ottla/internal/kafka/wire"
)

// Request is one request during stage one. The struct and Body are reused: nothing of them may be kept after Serve returned, but for ClientID and Conn, and, by
// an Answer without Wait, until its Body function returned.
type Request struct {
	Conn          *Conn
	Key, Version  int16
	CorrelationID int32
	ClientID      string
	ClientIDNull  bool
	Body          []byte
	Arrived       time.Time // when the last bytes of it were read
	MayHelp       bool      // the Answer may have a Turn: few requests came together, and none before waits
}

// Answer is what stage one left to do. The zero Answer is wrong: either Body is set, or None is.
type Answer struct {
	// Wait is nil when Body can be made at once. Otherwise it blocks until Body can be made or stop closes, which it does when the connection ends and when
	// the server shuts down; in both cases it must then return soon. It runs on the connection's writer.
	Wait func(stop <-chan struct{})
	// Ready, where there is a Wait, tells without blocking whether Wait would return at once. It lets answers that became ready together leave together.
	Ready func() bool
	// Turn, where there is a Ready, is what Wait waits for. The reader takes it when it has served everything that came together, so that what is done for one
	// request is done for all, and makes the answer itself if it is ready then. Nothing else blocks the reader before.
	Turn Turn
	// Memory is what Body and the body it returns will take, in bytes. It is reserved after Wait and before Body, and released when the body has been sent.
	// Zero leaves it to the server, which reserves what a large or waiting body holds once it is made.
	Memory int
	// Measure, if set, tells Memory after Wait, when it is not known before.
	Measure func() int
	// Body makes the body, after Wait if there is one. It may return nil for "no response after all". After stop has closed it is still called: what it
	// returns is sent if that can be done soon, and closed in any case.
	Body func() Body
	// None says that the client expects no response, as with acks=0.
	None bool
	// Close closes the connection after everything before it, and this answer unless None, has been answered.
	Close bool
}

// ready tells whether Body can be made without waiting.
func (a *Answer) ready() bool { return a.Wait == nil || a.Ready != nil && a.Ready() }

// Now is an Answer with a body that is made already.
func Now(b Body) Answer { return Answer{Body: func() Body { return b }} }

// Turn is work that answers wait for, and that who serves their requests may do. It knows nothing of any one of them.
type Turn interface {
	// Help does it where that is over at once, and else leaves it. A disk may make it block: then another goroutine reads on.
	Help()
	// Pass has others do it. It does not block.
	Pass()
}

// Handler serves one API.
type Handler struct {
	Key      int16
	Name     string // for logs and metrics
	Min, Max int16  // the versions that Serve takes

	// Sequential has stage one begin when everything that the connection asked before is answered, and holds up what it asks next until this is: as in Kafka, where a
	// connection has one request served at a time, each request then finds what the one before it did. Without it only the order of stages one and of answers is kept.
	Sequential bool

	// Check proves a body before it is served and returns what decoding it will cost in bytes, which is reserved before Serve and released after it.
	// An error closes the connection. Nil means that Serve decodes with a bound of its own.
	Check func(version int16, body []byte) (cost int, err error)

	// Serve is stage one. It runs on the connection's reader, one request of a connection at a time; it may wait for memory or locks, never for other clients.
	Serve func(*Request) Answer

	// Unsupported answers a version outside Min…Max; Body is empty, and the response header is the one of version 0. Nil closes the connection, which is right
	// for every API but ApiVersions.
	Unsupported func(*Request) Answer
}

// Table finds handlers by their key.
type Table struct {
	handlers [wire.MaxKey + 1]*Handler
}

// NewTable refuses two handlers for one key and versions that the wire does not know.
func NewTable(handlers ...Handler) (*Table, error) {
	t := &Table{}
	for _, h := range handlers {
		info, ok := wire.Info(h.Key)
		switch {
		case !ok:
			return nil, fmt.Errorf("handler %q: key %d is not of this protocol", h.Name, h.Key)
		case t.handlers[h.Key] != nil:
			return nil, fmt.Errorf("handler %q: key %d is served by %q already", h.Name, h.Key, t.handlers[h.Key].Name)
		case h.Min < 0 || h.Min > h.Max || h.Max > info.Max:
			return nil, fmt.Errorf("handler %q: versions %d to %d are not within 0 to %d", h.Name, h.Min, h.Max, info.Max)
		case h.Serve == nil || h.Name == "":
			return nil, fmt.Errorf("handler for key %d has no name or no Serve", h.Key)
		}
		t.handlers[h.Key] = &h
	}
	return t, nil
}

// Lookup returns the handler of a key, nil when there is none.
func (t *Table) Lookup(key int16) *Handler {
	if key < 0 || int(key) >= len(t.handlers) {
		return nil
	}
	return t.handlers[key]
}
