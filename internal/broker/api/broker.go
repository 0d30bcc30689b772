package api

import (
	"context"
	"log/slog"
	"time"

	"github.com/ottla/ottla/internal/cluster/partition"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// Coordinators finds the group coordinators of this broker.
type Coordinators interface {
	// Group returns the coordinator of a group, or the code that says why there is none here.
	Group(group string) (Caller, model.ErrorCode)
	// All returns every coordinator that runs here.
	All() []Caller
}

// Broker is what the handlers answer from. The node fills it in before the first request.
type Broker struct {
	NodeID    int32
	ClusterID string
	// Image returns the committed metadata.
	Image func() *meta.Image
	// Controller is the shard of the metadata machine.
	Controller   Caller
	Coordinators Coordinators
	Partitions   *partition.Registry
	Quorum       Quorum
	// Static is the configuration of the start, Dynamic what is in force now.
	Static   *config.Static
	Dynamic  func() *config.Dynamic
	Loggers  Loggers
	LogDirs  []LogDir
	Sessions *Sessions
	Log      *slog.Logger
	Clock    func() time.Time
	// Context ends when the node stops.
	Context context.Context

	producerIDs producerIDs
}

// lookup finds a topic by name, or by id when the version names topics so. It answers UnknownTopicOrPartition or UnknownTopicID.
func lookup(image *meta.Image, name string, id model.TopicID, byID bool) (*meta.Topic, model.ErrorCode) {
	if byID {
		if t := image.TopicByID(id); t != nil {
			return t, model.None
		}
		return nil, model.UnknownTopicID
	}
	if t := image.TopicByName(name); t != nil {
		return t, model.None
	}
	return nil, model.UnknownTopicOrPartition
}

// endpointFor returns the address under which a broker wants to be reached by those who came through a listener of that name.
func endpointFor(broker *meta.Broker, listener string) (meta.Endpoint, bool) {
	for _, e := range broker.Endpoints {
		if e.Listener == listener {
			return e, true
		}
	}
	return meta.Endpoint{}, false
}
