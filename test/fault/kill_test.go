//go:build unix

package fault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// killOverrides make small segments, few coordinators and many snapshots of the metadata, so that kills meet rolls, checkpoints, loading, and a metadata log that is cut.
var killOverrides = []string{"log.segment.bytes=1048576", "offsets.topic.num.partitions=3", "offsets.topic.segment.bytes=1048576", "log.segment.delete.delay.ms=100", "log.retention.check.interval.ms=200",
	"metadata.log.max.record.bytes.between.snapshots=5000", "metadata.max.retention.bytes=20000"}

// load is everything that happens to the node while it is killed.
type load struct {
	ledger    *ledger
	places    []place
	producers []*producer
	members   []*member
	churns    []*churn
	trimmer   *trimmer
	ids       *producerIDs
	solos     []*solo
	plains    []*plain
	settings  *settings
	idsEnded  chan struct{}
	past      []string // what the killed processes logged

	stopProducing context.CancelFunc
	stopRest      context.CancelFunc
	producing     sync.WaitGroup
}

// TestKill kills the node with SIGKILL at random moments under load, again and again, on one directory, and checks that nothing that was promised is broken.
// OTTLA_SEED repeats a run's choices.
func TestKill(t *testing.T) {
	kills := 12
	if long {
		kills = 200
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("OTTLA_SEED"); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("seed %d, %d kills", seed, kills)
	rng := rand.New(rand.NewPCG(seed, 0))
	l := launch{dir: t.TempDir(), port: steadyPort(t), overrides: killOverrides}
	p := start(t, l)
	work := beginLoad(t, p.address, seed)
	defer work.end()

	var restarts []time.Duration
	hits, early := 0, 0
	settled := work.awaitMembers(t, p)
	for i := range kills {
		work.awaitProgress(t, p)
		pause(time.Duration(rng.Int64N(int64(300 * time.Millisecond))))
		if work.ledger.outstanding.Load() > 0 {
			hits++
		}
		end := func() {
			p.kill()
			p.healthy()
			work.past = append(work.past, p.events())
		}
		end()
		if i%4 == 3 { // and once more while it recovers
			p = run(t, l)
			pause(time.Duration(rng.Int64N(int64(60 * time.Millisecond))))
			end()
			early++
		}
		p = run(t, l)
		p.serving()
		if err := firstProduce(p.address, probed); err != nil {
			t.Fatalf("the first record after a restart: %v\n%s", err, p.tail())
		}
		restarts = append(restarts, time.Since(p.began))
		work.check(t, p)
		if i%25 == 24 {
			work.checkRecords(t, p)
		}
	}
	if hits < kills/2 {
		t.Fatalf("test not valid: only %d of %d kills hit while records were on their way", hits, kills)
	}
	work.finish(t, p)
	if now := work.memberIDs(); !slices.Equal(now, settled) { // clients join again after a lost connection, as the members they were
		t.Errorf("the live group's members were %q before the kills, and are %q after them", settled, now)
	}
	p.healthy()
	p.stop()
	slices.Sort(restarts)
	t.Logf("%d kills, %d of them with records on their way, %d more during recovery; restart to the first acknowledged record: median %v, slowest %v", kills, hits, early, restarts[len(restarts)/2].Round(time.Millisecond), restarts[len(restarts)-1].Round(time.Millisecond))
	t.Log(work.summary())
	within(t, "slowest restart after a kill", restarts[len(restarts)-1], time.Second)
}

// probed is a topic that only the first record after each restart is written to.
const probed = "probed"

// awaitMembers waits until the live group is whole and still, and returns its members.
func (w *load) awaitMembers(t *testing.T, p *process) []string {
	t.Helper()
	c := caller{address: p.address}
	defer c.close()
	eventually(t, "the live group is stable\n"+p.tail(), 30*time.Second, func() bool {
		req := kmsg.NewPtrDescribeGroupsRequest()
		req.Groups = []string{liveGroup}
		resp, err := do[*kmsg.DescribeGroupsResponse](t.Context(), &c, 5, req)
		return err == nil && resp.Groups[0].State == "Stable" && len(resp.Groups[0].Members) == len(w.members) && w.held() == len(w.places)
	})
	return w.memberIDs()
}

// memberIDs are the ids under which the members live; one that the node has forgotten gets a new one.
func (w *load) memberIDs() (ids []string) {
	for _, m := range w.members {
		id, _ := m.client.GroupMetadata()
		ids = append(ids, id)
	}
	return ids
}

// held is how many partitions the members have.
func (w *load) held() (n int) {
	for _, m := range w.members {
		n += int(m.held.Load())
	}
	return n
}

func (w *load) moves() (n int64) {
	for _, m := range w.members {
		n += m.moves.Load()
	}
	return n
}

func beginLoad(t *testing.T, address string, seed uint64) *load {
	t.Helper()
	w := &load{ledger: newLedger(), idsEnded: make(chan struct{})}
	w.ids = &producerIDs{given: map[int64]bool{}, ledger: w.ledger}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := caller{address: address}
	defer c.close()
	var topics []string
	for i, partitions := range []int32{1, 3, 6} {
		name := "data-" + strconv.Itoa(i)
		topics = append(topics, name)
		mustCreate(t, ctx, &c, name, partitions)
		for n := range partitions {
			w.places = append(w.places, place{name, n})
		}
	}
	mustCreate(t, ctx, &c, trimmed, 1)
	mustCreate(t, ctx, &c, probed, 1)

	rest, stopRest := context.WithCancel(context.Background())
	producing, stopProducing := context.WithCancel(context.Background())
	w.stopRest, w.stopProducing = stopRest, stopProducing
	for i, codec := range []kgo.CompressionCodec{kgo.NoCompression(), kgo.Lz4Compression(), kgo.ZstdCompression()} {
		p, err := newProducer(i+1, address, codec, w.places, w.ledger, w.ids)
		if err != nil {
			t.Fatal(err)
		}
		w.producers = append(w.producers, p)
		w.producing.Go(func() { p.run(producing, seed) })
	}
	for i := range 2 {
		p := newPlain(10+i, address, w.places, w.ledger, seed)
		w.plains = append(w.plains, p)
		w.producing.Go(func() { p.run(producing) })
	}
	w.settings = newSettings(address, w.ledger)
	go w.settings.run(rest)
	for range 2 {
		m, err := newMember(address, topics, w.ledger)
		if err != nil {
			t.Fatal(err)
		}
		w.members = append(w.members, m)
		go m.run(rest)
	}
	for i := range 2 {
		ch := newChurn(address, "churn-"+strconv.Itoa(i), w.ledger, seed+uint64(i))
		w.churns = append(w.churns, ch)
		go ch.run(rest)
		s := newSolo(address, "solo-"+strconv.Itoa(i), w.ledger)
		w.solos = append(w.solos, s)
		go s.run(rest)
	}
	w.trimmer = newTrimmer(address, w.ledger, seed)
	go w.trimmer.run(rest)
	go w.ids.run(rest, address, w.idsEnded)
	return w
}

func mustCreate(t *testing.T, ctx context.Context, c *caller, name string, partitions int32) {
	t.Helper()
	resp, err := do[*kmsg.CreateTopicsResponse](ctx, c, 7, createRequest(name, partitions, nil))
	if err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("create %s: %v %+v", name, err, resp)
	}
}

