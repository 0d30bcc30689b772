package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// hello asks for what every client asks first.
func (c *control) hello() error {
	r := kmsg.NewPtrApiVersionsRequest()
	r.SetVersion(0) // in this one the answer's header is the old one, whatever the version
	response, err := c.ask(r)
	if err == nil && response.(*kmsg.ApiVersionsResponse).ErrorCode != 0 {
		err = &refusedError{"ask for API versions", response.(*kmsg.ApiVersionsResponse).ErrorCode}
	}
	return err
}

const (
	joinGroupVersion = 9
	syncGroupVersion = 5
	memberIDRequired = 79
	memberTimeout    = 10 * 60 * 1000 // ms: it is looked at without heartbeats
)

// becomeConsumer joins a group of its own as the only member, is assigned the topic, commits, and opens a fetch session over it.
func (c *control) becomeConsumer(ctx context.Context, group string, t topic) error {
	if err := c.awaitCoordinator(ctx, group); err != nil {
		return err
	}
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{t.Name}
	join := kmsg.NewPtrJoinGroupRequest()
	join.SetVersion(joinGroupVersion)
	join.Group, join.ProtocolType, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = group, "consumer", memberTimeout, memberTimeout
	join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: metadata.AppendTo(nil)}}
	var joined *kmsg.JoinGroupResponse
	if err := c.retry(ctx, func() error {
		response, err := c.ask(join)
		if err != nil {
			return err
		}
		joined = response.(*kmsg.JoinGroupResponse)
		if joined.ErrorCode == memberIDRequired {
			join.MemberID = joined.MemberID
		}
		if joined.ErrorCode != 0 {
			return &refusedError{"join group " + group, joined.ErrorCode}
		}
		return nil
	}); err != nil {
		return err
	}
	assignment := kmsg.NewConsumerMemberAssignment()
	own := kmsg.NewConsumerMemberAssignmentTopic()
	own.Topic = t.Name
	for p := range t.Partitions {
		own.Partitions = append(own.Partitions, p)
	}
	assignment.Topics = append(assignment.Topics, own)
	protocol, name := "consumer", "range"
	settle := kmsg.NewPtrSyncGroupRequest()
	settle.SetVersion(syncGroupVersion)
	settle.Group, settle.Generation, settle.MemberID, settle.ProtocolType, settle.Protocol = group, joined.Generation, joined.MemberID, &protocol, &name
	settle.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID, MemberAssignment: assignment.AppendTo(nil)}}
	response, err := c.ask(settle)
	if err != nil {
		return err
	}
	if code := response.(*kmsg.SyncGroupResponse).ErrorCode; code != 0 {
		return &refusedError{"be assigned partitions in group " + group, code}
	}
	return c.openSession(t)
}

// openSession fetches once from all partitions of a topic and leaves the session open.
func (c *control) openSession(t topic) error {
	r := kmsg.NewPtrFetchRequest()
	r.SetVersion(fetchVersion)
	r.MinBytes, r.MaxBytes, r.SessionEpoch = 1, 1<<20, 0
	in := kmsg.NewFetchRequestTopic()
	in.TopicID = t.ID
	for p := range t.Partitions {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.PartitionMaxBytes = p, 1<<20
		in.Partitions = append(in.Partitions, partition)
	}
	r.Topics = append(r.Topics, in)
	response, err := c.ask(r)
	if err != nil {
		return err
	}
	answer := response.(*kmsg.FetchResponse)
	if answer.ErrorCode != 0 {
		return &refusedError{"open a fetch session", answer.ErrorCode}
	}
	if answer.SessionID == 0 {
		return fmt.Errorf("the broker gave no fetch session")
	}
	return nil
}
