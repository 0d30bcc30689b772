package cli

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/config"
)

// entity is something that has settings: topic/NAME, broker/ID, broker-default, group/NAME, client-metrics/NAME or broker-logger/ID.
type entity struct {
	kind kmsg.ConfigResourceType
	name string // empty for the default of all brokers
}

const brokerDefault = "broker-default"

var entityKinds = map[string]kmsg.ConfigResourceType{
	"topic": kmsg.ConfigResourceTypeTopic, "broker": kmsg.ConfigResourceTypeBroker, "broker-logger": kmsg.ConfigResourceTypeBrokerLogger,
	"client-metrics": kmsg.ConfigResourceTypeClientMetrics, "group": kmsg.ConfigResourceTypeGroupConfig,
}

const entityForms = "topic/NAME, broker/ID, broker-default, group/NAME, client-metrics/NAME or broker-logger/ID"

func parseEntity(text string) (entity, error) {
	if text == brokerDefault {
		return entity{kind: kmsg.ConfigResourceTypeBroker}, nil
	}
	kind, name, _ := strings.Cut(text, "/")
	known, ok := entityKinds[kind]
	if !ok || name == "" {
		return entity{}, usage("%q has no settings: name %s", text, entityForms)
	}
	if known == kmsg.ConfigResourceTypeBroker || known == kmsg.ConfigResourceTypeBrokerLogger {
		if _, err := strconv.ParseInt(name, 10, 32); err != nil {
			return entity{}, usage("%s: a broker is named by its number; `ottla cluster info` shows them", text)
		}
	}
	return entity{known, name}, nil
}

func (e entity) String() string {
	if e.kind == kmsg.ConfigResourceTypeBroker && e.name == "" {
		return brokerDefault
	}
	for kind, number := range entityKinds {
		if number == e.kind {
			return kind + "/" + e.name
		}
	}
	return strconv.Itoa(int(e.kind)) + "/" + e.name
}

// sourceNames are where a value comes from, in words that fit the names of entities.
var sourceNames = map[kmsg.ConfigSource]string{
	kmsg.ConfigSourceDynamicTopicConfig: "topic", kmsg.ConfigSourceDynamicBrokerConfig: "broker", kmsg.ConfigSourceDynamicDefaultBrokerConfig: brokerDefault,
	kmsg.ConfigSourceStaticBrokerConfig: "static", kmsg.ConfigSourceDefaultConfig: "default", kmsg.ConfigSourceDynamicBrokerLoggerConfig: "broker-logger",
	kmsg.ConfigSourceClientMetricsConfig: "client-metrics", kmsg.ConfigSourceGroupConfig: "group",
}

// configEntry is one setting. Value is nil where there is none or it is secret.
type configEntry struct {
	Name          string  `json:"name"`
	Value         *string `json:"value"`
	Source        string  `json:"source"`
	Default       *string `json:"default"`
	Type          string  `json:"type,omitempty"`
	ReadOnly      bool    `json:"read_only"`
	Sensitive     bool    `json:"sensitive,omitempty"`
	Documentation string  `json:"documentation,omitempty"`
}

// shown is the value in a table.
func (e *configEntry) shown() string {
	switch {
	case e.Sensitive:
		return "(secret)"
	case e.Value == nil:
		return absent
	case *e.Value == "":
		return `""`
	}
	return *e.Value
}

// describedEntity is an entity with its settings in name order, as the broker sends them.
type describedEntity struct {
	entity  entity
	entries []configEntry
}

// describeEntity asks for settings; no keys means all of them.
func (c *cluster) describeEntity(ctx context.Context, e entity, keys []string, docs bool) (describedEntity, error) {
	if err := c.checkBroker(ctx, e); err != nil {
		return describedEntity{}, err
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms, req.IncludeDocumentation = true, docs
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = e.kind, e.name
	resource.ConfigNames = keys
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return describedEntity{}, err
	}
	out := describedEntity{entity: e}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return out, answerError(e.String(), err, deref(r.ErrorMessage))
		}
		for _, c := range r.Configs {
			out.entries = append(out.entries, newConfigEntry(e.kind, &c))
		}
	}
	return out, nil
}

// checkBroker names the number of a broker that does not exist; the client library would look for it until time is up.
func (c *cluster) checkBroker(ctx context.Context, e entity) error {
	if e.name == "" || e.kind != kmsg.ConfigResourceTypeBroker && e.kind != kmsg.ConfigResourceTypeBrokerLogger {
		return nil
	}
	brokers, err := c.admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	var ids []string
	for _, b := range brokers {
		ids = append(ids, strconv.Itoa(int(b.NodeID)))
	}
	if !slices.Contains(ids, e.name) {
		return fmt.Errorf("%s: there is no such broker, only %s", e, strings.Join(ids, ", "))
	}
	return nil
}

func newConfigEntry(kind kmsg.ConfigResourceType, c *kmsg.DescribeConfigsResponseResourceConfig) configEntry {
	e := configEntry{
		Name: c.Name, Value: c.Value, Source: sourceNames[c.Source], ReadOnly: c.ReadOnly, Sensitive: c.IsSensitive, Documentation: deref(c.Documentation),
	}
	if c.ConfigType != kmsg.ConfigTypeUnknown {
		e.Type = strings.ToLower(c.ConfigType.String())
	}
	if c.Source == kmsg.ConfigSourceDefaultConfig {
		e.Default = c.Value
		return e
	}
	for _, s := range c.ConfigSynonyms {
		if s.Source == kmsg.ConfigSourceDefaultConfig && timeUnit(s.Name) == timeUnit(c.Name) {
			e.Default = s.Value
			return e
		}
	}
	// Some defaults stand under another key in another unit, and the broker leaves them out: log.retention.hours for retention.ms.
	if k := config.Lookup(config.Resource(kind), c.Name); k != nil && !c.IsSensitive {
		if fallback, ok := k.Default(); ok {
			e.Default = &fallback
		}
	}
	return e
}

// timeUnit is the unit at the end of a key.
func timeUnit(key string) string {
	unit := key[strings.LastIndexByte(key, '.')+1:]
	switch unit {
	case "ms", "seconds", "minutes", "hours":
		return unit
	}
	return ""
}

func deref(text *string) string {
	if text == nil {
		return ""
	}
	return *text
}

// alterEntity changes settings of one entity.
func (c *cluster) alterEntity(ctx context.Context, e entity, changes []kmsg.IncrementalAlterConfigsRequestResourceConfig, dryRun bool) error {
	if err := c.checkBroker(ctx, e); err != nil {
		return err
	}
	req := kmsg.NewPtrIncrementalAlterConfigsRequest()
	req.ValidateOnly = dryRun
	resource := kmsg.NewIncrementalAlterConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.Configs = e.kind, e.name, changes
	req.Resources = append(req.Resources, resource)
	resp, err := req.RequestWith(ctx, c.client)
	if err != nil {
		return err
	}
	for _, r := range resp.Resources {
		if err := kerr.ErrorForCode(r.ErrorCode); err != nil {
			return answerError(e.String(), err, deref(r.ErrorMessage))
		}
	}
	return nil
}
