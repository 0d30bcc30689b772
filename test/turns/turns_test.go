//go:build unix

package turns

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ledger is what must be there.
type ledger struct {
	topics    map[string]kadm.TopicID
	retention map[string]string // a configuration of each topic
	records   map[string][]string
	committed map[string]int64 // of group g, by topic
	level     int16            // of metadata.version, 0 for the newest
	quotas    bool             // Kafka was asked to keep one
	scram     bool             // the directory was formatted with one
}

// closing looks at everything once more from Kafka's side, and for what it put aside as nobody's.
func (l *ledger) closing(t *testing.T, p *place) {
	t.Helper()
	p.start(kafka)
	l.check(t, p, kafka)
	p.stop()
	p.strays()
}

// TestEachFindsWhatTheOtherLeft is the short form: on two log directories, Kafka formats and stops in order, Ottla does, Kafka is killed, then Ottla is.
func TestEachFindsWhatTheOtherLeft(t *testing.T) {
	p := newPlace(t, 2)
	p.format()
	l := newLedger()
	l.scram = true
	for round, killed := range []bool{false, true} {
		for _, who := range []string{kafka, ottla} {
			turn(t, p, l, who, round, killed)
		}
	}
	l.closing(t, p)
}

// TestTurns: Kafka formats and begins, then each takes three turns.
func TestTurns(t *testing.T) {
	longForm(t)
	for name, killed := range map[string]bool{"stopped": false, "killed": true} {
		for dirs := 1; dirs <= 3; dirs += 2 {
			t.Run(fmt.Sprintf("%s in %d", name, dirs), func(t *testing.T) {
				p := newPlace(t, dirs)
				p.format()
				l := newLedger()
				l.scram = true
				for round := range 3 {
					for _, who := range []string{kafka, ottla} {
						turn(t, p, l, who, round, killed)
					}
				}
				l.closing(t, p)
			})
		}
	}
}

// TestOttlaBegins: the directory is Ottla's own, or was only formatted by Kafka, and then goes to Kafka and back.
func TestOttlaBegins(t *testing.T) {
	longForm(t)
	for _, formatted := range []bool{false, true} {
		t.Run(fmt.Sprintf("formatted %v", formatted), func(t *testing.T) {
			p := newPlace(t, 1)
			if formatted {
				p.format()
			}
			l := newLedger()
			l.scram = formatted
			for i, who := range []string{ottla, kafka, ottla} {
				turn(t, p, l, who, i, false)
			}
		})
	}
}

// TestOlderLevels: a directory whose metadata.version is that of an older Kafka goes from one to the other and stays at it.
func TestOlderLevels(t *testing.T) {
	levels := map[string]int16{"3.3-IV3": 7}
	if os.Getenv("OTTLA_LONG") != "" {
		maps.Copy(levels, map[string]int16{"3.5-IV2": 11, "3.7-IV4": 19, "3.9-IV0": 21, "4.0-IV3": 25, "4.1-IV1": 27, "4.3-IV0": 30})
	}
	for release, level := range levels {
		t.Run(release, func(t *testing.T) {
			p := newPlaceOf(t, 1, release)
			p.format()
			l := newLedger()
			l.level = level
			for i, who := range []string{ottla, kafka, ottla} {
				turn(t, p, l, who, i, i == 1)
			}
		})
	}
}

func newLedger() *ledger {
	return &ledger{topics: map[string]kadm.TopicID{}, retention: map[string]string{}, records: map[string][]string{}, committed: map[string]int64{}}
}

// turn has one of the two find what the last one left, change it, and end.
func turn(t *testing.T, p *place, l *ledger, who string, round int, killed bool) {
	t.Helper()
	p.start(who)
	l.check(t, p, who)
	l.work(t, p, who, round)
	if !killed {
		p.stop()
	} else {
		p.kill()
		if who == ottla {
			p.recover()
		}
	}
	p.strays()
	if t.Failed() {
		t.Fatalf("after %s in round %d", who, round)
	}
}

// perTurn is how many records each topic gets in a turn: more than a segment.
const perTurn = 600

func client(t *testing.T, p *place, opts ...kgo.Opt) (*kgo.Client, context.Context) {
	t.Helper()
	c, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(p.address), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.MetadataMinAge(50 * time.Millisecond), kgo.MaxVersions(nil)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	t.Cleanup(cancel)
	return c, ctx
}

