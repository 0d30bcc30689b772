package node

import (
	"log/slog"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/transcript"
)

// TestOffsetsTopicFromOddSettings: Apache Kafka starts with settings of the offsets topic with which it cannot make it, and no group ever works. What can be helped
// is; of the rest the log has one line for many questions.
func TestOffsetsTopicFromOddSettings(t *testing.T) {
	for _, x := range []struct {
		setting string
		works   bool
		line    []string
	}{
		{"offsets.topic.segment.bytes=4096", true, []string{"offsets.topic.segment.bytes=4096", "least=1048576"}},
		{"offsets.topic.replication.factor=3", false, []string{"no group works", "offsets.topic.replication.factor=3", "brokers=1"}},
		{"offsets.topic.num.partitions=20000", false, []string{"no group works", "offsets.topic", "POLICY_VIOLATION"}},
	} {
		t.Run(x.setting, func(t *testing.T) {
			log := &transcript.Transcript{}
			n := openWith(t, t.TempDir(), Options{Loggers: NewLoggers(log, slog.LevelWarn)}, x.setting)
			defer stop(t, n)
			c := dial(t, n)
			if x.works {
				warmCoordinator(t, c, "g")
			} else {
				for range 5 {
					req := kmsg.NewPtrFindCoordinatorRequest()
					req.CoordinatorKey = "g"
					code(t, "FindCoordinator", request[*kmsg.FindCoordinatorResponse](t, c, 3, req).ErrorCode, model.CoordinatorNotAvailable)
				}
			}
			if lines := log.Lines(append(x.line, "level=WARN")...); len(lines) != 1 {
				t.Errorf("%d lines: %s", len(lines), log)
			}
		})
	}
}
