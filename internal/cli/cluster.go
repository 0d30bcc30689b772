package cli

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// cluster is the connection of one verb to its brokers.
type cluster struct {
	client    *kgo.Client
	admin     *kadm.Client
	bootstrap []string
	timeout   time.Duration
	dials     *dialer
	closed    sync.Once
}

// clientID is what brokers see in their logs and in the members of a group.
const clientID = "ottla-cli"

// connect reaches a broker, or says which one it could not reach and why.
func (s *shell) connect(ctx context.Context, options ...kgo.Opt) (*cluster, error) {
	seeds, err := parseBootstrap(s.bootstrap)
	if err != nil {
		return nil, err
	}
	c := &cluster{bootstrap: seeds, timeout: s.timeout, dials: &dialer{}}
	options = append([]kgo.Opt{
		kgo.SeedBrokers(seeds...), kgo.ClientID(clientID), kgo.SoftwareNameAndVersion(clientID, buildVersion().Version), kgo.DisableClientMetrics(),
		kgo.Dialer(c.dials.dial), kgo.RequestRetries(8), kgo.RetryTimeout(s.timeout),
	}, options...)
	c.client, err = kgo.NewClient(options...)
	if err != nil {
		return nil, usage("%v", err)
	}
	c.admin = kadm.NewClient(c.client)
	c.admin.SetTimeoutMillis(int32(min(s.timeout.Milliseconds(), 1<<31-1)))
	// The client waits for a connection's handshake whatever the context says: a silent port must not hold up an interrupt.
	unwatch := context.AfterFunc(ctx, c.dials.cut)
	err = c.client.Ping(ctx)
	unwatch()
	if err != nil {
		c.abandon()
		return nil, c.pingError(ctx, err)
	}
	return c, nil
}

// pingError tells a closed port from a silent one and from one that speaks something else.
func (c *cluster) pingError(ctx context.Context, err error) error {
	if err := interruption(ctx); err != nil {
		return err
	}
	if address, last := c.dials.lastFailure(); last != nil {
		return unreachable(address, c.bootstrap, last)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("%s accepts connections but does not answer within %v: is it a Kafka listener? (--timeout waits longer)", strings.Join(c.bootstrap, ","), c.timeout)
	}
	return fmt.Errorf("%s does not answer like a Kafka listener without encryption: %w", strings.Join(c.bootstrap, ","), err)
}

// closeGrace is how long brokers have to take the end of a connection's business.
const closeGrace = 2 * time.Second

func (c *cluster) close() {
	c.closed.Do(func() {
		timer := time.AfterFunc(closeGrace, c.dials.cut)
		defer timer.Stop()
		c.client.CloseAllowingRebalance()
	})
}

// abandon closes without waiting for brokers that did not answer.
func (c *cluster) abandon() {
	c.dials.cut()
	c.close()
}

// parseBootstrap splits host:port,… and completes what has no port.
func parseBootstrap(text string) ([]string, error) {
	var seeds []string
	for entry := range strings.SplitSeq(text, ",") {
		entry = strings.TrimSpace(entry)
		if entry == "" {
			continue
		}
		if strings.Contains(entry, "://") {
			return nil, usage("--bootstrap-server %s: write host:port without the part before ://", entry)
		}
		host, port, err := net.SplitHostPort(entry)
		if err != nil {
			host, port = strings.Trim(entry, "[]"), "9092"
			if strings.Contains(host, ":") && net.ParseIP(host) == nil {
				return nil, usage("--bootstrap-server %s: it is host:port", entry)
			}
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
			return nil, usage("--bootstrap-server %s: %q is no port: it is a number from 1 to 65535", entry, port)
		}
		seeds = append(seeds, net.JoinHostPort(host, port))
	}
	if len(seeds) == 0 {
		return nil, usage("--bootstrap-server is empty: it is host:port[,host:port…]")
	}
	return seeds, nil
}

// asked makes a verb that asks brokers and is done: connected, within --timeout, with its errors explained.
func (s *shell) asked(verb func(ctx context.Context, c *cluster, args []string) error) func(*cobra.Command, []string) error {
	return func(command *cobra.Command, args []string) error {
		ctx, cancel := context.WithTimeout(command.Context(), s.timeout)
		defer cancel()
		c, err := s.connect(ctx)
		if err != nil {
			return err
		}
		defer c.close()
		defer context.AfterFunc(ctx, c.dials.cut)()
		return c.explain(ctx, verb(ctx, c, args))
	}
}

// inNameOrder returns a map's keys in order.
func inNameOrder[V any](m map[string]V) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
