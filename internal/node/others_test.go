package node

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

func TestFindCoordinator(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	for version := int16(0); version <= 6; version++ {
		for kind := int8(0); kind <= 3; kind++ {
			if kind > 0 && version == 0 {
				continue // has no type
			}
			want := model.None
			switch {
			case kind == 1 && version <= 2: // what librdkafka takes for final
				want = model.TransactionalIDAuthorizationFailed
			case kind > 0:
				want = model.InvalidRequest
			}
			req := kmsg.NewPtrFindCoordinatorRequest()
			req.CoordinatorKey, req.CoordinatorKeys, req.CoordinatorType = "k", []string{"k", "l"}, kind
			resp := request[*kmsg.FindCoordinatorResponse](t, c, version, req)
			if version < 4 {
				code(t, "one", resp.ErrorCode, want)
				if want == model.None && (resp.Host != "127.0.0.1" || resp.Port == 0) {
					t.Errorf("version %d: %s:%d", version, resp.Host, resp.Port)
				}
				continue
			}
			if len(resp.Coordinators) != 2 {
				t.Fatalf("version %d: %d answers for two keys", version, len(resp.Coordinators))
			}
			for _, one := range resp.Coordinators {
				code(t, "of several", one.ErrorCode, want)
				if want != model.None && (one.ErrorMessage == nil || *one.ErrorMessage == "") {
					t.Errorf("version %d, type %d: no message", version, kind)
				}
			}
		}
	}
}

func TestProducerIDsComeFromBlocks(t *testing.T) {
	c := dial(t, opened(t))
	given := map[int64]bool{}
	for range 2500 { // a block has a thousand
		id := producerID(t, c)
		if given[id] {
			t.Fatalf("producer id %d is given twice", id)
		}
		given[id] = true
	}
}

func TestSmallAdminAPIs(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	id := createTopic(t, c, "t", 2)
	pid := producerID(t, c)
	code(t, "produce", produce(t, c, "t", -1, batchOf(batch.Options{HasProducer: true, ProducerID: pid}, "v")).ErrorCode, model.None)

	sasl := kmsg.NewPtrSASLHandshakeRequest()
	sasl.Mechanism = "PLAIN"
	code(t, "SaslHandshake", request[*kmsg.SASLHandshakeResponse](t, c, 1, sasl).ErrorCode, model.IllegalSaslState)

	code(t, "DescribeAcls", request[*kmsg.DescribeACLsResponse](t, c, 3, samples(29, 3, id)[0].(*kmsg.DescribeACLsRequest)).ErrorCode, model.SecurityDisabled)
	for _, key := range []int16{30, 31} {
		req := sample(key, 3, "t", id)
		if key == 30 {
			code(t, "CreateAcls", request[*kmsg.CreateACLsResponse](t, c, 3, req).Results[0].ErrorCode, model.SecurityDisabled)
		} else {
			code(t, "DeleteAcls", request[*kmsg.DeleteACLsResponse](t, c, 3, req).Results[0].ErrorCode, model.SecurityDisabled)
		}
	}

	elect := kmsg.NewPtrElectLeadersRequest()
	one := kmsg.NewElectLeadersRequestTopic()
	one.Topic, one.Partitions = "t", []int32{0, 7}
	elect.Topics = append(elect.Topics, one)
	elected := request[*kmsg.ElectLeadersResponse](t, c, 2, elect)
	code(t, "ElectLeaders", elected.Topics[0].Partitions[0].ErrorCode, model.ElectionNotNeeded)
	code(t, "ElectLeaders of an unknown partition", elected.Topics[0].Partitions[1].ErrorCode, model.UnknownTopicOrPartition)

	producers := kmsg.NewPtrDescribeProducersRequest()
	asked := kmsg.NewDescribeProducersRequestTopic()
	asked.Topic, asked.Partitions = "t", []int32{0, 1, 7}
	producers.Topics = append(producers.Topics, asked)
	described := request[*kmsg.DescribeProducersResponse](t, c, 0, producers).Topics[0].Partitions
	if p := described[0]; p.ErrorCode != 0 || len(p.ActiveProducers) != 1 || p.ActiveProducers[0].ProducerID != pid || p.ActiveProducers[0].LastSequence != 0 {
		t.Errorf("DescribeProducers: %+v", p)
	}
	if p := described[1]; p.ErrorCode != 0 || len(p.ActiveProducers) != 0 {
		t.Errorf("DescribeProducers of an empty partition: %+v", p)
	}
	code(t, "DescribeProducers of an unknown partition", described[2].ErrorCode, model.UnknownTopicOrPartition)

	both := sample(55, 2, "t", id).(*kmsg.DescribeQuorumRequest) // the metadata partition, and another one: refused as a whole, as in Kafka
	for _, topic := range request[*kmsg.DescribeQuorumResponse](t, c, 2, both).Topics {
		code(t, "DescribeQuorum of two topics", topic.Partitions[0].ErrorCode, model.UnknownTopicOrPartition)
	}
	both.Topics = both.Topics[:1]
	quorum := request[*kmsg.DescribeQuorumResponse](t, c, 2, both)
	if p := quorum.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.HighWatermark <= 0 || len(p.CurrentVoters) != 1 || p.LeaderID != p.CurrentVoters[0].ReplicaID {
		t.Errorf("DescribeQuorum: %+v", p)
	}

	cluster := kmsg.NewPtrDescribeClusterRequest()
	cluster.EndpointType = 1
	if got := request[*kmsg.DescribeClusterResponse](t, c, 2, cluster); got.ErrorCode != 0 || got.ClusterID != n.ClusterID() || len(got.Brokers) != 1 || got.ControllerID != got.Brokers[0].NodeID {
		t.Errorf("DescribeCluster: %+v", got)
	}
	cluster.EndpointType = 2
	code(t, "DescribeCluster of controllers", request[*kmsg.DescribeClusterResponse](t, c, 2, cluster).ErrorCode, model.MismatchedEndpointType)
	cluster.EndpointType = 9
	code(t, "DescribeCluster of nothing known", request[*kmsg.DescribeClusterResponse](t, c, 2, cluster).ErrorCode, model.UnsupportedEndpointType)

	dirs := request[*kmsg.DescribeLogDirsResponse](t, c, 4, kmsg.NewPtrDescribeLogDirsRequest())
	if d := dirs.Dirs; len(d) != 1 || d[0].ErrorCode != 0 || d[0].TotalBytes <= 0 || len(d[0].Topics) != 1 || d[0].Topics[0].Partitions[0].Size == 0 {
		t.Errorf("DescribeLogDirs: %+v", d)
	}

	resources := kmsg.NewPtrListConfigResourcesRequest()
	resources.ResourceTypes = []int8{2}
	if got := request[*kmsg.ListConfigResourcesResponse](t, c, 1, resources); got.ErrorCode != 0 || len(got.ConfigResources) != 1 || got.ConfigResources[0].Name != "t" {
		t.Errorf("ListConfigResources: %+v", got)
	}
	resources.ResourceTypes = []int8{99}
	code(t, "ListConfigResources of an unknown type", request[*kmsg.ListConfigResourcesResponse](t, c, 1, resources).ErrorCode, model.UnsupportedVersion)
}

