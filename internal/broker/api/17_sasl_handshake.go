package api

import (
	"log/slog"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// saslHandshake serves API 17, versions 0 and 1: a plaintext listener has no authentication to begin.
func (b *Broker) saslHandshake(r *server.Request, req *kmsg.SASLHandshakeRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.SASLHandshakeResponse)
	resp.ErrorCode = int16(model.IllegalSaslState)
	resp.SupportedMechanisms = []string{}
	refusalsOf(r).complain(resp.ErrorCode, new("this listener has no authentication: set the client's security.protocol to PLAINTEXT"), slog.String("mechanism", req.Mechanism))
	return ready(resp)
}
