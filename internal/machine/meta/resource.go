package meta

import "strconv"

// ResourceType says what a configuration belongs to, numbered as in the protocol and in ConfigRecord.
type ResourceType int8

// The resource types that have configurations in the metadata log. Loggers have none: their levels live and die with a process.
const (
	TopicResource         ResourceType = 2
	BrokerResource        ResourceType = 4 // the empty name is the default of all brokers
	BrokerLoggerResource  ResourceType = 8
	ClientMetricsResource ResourceType = 16
	GroupResource         ResourceType = 32
)

// String returns Kafka's name of the type.
func (t ResourceType) String() string {
	switch t {
	case TopicResource:
		return "topic"
	case BrokerResource:
		return "broker"
	case BrokerLoggerResource:
		return "broker logger"
	case ClientMetricsResource:
		return "client metrics subscription"
	case GroupResource:
		return "group"
	}
	return "resource type " + strconv.Itoa(int(t))
}

// Resource names the owner of a configuration.
type Resource struct {
	Type ResourceType
	Name string
}

// String returns the type and the name, as messages to users have them.
func (r Resource) String() string {
	if r.Type == BrokerResource && r.Name == "" {
		return "default of all brokers"
	}
	return r.Type.String() + " '" + r.Name + "'"
}
