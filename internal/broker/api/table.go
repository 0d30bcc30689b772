package api

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/wire"
)

// entry is one API of the table: its versions and its handler.
type entry struct {
	key         int16
	min, max    int16
	serve       func(*Broker) func(*server.Request) server.Answer
	unsupported func(*Broker) func(*server.Request) server.Answer
}

// table is the one place that says what is served: key, versions, handler.
var table []entry

func init() { // breaks the initialisation cycle with ApiVersions, which shows the table
	table = []entry{
		{key: 0, min: 3, max: 13, serve: raw((*Broker).produce)},
		{key: 1, min: 4, max: 18, serve: raw((*Broker).fetch)},
		{key: 2, min: 1, max: 11, serve: on((*Broker).listOffsets)},
		{key: 3, min: 0, max: 13, serve: on((*Broker).metadata)},
		{key: 8, min: 2, max: 10, serve: on((*Broker).offsetCommit)},
		{key: 9, min: 1, max: 10, serve: on((*Broker).offsetFetch)},
		{key: 10, min: 0, max: 6, serve: on((*Broker).findCoordinator)},
		{key: 11, min: 0, max: 9, serve: on((*Broker).joinGroup)},
		{key: 12, min: 0, max: 4, serve: on((*Broker).heartbeat)},
		{key: 13, min: 0, max: 5, serve: on((*Broker).leaveGroup)},
		{key: 14, min: 0, max: 5, serve: on((*Broker).syncGroup)},
		{key: 15, min: 0, max: 6, serve: on((*Broker).describeGroups)},
		{key: 16, min: 0, max: 5, serve: on((*Broker).listGroups)},
		{key: 17, min: 0, max: 1, serve: on((*Broker).saslHandshake)},
		{key: 18, min: 0, max: 5, serve: on((*Broker).apiVersions), unsupported: raw((*Broker).apiVersionsFallback)},
		{key: 19, min: 2, max: 7, serve: on((*Broker).createTopics)},
		{key: 20, min: 1, max: 6, serve: on((*Broker).deleteTopics)},
		{key: 21, min: 0, max: 2, serve: on((*Broker).deleteRecords)},
		{key: 22, min: 0, max: 5, serve: on((*Broker).initProducerID)},
		{key: 23, min: 2, max: 4, serve: on((*Broker).offsetForLeaderEpoch)},
		{key: 29, min: 1, max: 3, serve: on((*Broker).describeACLs)},
		{key: 30, min: 1, max: 3, serve: on((*Broker).createACLs)},
		{key: 31, min: 1, max: 3, serve: on((*Broker).deleteACLs)},
		{key: 32, min: 1, max: 4, serve: on((*Broker).describeConfigs)},
		{key: 33, min: 0, max: 2, serve: on((*Broker).alterConfigs)},
		{key: 35, min: 1, max: 5, serve: on((*Broker).describeLogDirs)},
		{key: 37, min: 0, max: 3, serve: on((*Broker).createPartitions)},
		{key: 42, min: 0, max: 3, serve: on((*Broker).deleteGroups)},
		{key: 43, min: 0, max: 2, serve: on((*Broker).electLeaders)},
		{key: 44, min: 0, max: 1, serve: on((*Broker).incrementalAlterConfigs)},
		{key: 46, min: 0, max: 0, serve: on((*Broker).listPartitionReassignments)},
		{key: 47, min: 0, max: 0, serve: on((*Broker).offsetDelete)},
		{key: 48, min: 0, max: 1, serve: on((*Broker).describeClientQuotas)},
		{key: 50, min: 0, max: 0, serve: on((*Broker).describeUserSCRAMCredentials)},
		{key: 55, min: 0, max: 2, serve: on((*Broker).describeQuorum)},
		{key: 60, min: 0, max: 2, serve: on((*Broker).describeCluster)},
		{key: 61, min: 0, max: 0, serve: on((*Broker).describeProducers)},
		{key: 74, min: 0, max: 1, serve: on((*Broker).listConfigResources)},
		{key: 75, min: 0, max: 0, serve: on((*Broker).describeTopicPartitions)},
	}
}

// Handlers returns the table as the server wants it, answering from b.
func (b *Broker) Handlers() []server.Handler {
	out := make([]server.Handler, 0, len(table))
	for _, e := range table {
		h := server.Handler{
			Key: e.key, Name: wire.Name(e.key), Min: e.min, Max: e.max, Serve: e.serve(b), Sequential: e.key != wire.KeyProduce,
			Check: func(version int16, body []byte) (int, error) { return wire.Check(e.key, version, body) },
		}
		switch e.key {
		case wire.KeyProduce:
			h.Check = wire.CheckProduce
		case wire.KeyFetch:
			h.Check = wire.CheckFetch
		}
		if e.unsupported != nil {
			h.Unsupported = e.unsupported(b)
		}
		out = append(out, h)
	}
	return out
}

// on makes a handler of a method that takes a decoded request.
func on[R kmsg.Request](serve func(*Broker, *server.Request, R) server.Answer) func(*Broker) func(*server.Request) server.Answer {
	return func(b *Broker) func(*server.Request) server.Answer {
		return func(r *server.Request) server.Answer {
			req, err := wire.Decode(r.Key, r.Version, r.Body)
			if err != nil {
				complainOfDecoding(r, err)
				return server.Answer{None: true, Close: true}
			}
			return serve(b, r, req.(R))
		}
	}
}

// raw makes a handler of a method that reads the body itself.
func raw(serve func(*Broker, *server.Request) server.Answer) func(*Broker) func(*server.Request) server.Answer {
	return func(b *Broker) func(*server.Request) server.Answer {
		return func(r *server.Request) server.Answer { return serve(b, r) }
	}
}

// controllerKeys are the APIs that a controller listener serves: what admin clients with --bootstrap-controller ask.
var controllerKeys = []int16{18, 32, 33, 44, 55, 60}

// ControllerHandlers returns what a controller listener serves.
func (b *Broker) ControllerHandlers() []server.Handler {
	var out []server.Handler
	for _, h := range b.Handlers() {
		if slices.Contains(controllerKeys, h.Key) {
			out = append(out, h)
		}
	}
	return out
}
