package main

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	findCoordinatorVersion = 4
	offsetCommitVersion    = 8
	offsetsTopic           = "__consumer_offsets"
)

func groupName(topic string, i int) string { return fmt.Sprintf("%s-group-%d", topic, i) }

// commitFrame is a whole OffsetCommit of one partition, from outside the group as tools do; its correlation id is set before each use.
func commitFrame(group, topic string) []byte {
	return formatter().AppendRequest(nil, commitRequest(group, topic), 0)
}

func commitRequest(group, topic string) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.SetVersion(offsetCommitVersion)
	r.Group = group
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset = 1
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return r
}

// committed reads an OffsetCommit response of one partition.
func committed(response []byte) (correlation int32, err error) {
	c := cursor{b: response}
	correlation = c.int32()
	c.tags()
	c.int32() // throttle time
	for topics := c.length(); topics > 0 && c.err == nil; topics-- {
		c.take(c.length())
		for partitions := c.length(); partitions > 0 && c.err == nil; partitions-- {
			partition, code := c.int32(), c.int16()
			if code != 0 && c.err == nil {
				return correlation, fmt.Errorf("the commit for partition %d was refused with error code %d", partition, code)
			}
			c.tags()
		}
		c.tags()
	}
	if c.err != nil {
		return correlation, fmt.Errorf("read an OffsetCommit response: %w", c.err)
	}
	return correlation, nil
}

// prepareGroups commits once for each group: the first look for a coordinator makes the topic of offsets, whose configs are then set.
func prepareGroups(ctx context.Context, address, topic string, groups int, configs map[string]string) error {
	c, err := dialControl(ctx, address)
	if err != nil {
		return err
	}
	defer c.close()
	for i := range groups {
		if err := c.awaitCoordinator(ctx, groupName(topic, i)); err != nil {
			return err
		}
		if err := c.retry(ctx, func() error { return c.commit(groupName(topic, i), topic) }); err != nil {
			return err
		}
	}
	for key, value := range configs {
		if err := c.alter(kmsg.ConfigResourceTypeTopic, offsetsTopic, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (c *control) commit(group, topic string) error {
	response, err := c.ask(commitRequest(group, topic))
	if err != nil {
		return err
	}
	for _, t := range response.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return &refusedError{"commit for group " + group, p.ErrorCode}
			}
		}
	}
	return nil
}

// awaitCoordinator asks until there is one.
func (c *control) awaitCoordinator(ctx context.Context, group string) error {
	return c.retry(ctx, func() error {
		r := kmsg.NewPtrFindCoordinatorRequest()
		r.SetVersion(findCoordinatorVersion)
		r.CoordinatorKeys = []string{group}
		response, err := c.ask(r)
		if err != nil {
			return err
		}
		for _, k := range response.(*kmsg.FindCoordinatorResponse).Coordinators {
			if k.ErrorCode != 0 {
				return &refusedError{"find the coordinator of " + group, k.ErrorCode}
			}
		}
		return nil
	})
}