// awaitProgress waits until the producers, and whoever changes metadata, got something done since the node began to serve.
func (w *load) awaitProgress(t *testing.T, p *process) {
	t.Helper()
	records, steps := w.ledger.acked.Load(), w.steps()
	eventually(t, "the load goes on after a restart\n"+p.tail(), 30*time.Second, func() bool {
		return w.ledger.acked.Load() > records+20 && w.steps() > steps+5 || w.faulty()
	})
}

func (w *load) faulty() bool {
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	return len(w.ledger.faults) > 0
}

func (w *load) steps() (n int64) {
	for _, c := range w.churns {
		n += c.done.Load()
	}
	for _, s := range w.solos {
		n += s.done.Load()
	}
	for _, p := range w.plains {
		n += p.done.Load()
	}
	return n + w.trimmer.done.Load() + w.settings.done.Load()
}

// check looks at the faults that the load itself has found, and at the committed offsets.
func (w *load) check(t *testing.T, p *process) {
	t.Helper()
	promised := w.ledger.promised()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c := caller{address: p.address}
	defer c.close()
	if have, err := auditCommits(ctx, &c, liveGroup, promised); err != nil {
		w.ledger.fault("%v", err)
	} else {
		w.ledger.show(have)
	}
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	if len(w.ledger.faults) > 0 {
		t.Fatalf("broken promises:\n%s\nthe processes before:\n%s\nthis one:\n%s", strings.Join(w.ledger.faults, "\n"), strings.Join(w.past[max(0, len(w.past)-6):], "\n-\n"), p.events())
	}
}

func (w *load) checkRecords(t *testing.T, p *process) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := caller{address: p.address}
	defer c.close()
	if err := w.ledger.audit(ctx, &c, w.places); err != nil {
		t.Fatalf("broken promises:\n%v\n%s", err, p.tail())
	}
}

// finish stops the load, lets the consumers catch up and checks everything.
func (w *load) finish(t *testing.T, p *process) {
	t.Helper()
	w.stopProducing()
	w.producing.Wait()
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for _, producer := range w.producers {
		if err := producer.finish(ctx); err != nil {
			t.Fatalf("records are still outstanding: %v\n%s", err, p.tail())
		}
	}
	if n := w.ledger.outstanding.Load(); n != 0 {
		t.Fatalf("%d records were never answered", n)
	}
	// The members lived through every kill: they must still consume and commit to the end.
	ends := map[place]int64{}
	c := caller{address: p.address}
	defer c.close()
	for _, at := range w.places {
		resp, err := read[*kmsg.ListOffsetsResponse](ctx, &c, 7, offsetsRequest(at.topic, at.partition, -1))
		if err != nil {
			t.Fatal(err)
		}
		ends[at] = resp.Topics[0].Partitions[0].Offset
	}
	eventually(t, "the group's members consume and commit to the end", 60*time.Second, func() bool {
		promised := w.ledger.promised()
		for at, end := range ends {
			if end > 0 && promised[at] != end {
				return false
			}
		}
		return true
	})
	w.stopRest()
	for _, ended := range w.endings() {
		<-ended
	}
	w.check(t, p)
	w.checkRecords(t, p)
	for _, ch := range w.churns { // the last word about the topics that came and went
		if err := errors.Join(ch.look(ctx), ignoreGone(ch)); err != nil {
			t.Fatalf("topic %s: %v", ch.name, err)
		}
		ch.close()
	}
}

