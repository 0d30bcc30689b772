package meta

import (
	"fmt"
	"testing"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// TestEveryLevel runs a cluster from its first record to a shutdown at each level: what the level does not know is neither written nor needed. The record package refuses a field
// that a version cannot carry.
func TestEveryLevel(t *testing.T) {
	for level := LowestMetadataVersion; level <= MetadataVersion44; level++ {
		t.Run(fmt.Sprint(level), func(t *testing.T) {
			r := newRig(t, Options{})
			good := func(what string, result Result) {
				t.Helper()
				if result.Code != model.None {
					t.Fatalf("%s: %+v", what, result)
				}
			}
			good("bootstrap", r.step(Bootstrap{Features: []FeatureLevel{{MetadataVersion, level}}}).(BootstrapReply).Result)
			register := func(incarnation int, clean bool) int64 {
				in := RegisterBroker{ID: 1, IncarnationID: id(incarnation), Endpoints: []Endpoint{{Listener: "PLAINTEXT", Host: "h", Port: 1}}, Directories: []model.TopicID{id(11)}, CleanShutdown: clean}
				reply := r.step(in).(BrokerReply)
				good("register", reply.Result)
				for reply.Again {
					reply = r.step(UnfenceBroker{ID: 1, Epoch: reply.Epoch}).(BrokerReply)
					good("unfence", reply.Result)
				}
				return reply.Epoch
			}
			good("controller", r.step(RegisterController{ID: 1, IncarnationID: id(1), Endpoints: []Endpoint{{Listener: "C", Host: "h", Port: 2}}}).(Result))
			register(1, true)
			created := r.step(CreateTopics{Topics: []CreateTopic{{ID: id(5), Name: "t", Partitions: 2, ReplicationFactor: 1}}}).(CreateTopicsReply)
			good("create", created.Topics[0].Result)
			register(2, false) // after a crash: epochs are raised
			epoch := register(3, true)
			good("shut down", r.step(ShutDownBroker{ID: 1, Epoch: epoch}).(BrokerReply).Result)
			r.commit()
			for _, rec := range r.log {
				check(t, level, rec)
			}
			b := r.m.Image().Broker(1)
			if b.Active() || (len(b.Directories) > 0) != (level >= directoriesLevel) || (len(r.m.Image().Controllers()) > 0) != (level >= controllersLevel) {
				t.Errorf("broker %+v, controllers %v", b, r.m.Image().Controllers())
			}
			if p := r.m.Image().TopicByName("t").Partition(1); p.LeaderEpoch != 1 || p.Leader != 1 {
				t.Errorf("partition %+v", p)
			}
		})
	}
}

// check fails when a record, or its version, is newer than a level.
func check(t *testing.T, level int16, rec machine.Record) {
	t.Helper()
	m, version, err := record.Decode(rec.Value)
	if err != nil {
		t.Fatal(err)
	}
	since := map[string][]int16{ // by version: the level that brought it
		"BeginTransactionRecord": {13}, "EndTransactionRecord": {13}, "RegisterControllerRecord": {15}, "RegisterBrokerRecord": {1, 7, 8, 17, 30},
		"PartitionRecord": {1, 17, 23}, "PartitionChangeRecord": {1, 17, 23}, "BrokerRegistrationChangeRecord": {1, 7, 17, 30}, "TopicRecord": {1}, "FeatureLevelRecord": {1},
	}[m.TypeName()]
	if int(version) >= len(since) || level < since[version] {
		t.Errorf("%s version %d at level %d", m.TypeName(), version, level)
	}
}
