package wire

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// VersionRange is an API that a broker serves, in versions Min to Max.
type VersionRange struct{ Key, Min, Max int16 }

// SupportedFeature is a feature that a broker can run at levels Min to Max.
type SupportedFeature struct {
	Name     string
	Min, Max int16
}

// FinalizedFeature is the level at which the whole cluster runs a feature.
type FinalizedFeature struct {
	Name  string
	Level int16
}

// ApiVersions is what a broker says about itself before anything else.
type ApiVersions struct {
	ErrorCode  model.ErrorCode
	APIs       []VersionRange
	ThrottleMs int32
	Supported  []SupportedFeature
	Finalized  []FinalizedFeature
	// FinalizedEpoch is the epoch of Finalized, -1 when unknown.
	FinalizedEpoch int64
}

// apiVersionsZeroMin is the first version whose clients can read a supported feature with minimum 0 (KAFKA-17492).
const apiVersionsZeroMin = 4

// Append appends the body of the response in that version, 0 to 5.
//
// Versions 0 to 3 leave out supported features whose minimum is 0, and no version lists a feature that is finalized at level 0, which
// means that it is off.
func (a *ApiVersions) Append(dst []byte, version int16) []byte {
	resp := kmsg.NewApiVersionsResponse()
	resp.Version = version
	resp.ErrorCode = int16(a.ErrorCode)
	resp.ThrottleMillis = a.ThrottleMs
	resp.FinalizedFeaturesEpoch = a.FinalizedEpoch
	for _, r := range a.APIs {
		k := kmsg.NewApiVersionsResponseApiKey()
		k.ApiKey, k.MinVersion, k.MaxVersion = r.Key, r.Min, r.Max
		resp.ApiKeys = append(resp.ApiKeys, k)
	}
	for _, s := range a.Supported {
		if s.Min == 0 && version < apiVersionsZeroMin {
			continue
		}
		f := kmsg.NewApiVersionsResponseSupportedFeature()
		f.Name, f.MinVersion, f.MaxVersion = s.Name, s.Min, s.Max
		resp.SupportedFeatures = append(resp.SupportedFeatures, f)
	}
	for _, s := range a.Finalized {
		if s.Level == 0 {
			continue
		}
		f := kmsg.NewApiVersionsResponseFinalizedFeature()
		f.Name, f.MinVersionLevel, f.MaxVersionLevel = s.Name, s.Level, s.Level
		resp.FinalizedFeatures = append(resp.FinalizedFeatures, f)
	}
	return resp.AppendTo(dst)
}

// AppendApiVersionsFallback appends the body that answers an ApiVersions request of a version that is not served: version 0, error
// UNSUPPORTED_VERSION, and nothing but the versions of ApiVersions that are served, so that the client can ask again.
func AppendApiVersionsFallback(dst []byte, served VersionRange) []byte {
	a := ApiVersions{ErrorCode: model.UnsupportedVersion, APIs: []VersionRange{served}, FinalizedEpoch: -1}
	return a.Append(dst, 0)
}
