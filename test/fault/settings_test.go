//go:build unix

package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/model"
)

// settings alters the brokers' default of one key, and looks before each step whether it is what the acknowledged steps have made of it.
type settings struct {
	caller
	ledger *ledger
	wrote  int
	may    []string // "" is unset
	done   atomic.Int64
	ended  chan struct{}
}

const settingsKey = "log.retention.ms"

func newSettings(address string, l *ledger) *settings {
	return &settings{caller: caller{address: address}, ledger: l, may: []string{""}, ended: make(chan struct{})}
}

func (s *settings) run(ctx context.Context) {
	defer close(s.ended)
	defer s.close()
	for ctx.Err() == nil {
		if err := s.turn(ctx); err != nil && !errors.Is(err, errUnknown) && ctx.Err() == nil {
			s.ledger.fault("broker configs: %v", err)
			return
		}
	}
}

func (s *settings) turn(ctx context.Context) error {
	if err := s.look(ctx); err != nil {
		return err
	}
	s.wrote++
	value, op := strconv.Itoa(1_000_000_000+s.wrote), kmsg.IncrementalAlterConfigOpSet
	if s.wrote%5 == 0 {
		value, op = "", kmsg.IncrementalAlterConfigOpDelete
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType = kmsg.ConfigResourceTypeBroker
	config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	config.Name, config.Op = settingsKey, op
	if value != "" {
		config.Value = &value
	}
	resource.Configs = append(resource.Configs, config)
	req.Resources = append(req.Resources, resource)
	resp, err := do[*kmsg.IncrementalAlterConfigsResponse](ctx, &s.caller, 1, req)
	if err != nil {
		s.may = append(s.may, value)
		return err
	}
	if code := resp.Resources[0].ErrorCode; code != 0 {
		return fmt.Errorf("alter: %v", model.ErrorCode(code))
	}
	s.may = []string{value}
	s.done.Add(1)
	return nil
}

// look compares the key with what it may be, and settles what was unknown.
func (s *settings) look(ctx context.Context) error {
	req := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ConfigNames = kmsg.ConfigResourceTypeBroker, []string{settingsKey}
	req.Resources = append(req.Resources, resource)
	resp, err := read[*kmsg.DescribeConfigsResponse](ctx, &s.caller, 4, req)
	if err != nil {
		return err
	}
	if code := resp.Resources[0].ErrorCode; code != 0 {
		return fmt.Errorf("describe: %v", model.ErrorCode(code))
	}
	have := ""
	for _, c := range resp.Resources[0].Configs {
		if c.Name == settingsKey && c.Source == kmsg.ConfigSourceDynamicDefaultBrokerConfig {
			have = *c.Value
		}
	}
	if !slices.Contains(s.may, have) {
		return fmt.Errorf("%s is %q, and may only be one of %q", settingsKey, have, s.may)
	}
	s.may = []string{have}
	return nil
}
