package api

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// room bounds the size of one answer: a request may name the same thing a million times, and its answer is in memory as a whole. An answer may be as large as a
// request (socket.request.max.bytes), and leastRoom in any case. What does not fit any more is refused, each item with an error of its own.
type room struct{ most, used int }

const leastRoom = 8 << 20

func (b *Broker) room() *room {
	return &room{most: max(b.Static.Broker.SocketRequestMaxBytes, leastRoom)}
}

// full tells that nothing more fits.
func (r *room) full() bool { return r.used > r.most }

// take notes n more bytes and tells whether they fit. What did not fit once leaves no room for others.
func (r *room) take(n int) bool {
	r.used += n
	return !r.full()
}

// refusal says so, where the protocol has words.
func (r *room) refusal() *model.Error {
	return &model.Error{Code: model.InvalidRequest, Message: fmt.Sprintf("the answer would be larger than %d bytes (see socket.request.max.bytes): ask for less at once", r.most)}
}

// laterWithin is later for an answer whose wait takes what it needs from a room. That is reserved before the answer is encoded.
func laterWithin(resp kmsg.Response, r *room, wait func(stop <-chan struct{})) server.Answer {
	answer := later(resp, wait)
	answer.Measure = func() int { return min(r.used, r.most) }
	return answer
}
