package session

import (
	"strings"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
)

// TestLongNamesCount: names that a client makes up may have 32 KB, and a session keeps them.
func TestLongNamesCount(t *testing.T) {
	c := New(1000, 1000)
	c.maxPartitions = 1000
	named := func(n int, first byte) (out []Partition) {
		for i := range n {
			out = append(out, Partition{Topic: Topic{Name: string([]byte{first, byte(i)}) + strings.Repeat("x", 30_000)}})
		}
		return out
	}
	open := func(id int32, partitions []Partition) int32 {
		ctx, _ := c.Begin(0, &Request{Partitions: partitions}, nil)
		got, _ := c.Finish(0, &ctx, make([]Result, len(partitions)), nil, id)
		return got
	}
	if open(1, named(10, 'a')) != 0 {
		t.Error("ten names of 30 KB have a session where 1,000 short ones have room")
	}
	if open(1, named(3, 'a')) != 1 {
		t.Fatal("three have none")
	}
	cost := c.partitions
	if _, code := c.Begin(0, &Request{SessionID: 1, Epoch: 1, Partitions: named(10, 'b')}, nil); code != model.FetchSessionIDNotFound {
		t.Errorf("a session that grows beyond the bound: %v", code)
	}
	if c.partitions != 0 {
		t.Errorf("without a session %d are counted", c.partitions)
	}
	if open(2, named(3, 'a')) != 2 || c.partitions != cost {
		t.Errorf("%d are counted, at first %d", c.partitions, cost)
	}
	var forgotten []Forgotten
	for _, p := range named(3, 'a')[1:] {
		forgotten = append(forgotten, Forgotten{Topic: p.Topic, Partition: p.Partition})
	}
	if ctx, code := c.Begin(0, &Request{SessionID: 2, Epoch: 1, Forgotten: forgotten}, nil); code != model.None || len(ctx.Partitions) != 1 || c.partitions >= cost/2 {
		t.Errorf("after two are forgotten: %v, %d partitions, %d counted", code, len(ctx.Partitions), c.partitions)
	}
}