func (l *ledger) work(t *testing.T, p *place, who string, round int) {
	t.Helper()
	c, ctx := client(t, p)
	defer c.Close()
	admin := kadm.NewClient(c)
	fresh, passing := fmt.Sprintf("from-%s-%d", who, round), fmt.Sprintf("passing-%s-%d", who, round)
	retention := fmt.Sprint(86_400_000 + round)
	for _, topic := range []string{fresh, passing} {
		resp, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &retention}, topic)
		if err != nil {
			t.Fatalf("%s: create %s: %v", who, topic, err)
		}
		l.topics[topic], l.retention[topic] = resp.ID, retention
	}
	value := make([]byte, 2000)
	_, _ = rand.NewChaCha8([32]byte{byte(round)}).Read(value) // never fails; so that it fills segments
	for topic := range l.topics {
		var records []*kgo.Record
		for i := range perTurn {
			text := fmt.Sprintf("%s %s %d", who, topic, len(l.records[topic]))
			l.records[topic] = append(l.records[topic], text)
			body := append([]byte(text+" "), value[:(i*37)%len(value)]...)
			records = append(records, &kgo.Record{Topic: topic, Key: []byte(text), Value: body})
		}
		if err := c.ProduceSync(ctx, records...).FirstErr(); err != nil {
			t.Fatalf("%s: produce to %s: %v", who, topic, err)
		}
		l.committed[topic] = int64(len(l.records[topic]) - round - 1)
	}
	delete(l.committed, passing)
	offsets := kadm.Offsets{}
	for topic, at := range l.committed {
		offsets.AddOffset(topic, 0, at, -1)
	}
	if err := admin.CommitAllOffsets(ctx, "g", offsets); err != nil {
		t.Fatalf("%s: commit: %v", who, err)
	}
	if who == kafka && !l.quotas {
		l.quotas = true
		user := "bob"
		resp, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &user}}, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 123456}}}})
		if err != nil || resp[0].Err != nil {
			t.Fatalf("quota: %v %+v", err, resp)
		}
	}
	resp, err := admin.DeleteTopic(ctx, passing)
	if err != nil || resp.Err != nil {
		t.Fatalf("%s: delete %s: %v %v", who, passing, err, resp.Err)
	}
	p.gone(passing + "-0") // Kafka answers before it has renamed the directory; killed then, it would leave a stray
	delete(l.topics, passing)
	delete(l.records, passing)
	delete(l.retention, passing)
	changed := fmt.Sprint(172_800_000 + round)
	results, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &changed}}, fresh)
	if err != nil || results[0].Err != nil {
		t.Fatalf("%s: alter %s: %v %+v", who, fresh, err, results)
	}
	l.retention[fresh] = changed
}

func (l *ledger) check(t *testing.T, p *place, who string) {
	t.Helper()
	if len(l.topics) == 0 {
		return
	}
	c, ctx := client(t, p)
	defer c.Close()
	admin := kadm.NewClient(c)
	found, err := admin.ListTopics(ctx)
	if err != nil {
		t.Fatalf("%s: list topics: %v", who, err)
	}
	if got, want := found.Names(), slices.Sorted(maps.Keys(l.topics)); !slices.Equal(got, want) {
		t.Errorf("%s has the topics %v, want %v", who, got, want)
	}
	for topic, id := range l.topics {
		if found[topic].ID != id {
			t.Errorf("%s: topic %s has the id %v, want %v", who, topic, found[topic].ID, id)
		}
	}
	configs, err := admin.DescribeTopicConfigs(ctx, slices.Collect(maps.Keys(l.topics))...)
	if err != nil {
		t.Fatalf("%s: %v", who, err)
	}
	for _, r := range configs {
		for _, config := range r.Configs {
			if config.Key == "retention.ms" && config.MaybeValue() != l.retention[r.Name] {
				t.Errorf("%s: retention.ms of %s is %s, want %s", who, r.Name, config.MaybeValue(), l.retention[r.Name])
			}
		}
	}
	offsets, err := admin.FetchOffsets(ctx, "g")
	if err != nil {
		t.Fatalf("%s: fetch offsets: %v", who, err)
	}
	for topic, want := range l.committed {
		if got, ok := offsets.Lookup(topic, 0); !ok || got.At != want {
			t.Errorf("%s: the group's offset in %s is %d (%v), want %d", who, topic, got.At, ok, want)
		}
	}
	l.checkRecords(t, p, who)
	l.checkLevel(t, ctx, c, who)
	if who == kafka {
		l.checkForeign(t, ctx, admin)
	}
}

func (l *ledger) checkRecords(t *testing.T, p *place, who string) {
	t.Helper()
	from, left := map[string]map[int32]kgo.Offset{}, 0
	for topic, records := range l.records {
		from[topic] = map[int32]kgo.Offset{0: kgo.NewOffset().AtStart()}
		left += len(records)
	}
	c, ctx := client(t, p, kgo.ConsumePartitions(from))
	defer c.Close()
	got := map[string][]string{}
	for left > 0 {
		fetches := c.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("%s: %d records are missing: %v", who, left, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			got[r.Topic] = append(got[r.Topic], string(r.Key))
			left--
		})
	}
	for topic, want := range l.records {
		if !slices.Equal(got[topic], want) {
			t.Errorf("%s: %s has %d records, want %d", who, topic, len(got[topic]), len(want))
		}
	}
}

// checkLevel asks for the metadata.version in force.
func (l *ledger) checkLevel(t *testing.T, ctx context.Context, c *kgo.Client, who string) {
	t.Helper()
	if l.level == 0 {
		return
	}
	req := kmsg.NewPtrApiVersionsRequest()
	req.ClientSoftwareName, req.ClientSoftwareVersion = "turns", "1"
	resp, err := req.RequestWith(ctx, c)
	if err != nil {
		t.Fatalf("%s: features: %v", who, err)
	}
	for _, f := range resp.FinalizedFeatures {
		if f.Name == "metadata.version" && f.MaxVersionLevel == l.level {
			return
		}
	}
	t.Errorf("%s has the features %+v, not metadata.version %d", who, resp.FinalizedFeatures, l.level)
}

// checkForeign asks for what only Kafka understands.
func (l *ledger) checkForeign(t *testing.T, ctx context.Context, admin *kadm.Client) {
	t.Helper()
	users, err := admin.DescribeUserSCRAMs(ctx, "alice")
	if l.scram && (err != nil || len(users["alice"].CredInfos) != 1) {
		t.Errorf("the SCRAM credentials of alice: %v %+v", err, users)
	}
	if !l.quotas {
		return
	}
	quotas, err := admin.DescribeClientQuotas(ctx, false, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchType: 2}})
	if err != nil || len(quotas) != 1 || len(quotas[0].Values) != 1 || quotas[0].Values[0].Value != 123456 {
		t.Errorf("the quota of bob: %v %+v", err, quotas)
	}
}
