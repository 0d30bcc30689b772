package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/shard"
	"github.com/ottla/ottla/internal/kafka/model"
)

// ready answers with a response that is complete already.
func ready(resp kmsg.Response) server.Answer {
	return server.Answer{Body: func() server.Body { return server.Bytes(resp.AppendTo(nil)) }}
}

// later answers with resp after wait, which runs on the connection's writer and fills resp in.
func later(resp kmsg.Response, wait func(stop <-chan struct{})) server.Answer {
	return server.Answer{Wait: wait, Body: func() server.Body { return server.Bytes(resp.AppendTo(nil)) }}
}

// Caller hands inputs to a machine.
type Caller interface {
	Call(input any) *shard.Call
	Abandon(*shard.Call)
}

// await waits for a call and returns its reply as R, or the error that ended it. A caller whose connection goes away is abandoned.
func await[R any](c Caller, call *shard.Call, stop <-chan struct{}) (R, error) {
	var none R
	select {
	case <-call.Done():
	case <-stop:
		c.Abandon(call)
		return none, shard.ErrClosed
	}
	reply, err := call.Result()
	if err != nil {
		return none, err
	}
	return reply.(R), nil
}

// coordinatorCode maps why a coordinator's log would not take something to what Kafka's clients expect of a coordinator.
func coordinatorCode(err error) model.ErrorCode {
	switch {
	case err == nil:
		return model.None
	case errors.Is(err, shard.ErrLoading):
		return model.CoordinatorLoadInProgress
	case errors.Is(err, shard.ErrClosed):
		return model.NotCoordinator
	case errors.Is(err, shard.ErrBusy):
		return model.CoordinatorNotAvailable
	case errors.Is(err, shard.ErrTooBig):
		return model.UnknownServerError
	}
	switch code, _ := model.CodeOf(err); code {
	case model.UnknownTopicOrPartition, model.NotEnoughReplicas, model.NotEnoughReplicasAfterAppend, model.RequestTimedOut:
		return model.CoordinatorNotAvailable
	case model.NotLeaderForPartition, model.KafkaStorageError:
		return model.NotCoordinator
	default:
		return code
	}
}

// controllerCode maps why the metadata log would not take a change.
func controllerCode(err error) (model.ErrorCode, string) {
	switch {
	case err == nil:
		return model.None, ""
	case errors.Is(err, shard.ErrLoading), errors.Is(err, shard.ErrClosed):
		return model.NotController, "the controller is starting or stopping; try again"
	case errors.Is(err, shard.ErrBusy):
		return model.ThrottlingQuotaExceeded, "the controller has too many requests waiting; try again"
	case errors.Is(err, shard.ErrTooBig):
		return model.InvalidRequest, "the request makes more changes than fit one batch of the metadata log; send several smaller ones"
	}
	return model.CodeOf(err)
}

// text returns nil for an empty message, as the protocol's nullable strings want it.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// clientHost is a client's address as Kafka shows it.
func clientHost(c *server.Conn) string { return "/" + c.RemoteIP().String() }
