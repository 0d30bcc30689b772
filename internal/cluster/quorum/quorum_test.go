package quorum

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/cost"
)

const path = "data/__cluster_metadata-0"

var self = Voter{ID: 1, DirectoryID: model.TopicID{0: 1, 15: 11}, Endpoints: []Endpoint{{"CONTROLLER", "127.0.0.1", 29093}}}

// single opens the only voter of a quorum.
func single(t *testing.T, log Log, fsys vfs.FS) *Quorum {
	t.Helper()
	q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	})
	return q
}

func lead(t *testing.T, q *Quorum) machine.Position {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	at, err := q.Lead(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// committed waits until the offset is committed.
func committed(t *testing.T, q *Quorum, offset int64) {
	t.Helper()
	changed := make(chan struct{}, 1)
	q.Watch(func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	})
	deadline := time.After(10 * time.Second)
	for q.Committed().Offset < offset {
		select {
		case <-changed:
		case <-deadline:
			t.Fatalf("committed %v, want offset %d; error %v", q.Committed(), offset, q.Err())
		}
	}
}

func appendOne(t *testing.T, q *Quorum, value string) machine.Position {
	t.Helper()
	at, err := q.Append([]machine.Record{{Value: []byte(value)}})
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func loaded(t *testing.T, q *Quorum, from int64) (out []string) {
	t.Helper()
	if err := q.Load(from, func(at machine.Position, r machine.Record) error {
		out = append(out, string(r.Value))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// The bytes are the first batch of the metadata log that Apache Kafka 4.4.0 wrote when it was formatted with --standalone.
const kafkasFirstBatch = "0000000000000000000000a20000000102a860d25e002000000002000001a1fd77d17d000001a1fd77d17dffffffffffffffffffffffffffff000000033a0000" +
	"0008000000022600000000000102000000010002000000010000001e000002080000" + "00050a0000000100008201000004080000" + "00066e00000200000001875f640a74d244108dd4c20776304bac" +
	"020b434f4e54524f4c4c45520a3132372e302e302e3171a5000000000100000000"

func TestFirstBatchIsKafkas(t *testing.T) {
	want, err := hex.DecodeString(kafkasFirstBatch)
	if err != nil {
		t.Fatal(err)
	}
	directory, err := model.ParseTopicID("h19kCnTSRBCN1MIHdjBLrA")
	if err != nil {
		t.Fatal(err)
	}
	v := Voter{ID: 1, DirectoryID: directory, Endpoints: []Endpoint{{"CONTROLLER", "127.0.0.1", 29093}}}
	log := &memLog{}
	q, err := Open(Options{FS: vfs.NewMem(), Path: path, Log: log, NodeID: 1, DirectoryID: directory, Voters: []Voter{v}, Clock: func() time.Time { return time.UnixMilli(1795253850493) }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := q.Close(); err != nil {
			t.Error(err)
		}
	}()
	lead(t, q)
	if !bytes.Equal(log.batches[0], want) {
		t.Errorf("Kafka wrote\n%x\nwe write\n%x", want, []byte(log.batches[0]))
	}
	b, _, err := batch.Next(want)
	if err != nil {
		t.Fatal(err)
	}
	if got, ok, err := votersIn(b); err != nil || !ok || !reflect.DeepEqual(got, []Voter{v}) {
		t.Errorf("Kafka's voters were read as %v, %v, %v", got, ok, err)
	}
}

func TestSingleVoter(t *testing.T) {
	log := &memLog{}
	q := single(t, log, vfs.NewMem())
	if at := lead(t, q); at != (machine.Position{Epoch: 1, Offset: 3}) {
		t.Fatalf("leads from %v", at)
	}
	if at := appendOne(t, q, "a"); at != (machine.Position{Epoch: 1, Offset: 3}) {
		t.Fatalf("appended at %v", at)
	}
	at, err := q.Append([]machine.Record{{Key: []byte("k"), Value: []byte("b"), Timestamp: 77}, {Value: []byte("c")}})
	if err != nil || at != (machine.Position{Epoch: 1, Offset: 4}) {
		t.Fatalf("appended at %v, %v", at, err)
	}
	if end := q.End(); end != (machine.Position{Epoch: 1, Offset: 6}) {
		t.Fatalf("end %v", end)
	}
	committed(t, q, 6)
	if got := loaded(t, q, 0); !reflect.DeepEqual(got, []string{"a", "b", "c"}) {
		t.Errorf("loaded %q", got)
	}
	if got := loaded(t, q, 5); !reflect.DeepEqual(got, []string{"c"}) {
		t.Errorf("loaded from 5: %q", got)
	}
	if err := q.Load(0, func(machine.Position, machine.Record) error { return errors.New("enough") }); err == nil || err.Error() != "enough" {
		t.Errorf("Load swallowed the error: %v", err)
	}
	d := q.Describe()
	if d.LeaderID != 1 || d.LeaderEpoch != 1 || d.HighWatermark != 6 || len(d.Replicas) != 1 || d.Replicas[0].LogEndOffset != 6 || d.Replicas[0].LastFetch.IsZero() {
		t.Errorf("described as %+v", d)
	}
	if _, err := q.Append(nil); err == nil {
		t.Error("an empty batch was appended")
	}
	if _, err := q.Append([]machine.Record{{Value: make([]byte, maxBatchBytes)}}); err == nil {
		t.Error("a batch over the limit was appended")
	}
}

// I6: the bubble's clock stands still unless everything is blocked on time, and it must not have moved.
func TestSingleVoterWaitsForNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		q := single(t, &memLog{}, vfs.NewMem())
		lead(t, q)
		at := appendOne(t, q, "a")
		committed(t, q, at.Offset+1)
		if waited := time.Since(began); waited != 0 {
			t.Errorf("it took %v of virtual time", waited)
		}
	})
}

func TestCommitWaitsForTheSync(t *testing.T) { // I1
	synctest.Test(t, func(t *testing.T) {
		log := &memLog{manual: true}
		q := single(t, log, vfs.NewMem())
		want := func(offset int64) {
			t.Helper()
			synctest.Wait()
			if c := q.Committed(); c != (machine.Position{Epoch: 1, Offset: offset}) {
				t.Fatalf("committed %v, want offset %d", c, offset)
			}
		}
		want(0) // it leads, but nothing is committed
		log.sync()
		want(3)
		appendOne(t, q, "a")
		appendOne(t, q, "b")
		want(3)
		log.sync()
		want(5)
	})
}

func TestAFailedLogEndsIt(t *testing.T) { // I5
	log := &memLog{}
	q := single(t, log, vfs.NewMem())
	lead(t, q)
	told := make(chan struct{}, 10)
	q.Watch(func() { told <- struct{}{} })
	broken := errors.New("i/o error")
	log.fail(broken)
	for q.Err() == nil {
		<-told
	}
	if _, err := q.Append([]machine.Record{{Value: []byte("x")}}); !errors.Is(err, broken) {
		t.Errorf("Append after the failure: %v", err)
	}
	if err := q.Load(0, nil); !errors.Is(err, broken) {
		t.Errorf("Load after the failure: %v", err)
	}
	if at := q.End(); at.Epoch != -1 {
		t.Errorf("it still leads at %v", at)
	}
}

func TestRestart(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	for epoch := int32(1); epoch <= 4; epoch++ {
		q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
		if err != nil {
			t.Fatal(err)
		}
		if at := lead(t, q); at.Epoch != epoch {
			t.Fatalf("epoch %d, want %d", at.Epoch, epoch)
		}
		at := appendOne(t, q, strings.Repeat("x", int(epoch)))
		committed(t, q, at.Offset+1)
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := q.Append([]machine.Record{{Value: []byte("late")}}); !errors.Is(err, ErrClosed) {
			t.Fatalf("Append after Close: %v", err)
		}
		log.closed = false
	}
	controls := 0
	for _, b := range log.batches {
		if b.IsControl() {
			controls += int(b.RecordCount())
		}
	}
	if controls != 3+1+1+1 {
		t.Errorf("%d control records: the voters are named more than once, or never", controls)
	}
	q := single(t, log, fsys)
	lead(t, q)
	if got := loaded(t, q, 0); !reflect.DeepEqual(got, []string{"x", "xx", "xxx", "xxxx"}) {
		t.Errorf("loaded %q", got)
	}
}

func TestANewAddressIsTaken(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	for _, port := range []uint16{1000, 2000, 0} {
		v := Voter{ID: self.ID, DirectoryID: self.DirectoryID}
		if port != 0 {
			v.Endpoints = []Endpoint{{"CONTROLLER", "127.0.0.1", port}}
		}
		q, err := Open(Options{FS: fsys, Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{v}})
		if err != nil {
			t.Fatal(err)
		}
		lead(t, q)
		want := port
		if port == 0 {
			want = 1000 // what the log says
		}
		if got := q.Describe().Voters[0].Endpoints[0].Port; got != want {
			t.Errorf("told port %d, it says %d", port, got)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		log.closed = false
	}
}

func TestForeignDirectoryIsRefused(t *testing.T) {
	log, fsys := &memLog{}, vfs.NewMem()
	q := single(t, log, fsys)
	lead(t, q)
	for name, o := range map[string]Options{
		"directory": {NodeID: self.ID, DirectoryID: model.TopicID{1}},
		"node":      {NodeID: 2, DirectoryID: self.DirectoryID},
	} {
		o.FS, o.Path, o.Log = fsys, path, &memLog{batches: log.batches, synced: len(log.batches)}
		o.Voters = []Voter{{ID: o.NodeID, DirectoryID: o.DirectoryID}}
		if q, err := Open(o); err == nil || !strings.Contains(err.Error(), "is no voter of this quorum") {
			t.Errorf("another %s: %v, %v", name, q, err)
		}
	}
}

func TestDamagedLogIsRefused(t *testing.T) {
	log := &memLog{}
	q := single(t, log, vfs.NewMem())
	lead(t, q)
	committed(t, q, appendOne(t, q, "a").Offset+1)
	good := func(n int) batch.Batch { return append(batch.Batch(nil), log.batches[n]...) }
	flipped := good(1)
	flipped[len(flipped)-1] ^= 1
	gap := good(1)
	gap.SetBaseOffset(7)
	back := good(1)
	back.SetPartitionLeaderEpoch(0)
	for name, batches := range map[string][]batch.Batch{"bit": {good(0), flipped}, "gap": {good(0), gap}, "epoch": {good(0), back}} {
		_, err := Open(Options{FS: vfs.NewMem(), Path: path, Log: &memLog{batches: batches, synced: 2}, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
		if err == nil {
			t.Errorf("%s: the log was opened", name)
		}
	}
}

func TestTooMuchInFlight(t *testing.T) {
	log := &memLog{manual: true, appended: make(chan struct{}, 100)}
	q := single(t, log, vfs.NewMem())
	lead(t, q)
	big := make([]byte, maxBatchBytes-200)
	n := 0
	for ; q.Admit() == nil; n++ {
		if _, err := q.Append([]machine.Record{{Value: big}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Admit(); !errors.Is(err, ErrBusy) || n != maxInFlightBytes/maxBatchBytes+1 {
		t.Fatalf("after %d batches: %v", n, err)
	}
	for range n + 1 {
		<-log.appended
	}
	log.sync()
	committed(t, q, q.End().Offset)
	if err := q.Admit(); err != nil {
		t.Errorf("after the commit: %v", err)
	}
}

func TestStateFile(t *testing.T) {
	fsys := vfs.NewMem()
	if err := fsys.MkdirAll(path); err != nil {
		t.Fatal(err)
	}
	v, err := newVoters([]Voter{self, {ID: 2, DirectoryID: model.TopicID{2}}})
	if err != nil {
		t.Fatal(err)
	}
	s := &stateStore{fs: fsys, path: path, self: 1, voters: v}
	if got, err := s.load(); err != nil || got != (vote{}) {
		t.Fatalf("no file: %v, %v", got, err)
	}
	for _, want := range []vote{{term: 7}, {term: 8, voted: v.list[0].raftID()}, {term: 9, voted: v.list[1].raftID()}} {
		if err := s.save(want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.load(); err != nil || got != want {
			t.Errorf("%v came back as %v, %v", want, got, err)
		}
	}
	write := func(text string) {
		t.Helper()
		if err := replaceFile(fsys, filepath.Join(path, stateFile), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	// As Apache Kafka 4.4 writes it when it leads.
	write(`{"leaderId":1,"leaderEpoch":5,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`)
	if got, err := s.load(); err != nil || got != (vote{5, v.list[0].raftID()}) {
		t.Errorf("Kafka's leader: %v, %v", got, err)
	}
	// Older ones know a voter by its node alone.
	write(`{"clusterId":"","leaderId":-1,"leaderEpoch":6,"votedId":2,"appliedOffset":0,"currentVoters":[],"data_version":0}`)
	if got, err := s.load(); err != nil || got != (vote{6, v.list[1].raftID()}) {
		t.Errorf("Kafka's old form: %v, %v", got, err)
	}
	// A vote for someone who is no voter any more still is a vote.
	write(`{"leaderId":-1,"leaderEpoch":6,"votedId":9,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAACQ","data_version":1}`)
	if got, err := s.load(); err != nil || got.term != 6 || got.voted == 0 {
		t.Errorf("a vote for a stranger: %v, %v", got, err)
	}
	for name, text := range map[string]string{"empty": "", "half": `{"leaderId":1,`, "newer": `{"leaderEpoch":1,"data_version":2}`, "epoch": `{"leaderEpoch":-1,"data_version":1}`,
		"directory": `{"leaderId":-1,"leaderEpoch":6,"votedId":1,"votedDirectoryId":"?","data_version":1}`} {
		write(text)
		if got, err := s.load(); err == nil || !strings.Contains(err.Error(), stateFile) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
	one, err := newVoters([]Voter{self})
	if err != nil {
		t.Fatal(err)
	}
	s.voters = one
	if err := s.save(vote{3, self.raftID()}); err != nil {
		t.Fatal(err)
	}
	data, err := readSmall(fsys, filepath.Join(path, stateFile))
	if want := `{"leaderId":1,"leaderEpoch":3,"votedId":-1,"votedDirectoryId":"AAAAAAAAAAAAAAAAAAAAAA","data_version":1}`; err != nil || string(data) != want {
		t.Errorf("a single voter writes %s, %v\nKafka writes %s", data, err, want)
	}
}

// The state file is the old or the new one whatever a power cut leaves.
func TestStateFileSurvivesPowerCuts(t *testing.T) {
	v, err := newVoters([]Voter{self})
	if err != nil {
		t.Fatal(err)
	}
	me := self.raftID()
	for seed := range uint64(200) {
		fsys := vfs.NewMem()
		if err := fsys.MkdirAll(path); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{".", "data"} {
			if err := fsys.SyncDir(dir); err != nil {
				t.Fatal(err)
			}
		}
		s := &stateStore{fs: fsys, path: path, self: 1, voters: v}
		if err := s.save(vote{1, me}); err != nil {
			t.Fatal(err)
		}
		fault := &vfs.Rule{Nth: int(seed%7) + 1, Onwards: true, Fault: vfs.Fault{Err: errors.New("power cut")}}
		s.fs = vfs.NewFaulty(fsys, vfs.Rules{fault})
		saved := s.save(vote{2, me})
		s.fs = fsys.Crash(seed)
		got, err := s.load()
		if err != nil || got != (vote{1, me}) && got != (vote{2, me}) || saved == nil && got.term != 2 {
			t.Fatalf("seed %d: saved %v, found %v, %v", seed, saved, got, err)
		}
	}
}

func TestParseVotersIsBounded(t *testing.T) {
	good := appendVoters(nil, []Voter{self, {ID: 2, DirectoryID: model.TopicID{2}}})
	for n := range good {
		if _, err := parseVoters(good[:n]); err == nil {
			t.Errorf("%d of %d bytes were taken", n, len(good))
		}
	}
	for _, bad := range [][]byte{{0, 1}, {0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f}, append(bytes.Clone(good), 0), {0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0x7f}} {
		if got, err := parseVoters(bad); err == nil {
			t.Errorf("%x was read as %v", bad, got)
		}
	}
}

func FuzzParseVoters(f *testing.F) {
	f.Add(appendVoters(nil, []Voter{self, {ID: 2, DirectoryID: model.TopicID{2}}}))
	f.Add([]byte{0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, value []byte) {
		var list []Voter
		var err error
		cost.Within(t, cost.Parsing(len(value)), func() { list, err = parseVoters(value) })
		if err != nil {
			return
		}
		again, err := parseVoters(appendVoters(nil, list))
		if err != nil || len(again) != len(list) {
			t.Fatalf("%v came back as %v, %v", list, again, err)
		}
	})
}

func TestStrangersAreNotHeard(t *testing.T) {
	q := single(t, &memLog{}, vfs.NewMem())
	for name, m := range map[string]*raftpb.Message{
		"stranger":    {Type: raftpb.MsgHeartbeat.Enum(), From: new(uint64(77)), To: new(self.raftID()), Term: new(uint64(99))},
		"for another": {Type: raftpb.MsgHeartbeat.Enum(), From: new(self.raftID()), To: new(uint64(77)), Term: new(uint64(99))},
		"local":       {Type: raftpb.MsgHup.Enum(), From: new(self.raftID()), To: new(self.raftID())},
	} {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if err := q.Receive(data); err == nil {
			t.Errorf("%s: the message was taken", name)
		}
	}
	if err := q.Receive([]byte{0xff, 0xff}); err == nil {
		t.Error("garbage was taken")
	}
}

func TestAProposalOfAnEndedEpochIsDropped(t *testing.T) { // I3
	synctest.Test(t, func(t *testing.T) {
		log := &memLog{}
		q := single(t, log, vfs.NewMem())
		synctest.Wait()
		stale := buildBatch([]machine.Record{{Value: []byte("stale")}}, 1)
		stale.SetBaseOffset(3)
		q.mu.Lock()
		q.mu.inbox.proposals = append(q.mu.inbox.proposals, proposal{0, stale})
		q.mu.Unlock()
		appendOne(t, q, "a")
		synctest.Wait()
		if got := loaded(t, q, 0); !reflect.DeepEqual(got, []string{"a"}) || q.Err() != nil || q.Committed().Offset != 4 {
			t.Errorf("the log has %q, error %v, committed %v", got, q.Err(), q.Committed())
		}
	})
}
