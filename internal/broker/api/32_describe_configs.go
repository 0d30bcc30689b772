package api

import (
	"log/slog"
	"strconv"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/broker/server"
	"github.com/ottla/ottla/internal/config"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta"
)

// Loggers are this process's loggers, whose levels last as long as it does.
type Loggers interface {
	// Levels returns every logger's level in Kafka's words.
	Levels() map[string]string
	// Set changes a logger's level; an empty level gives it back to its default.
	Set(logger, level string)
}

// describeConfigs serves API 32, versions 1 to 4: every config of a resource with its source, synonyms, type and documentation.
func (b *Broker) describeConfigs(r *server.Request, req *kmsg.DescribeConfigsRequest) server.Answer {
	resp := req.ResponseKind().(*kmsg.DescribeConfigsResponse)
	refused, left := refusalsOf(r), b.room()
	return laterWithin(resp, left, func(<-chan struct{}) {
		image, unknown := b.Image(), unknownResource(req)
		for _, asked := range req.Resources {
			out := b.describedResource(image, asked, req, left, unknown)
			refused.complain(out.ErrorCode, out.ErrorMessage, slog.String("resource", out.ResourceName))
			resp.Resources = append(resp.Resources, out)
		}
	})
}

// describedResource describes one resource, if there is room for it.
func (b *Broker) describedResource(image *meta.Image, asked kmsg.DescribeConfigsRequestResource, req *kmsg.DescribeConfigsRequest, r *room, unknown error) kmsg.DescribeConfigsResponseResource {
	out := kmsg.NewDescribeConfigsResponseResource()
	out.ResourceType, out.ResourceName = asked.ResourceType, asked.ResourceName
	out.ErrorMessage, out.Configs = new(""), []kmsg.DescribeConfigsResponseResourceConfig{}
	var entries []config.Entry
	var err error
	switch {
	case unknown != nil:
		err = unknown
	case r.full():
		err = r.refusal()
	default:
		entries, err = b.configEntries(image, asked)
	}
	wanted := make(map[string]bool, len(asked.ConfigNames))
	for _, name := range asked.ConfigNames {
		wanted[name] = true
	}
	for _, e := range entries {
		if len(wanted) > 0 && !wanted[e.Name] {
			continue
		}
		c := describedConfig(e, req)
		if !r.take(configSize(&c)) {
			out.Configs, err = []kmsg.DescribeConfigsResponseResourceConfig{}, r.refusal()
			break
		}
		out.Configs = append(out.Configs, c)
	}
	if err != nil {
		code, message := model.CodeOf(err)
		out.ErrorCode, out.ErrorMessage = int16(code), text(message)
		if code == model.UnknownTopicOrPartition {
			out.ErrorMessage = new("") // Kafka's, as without an error
		}
	}
	return out
}

// configSize is about what a config takes in an answer.
func configSize(c *kmsg.DescribeConfigsResponseResourceConfig) int {
	const fixed = 16
	size := fixed + len(c.Name) + len(deref(c.Value)) + len(deref(c.Documentation))
	for i := range c.ConfigSynonyms {
		size += fixed + len(c.ConfigSynonyms[i].Name) + len(deref(c.ConfigSynonyms[i].Value))
	}
	return size
}

// configEntries lists the configs of one resource.
func (b *Broker) configEntries(image *meta.Image, asked kmsg.DescribeConfigsRequestResource) ([]config.Entry, error) {
	name := asked.ResourceName
	switch config.Resource(asked.ResourceType) {
	case config.TopicResource:
		if err := model.ValidateTopicName(name); err != nil {
			return nil, err
		}
		if image.TopicByName(name) == nil {
			return nil, model.UnknownTopicOrPartition
		}
		return config.DescribeTopic(b.Dynamic(), image.Config(meta.TopicResource, name)), nil
	case config.BrokerResource:
		if name == "" {
			return config.DescribeClusterDefault(b.Dynamic()), nil
		}
		if err := b.checkSelf(name); err != nil {
			return nil, err
		}
		return config.DescribeBroker(b.Dynamic()), nil
	case config.LoggerResource:
		if name == "" {
			return nil, &model.Error{Code: model.InvalidRequest, Message: "Broker id must not be empty"}
		}
		if err := b.checkSelf(name); err != nil {
			return nil, err
		}
		return config.DescribeLoggers(b.Loggers.Levels()), nil
	case config.GroupResource:
		if name == "" {
			return nil, &model.Error{Code: model.InvalidRequest, Message: "Group name must not be empty"}
		}
		return config.DescribeGroup(b.Dynamic(), image.Config(meta.GroupResource, name)), nil
	case config.ClientMetricsResource:
		if name == "" {
			return nil, &model.Error{Code: model.InvalidRequest, Message: "Client metrics subscription name must not be empty"}
		}
		return config.DescribeClientMetrics(image.Config(meta.ClientMetricsResource, name)), nil
	}
	panic("BUG: api: a resource of a type that was not checked")
}

// unknownResource tells what is wrong with a request that names a resource of a type which nobody knows. As in Kafka, nothing of it is answered then.
func unknownResource(req *kmsg.DescribeConfigsRequest) error {
	for _, asked := range req.Resources {
		switch config.Resource(asked.ResourceType) {
		case config.TopicResource, config.BrokerResource, config.LoggerResource, config.GroupResource, config.ClientMetricsResource:
		default:
			return &model.Error{Code: model.InvalidRequest, Message: "Unsupported resource type: " + strconv.Itoa(int(asked.ResourceType))}
		}
	}
	return nil
}

// checkSelf refuses a broker id that is not this node's.
func (b *Broker) checkSelf(name string) error {
	id, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		return &model.Error{Code: model.InvalidRequest, Message: "Broker id must be an integer, but it is: " + name}
	}
	if int32(id) != b.NodeID {
		return &model.Error{Code: model.InvalidRequest, Message: "Unexpected broker id, expected " + strconv.Itoa(int(b.NodeID)) + " or empty string, but received " + name}
	}
	return nil
}

func describedConfig(e config.Entry, req *kmsg.DescribeConfigsRequest) kmsg.DescribeConfigsResponseResourceConfig {
	out := kmsg.NewDescribeConfigsResponseResourceConfig()
	out.Name, out.Value, out.ReadOnly, out.IsSensitive = e.Name, e.Value, e.ReadOnly, e.Sensitive
	out.Source, out.ConfigType = kmsg.ConfigSource(e.Source), kmsg.ConfigType(e.Type)
	out.IsDefault = e.Source == config.FromDefault
	out.ConfigSynonyms = []kmsg.DescribeConfigsResponseResourceConfigConfigSynonym{}
	if req.IncludeSynonyms {
		for _, s := range e.Synonyms {
			synonym := kmsg.NewDescribeConfigsResponseResourceConfigConfigSynonym()
			synonym.Name, synonym.Value, synonym.Source = s.Name, s.Value, kmsg.ConfigSource(s.Source)
			out.ConfigSynonyms = append(out.ConfigSynonyms, synonym)
		}
	}
	if e.Source == config.FromLogger {
		out.Documentation = new("") // Kafka's, asked or not
	} else if req.IncludeDocumentation {
		out.Documentation = text(e.Documentation)
	}
	return out
}
