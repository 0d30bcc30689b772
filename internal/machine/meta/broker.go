package meta

import "github.com/ottla/ottla/internal/kafka/model"

// Broker is one registered broker of an image. It must not be modified.
type Broker struct {
	ID                   int32
	Epoch                int64 // the offset of its registration
	IncarnationID        model.TopicID
	Rack                 *string
	Endpoints            []Endpoint
	Features             []SupportedFeature
	Fenced               bool
	InControlledShutdown bool
	Directories          []model.TopicID
	CordonedDirectories  []model.TopicID // nil until the broker said
}

// Active tells whether the broker may lead.
func (b *Broker) Active() bool { return !b.Fenced && !b.InControlledShutdown }

// Endpoint is where a listener of a broker or controller is reached. Protocol is Kafka's number of the security protocol: 0 is PLAINTEXT.
type Endpoint struct {
	Listener string
	Host     string
	Port     uint16
	Protocol int16
}

// SupportedFeature is a range of feature levels that a node can work with.
type SupportedFeature struct {
	Name     string
	Min, Max int16
}

// Controller is one registered controller of an image. It must not be modified.
type Controller struct {
	ID            int32
	IncarnationID model.TopicID
	Endpoints     []Endpoint
	Features      []SupportedFeature
}
