//go:build unix

package fault

import (
	"context"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/test/fault/raw"
)

// TestLedgerFindsBrokenPromises: the checker of the kill loop finds each kind of broken promise, told to it against a node that keeps all of its own.
func TestLedgerFindsBrokenPromises(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := &caller{address: p.address}
	defer c.close()
	mustCreate(t, ctx, c, "t", 1)
	at := place{"t", 0}
	value := func(v uint64) string { return string(binary.BigEndian.AppendUint64(nil, v)) }
	fill := func(l *ledger, values ...uint64) {
		for _, v := range values {
			resp, err := do[*kmsg.ProduceResponse](ctx, c, 9, produceRequest("t", 0, -1, batchOf(value(v))))
			if err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
				t.Fatalf("%v %+v", err, resp)
			}
			l.note("acknowledged", at, resp.Topics[0].Partitions[0].BaseOffset, v)
		}
	}
	honest := newLedger()
	fill(honest, 1, 2, 3)
	audit := func(l *ledger) string {
		if err := l.audit(ctx, c, []place{at}); err != nil {
			return err.Error()
		}
		return ""
	}
	if got := audit(honest); got != "" {
		t.Errorf("an honest history: %s", got)
	}
	for word, lie := range map[string]func(*ledger){
		"is missing":         func(l *ledger) { l.note("acknowledged", at, 3, 4) },
		"moved: true":        func(l *ledger) { l.note("acknowledged", at, 7, 2) },
		"has value 2, not 9": func(l *ledger) { l.note("consumed", at, 1, 9) },
		"the log ends at 3":  func(l *ledger) { l.commit(at, 4) },
		"given twice":        func(l *ledger) { ids := producerIDs{given: map[int64]bool{}, ledger: l}; ids.take(5); ids.take(5) },
		"now consumed":       func(l *ledger) { l.note("acknowledged", at, 0, 1); l.note("consumed", at, 0, 8) },
	} {
		l := newLedger()
		lie(l)
		if got := audit(l); !strings.Contains(got, word) {
			t.Errorf("%q is not found: %q", word, got)
		}
	}
	commit := commitRequest("g", "t", 2, "")
	eventually(t, "the commit is taken", 20*time.Second, func() bool {
		find := kmsg.NewPtrFindCoordinatorRequest()
		find.CoordinatorKey = "g"
		if _, err := do[*kmsg.FindCoordinatorResponse](ctx, c, 3, find); err != nil {
			t.Fatal(err)
		}
		resp, err := do[*kmsg.OffsetCommitResponse](ctx, c, 9, commit)
		return err == nil && resp.Topics[0].Partitions[0].ErrorCode == 0
	})
	if _, err := auditCommits(ctx, c, "g", map[place]int64{at: 2}); err != nil {
		t.Error(err)
	}
	if _, err := auditCommits(ctx, c, "g", map[place]int64{at: 3}); err == nil {
		t.Error("a committed offset that went back is not found")
	}
	doubled := newLedger() // last, because it stays in the log
	fill(doubled, 3)
	if got := audit(doubled); !strings.Contains(got, "doubled") {
		t.Errorf("a doubled record is not found: %q", got)
	}
	p.stop()
}

