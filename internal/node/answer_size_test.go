package node

import (
	"log/slog"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/test/fault/raw"
	"github.com/ottla/ottla/test/transcript"
)

// TestSmallRequestsForLargeAnswers names one thing very often. The answer is as large as a request may be at most; what does not fit is refused, each for itself, and
// whoever runs the node is told.
func TestSmallRequestsForLargeAnswers(t *testing.T) {
	log := &transcript.Transcript{}
	n := openWith(t, t.TempDir(), Options{Loggers: NewLoggers(log, slog.LevelWarn)}, "socket.request.max.bytes=1048576")
	defer stop(t, n)
	c := dial(t, n)
	createTopic(t, c, "t", 1)
	warmCoordinator(t, c, "g")
	const most = 8<<20 + 8<<19 // of what has room, and of the refusals
	sized := func(what string, version int16, req kmsg.Request) kmsg.Response {
		t.Helper()
		req.SetVersion(version)
		resp, err := c.Do(req)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if size := len(resp.AppendTo(nil)); size > most || size < 7<<20 {
			t.Errorf("%s: an answer of %d bytes", what, size)
		}
		return resp
	}
	refused := func(what string, good, bad int) {
		t.Helper()
		if good == 0 || bad == 0 {
			t.Errorf("%s: %d answered, %d refused", what, good, bad)
		}
	}
	tally := func(good, bad *int, code int16) {
		switch model.ErrorCode(code) {
		case model.None:
			*good++
		case model.InvalidRequest:
			*bad++
		default:
			t.Errorf("%v", model.ErrorCode(code))
		}
	}

	configs := kmsg.NewPtrDescribeConfigsRequest()
	configs.IncludeDocumentation, configs.IncludeSynonyms = true, true
	for range 300 {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kmsg.ConfigResourceTypeBroker, "1"
		configs.Resources = append(configs.Resources, r)
	}
	good, bad := 0, 0
	for _, r := range sized("DescribeConfigs", 4, configs).(*kmsg.DescribeConfigsResponse).Resources {
		if tally(&good, &bad, r.ErrorCode); r.ErrorCode != 0 && (len(r.Configs) > 0 || !strings.Contains(*r.ErrorMessage, "socket.request.max.bytes")) {
			t.Fatalf("%d configs, message %q", len(r.Configs), *r.ErrorMessage)
		}
	}
	refused("DescribeConfigs", good, bad)
	if lines := log.Lines("DescribeConfigs refused: INVALID_REQUEST", "resource=1", "source=127.0.0.1"); len(lines) != 1 {
		t.Errorf("%d lines", len(lines))
	}

	commitLong(t, c, "g")
	offsets := kmsg.NewPtrOffsetFetchRequest()
	for range 30 {
		g := kmsg.NewOffsetFetchRequestGroup()
		g.Group = "g"
		one := kmsg.NewOffsetFetchRequestGroupTopic()
		one.Topic, one.Partitions = "t", make([]int32, 100)
		g.Topics = append(g.Topics, one)
		offsets.Groups = append(offsets.Groups, g)
	}
	good, bad = 0, 0
	for _, g := range sized("OffsetFetch", 8, offsets).(*kmsg.OffsetFetchResponse).Groups {
		tally(&good, &bad, g.ErrorCode)
	}
	refused("OffsetFetch", good, bad)
	old := kmsg.NewPtrOffsetFetchRequest()
	old.Group, old.Topics = "g", []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: make([]int32, 3000)}}
	code(t, "OffsetFetch of one group", request[*kmsg.OffsetFetchResponse](t, c, 7, old).ErrorCode, model.InvalidRequest)

	large := joinRequest("large", "")
	large.Protocols[0].Metadata = make([]byte, 500_000)
	first := request[*kmsg.JoinGroupResponse](t, c, 9, large)
	large.MemberID = first.MemberID
	second := request[*kmsg.JoinGroupResponse](t, c, 9, large)
	request[*kmsg.SyncGroupResponse](t, c, 5, syncRequest("large", second.MemberID, second.Generation))
	groups := kmsg.NewPtrDescribeGroupsRequest()
	for range 100 {
		groups.Groups = append(groups.Groups, "large")
	}
	good, bad = 0, 0
	for _, g := range sized("DescribeGroups", 5, groups).(*kmsg.DescribeGroupsResponse).Groups {
		tally(&good, &bad, g.ErrorCode)
	}
	refused("DescribeGroups", good, bad)

	for id := range int64(1000) {
		code(t, "produce", produce(t, c, "t", 1, batchOf(batch.Options{HasProducer: true, ProducerID: id}, "v")).ErrorCode, model.None)
	}
	producers := kmsg.NewPtrDescribeProducersRequest()
	producers.Topics = []kmsg.DescribeProducersRequestTopic{{Topic: "t", Partitions: make([]int32, 400)}}
	good, bad = 0, 0
	for _, p := range sized("DescribeProducers", 0, producers).(*kmsg.DescribeProducersResponse).Topics[0].Partitions {
		tally(&good, &bad, p.ErrorCode)
	}
	refused("DescribeProducers", good, bad)
}

// commitLong commits an offset with as much metadata as is allowed.
func commitLong(t *testing.T, c *raw.Conn, group string) {
	t.Helper()
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation = group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Offset, p.Metadata = 1, new(strings.Repeat("m", 4096))
	one := kmsg.NewOffsetCommitRequestTopic()
	one.Topic, one.Partitions = "t", []kmsg.OffsetCommitRequestTopicPartition{p}
	req.Topics = append(req.Topics, one)
	code(t, "commit", request[*kmsg.OffsetCommitResponse](t, c, 9, req).Topics[0].Partitions[0].ErrorCode, model.None)
}

// TestLogDirsOfManyPartitions asks for a partition three million times: it is looked for once.
func TestLogDirsOfManyPartitions(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	createTopic(t, c, "t", 10_000)
	req := kmsg.NewPtrDescribeLogDirsRequest()
	asked := make([]int32, 3_000_000)
	for i := range asked {
		asked[i] = -1
	}
	asked[len(asked)-1] = 7
	req.Topics = []kmsg.DescribeLogDirsRequestTopic{{Topic: "t", Partitions: asked}}
	resp := request[*kmsg.DescribeLogDirsResponse](t, c, 4, req)
	if len(resp.Dirs) != 1 || len(resp.Dirs[0].Topics) != 1 || len(resp.Dirs[0].Topics[0].Partitions) != 1 {
		t.Errorf("%+v", resp.Dirs)
	}
}
