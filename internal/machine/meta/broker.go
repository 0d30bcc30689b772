package meta

import (
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

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

// equal compares by value; either may be nil.
func (b *Broker) equal(o *Broker) bool {
	if b == nil || o == nil || b == o {
		return b == o
	}
	return b.ID == o.ID && b.Epoch == o.Epoch && b.IncarnationID == o.IncarnationID && b.Fenced == o.Fenced && b.InControlledShutdown == o.InControlledShutdown &&
		(b.Rack == nil) == (o.Rack == nil) && (b.Rack == nil || *b.Rack == *o.Rack) && slices.Equal(b.Endpoints, o.Endpoints) && slices.Equal(b.Features, o.Features) &&
		slices.Equal(b.Directories, o.Directories) && slices.Equal(b.CordonedDirectories, o.CordonedDirectories)
}

func (c *Controller) equal(o *Controller) bool {
	return c.ID == o.ID && c.IncarnationID == o.IncarnationID && slices.Equal(c.Endpoints, o.Endpoints) && slices.Equal(c.Features, o.Features)
}
