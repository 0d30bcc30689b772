package server

import "github.com/ottla/ottla/internal/metric"

// apiMetrics are the series of one API, looked up once.
type apiMetrics struct {
	total, local, parked, send  *metric.Histogram
	requestBytes, responseBytes *metric.Histogram
}

type metrics struct {
	registry  *metric.Registry
	queueFull *metric.Counter
	closed    [reasons]*metric.Counter
}

func newMetrics(r *metric.Registry) *metrics {
	m := &metrics{registry: r, queueFull: r.Counter(metric.QueueFull)}
	for i := range m.closed {
		if i > 0 {
			m.closed[i] = r.Counter(metric.ConnectionsClosed, reason(i).String())
		}
	}
	return m
}

func newAPIMetrics(r *metric.Registry, name string) *apiMetrics {
	return &apiMetrics{
		total:         r.Histogram(metric.RequestSeconds, name),
		local:         r.Histogram(metric.RequestLocalSeconds, name),
		parked:        r.Histogram(metric.RequestParkedSeconds, name),
		send:          r.Histogram(metric.RequestSendSeconds, name),
		requestBytes:  r.Histogram(metric.RequestBytes, name),
		responseBytes: r.Histogram(metric.ResponseBytes, name),
	}
}

// route is a handler with its series, so that a request finds both at once.
type route struct {
	*Handler
	metrics *apiMetrics
}

func newRoutes(r *metric.Registry, t *Table) []route {
	routes := make([]route, len(t.handlers))
	for key, h := range t.handlers {
		if h != nil {
			routes[key] = route{h, newAPIMetrics(r, h.Name)}
		}
	}
	return routes
}
