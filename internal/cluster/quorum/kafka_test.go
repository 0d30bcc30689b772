package quorum

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// TestKafkasOwnLog takes over the metadata log and the state file that an Apache Kafka 4.4.0 left behind after its first ten seconds.
func TestKafkasOwnLog(t *testing.T) {
	data, err := os.ReadFile("testdata/kafka-4.4.0-metadata.log")
	if err != nil {
		t.Fatal(err)
	}
	log := &memLog{}
	for len(data) > 0 {
		var b batch.Batch
		if b, data, err = batch.Next(data); err != nil {
			t.Fatal(err)
		}
		log.batches = append(log.batches, b)
	}
	log.synced = len(log.batches)
	state, err := os.ReadFile("testdata/kafka-4.4.0-quorum-state")
	if err != nil {
		t.Fatal(err)
	}
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(path); err != nil {
		t.Fatal(err)
	}
	if err := replaceFile(fsys, filepath.Join(path, stateFile), state); err != nil {
		t.Fatal(err)
	}
	directory, err := model.ParseTopicID("h19kCnTSRBCN1MIHdjBLrA")
	if err != nil {
		t.Fatal(err)
	}
	q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: 1, DirectoryID: directory})
	if err != nil {
		t.Fatal(err)
	}
	if at := lead(t, q); at != (machine.Position{Epoch: 2, Offset: 31}) {
		t.Errorf("leads at %v, after Kafka's epoch 1 and 30 records", at)
	}
	committed(t, q, 31)
	var image *meta.Image
	m := meta.New(meta.Options{NodeID: 1, Publish: func(i *meta.Image, _ *meta.Delta) { image = i }})
	if err := q.Load(0, func(at machine.Position, r machine.Record) error {
		m.Apply(at, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m.Committed(q.Committed())
	m.Step(time.Unix(1, 0), 0, machine.Loaded{})
	if image == nil || image.UnknownRecords() != 0 || len(image.Features()) != 6 || image.Features()["transaction.version"] != 2 {
		t.Fatalf("image %+v", image)
	}
	b := image.Broker(1)
	if b == nil || b.Epoch != 15 || !b.Fenced || len(b.Endpoints) != 1 || b.Endpoints[0] != (meta.Endpoint{Listener: "PLAINTEXT", Host: "127.0.0.1", Port: 29092}) || b.Directories[0] != directory {
		t.Errorf("broker %+v", b)
	}
	if len(image.Controllers()) != 1 || image.Config(meta.BrokerResource, "")["min.insync.replicas"] != "1" {
		t.Errorf("controllers %v, configs %v", image.Controllers(), image.Config(meta.BrokerResource, ""))
	}
	if d := q.Describe(); len(d.Voters) != 1 || d.Voters[0].Endpoints[0].Port != 29093 {
		t.Errorf("described as %+v", d)
	}
	if err := q.Close(); err != nil {
		t.Fatal(err)
	}
}
