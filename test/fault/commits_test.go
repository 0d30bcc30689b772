//go:build unix

package fault

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// producerIDs are all that were given out.
type producerIDs struct {
	mu     sync.Mutex
	given  map[int64]bool
	ledger *ledger
}

func (p *producerIDs) take(id int64) {
	p.mu.Lock()
	twice := p.given[id]
	p.given[id] = true
	p.mu.Unlock()
	if twice {
		p.ledger.fault("producer id %d was given twice", id)
	}
}

func (p *producerIDs) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.given)
}

// run takes ids until ctx ends.
func (p *producerIDs) run(ctx context.Context, address string, ended chan<- struct{}) {
	defer close(ended)
	c := caller{address: address}
	defer c.close()
	for ctx.Err() == nil {
		resp, err := do[*kmsg.InitProducerIDResponse](ctx, &c, 4, kmsg.NewPtrInitProducerIDRequest())
		switch {
		case err != nil:
		case model.ErrorCode(resp.ErrorCode) == model.CoordinatorLoadInProgress: // what tells a producer to try again
		case resp.ErrorCode != 0:
			p.ledger.fault("InitProducerId: %v", model.ErrorCode(resp.ErrorCode))
			return
		default:
			p.take(resp.ProducerID)
		}
	}
}

// solo commits rising offsets for a group that has no members, as tools do, and now and then deletes the group with all of them.
type solo struct {
	caller
	ledger *ledger
	group  string
	sent   int64
	// What is committed is at least low and at most sent; absent says that it may also be nothing.
	low    int64
	absent bool

	done, deleted atomic.Int64
	ended         chan struct{}
}

func newSolo(address, group string, l *ledger) *solo {
	return &solo{caller: caller{address: address}, group: group, ledger: l, low: 1, absent: true, ended: make(chan struct{})}
}

func (s *solo) run(ctx context.Context) {
	defer close(s.ended)
	defer s.close()
	for ctx.Err() == nil {
		if err := s.turn(ctx); err != nil && !errors.Is(err, errUnknown) && ctx.Err() == nil {
			s.ledger.fault("group %s: %v", s.group, err)
			return
		}
	}
}

func (s *solo) turn(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	for range 20 {
		s.sent++
		resp, err := do[*kmsg.OffsetCommitResponse](ctx, &s.caller, 9, commitRequest(s.group, trimmed, s.sent, strconv.FormatInt(s.sent, 10)))
		if err != nil {
			return err
		}
		switch code := model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode); code {
		case model.None:
			s.low, s.absent = s.sent, false
			s.done.Add(1)
		case model.CoordinatorLoadInProgress, model.NotCoordinator, model.CoordinatorNotAvailable:
		default:
			return fmt.Errorf("commit: %v", code)
		}
	}
	if s.sent%3 != 0 {
		return nil
	}
	return s.remove(ctx)
}

// remove deletes the group: what was committed before may not come back.
func (s *solo) remove(ctx context.Context) error {
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{s.group}
	resp, err := do[*kmsg.DeleteGroupsResponse](ctx, &s.caller, 2, req)
	if err != nil {
		s.absent = true
		return err
	}
	switch code := model.ErrorCode(resp.Groups[0].ErrorCode); code {
	case model.None:
		s.low, s.absent = s.sent+1, true
		s.deleted.Add(1)
	case model.CoordinatorLoadInProgress, model.NotCoordinator, model.CoordinatorNotAvailable:
	default:
		return fmt.Errorf("delete: %v", code)
	}
	return nil
}

func (s *solo) look(ctx context.Context) error {
	req := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = s.group
	one := kmsg.NewOffsetFetchRequestGroupTopic()
	one.Topic, one.Partitions = trimmed, []int32{0}
	g.Topics = append(g.Topics, one)
	req.Groups = append(req.Groups, g)
	for {
		resp, err := read[*kmsg.OffsetFetchResponse](ctx, &s.caller, 8, req)
		if err != nil {
			return err
		}
		switch code := model.ErrorCode(resp.Groups[0].ErrorCode); code {
		case model.CoordinatorLoadInProgress, model.NotCoordinator, model.CoordinatorNotAvailable:
			continue
		case model.None:
		default:
			return fmt.Errorf("offset fetch: %v", code)
		}
		p := resp.Groups[0].Topics[0].Partitions[0]
		switch {
		case p.ErrorCode == 0 && p.Offset == -1 && s.absent:
			s.low = s.sent + 1 // what was not seen now has been deleted, or was never taken
		case p.ErrorCode == 0 && p.Offset >= s.low && p.Offset <= s.sent && *p.Metadata == strconv.FormatInt(p.Offset, 10):
			s.low, s.absent = p.Offset, false
		default:
			return fmt.Errorf("committed is %d with metadata %q (%v); it is at least %d, at most %d, perhaps nothing: %v", p.Offset, *p.Metadata,
				model.ErrorCode(p.ErrorCode), s.low, s.sent, s.absent)
		}
		return nil
	}
}
