package api

import (
	"slices"

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
			if free, total, err := dir.FreeSpace(); err == nil {
				out.TotalBytes, out.UsableBytes = total, free
			}
			b.fillLogDir(&out, dir, req)
			resp.Dirs = append(resp.Dirs, out)
		}
	})
}

func (b *Broker) fillLogDir(out *kmsg.DescribeLogDirsResponseDir, dir LogDir, req *kmsg.DescribeLogDirsRequest) {
	for _, topic := range b.Partitions.Topics() {
		asked, all := askedPartitions(req, topic.Name)
		described := kmsg.NewDescribeLogDirsResponseDirTopic()
		described.Topic = topic.Name
		for i, p := range topic.Partitions {
			if p == nil || p.Dir() != dir.Path() || !all && !slices.Contains(asked, int32(i)) {
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

// askedPartitions returns which partitions of a topic the request is about; a request without topics is about all.
func askedPartitions(req *kmsg.DescribeLogDirsRequest, topic string) (partitions []int32, all bool) {
	for _, t := range req.Topics {
		if t.Topic == topic {
			partitions = append(partitions, t.Partitions...)
		}
	}
	return partitions, req.Topics == nil
}
