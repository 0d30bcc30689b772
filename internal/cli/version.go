package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"

	"github.com/spf13/cobra"
)

// version is set by the linker for releases: -X github.com/ottla/ottla/internal/cli.version=1.2.3.
var version = ""

// build says which program this is.
type build struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"` // the sources differed from the commit
	Protocol string `json:"protocol"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

var buildVersion = sync.OnceValue(func() build {
	b := build{Version: version, Protocol: "Apache Kafka 4.4", Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" && info.Main.Version != "(devel)" {
			b.Version = info.Main.Version
		}
		for _, setting := range info.Settings {
			switch setting.Key {
			case "vcs.revision":
				b.Commit = setting.Value
			case "vcs.modified":
				b.Modified = setting.Value == "true"
			}
		}
	}
	if b.Version == "" {
		b.Version = "development"
	}
	return b
})

func (b build) String() string {
	return fmt.Sprintf("ottla %s (protocol of %s, %s, %s)", b.Version, b.Protocol, b.Go, b.Platform)
}

func (s *shell) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Say which Ottla this is", Args: noArguments,
		RunE: func(*cobra.Command, []string) error {
			b := buildVersion()
			if s.output == jsonOutput {
				return writeJSON(s.out, b)
			}
			_, err := fmt.Fprintln(s.out, b)
			return err
		},
	}
}
