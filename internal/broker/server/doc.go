// Package server is the front door: listeners, frames, limits, memory budget and ordered replies. It finds a request's handler in a table and knows nothing
// of what the handler does.
//
// A request has two stages. In stage one, Handler.Serve runs on the goroutine that read the request and fixes its order: it appends, reads or decides. What is
// left is an Answer. When that is ready and nothing is queued before it, the same goroutine writes it. Otherwise it parks in the connection's queue, stage one
// ends, the request's memory is given back, and the connection's writer waits for it, makes its body and writes it, in the order of the requests.
//
// An answer may also wait for what the reader itself can bring about soon (Answer.Turn). It is kept until everything that came together has been served; then one Help serves
// all, and what is ready leaves in one system call, with no other goroutine woken. Peers that have more than a few requests on the way are better served by goroutines that
// work side by side. A Help may block: the watch then has another goroutine read on.
//
// Requests of a Sequential handler, in this node all but Produce, begin when everything that the connection asked before is answered, and hold up what comes behind
// them: a request then finds what the one before it did, as in Kafka, which serves one request of a connection at a time. Writes overtake each other's waits for the
// disk, and nothing else.
//
// Memory is granted as bytes arrive. A connection that waits for its next frame holds one small buffer of its own; only what does not fit in there is reserved
// from the node's budget, in steps that double as the bytes come in, so that announcing a large frame costs nothing. Frames of usual size have a part of the
// budget for themselves, which no large frame and no answer can take. When a part is short, connections wait for it, and of those that hold some as
// many are closed as the others need: who made no progress for a while, or sends more slowly than a frame may while others wait for its memory. One growing frame
// at a time has as much set aside as the largest may need, so that frames which all hold a part and wait for the rest are served one after another (ADR 8).
//
// # Invariants
//
//  1. Answers leave a connection in the order of its requests, each whole or not at all: a body that cannot be finished closes the connection.
//  2. For every Answer that is not None, Wait (if any, and unless it is ready) and then Body (if any) run exactly once, whatever happens to the connection, and the Body is closed.
//  3. The bytes of a Request are not touched after Serve returned, and after Body returned when the Answer has no Wait.
//  4. What a connection holds of the budget when it ends is zero, and the budget never grants more than its limit. Usual frames wait for nothing but usual frames.
//  5. A frame that is half received, a wait for memory and an idle connection all end by a deadline. A peer that merely does not read is closed only when
//     memory is short or the connection's idle time has passed.
//  6. No input closes anything but the connection it came from. A failed accept never ends a listener.
//  7. A request that waits in line for the answers before it gives its memory up when others need it, and ends when its peer leaves or the idle time is over.
//  8. After Shutdown returned nil no goroutine of the server runs.
//
// A panic in a handler is a broken invariant: it is logged with the request that caused it and ends the process.
//
// # Ownership
//
// A connection belongs to two goroutines: its reader, which also runs stage one, and its writer, which starts when the first answer parks. One that says nothing for
// some seconds rests: the reader gives up its buffer, and with itself its stack, and another begins when something comes. The outbox is the
// reader's while nothing is queued and the writer's otherwise. The queue has its own lock, the budget has its own, and the server's lock guards the set of
// connections; none is held across a system call or a call of a handler. One goroutine per listener accepts, one per server watches the deadlines.
//
// # Does not
//
// It decodes no request body, knows no API by name, authenticates nobody, and never answers for a handler.
package server