// TestChurnFindsBrokenPromises: the actor that changes metadata notices when a topic is not what it was made to be.
func TestChurnFindsBrokenPromises(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c := newChurn(p.address, "churned", newLedger(), 1)
	defer c.close()
	if err := c.look(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.create(ctx); err != nil {
		t.Fatal(err)
	}
	if err := c.look(ctx); err != nil {
		t.Fatal(err)
	}
	known := c.may[0]
	for what, other := range map[string]shape{
		"gone":        {},
		"another":     {exists: true, id: [16]byte{1}, partitions: known.partitions, retention: known.retention},
		"larger":      {exists: true, id: known.id, partitions: known.partitions + 1, retention: known.retention},
		"other value": {exists: true, id: known.id, partitions: known.partitions, retention: "1"},
	} {
		c.may = []shape{other}
		if err := c.look(ctx); err == nil {
			t.Errorf("%s: not noticed", what)
		}
	}
	c.may = []shape{known}
	if err := c.fill(ctx); err != nil {
		t.Fatal(err)
	}
	used := slices.Collect(maps.Keys(c.acked))
	if len(used) != 1 {
		t.Fatalf("one record was written, to partitions %v", used)
	}
	c.acked[used[0]][5] = "never there"
	if err := c.readBack(ctx, used[0]); err == nil {
		t.Error("a missing record is not noticed")
	}
	delete(c.acked[used[0]], 5)
	c.may[0].id = [16]byte{9}
	if err := c.readBack(ctx, used[0]); err == nil {
		t.Error("a record of another life is not noticed")
	}
	p.stop()
}

// TestOthersFindBrokenPromises: those who delete records, commit alone and alter the brokers' configs notice what went back or came back.
func TestOthersFindBrokenPromises(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	setup := &caller{address: p.address}
	defer setup.close()
	mustCreate(t, ctx, setup, trimmed, 1)
	notices := func(what string, word string, err error) {
		t.Helper()
		if err == nil || errors.Is(err, errUnknown) || !strings.Contains(err.Error(), word) {
			t.Errorf("%s: %v", what, err)
		}
	}

	d := newTrimmer(p.address, newLedger(), 1)
	defer d.close()
	for range 3 {
		if err := d.turn(ctx); err != nil {
			t.Fatal(err)
		}
	}
	low := d.low
	d.low = low + 1
	notices("deleted records that are back", "now the log starts at", d.turn(ctx))
	d.low = low + 1
	notices("a deleted record that can be read", "a fetch of the deleted offset", d.lookBelow(ctx))
	d.low = low
	d.acked[low] = "something else"
	notices("a changed record", "above the deleted", d.turn(ctx))

	s := newSolo(p.address, "solo", newLedger())
	defer s.close()
	find := kmsg.NewPtrFindCoordinatorRequest()
	find.CoordinatorKey = "solo"
	if _, err := do[*kmsg.FindCoordinatorResponse](ctx, setup, 3, find); err != nil {
		t.Fatal(err)
	}
	eventually(t, "commits are taken", 20*time.Second, func() bool {
		if err := s.turn(ctx); err != nil {
			t.Fatal(err)
		}
		return s.done.Load() > 20
	})
	if err := s.look(ctx); err != nil {
		t.Fatal(err)
	}
	sent := s.sent
	s.low, s.sent = sent+1, sent+1
	notices("an offset that went back", "committed is", s.look(ctx))
	s.low, s.sent = 1, sent-1
	notices("an offset that was never sent", "committed is", s.look(ctx))
	s.low, s.sent, s.absent = 1, sent, false
	if err := s.remove(ctx); err != nil {
		t.Fatal(err)
	}
	s.low, s.absent = 1, false
	notices("an offset that is gone", "committed is -1", s.look(ctx))

	k := newSettings(p.address, newLedger())
	defer k.close()
	for range 6 { // setting and unsetting
		if err := k.turn(ctx); err != nil {
			t.Fatal(err)
		}
	}
	k.may = []string{""}
	notices("a changed config", settingsKey, k.look(ctx))
	p.stop()
}

// TestCallerKeepsUnknownApart: a lost answer is an unknown outcome, not a failure.
func TestCallerKeepsUnknownApart(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	c := &caller{address: p.address}
	defer c.close()
	if err := c.connect(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.kill()
	if _, err := do[*kmsg.ApiVersionsResponse](t.Context(), c, 3, apiVersions()); err == nil || !strings.Contains(err.Error(), errUnknown.Error()) {
		t.Errorf("a request to a dead node: %v", err)
	}
	if c.conn != nil {
		t.Error("a broken connection is kept")
	}
	if _, err := raw.Dial(p.address); err == nil {
		t.Error("a dead node takes connections")
	}
}
