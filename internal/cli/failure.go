package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"

	"github.com/twmb/franz-go/pkg/kerr"
)

// usageError is a command line that was not understood.
type usageError struct{ problem string }

func (e *usageError) Error() string { return e.problem }

func usage(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errReported fails a verb whose errors are printed already, one for each thing it was asked to do.
var errReported = errors.New("reported")

// remedies tell what to do about an error code.
var remedies = map[int16]string{
	kerr.UnknownTopicOrPartition.Code:    "`ottla topic list` shows the topics there are",
	kerr.TopicAlreadyExists.Code:         "--if-not-exists accepts that",
	kerr.InvalidConfig.Code:              "`ottla config list ENTITY --all --doc` says what there is and what it takes",
	kerr.InvalidReplicationFactor.Code:   "`ottla cluster info` shows the brokers there are",
	kerr.TopicDeletionDisabled.Code:      "the brokers have delete.topic.enable=false",
	kerr.GroupIDNotFound.Code:            "`ottla group list` shows the groups there are",
	kerr.NonEmptyGroup.Code:              "stop its members first",
	kerr.UnknownMemberID.Code:            "the group has members: stop them first",
	kerr.RebalanceInProgress.Code:        "the group has members: stop them first",
	kerr.GroupSubscribedToTopic.Code:     "stop the group's members first",
	kerr.MessageTooLarge.Code:            "raise the topic's max.message.bytes",
	kerr.RecordListTooLarge.Code:         "raise the topic's max.message.bytes",
	kerr.NotEnoughReplicas.Code:          "the topic's min.insync.replicas asks for more brokers than are in sync",
	kerr.InvalidRecord.Code:              "a compacted topic needs a key in every record",
	kerr.InvalidTopicException.Code:      "the name is not allowed, or it is one of Kafka's own topics, which clients do not write",
	kerr.OffsetOutOfRange.Code:           "`ottla topic describe` shows the offsets there are",
	kerr.UnsupportedVersion.Code:         "these brokers do not have what this asks for",
	kerr.SecurityDisabled.Code:           "the cluster has no authorizer",
	kerr.CoordinatorNotAvailable.Code:    "the group's coordinator is starting: try again",
	kerr.CoordinatorLoadInProgress.Code:  "the group's coordinator is loading: try again",
	kerr.InconsistentGroupProtocol.Code:  "its members use an assignor that this client does not know",
	kerr.KafkaStorageError.Code:          "a disk of the broker failed: its log says which",
	kerr.ClusterAuthorizationFailed.Code: "ask for the permission on the cluster",
	kerr.TopicAuthorizationFailed.Code:   "ask for the permission on the topic",
	kerr.GroupAuthorizationFailed.Code:   "ask for the permission on the group",
}

// meanings are of codes whose usual text says less than is known here.
var meanings = map[int16]string{
	kerr.UnknownTopicOrPartition.Code: "it does not exist",
	kerr.GroupIDNotFound.Code:         "it does not exist",
	kerr.TopicAlreadyExists.Code:      "it exists",
	kerr.NonEmptyGroup.Code:           "it has members",
	kerr.UnknownMemberID.Code:         "it has members",
}

// answerError makes a sentence of a broker's error: the thing, the code, the broker's message or the code's meaning, and the remedy.
func answerError(thing string, err error, message string) error {
	var known *kerr.Error
	if !errors.As(err, &known) {
		return fmt.Errorf("%s: %w", thing, err)
	}
	text := message
	if own, ok := meanings[known.Code]; ok {
		text = own
	} else if text == "" {
		text = known.Description
	}
	return &brokerError{thing: thing, code: known, text: strings.TrimSuffix(text, ".")}
}

// brokerError is an error code in a broker's answer.
type brokerError struct {
	thing string
	code  *kerr.Error
	text  string
}

func (e *brokerError) Error() string {
	text := fmt.Sprintf("%s (%s)", e.text, e.code.Message)
	if _, name, _ := strings.Cut(e.thing, " "); !strings.Contains(e.text, "'"+strings.Trim(name, `"`)+"'") { // else the broker has named it
		text = e.thing + ": " + text
	}
	if remedy, ok := remedies[e.code.Code]; ok {
		text += ": " + remedy
	}
	return text
}

func (e *brokerError) Unwrap() error { return e.code }

// dialReason is why a connection was not made, without what everybody knows.
func dialReason(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, context.DeadlineExceeded):
		return "no connection in time"
	}
	var call *net.OpError
	if errors.As(err, &call) && call.Err != nil {
		return call.Err.Error()
	}
	return err.Error()
}

// unreachable makes a sentence of a failed connection.
func unreachable(address string, bootstrap []string, err error) error {
	if slices.Contains(bootstrap, address) {
		return fmt.Errorf("cannot reach %s: %s: is a node running? start one with `ottla`, or name another with --bootstrap-server", address, dialReason(err))
	}
	return fmt.Errorf("cannot reach %s: %s: the brokers name this address in advertised.listeners, and it must be reachable from here", address, dialReason(err))
}

// explain makes a sentence of what the client library says when a whole request failed under a context.
func (c *cluster) explain(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if interrupted := interruption(ctx); interrupted != nil {
		return interrupted
	}
	var broker *brokerError
	var bad *usageError
	if errors.As(err, &broker) || errors.As(err, &bad) || errors.Is(err, errReported) {
		return err
	}
	timedOut := errors.Is(ctx.Err(), context.DeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)
	var dial *net.OpError
	failedDial := errors.As(err, &dial) && dial.Op == "dial"
	if address, last := c.dials.lastFailure(); last != nil && (timedOut || failedDial) {
		return unreachable(address, c.bootstrap, last)
	}
	if timedOut {
		return fmt.Errorf("no answer from %s within %v (--timeout)", strings.Join(c.bootstrap, ","), c.timeout)
	}
	var known *kerr.Error
	if errors.As(err, &known) {
		return answerError(strings.Join(c.bootstrap, ","), err, "")
	}
	return err
}
