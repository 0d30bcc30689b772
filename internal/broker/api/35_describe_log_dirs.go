package api

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/kafka/model"
)

// LogDir is one log directory of this broker.
type LogDir interface {
	Path() string
	Err() error
	FreeSpace() (free, total int64, err error)
}

// describeLogDirs serves API 35, versions 1 to 5: what lies in each log directory, and how much room it has.
func (b *Broker) describeLogDirs(r *server.Request, req *kmsg.DescribeLogDirsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeLogDirsResponse)
	asked := askedPartitions(req)
	return later(resp, func(<-chan struct{}) {
		for _, dir := range b.LogDirs {
			out := kmsg.NewDescribeLogDirsResponseDir()
			out.Dir, out.TotalBytes, out.UsableBytes = dir.Path(), -1, -1
			out.Topics = []kmsg.DescribeLogDirsResponseDirTopic{}
			if dir.Err() != nil {
				out.ErrorCode = int16(model.KafkaStorageError)
				resp.Dirs = append(resp.Dirs, out)
				continue
			}
			switch free, total, err := dir.FreeSpace(); {
			case err == nil:
				out.TotalBytes, out.UsableBytes = total, free
			case !errors.Is(err, errors.ErrUnsupported):
				out.ErrorCode = int16(model.KafkaStorageError)
				resp.Dirs = append(resp.Dirs, out)
				continue
			}
			b.fillLogDir(&out, dir, asked)
			resp.Dirs = append(resp.Dirs, out)
		}
	})
}

func (b *Broker) fillLogDir(out *kmsg.DescribeLogDirsResponseDir, dir LogDir, asked map[string]map[int32]bool) {
	for _, topic := range b.Partitions.Topics() {
		wanted := asked[topic.Name]
		described := kmsg.NewDescribeLogDirsResponseDirTopic()
		described.Topic = topic.Name
		for i, p := range topic.Partitions {
			if p == nil || p.Dir() != dir.Path() || asked != nil && !wanted[int32(i)] {
				continue
			}
			part := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			part.Partition, part.Size = int32(i), p.Log().Size()
			described.Partitions = append(described.Partitions, part)
		}
		if len(described.Partitions) > 0 {
			out.Topics = append(out.Topics, described)
		}
	}
}

// askedPartitions returns which partitions the request is about by topic, or nil for all: it has no topics.
func askedPartitions(req *kmsg.DescribeLogDirsRequest) map[string]map[int32]bool {
	if req.Topics == nil {
		return nil
	}
	asked := map[string]map[int32]bool{}
	for _, t := range req.Topics {
		if asked[t.Topic] == nil {
			asked[t.Topic] = map[int32]bool{}
		}
		for _, p := range t.Partitions {
			asked[t.Topic][p] = true
		}
	}
	return asked
}
