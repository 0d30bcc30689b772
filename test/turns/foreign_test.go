//go:build unix

package turns

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// TestForeignRecordsSurvive: what Kafka has written about itself and Ottla does not act on goes through Ottla's snapshots of the metadata, and is what it was when Kafka is back: delegation tokens, ACLs,
// credentials, quotas, the settings of client metrics and of groups. What Kafka has removed of it stays removed.
func TestForeignRecordsSurvive(t *testing.T) {
	longForm(t)
	p := newPlace(t, 1, "metadata.log.max.record.bytes.between.snapshots=1500", "metadata.max.retention.bytes=1")
	secure := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	p.overrides = []string{
		fmt.Sprintf("listeners=PLAINTEXT://%s,CONTROLLER://%s,SECURE://%s", p.address, p.controller, secure),
		"listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SECURE:SASL_PLAINTEXT", "inter.broker.listener.name=PLAINTEXT",
		"sasl.enabled.mechanisms=SCRAM-SHA-256", "listener.name.secure.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"delegation.token.secret.key=a secret", "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer", "super.users=User:ANONYMOUS;User:alice",
	}
	p.format()
	alice := func() *kgo.Client { // who is not authenticated gets no token
		p.listening(secure)
		c, err := kgo.NewClient(kgo.SeedBrokers(secure), kgo.SASL(scram.Auth{User: "alice", Pass: "secret"}.AsSha256Mechanism()), kgo.MaxVersions(nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()

	p.start(kafka)
	c := alice()
	tokens := makeForeign(t, ctx, c)
	want := foreign(t, ctx, c, func(have []string) bool { return len(have) == 9 && slices.Contains(have, "setting interval.ms=60000") })
	p.stop()
	p.filled(t, "first")
	p.stop()
	p.start(kafka)
	c = alice()
	foreign(t, ctx, c, func(have []string) bool { return slices.Equal(have, want) })
	removeForeign(t, ctx, c, tokens)
	less := foreign(t, ctx, c, func(have []string) bool { return len(have) == len(want)-3 })
	p.kill()
	p.filled(t, "second")
	p.kill()
	p.recover()
	p.start(kafka)
	foreign(t, ctx, alice(), func(have []string) bool { return slices.Equal(have, less) })
	p.stop()
	p.strays()
}

// filled starts Ottla and makes topics until it has written a snapshot.
func (p *place) filled(t *testing.T, prefix string) {
	t.Helper()
	p.start(ottla)
	before := slices.Max(p.checkpoints())
	c, ctx := client(t, p)
	defer c.Close()
	for i := 0; slices.Max(p.checkpoints()) == before; i++ {
		if i == 1000 {
			t.Fatal("Ottla writes no snapshot")
		}
		if resp, err := kadm.NewClient(c).CreateTopic(ctx, 1, 1, nil, fmt.Sprintf("%s-%d", prefix, i)); err != nil {
			t.Fatalf("create: %v %+v", err, resp)
		}
	}
}

// listening waits until somebody listens at an address.
func (p *place) listening(address string) {
	p.t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	for {
		if c, err := net.DialTimeout("tcp", address, time.Second); err == nil {
			_ = c.Close() // it was only to see whether somebody is there
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			p.t.Fatalf("nobody listens at %s", address)
		}
	}
}

func ask[R any](t *testing.T, what string, resp R, err error) R {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	return resp
}

// makeForeign has Kafka write two of each kind, and returns the tokens.
func makeForeign(t *testing.T, ctx context.Context, c *kgo.Client) (tokens []kadm.DelegationToken) {
	t.Helper()
	admin := kadm.NewClient(c)
	for _, renewer := range []string{"bob", "carol"} {
		token, err := admin.CreateDelegationToken(ctx, kadm.CreateDelegationToken{Renewers: []kadm.Principal{{Type: "User", Name: renewer}}, MaxLifetime: 48 * time.Hour})
		tokens = append(tokens, ask(t, "token", token, err))
		acl := kmsg.NewCreateACLsRequestCreation()
		acl.ResourceType, acl.ResourceName, acl.ResourcePatternType = kmsg.ACLResourceTypeTopic, "logs-", kmsg.ACLResourcePatternTypePrefixed
		acl.Principal, acl.Host, acl.Operation, acl.PermissionType = "User:"+renewer, "*", kmsg.ACLOperationRead, kmsg.ACLPermissionTypeAllow
		req := kmsg.NewPtrCreateACLsRequest()
		req.Creations = append(req.Creations, acl)
		resp, err := req.RequestWith(ctx, c)
		if resp = ask(t, "ACL", resp, err); resp.Results[0].ErrorCode != 0 {
			t.Fatalf("ACL: %+v", resp)
		}
		entity := kadm.ClientQuotaEntity{{Type: "user", Name: &renewer}}
		quota, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 123456}}}})
		if quota = ask(t, "quota", quota, err); quota[0].Err != nil {
			t.Fatalf("quota: %+v", quota)
		}
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	for kind, set := range map[kmsg.ConfigResourceType][2]string{kmsg.ConfigResourceTypeClientMetrics: {"interval.ms", "60000"}, kmsg.ConfigResourceTypeGroupConfig: {"consumer.session.timeout.ms", "46000"}} {
		r := kmsg.NewIncrementalAlterConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, "settings"
		o := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		o.Name, o.Value = set[0], &set[1]
		r.Configs = append(r.Configs, o)
		req.Resources = append(req.Resources, r)
	}
	resp, err := req.RequestWith(ctx, c)
	for _, r := range ask(t, "settings", resp, err).Resources {
		if r.ErrorCode != 0 {
			t.Fatalf("settings: %+v", r)
		}
	}
	return tokens
}

