package api

import (
	"regexp"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
	"github.com/ottla/ottla/internal/machine/meta"
)

// softwareName is what a client may call itself and its version (KIP-511).
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// supportedFeatures are the levels that this build can run the cluster at. Features that belong to what it does not serve yet are not named.
var supportedFeatures = []wire.SupportedFeature{
	{Name: meta.MetadataVersion, Min: meta.LowestMetadataVersion, Max: meta.MetadataVersion44},
	{Name: "kraft.version", Min: 0, Max: 1},
}

// apiVersions serves API 18, versions 0 to 5: the table, and the features. A version 5 client that says to which cluster or node it means to talk learns when
// that is not this one (KIP-1242).
func (b *Broker) apiVersions(r *server.Request, req *kmsg.ApiVersionsRequest) server.Answer {
	version := req.Version
	answer := wire.ApiVersions{FinalizedEpoch: -1}
	switch {
	case version >= 3 && (!softwareName.MatchString(req.ClientSoftwareName) || !softwareName.MatchString(req.ClientSoftwareVersion)):
		answer.ErrorCode = model.InvalidRequest
	case version >= 5 && (req.ClusterID == nil) != (req.NodeID == -1): // both or neither
		answer.ErrorCode = model.InvalidRequest
	case version >= 5 && req.ClusterID != nil && (*req.ClusterID != b.ClusterID || req.NodeID != b.NodeID):
		answer.ErrorCode = model.RebootstrapRequired
	default:
		answer = b.versions()
	}
	return server.Answer{Body: func() server.Body { return server.Bytes(answer.Append(nil, version)) }}
}

// versions is what this node serves.
func (b *Broker) versions() wire.ApiVersions {
	out := wire.ApiVersions{Supported: supportedFeatures, FinalizedEpoch: -1}
	for _, e := range table {
		from := e.min
		if e.key == wire.KeyProduce {
			from = 0 // KAFKA-18659
		}
		out.APIs = append(out.APIs, wire.VersionRange{Key: e.key, Min: from, Max: e.max})
	}
	image := b.Image()
	if level, ok := image.Features()[meta.MetadataVersion]; ok {
		out.Finalized = append(out.Finalized, wire.FinalizedFeature{Name: meta.MetadataVersion, Level: level})
		out.FinalizedEpoch = image.Position().Offset
	}
	return out
}

// apiVersionsFallback answers versions above 5 with version 0 and the error, so that the client asks again.
func (b *Broker) apiVersionsFallback(r *server.Request) server.Answer {
	for _, e := range table {
		if e.key == wire.KeyApiVersions {
			return server.Now(server.Bytes(wire.AppendApiVersionsFallback(nil, wire.VersionRange{Key: e.key, Min: e.min, Max: e.max})))
		}
	}
	panic("BUG: api: the table has no ApiVersions")
}
