package api

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/cluster/quorum"
	"github.com/ottla/ottla/internal/kafka/model"
)

// Quorum is the metadata quorum as this node sees it.
type Quorum interface {
	Describe() quorum.Description
}

// describeQuorum serves API 55, versions 0 to 2: the metadata log's leader, its epoch and how far every voter is.
func (b *Broker) describeQuorum(r *server.Request, req *kmsg.DescribeQuorumRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeQuorumResponse)
	state := b.Quorum.Describe()
	resp.ErrorMessage = new("")
	whole := len(req.Topics) == 1 && req.Topics[0].Topic == model.MetadataTopic && len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
	for _, t := range req.Topics {
		out := kmsg.NewDescribeQuorumResponseTopic()
		out.Topic = t.Topic
		for _, p := range t.Partitions {
			part := kmsg.NewDescribeQuorumResponseTopicPartition()
			part.Partition, part.ErrorMessage = p.Partition, new("")
			if !whole {
				part.ErrorCode = int16(model.UnknownTopicOrPartition)
				part.ErrorMessage = new("only partition 0 of " + model.MetadataTopic + ", by itself, has a quorum to describe")
				out.Partitions = append(out.Partitions, part)
				continue
			}
			part.LeaderID, part.LeaderEpoch, part.HighWatermark = state.LeaderID, state.LeaderEpoch, state.HighWatermark
			part.CurrentVoters, part.Observers = quorumVoters(state), []kmsg.DescribeQuorumResponseTopicPartitionReplicaState{}
			out.Partitions = append(out.Partitions, part)
		}
		resp.Topics = append(resp.Topics, out)
	}
	if !whole {
		return ready(resp)
	}
	for _, c := range b.Image().Controllers() {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = c.ID
		for _, e := range c.Endpoints {
			l := kmsg.NewDescribeQuorumResponseNodeListener()
			l.Name, l.Host, l.Port = e.Listener, e.Host, e.Port
			node.Listeners = append(node.Listeners, l)
		}
		resp.Nodes = append(resp.Nodes, node)
	}
	return ready(resp)
}

func quorumVoters(state quorum.Description) []kmsg.DescribeQuorumResponseTopicPartitionReplicaState {
	out := make([]kmsg.DescribeQuorumResponseTopicPartitionReplicaState, len(state.Replicas))
	for i, v := range state.Replicas {
		out[i] = kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
		out[i].ReplicaID, out[i].ReplicaDirectoryID, out[i].LogEndOffset = v.ID, v.DirectoryID, v.LogEndOffset
		out[i].LastFetchTimestamp, out[i].LastCaughtUpTimestamp = -1, -1
		if !v.LastFetch.IsZero() {
			out[i].LastFetchTimestamp = v.LastFetch.UnixMilli()
		}
		if !v.LastCaughtUp.IsZero() {
			out[i].LastCaughtUpTimestamp = v.LastCaughtUp.UnixMilli()
		}
	}
	return out
}