// TestDescribeTopicPartitionsPages: the limit cuts, the cursor goes on, and the lists that Java takes for granted are there (gotcha 18).
func TestDescribeTopicPartitionsPages(t *testing.T) {
	c := dial(t, opened(t))
	createTopic(t, c, "a", 3)
	createTopic(t, c, "b", 2)
	req := kmsg.NewPtrDescribeTopicPartitionsRequest()
	req.ResponsePartitionLimit = 2
	var seen []string
	for range 10 {
		resp := request[*kmsg.DescribeTopicPartitionsResponse](t, c, 0, req)
		for _, topic := range resp.Topics {
			code(t, *topic.Topic, topic.ErrorCode, model.None)
			for _, p := range topic.Partitions {
				seen = append(seen, model.TopicPartition{Topic: *topic.Topic, Partition: p.Partition}.String())
				if p.EligibleLeaderReplicas == nil || p.LastKnownELR == nil {
					t.Errorf("%s: lists are missing", seen[len(seen)-1])
				}
			}
		}
		if resp.NextCursor == nil {
			break
		}
		next := kmsg.NewDescribeTopicPartitionsRequestCursor()
		next.Topic, next.Partition = resp.NextCursor.Topic, resp.NextCursor.Partition
		req.Cursor = &next
	}
	want := []string{"a-0", "a-1", "a-2", "b-0", "b-1"}
	if len(seen) != len(want) {
		t.Fatalf("saw %v, want %v", seen, want)
	}
	for i := range want {
		if seen[i] != want[i] {
			t.Fatalf("saw %v, want %v", seen, want)
		}
	}
}

// TestApiVersions: a version that is too new is answered in version 0 (gotcha 2), names of software are checked (gotcha 10), and a client that means another
// cluster is told so (KIP-1242).
func TestApiVersions(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	id, err := c.SendBody(18, 99, true, []byte("no version has such a body"))
	if err != nil {
		t.Fatal(err)
	}
	old := kmsg.NewPtrApiVersionsRequest()
	resp, err := c.Receive(old, id)
	if err != nil {
		t.Fatal(err)
	}
	fallback := resp.(*kmsg.ApiVersionsResponse)
	code(t, "version 99", fallback.ErrorCode, model.UnsupportedVersion)
	if len(fallback.ApiKeys) != 1 || fallback.ApiKeys[0].ApiKey != 18 || fallback.ApiKeys[0].MaxVersion != 5 {
		t.Errorf("version 99: %+v", fallback.ApiKeys)
	}
	for _, name := range []string{"", "-x", "x y", "x-"} {
		req := sampleApiVersions()
		req.ClientSoftwareName = name
		code(t, "software "+name, request[*kmsg.ApiVersionsResponse](t, c, 3, req).ErrorCode, model.InvalidRequest)
	}
	req := sampleApiVersions()
	req.ClusterID, req.NodeID = new("another-cluster"), 1
	code(t, "another cluster", request[*kmsg.ApiVersionsResponse](t, c, 5, req).ErrorCode, model.RebootstrapRequired)
	own := n.ClusterID()
	req.ClusterID = &own
	code(t, "this cluster", request[*kmsg.ApiVersionsResponse](t, c, 5, req).ErrorCode, model.None)
	for version := int16(0); version <= 5; version++ {
		got := request[*kmsg.ApiVersionsResponse](t, c, version, sampleApiVersions())
		finalized := ""
		for _, f := range got.FinalizedFeatures {
			finalized += f.Name + " "
		}
		if want := "metadata.version "; version >= 3 && finalized != want {
			t.Errorf("version %d: finalized are %q, want %q", version, finalized, want)
		}
		for _, f := range got.SupportedFeatures {
			if version < 4 && f.MinVersion == 0 {
				t.Errorf("version %d shows %s from 0 (gotcha 7)", version, f.Name)
			}
		}
	}
}
