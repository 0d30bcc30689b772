package wire

import (
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestApiVersions(t *testing.T) {
	a := ApiVersions{
		APIs:           []VersionRange{{0, 0, 13}, {18, 0, 5}},
		ThrottleMs:     7,
		Supported:      []SupportedFeature{{"kraft.version", 0, 1}, {"metadata.version", 7, 33}},
		Finalized:      []FinalizedFeature{{"group.version", 0}, {"metadata.version", 33}},
		FinalizedEpoch: 41,
	}
	for version := range int16(6) {
		resp := kmsg.NewApiVersionsResponse()
		resp.Version = version
		if err := resp.ReadFrom(a.Append(nil, version)); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(resp.ErrorCode, len(resp.ApiKeys), resp.ApiKeys[1].ApiKey, resp.ApiKeys[1].MinVersion, resp.ApiKeys[1].MaxVersion); got != "0 2 18 0 5" {
			t.Errorf("v%d: %s", version, got)
		}
		if version >= 1 && resp.ThrottleMillis != 7 {
			t.Errorf("v%d: throttle %d", version, resp.ThrottleMillis)
		}
		supported, finalized := "", ""
		for _, f := range resp.SupportedFeatures {
			supported += fmt.Sprintf("%s %d-%d,", f.Name, f.MinVersion, f.MaxVersion)
		}
		for _, f := range resp.FinalizedFeatures {
			finalized += fmt.Sprintf("%s %d-%d,", f.Name, f.MinVersionLevel, f.MaxVersionLevel)
		}
		wantSupported, wantFinalized, wantEpoch := "kraft.version 0-1,metadata.version 7-33,", "metadata.version 33-33,", int64(41)
		switch {
		case version < 3:
			wantSupported, wantFinalized, wantEpoch = "", "", -1
		case version == 3:
			wantSupported = "metadata.version 7-33,"
		}
		if supported != wantSupported || finalized != wantFinalized || resp.FinalizedFeaturesEpoch != wantEpoch {
			t.Errorf("v%d: supported %q, finalized %q at %d", version, supported, finalized, resp.FinalizedFeaturesEpoch)
		}
	}
}

func TestApiVersionsFallback(t *testing.T) {
	got := AppendApiVersionsFallback([]byte("head"), VersionRange{18, 0, 5})
	if want := "head\x00\x23\x00\x00\x00\x01\x00\x12\x00\x00\x00\x05"; string(got) != want {
		t.Errorf("%x", got)
	}
}
