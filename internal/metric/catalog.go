package metric

import (
	"slices"
	"strings"
)

// Kind is how a family's values behave.
type Kind uint8

const (
	CounterKind Kind = iota
	GaugeKind
	HistogramKind
)

func (k Kind) String() string { return [...]string{"counter", "gauge", "histogram"}[k] }

// Family is one metric by name: `ottla_…`, ending in its unit, and in _total when it is a counter.
type Family struct {
	Name   string
	Help   string
	Kind   Kind
	Unit   Unit
	Labels []string
}

var catalog []*Family

func family(kind Kind, unit Unit, name, help string, labels ...string) *Family {
	f := &Family{Name: name, Help: help, Kind: kind, Unit: unit, Labels: labels}
	catalog = append(catalog, f)
	return f
}

// Catalog returns every family there is, by name.
func Catalog() []*Family {
	out := slices.Clone(catalog)
	slices.SortFunc(out, func(a, b *Family) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Requests, by Kafka API. The four durations of a request: local is stage one on the connection's reader, parked is waiting for a commit, data or a deadline,
// send is encoding and handing the answer to the socket, and request_seconds is all of it from the arrival of the last byte.
var (
	RequestSeconds       = family(HistogramKind, Seconds, "ottla_request_seconds", "Time from the arrival of a request's last byte until its answer was handed to the socket.", "api")
	RequestLocalSeconds  = family(HistogramKind, Seconds, "ottla_request_local_seconds", "Time a request kept its connection's reader: checking, decoding, appending or reading.", "api")
	RequestParkedSeconds = family(HistogramKind, Seconds, "ottla_request_parked_seconds", "Time an answer waited for a commit, for data or for its deadline. Answers that were ready at once are not counted.", "api")
	RequestSendSeconds   = family(HistogramKind, Seconds, "ottla_request_send_seconds", "Time from an answer being ready until it was handed to the socket.", "api")
	RequestBytes         = family(HistogramKind, Bytes, "ottla_request_bytes", "Size of requests, with their headers.", "api")
	ResponseBytes        = family(HistogramKind, Bytes, "ottla_response_bytes", "Size of responses, with their headers.", "api")
	RequestRefusals      = family(CounterKind, Things, "ottla_request_refusals_total", "Requests that closed their connection instead of being answered, by reason.", "reason")
)

// Connections and the memory of requests.
var (
	Connections        = family(GaugeKind, Things, "ottla_connections", "Open connections.", "listener")
	ConnectionsOpened  = family(CounterKind, Things, "ottla_connections_opened_total", "Connections accepted.", "listener")
	ConnectionsClosed  = family(CounterKind, Things, "ottla_connections_closed_total", "Connections closed, by reason.", "reason")
	ConnectionsRefused = family(CounterKind, Things, "ottla_connections_refused_total", "Connections closed at once because of a limit.", "listener")
	AcceptErrors       = family(CounterKind, Things, "ottla_accept_errors_total", "Failed accepts, such as those for want of file descriptors.", "listener")
	QueueFull          = family(CounterKind, Things, "ottla_answer_queue_full_total", "Times a connection's reader stopped because too many of its answers were waiting.")
	BudgetLimitBytes   = family(GaugeKind, Bytes, "ottla_request_memory_limit_bytes", "Memory that requests and answers in flight may take together.")
	BudgetUsedBytes    = family(GaugeKind, Bytes, "ottla_request_memory_used_bytes", "Memory that requests and answers in flight take.")
	BudgetWaits        = family(CounterKind, Things, "ottla_request_memory_waits_total", "Times a connection had to wait for request memory.")
	BudgetWaiting      = family(GaugeKind, Things, "ottla_request_memory_waiting", "Connections that wait for request memory.")
)
