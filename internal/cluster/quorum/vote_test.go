package quorum

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// recorder is a network that keeps what was sent.
type recorder struct {
	mu   sync.Mutex
	sent []*raftpb.Message
}

func (r *recorder) Send(_ Voter, message []byte) {
	m := &raftpb.Message{}
	if err := proto.Unmarshal(message, m); err != nil {
		panic(err)
	}
	r.mu.Lock()
	r.sent = append(r.sent, m)
	r.mu.Unlock()
}

// votes gives the answers to requests for votes: who got them and whether it was yes.
func (r *recorder) votes() (out []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.sent {
		if m.GetType() == raftpb.MsgVoteResp {
			out = append(out, fmt.Sprintf("%x term %d yes=%v", m.GetTo(), m.GetTerm(), !m.GetReject()))
		}
	}
	return out
}

func TestAVoteSurvivesARestart(t *testing.T) { // I1
	synctest.Test(t, func(t *testing.T) {
		all := []Voter{self, {ID: 2, DirectoryID: model.TopicID{2}}, {ID: 3, DirectoryID: model.TopicID{3}}}
		fsys := vfs.NewMem()
		for n, asking := range all[1:] {
			net := &recorder{}
			q, err := Open(Options{FS: fsys, Path: path, Log: &memLog{}, NodeID: 1, DirectoryID: self.DirectoryID, Voters: all, Transport: net})
			if err != nil {
				t.Fatal(err)
			}
			askForVote(t, q, asking)
			synctest.Wait()
			want := []string{fmt.Sprintf("%x term 5 yes=%v", asking.raftID(), n == 0)}
			if got := net.votes(); !reflect.DeepEqual(got, want) {
				t.Errorf("voter %d asked: %q, want %q", asking.ID, got, want)
			}
			if err := q.Close(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNothingCountsBeforeTheVoteIsDurable(t *testing.T) { // I1
	broken := errors.New("injected")
	for _, file := range []string{"quorum-state*", filepath.Dir(path), path} {
		rule := &vfs.Rule{Path: file, Fault: vfs.Fault{Err: broken}}
		if rule.Op = vfs.OpSyncDir; strings.HasSuffix(file, "*") {
			rule.Op = vfs.OpSync
		}
		fsys, log := vfs.NewMem(), &memLog{}
		q, err := Open(Options{FS: vfs.NewFaulty(fsys, vfs.Rules{rule}), Path: path, Log: log, NodeID: self.ID, DirectoryID: self.DirectoryID, Voters: []Voter{self}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := q.Lead(context.Background()); !errors.Is(err, broken) {
			t.Fatalf("leading without %s on disk ended with %v", file, err)
		}
		if rule.Bitten() == 0 || q.Committed().Offset != 0 {
			t.Errorf("%s: %d syncs failed, committed %v", file, rule.Bitten(), q.Committed())
		}
		if err := q.Admit(); !errors.Is(err, broken) {
			t.Errorf("Admit after the failure: %v", err)
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
		// The first entry of the term is in the log, the vote went with the power: the term is over.
		log.closed = false
		if at := lead(t, single(t, log, fsys.Crash(vfs.LoseUnsynced))); at.Epoch != 2 {
			t.Errorf("%s: the next start leads in epoch %d", file, at.Epoch)
		}
	}
}

func TestNoVoteLeavesBeforeItIsDurable(t *testing.T) { // I1
	synctest.Test(t, func(t *testing.T) {
		all := []Voter{self, {ID: 2, DirectoryID: model.TopicID{2}}, {ID: 3, DirectoryID: model.TopicID{3}}}
		broken := errors.New("injected")
		rule := &vfs.Rule{Op: vfs.OpSync, Path: "quorum-state*", Fault: vfs.Fault{Err: broken}}
		net := &recorder{}
		q, err := Open(Options{FS: vfs.NewFaulty(vfs.NewMem(), vfs.Rules{rule}), Path: path, Log: &memLog{}, NodeID: 1, DirectoryID: self.DirectoryID, Voters: all, Transport: net})
		if err != nil {
			t.Fatal(err)
		}
		askForVote(t, q, all[1])
		synctest.Wait()
		if got := net.votes(); len(got) != 0 || rule.Bitten() == 0 || !errors.Is(q.Err(), broken) {
			t.Errorf("votes %q, %d syncs failed, error %v", got, rule.Bitten(), q.Err())
		}
		if err := q.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// askForVote lets another voter ask for a vote in term 5.
func askForVote(t *testing.T, q *Quorum, asking Voter) {
	t.Helper()
	m, err := proto.Marshal(&raftpb.Message{Type: raftpb.MsgVote.Enum(), From: new(asking.raftID()), To: new(self.raftID()), Term: new(uint64(5)), Index: new(uint64(0)), LogTerm: new(uint64(0))})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Receive(m); err != nil {
		t.Fatal(err)
	}
}