// ignoreGone checks the records of a churned topic that exists at the end.
func ignoreGone(c *churn) error {
	if !c.may[0].exists {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for partition := range int32(c.may[0].partitions) {
		if err := c.readBack(ctx, partition); err != nil {
			return err
		}
	}
	return nil
}

func (w *load) endings() []chan struct{} {
	out := []chan struct{}{w.trimmer.ended, w.settings.ended, w.idsEnded}
	for _, m := range w.members {
		out = append(out, m.ended)
	}
	for _, c := range w.churns {
		out = append(out, c.ended)
	}
	for _, s := range w.solos {
		out = append(out, s.ended)
	}
	return out
}

// end closes what is left, also after a failure.
func (w *load) end() {
	w.stopProducing()
	w.stopRest()
	for _, p := range w.producers {
		p.client.Close()
	}
	for _, m := range w.members {
		m.client.Close()
	}
	w.producing.Wait()
	for _, ended := range w.endings() {
		<-ended
	}
}

func (w *load) summary() string {
	var steps, plains, deletions int64
	for _, c := range w.churns {
		steps += c.done.Load()
	}
	for _, p := range w.plains {
		plains += p.done.Load()
	}
	for _, s := range w.solos {
		deletions += s.deleted.Load()
	}
	return fmt.Sprintf("%d records acknowledged (%d plain requests among them), %d consumed, %d commits, %d steps on churned topics, %d altered broker configs, %d deletions of records, %d lone commits, %d deleted groups, %d producer ids, %d assignments",
		w.ledger.acked.Load(), plains, w.ledger.consumed.Load(), w.ledger.commits.Load(), steps, w.settings.done.Load(), w.trimmer.done.Load(),
		w.solos[0].done.Load()+w.solos[1].done.Load(), deletions, w.ids.count(), w.moves())
}

// TestMemberSurvivesKill: a member that only heartbeats is still a member, in the same generation, after a SIGKILL.
func TestMemberSurvivesKill(t *testing.T) {
	l := launch{dir: t.TempDir(), port: steadyPort(t), overrides: killOverrides}
	p := start(t, l)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	c := &caller{address: p.address}
	defer c.close()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "g"
	if _, err := do[*kmsg.FindCoordinatorResponse](ctx, c, 3, find); err != nil {
		t.Fatal(err)
	}
	join := kmsg.NewPtrJoinGroupRequest()
	join.Group, join.SessionTimeoutMillis, join.RebalanceTimeoutMillis, join.ProtocolType = "g", 30_000, 30_000, "consumer"
	protocol := kmsg.NewJoinGroupRequestProtocol()
	protocol.Name, protocol.Metadata = "range", []byte{1}
	join.Protocols = append(join.Protocols, protocol)
	var joined *kmsg.JoinGroupResponse
	eventually(t, "the member joins", 20*time.Second, func() bool {
		resp, err := do[*kmsg.JoinGroupResponse](ctx, c, 5, join)
		if err != nil {
			t.Fatal(err)
		}
		if model.ErrorCode(resp.ErrorCode) == model.MemberIDRequired {
			join.MemberID = resp.MemberID
		}
		joined = resp
		return resp.ErrorCode == 0
	})
	sync := kmsg.NewPtrSyncGroupRequest()
	sync.Group, sync.Generation, sync.MemberID = "g", joined.Generation, joined.MemberID
	assignment := kmsg.NewSyncGroupRequestGroupAssignment()
	assignment.MemberID, assignment.MemberAssignment = joined.MemberID, []byte{2}
	sync.GroupAssignment = append(sync.GroupAssignment, assignment)
	if resp, err := do[*kmsg.SyncGroupResponse](ctx, c, 3, sync); err != nil || resp.ErrorCode != 0 {
		t.Fatalf("sync: %v %+v", err, resp)
	}
	for range 3 {
		p.kill()
		c.close()
		p = start(t, l)
		beat := kmsg.NewPtrHeartbeatRequest()
		beat.Group, beat.Generation, beat.MemberID = "g", joined.Generation, joined.MemberID
		var last model.ErrorCode
		eventually(t, "the member is known again", 20*time.Second, func() bool {
			resp, err := do[*kmsg.HeartbeatResponse](ctx, c, 4, beat)
			if err != nil {
				t.Fatal(err)
			}
			last = model.ErrorCode(resp.ErrorCode)
			return last != model.CoordinatorLoadInProgress && last != model.NotCoordinator
		})
		if last != model.None {
			t.Fatalf("heartbeat after a kill: %v", last)
		}
	}
	p.stop()
}
