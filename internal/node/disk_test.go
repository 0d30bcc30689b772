package node

import (
	"strings"
	"syscall"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestFullDisk: with every write of a topic's files refused for want of space, and then with every file that is opened refused for want of descriptors, clients hear
// what they try again, everything else is served, and all goes on when the want is over.
func TestFullDisk(t *testing.T) {
	for name, rule := range map[string]*vfs.Rule{
		"no space":       {Op: vfs.OpWrite, Path: "full-0/*", Fault: vfs.Fault{Err: syscall.ENOSPC}},
		"no descriptors": {Op: vfs.OpCreate, Path: "full-0/*", Fault: vfs.Fault{Err: syscall.EMFILE}},
	} {
		t.Run(name, func(t *testing.T) {
			fs, n, c := openFaulty(t)
			defer stop(t, n)
			createTopic(t, c, "full", 1)
			createTopic(t, c, "other", 1)
			mustProduce(t, c, "other", "before")
			warmCoordinator(t, c, "g")
			fs.SetInjector(vfs.Rules{rule})
			short := func(topic, value string) model.ErrorCode {
				req := produceRequest(topic, model.TopicID{}, 0, -1, batchOf(batch.Options{}, value))
				req.TimeoutMillis = 300
				return model.ErrorCode(request[*kmsg.ProduceResponse](t, c, 12, req).Topics[0].Partitions[0].ErrorCode)
			}
			if got := short("full", "first"); got != model.RequestTimedOut && got != model.KafkaStorageError {
				t.Fatalf("the first record: %v", got)
			}
			if rule.Bitten() == 0 {
				t.Fatal("test not valid: nothing was refused")
			}
			if got := short("full", "second"); got != model.KafkaStorageError {
				t.Errorf("the second record: %v", got)
			}
			if got := records(t, fetch(t, c, "other", 0).RecordBatches); len(got) != 1 {
				t.Errorf("fetch: %v", got)
			}
			code(t, "fetch of the topic itself", fetch(t, c, "full", 0).ErrorCode, model.None)
			createTopic(t, c, "new", 1) // what the node itself writes goes on
			code(t, "commit", commit(t, c, lone("g"), "other", 1, ""), model.None)
			fs.SetInjector(nil)
			eventually(t, "records are taken again", func() bool { return short("full", "third") == model.None })
			got := records(t, fetch(t, c, "full", 0).RecordBatches)
			if len(got) == 0 || got[len(got)-1].value != "third" {
				t.Errorf("afterwards: %v", got)
			}
			mustProduce(t, c, "other", "after")
		})
	}
}

// TestFailedSyncIsNeverForgiven: after one failed sync nothing is acknowledged any more, and the node says that it cannot go on.
func TestFailedSyncIsNeverForgiven(t *testing.T) {
	fs, n, c := openFaulty(t)
	createTopic(t, c, "t", 1)
	mustProduce(t, c, "t", "before")
	rule := &vfs.Rule{Op: vfs.OpSync, Path: "*", Nth: 1, Fault: vfs.Fault{Err: syscall.EIO}}
	fs.SetInjector(vfs.Rules{rule})
	p := produce(t, c, "t", -1, batchOf(batch.Options{}, "lost"))
	if p.ErrorCode == 0 || rule.Bitten() != 1 {
		t.Fatalf("acknowledged although its sync failed: %+v, %d syncs failed", p, rule.Bitten())
	}
	code(t, "the next", produce(t, c, "t", -1, batchOf(batch.Options{}, "later")).ErrorCode, model.KafkaStorageError)
	if err := <-n.Failed(); !strings.Contains(err.Error(), "FATAL") || !strings.Contains(err.Error(), syscall.EIO.Error()) {
		t.Errorf("the node failed with %v", err)
	}
	if err := n.Close(t.Context()); err == nil {
		t.Error("the stop after a failed sync says that it was clean")
	}
}
