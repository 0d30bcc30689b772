package node

import (
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// TestDeletedRecordsStayDeleted over restarts, and the segments that had nothing else are gone.
func TestDeletedRecordsStayDeleted(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	createTopic(t, dial(t, n), "t", 1, "internal.segment.bytes", "1024")
	for range 40 {
		mustProduce(t, dial(t, n), "t", "a record that takes some of the room in a segment, so that there are several of them in the end")
	}
	for i := range 2 {
		c := dial(t, n)
		req := kmsg.NewPtrDeleteRecordsRequest()
		req.Version, req.TimeoutMillis = 2, 10_000
		one := kmsg.NewDeleteRecordsRequestTopic()
		one.Topic = "t"
		p := kmsg.NewDeleteRecordsRequestTopicPartition()
		p.Offset = int64(16 * (i + 1))
		one.Partitions = append(one.Partitions, p)
		req.Topics = append(req.Topics, one)
		got := request[*kmsg.DeleteRecordsResponse](t, c, 2, req).Topics[0].Partitions[0]
		code(t, "DeleteRecords", got.ErrorCode, model.None)
		if got.LowWatermark != p.Offset {
			t.Fatalf("the log starts at %d, want %d", got.LowWatermark, p.Offset)
		}
		stop(t, n)
		n = open(t, path, "log.retention.check.interval.ms=20")
		c = dial(t, n)
		if first, last := listOffset(t, c, 11, "t", -2).Offset, listOffset(t, c, 11, "t", -1).Offset; first != p.Offset || last != 40 {
			t.Fatalf("after restart %d the log has offsets %d to %d, want %d to 40", i, first, last, p.Offset)
		}
		code(t, "fetch below the start", fetch(t, c, "t", p.Offset-1).ErrorCode, model.OffsetOutOfRange)
		eventually(t, "removal of the segments before", func() bool {
			files, err := filepath.Glob(filepath.Join(path, "t-0", "*.log"))
			if err != nil {
				t.Fatal(err)
			}
			before := 0
			for _, name := range files {
				if base, _, ok := plog.ParseFileName(filepath.Base(name)); ok && base <= p.Offset {
					before++
				}
			}
			return before == 1
		})
	}
	stop(t, n)
}