// removeForeign has Kafka remove one token, one ACL and one quota.
func removeForeign(t *testing.T, ctx context.Context, c *kgo.Client, tokens []kadm.DelegationToken) {
	t.Helper()
	admin, carol := kadm.NewClient(c), "carol"
	expired, err := admin.ExpireDelegationToken(ctx, tokens[1].HMAC, -time.Millisecond)
	ask(t, "expire", expired, err)
	filter := kmsg.NewDeleteACLsRequestFilter()
	principal := "User:carol"
	filter.ResourceType, filter.ResourcePatternType, filter.Operation, filter.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	filter.Principal = &principal
	req := kmsg.NewPtrDeleteACLsRequest()
	req.Filters = append(req.Filters, filter)
	resp, err := req.RequestWith(ctx, c)
	if resp = ask(t, "delete ACL", resp, err); resp.Results[0].ErrorCode != 0 {
		t.Fatalf("delete ACL: %+v", resp)
	}
	quota, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: kadm.ClientQuotaEntity{{Type: "user", Name: &carol}}, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Remove: true}}}})
	if quota = ask(t, "remove quota", quota, err); quota[0].Err != nil {
		t.Fatalf("remove quota: %+v", quota)
	}
}

// foreign is all that Kafka has of these kinds, once its broker has heard of everything that its controller knows.
func foreign(t *testing.T, ctx context.Context, c *kgo.Client, complete func([]string) bool) []string {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for {
		have := listForeign(t, ctx, c)
		if complete(have) {
			return have
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("Kafka has\n%q", have)
		}
	}
}

// listForeign has one line for each, sorted.
func listForeign(t *testing.T, ctx context.Context, c *kgo.Client) (out []string) {
	t.Helper()
	admin := kadm.NewClient(c)
	tokens, err := admin.DescribeDelegationTokens(ctx)
	for _, token := range ask(t, "tokens", tokens, err) {
		out = append(out, fmt.Sprintf("token %+v", token))
	}
	acls := kmsg.NewPtrDescribeACLsRequest()
	acls.ResourceType, acls.ResourcePatternType, acls.Operation, acls.PermissionType = kmsg.ACLResourceTypeAny, kmsg.ACLResourcePatternTypeAny, kmsg.ACLOperationAny, kmsg.ACLPermissionTypeAny
	listed, err := acls.RequestWith(ctx, c)
	for _, r := range ask(t, "ACLs", listed, err).Resources {
		for _, a := range r.ACLs {
			out = append(out, fmt.Sprintf("ACL %s %s %s %s %s %s", r.ResourceName, r.ResourcePatternType, a.Principal, a.Host, a.Operation, a.PermissionType))
		}
	}
	quotas, err := admin.DescribeClientQuotas(ctx, false, []kadm.DescribeClientQuotaComponent{{Type: "user", MatchType: 2}})
	for _, q := range ask(t, "quotas", quotas, err) {
		out = append(out, fmt.Sprintf("quota %s %+v", q.Entity, q.Values))
	}
	users, err := admin.DescribeUserSCRAMs(ctx)
	for name, u := range ask(t, "credentials", users, err) {
		out = append(out, fmt.Sprintf("credentials %s %+v", name, u.CredInfos))
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	for _, kind := range []kmsg.ConfigResourceType{kmsg.ConfigResourceTypeClientMetrics, kmsg.ConfigResourceTypeGroupConfig} {
		r := kmsg.NewDescribeConfigsRequestResource()
		r.ResourceType, r.ResourceName = kind, "settings"
		req.Resources = append(req.Resources, r)
	}
	configs, err := req.RequestWith(ctx, c)
	for _, r := range ask(t, "settings", configs, err).Resources {
		for _, x := range r.Configs {
			if x.Value != nil && (x.Name == "interval.ms" || x.Name == "consumer.session.timeout.ms") {
				out = append(out, fmt.Sprintf("setting %s=%s", x.Name, *x.Value))
			}
		}
	}
	slices.Sort(out)
	return out
}
