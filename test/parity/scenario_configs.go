package main

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Types of config resources.
const (
	topicResource   = 2
	brokerResource  = 4
	loggerResource  = 8
	metricsResource = 16
	groupResource   = 32
)

func describeResource(kind int8, name string, names []string) kmsg.DescribeConfigsRequestResource {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.ConfigNames = kmsg.ConfigResourceType(kind), name, names
	return r
}

func (s *side) describe(step string, kind int8, name string, names []string) {
	for _, synonyms := range []bool{false, true} {
		for _, docs := range []bool{false, true} {
			s.each(step+onOff(" with synonyms", synonyms)+onOff(" with docs", docs), 32, func(v int16) kmsg.Request {
				req := kmsg.NewPtrDescribeConfigsRequest()
				req.IncludeSynonyms, req.IncludeDocumentation = synonyms, docs
				req.Resources = append(req.Resources, describeResource(kind, name, names))
				return req
			})
		}
	}
}

func describeConfigs(s *side) {
	s.mustCreate("describe-a", 1, "retention.ms", "1000", "cleanup.policy", "compact,delete")
	s.mustCreate("describe-b", 1)
	s.describe("topic", topicResource, "describe-a", nil)
	s.describe("topic without overrides", topicResource, "describe-b", nil)
	s.describe("some of a topic", topicResource, "describe-a", []string{"retention.ms", "segment.ms", "nothing", "retention.ms"})
	s.describe("none of a topic", topicResource, "describe-a", []string{})
	s.describe("broker", brokerResource, "1", nil)
	s.describe("some of a broker", brokerResource, "1", []string{"num.io.threads", "log.retention.ms", "nothing", "node.id"})
	s.describe("default broker", brokerResource, "", nil)
	s.describe("group", groupResource, "describe-group", nil)
	s.describe("some of a group", groupResource, "describe-group", []string{"consumer.session.timeout.ms", "x"})
	s.describe("metrics", metricsResource, "describe-metrics", nil)
}

func describeConfigsErrors(s *side) {
	s.describe("unknown topic", topicResource, "describe-none", nil)
	s.describe("invalid topic", topicResource, "a/b", nil)
	s.describe("empty topic", topicResource, "", nil)
	s.describe("metadata topic", topicResource, "__cluster_metadata", nil)
	for _, id := range []string{"2", "x", "-1", " 1", "01", "99999999999"} {
		s.describe("broker "+id, brokerResource, id, []string{"num.io.threads"})
		s.describe("logger "+id, loggerResource, id, []string{"root"})
	}
	s.describe("empty logger", loggerResource, "", nil)
	s.describe("empty group", groupResource, "", nil)
	s.describe("empty metrics", metricsResource, "", nil)
	for _, kind := range []int8{0, 1, 3, 5, 64, -1} {
		s.describe("type "+itoa(int(kind)), kind, "x", nil)
	}
	s.describe("missing logger", loggerResource, "1", []string{"no.such.logger"})
	s.each("several", 32, func(v int16) kmsg.Request {
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = append(req.Resources, describeResource(topicResource, "describe-b", []string{"retention.ms"}), describeResource(topicResource, "describe-none", nil),
			describeResource(topicResource, "describe-b", []string{"segment.ms"}), describeResource(brokerResource, "2", nil))
		return req
	})
	s.each("nothing", 32, func(v int16) kmsg.Request { return kmsg.NewPtrDescribeConfigsRequest() })
}

// Operations of IncrementalAlterConfigs.
const (
	set = iota
	del
	appendTo
	subtract
)

func op(name string, kind int8, value *string) kmsg.IncrementalAlterConfigsRequestResourceConfig {
	c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
	c.Name, c.Op, c.Value = name, kmsg.IncrementalAlterConfigOp(kind), value
	return c
}

func alteration(kind int8, name string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) kmsg.IncrementalAlterConfigsRequestResource {
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType, r.ResourceName, r.Configs = kmsg.ConfigResourceType(kind), name, ops
	return r
}

// alter validates at every version, then does it, then looks.
func (s *side) alter(step string, kind int8, name string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
	s.alterAll(step, alteration(kind, name, ops...))
	var names []string
	for _, o := range ops {
		names = append(names, o.Name)
	}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.IncludeSynonyms = true
	req.Resources = append(req.Resources, describeResource(kind, name, names))
	s.settle()
	s.at(4, step+", then", req)
}

func (s *side) alterAll(step string, resources ...kmsg.IncrementalAlterConfigsRequestResource) {
	for _, validate := range []bool{true, false} {
		s.each(step+onOff(", validated only", validate), 44, func(v int16) kmsg.Request {
			req := kmsg.NewPtrIncrementalAlterConfigsRequest()
			req.Resources, req.ValidateOnly = resources, validate
			return req
		})
	}
}

// settle makes a topic and waits for it: what was altered before is in force then.
func (s *side) settle() {
	s.settled++
	s.mustCreate("settle-"+s.scenario+"-"+itoa(s.settled), 1)
}

func alterConfigsTopic(s *side) {
	s.mustCreate("alter-a", 1, "retention.ms", "1000")
	t := func(step string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
		s.alter(step, topicResource, "alter-a", ops...)
	}
	t("set", op("retention.ms", set, ptr("2000")))
	t("set a default", op("segment.ms", set, ptr("604800000")))
	t("delete", op("retention.ms", del, nil))
	t("delete absent", op("retention.bytes", del, nil))
	t("delete with a value", op("segment.ms", del, ptr("x")))
	t("delete unknown", op("no.such", del, nil))
	t("append", op("cleanup.policy", appendTo, ptr("compact")))
	t("append again", op("cleanup.policy", appendTo, ptr("compact")))
	t("append two", op("cleanup.policy", appendTo, ptr("compact,delete")))
	t("append bad", op("cleanup.policy", appendTo, ptr("burn")))
	t("append null", op("cleanup.policy", appendTo, nil))
	t("append to no list", op("retention.ms", appendTo, ptr("5")))
	t("subtract", op("cleanup.policy", subtract, ptr("delete")))
	t("subtract absent", op("cleanup.policy", subtract, ptr("delete")))
	t("subtract everything", op("cleanup.policy", subtract, ptr("compact")))
	t("subtract from no list", op("retention.ms", subtract, ptr("5")))
	t("append throttled", op("leader.replication.throttled.replicas", appendTo, ptr("0:1,1:1")))
	t("subtract throttled", op("leader.replication.throttled.replicas", subtract, ptr("0:1")))
	t("set null", op("retention.ms", set, nil))
	t("operation 4", op("retention.ms", 4, ptr("1")))
	t("operation -1", op("retention.ms", -1, ptr("1")))
	t("unknown key", op("no.such", set, ptr("1")))
	t("empty key", op("", set, ptr("1")))
	t("bad value", op("retention.ms", set, ptr("x")))
	t("twice", op("retention.ms", set, ptr("1")), op("retention.ms", set, ptr("2")))
	t("set and delete", op("retention.ms", set, ptr("1")), op("retention.ms", del, nil))
	t("good and bad", op("retention.ms", set, ptr("1234")), op("segment.ms", set, ptr("x")))
	t("spaces", op("retention.ms", set, ptr(" 77777 ")))
	t("min.insync.replicas", op("min.insync.replicas", set, ptr("2")))
	t("nothing")
	s.alter("unknown topic", topicResource, "alter-none", op("retention.ms", set, ptr("1")))
	s.alter("invalid topic", topicResource, "a/b", op("retention.ms", set, ptr("1")))
	s.alter("empty topic", topicResource, "", op("retention.ms", set, ptr("1")))
	one := alteration(topicResource, "alter-a", op("retention.ms", set, ptr("1")))
	s.alterAll("resource twice", one, one)
	s.alterAll("resource twice and another", one, one, alteration(topicResource, "alter-none", op("retention.ms", set, ptr("1"))))
	s.alterAll("two resources", one, alteration(topicResource, "alter-none", op("retention.ms", set, ptr("1"))))
	s.alterAll("no resources")
	for _, kind := range []int8{0, 1, 3, 64, -1} {
		s.alterAll("type "+itoa(int(kind)), alteration(kind, "x", op("a", set, ptr("b"))))
	}
}

func alterConfigsBroker(s *side) {
	for _, name := range []string{"1", ""} {
		b := func(step string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
			s.alter("broker '"+name+"' "+step, brokerResource, name, ops...)
		}
		b("set", op("log.retention.ms", set, ptr("86400000")))
		b("set compression", op("compression.type", set, ptr("gzip")))
		b("delete compression", op("compression.type", del, nil))
		b("delete absent", op("log.cleaner.threads", del, nil))
		b("read-only", op("num.partitions", set, ptr("3")))
		b("delete read-only", op("num.partitions", del, nil))
		b("unknown", op("no.such", set, ptr("1")))
		b("delete unknown", op("no.such", del, nil))
		b("bad value", op("num.io.threads", set, ptr("x")))
		b("too many threads", op("num.io.threads", set, ptr("1000")))
		b("zero threads", op("num.io.threads", set, ptr("0")))
		b("threads", op("num.io.threads", set, ptr("9")))
		b("delete threads", op("num.io.threads", del, nil))
		b("append", op("log.cleanup.policy", appendTo, ptr("compact")))
		b("subtract", op("log.cleanup.policy", subtract, ptr("compact")))
		b("delete policy", op("log.cleanup.policy", del, nil))
		b("append to no list", op("num.io.threads", appendTo, ptr("3")))
		b("null", op("log.retention.ms", set, nil))
		b("operation 9", op("log.retention.ms", 9, ptr("1")))
		b("twice", op("log.retention.ms", set, ptr("1")), op("log.retention.ms", set, ptr("2")))
		b("overrides per ip", op("max.connections.per.ip.overrides", set, ptr("127.0.0.1:200")))
		b("bad overrides per ip", op("max.connections.per.ip.overrides", set, ptr("x")))
		b("delete overrides per ip", op("max.connections.per.ip.overrides", del, nil))
		b("listeners", op("listeners", set, ptr("x")))
		b("password", op("ssl.keystore.password", set, ptr("x")))
		b("delete password", op("ssl.keystore.password", del, nil))
		b("throttled rate", op("leader.replication.throttled.rate", set, ptr("1000")))
		b("bad throttled rate", op("leader.replication.throttled.rate", set, ptr("-5")))
		b("delete throttled rate", op("leader.replication.throttled.rate", del, nil))
		b("min insync", op("min.insync.replicas", set, ptr("1")))
		b("delete min insync", op("min.insync.replicas", del, nil))
		b("retention without unit key", op("log.retention.hours", set, ptr("5")))
		b("nothing")
		s.describe("broker '"+name+"' in the end", brokerResource, "1", []string{"log.retention.ms", "log.retention.hours", "compression.type"})
		s.describe("topic in the end of broker '"+name+"'", topicResource, "describe-b", []string{"retention.ms", "compression.type"})
		b("delete", op("log.retention.ms", del, nil))
	}
	for _, id := range []string{"2", "x", "-1", "01"} {
		s.alter("broker '"+id+"'", brokerResource, id, op("log.retention.ms", set, ptr("1")))
	}
	s.alter("topic key on a broker", brokerResource, "1", op("retention.ms", set, ptr("1")))
}

func alterConfigsOther(s *side) {
	g := func(step string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
		s.alter("group "+step, groupResource, "alter-group", ops...)
	}
	g("set", op("consumer.session.timeout.ms", set, ptr("46000")))
	g("too small", op("consumer.session.timeout.ms", set, ptr("1")))
	g("too large", op("consumer.session.timeout.ms", set, ptr("600000")))
	g("bad", op("consumer.session.timeout.ms", set, ptr("x")))
	g("unknown", op("no.such", set, ptr("x")))
	g("heartbeat above session", op("consumer.heartbeat.interval.ms", set, ptr("46001")))
	g("share", op("share.isolation.level", set, ptr("read_committed")))
	g("bad share", op("share.isolation.level", set, ptr("x")))
	g("delete", op("consumer.session.timeout.ms", del, nil))
	g("delete absent", op("share.session.timeout.ms", del, nil))
	g("delete share", op("share.isolation.level", del, nil))
	s.alter("empty group", groupResource, "", op("consumer.session.timeout.ms", set, ptr("46000")))
	m := func(step string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
		s.alter("metrics "+step, metricsResource, "alter-metrics", ops...)
	}
	m("set", op("interval.ms", set, ptr("1000")), op("metrics", set, ptr("org.apache.kafka")))
	m("too small", op("interval.ms", set, ptr("1")))
	m("bad", op("interval.ms", set, ptr("x")))
	m("match", op("match", set, ptr("client_id=a.*")))
	m("bad match", op("match", set, ptr("nothing=1")))
	m("bad expression", op("match", set, ptr("client_id=(")))
	m("unknown", op("no.such", set, ptr("1")))
	m("append", op("metrics", appendTo, ptr("other")))
	m("delete", op("interval.ms", del, nil), op("metrics", del, nil), op("match", del, nil))
	s.alter("empty metrics", metricsResource, "", op("interval.ms", set, ptr("1000")))
	l := func(step string, ops ...kmsg.IncrementalAlterConfigsRequestResourceConfig) {
		s.alterAll("logger "+step, alteration(loggerResource, "1", ops...))
	}
	l("unknown", op("no.such.logger", set, ptr("INFO")))
	l("bad level", op("root", set, ptr("LOUD")))
	l("append", op("root", appendTo, ptr("INFO")))
	l("null", op("root", set, nil))
	l("delete root", op("root", del, nil))
	l("delete unknown", op("no.such.logger", del, nil))
	l("nothing")
	for _, id := range []string{"", "2", "x"} {
		s.alterAll("logger of broker '"+id+"'", alteration(loggerResource, id, op("root", set, ptr("INFO"))))
	}
}

func alterConfigsLegacy(s *side) {
	s.mustCreate("legacy-a", 1, "retention.ms", "1000", "segment.ms", "2000")
	alter := func(step string, kind int8, name string, pairs ...*string) {
		resource := kmsg.NewAlterConfigsRequestResource()
		resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceType(kind), name
		for i := 0; i+1 < len(pairs); i += 2 {
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name, c.Value = *pairs[i], pairs[i+1]
			resource.Configs = append(resource.Configs, c)
		}
		for _, validate := range []bool{true, false} {
			s.each(step+onOff(", validated only", validate), 33, func(v int16) kmsg.Request {
				req := kmsg.NewPtrAlterConfigsRequest()
				req.Resources, req.ValidateOnly = append(req.Resources, resource), validate
				return req
			})
		}
		s.settle()
		req := kmsg.NewPtrDescribeConfigsRequest()
		req.Resources = append(req.Resources, describeResource(kind, name, []string{"retention.ms", "segment.ms", "log.retention.ms", "num.io.threads"}))
		s.at(4, step+", then", req)
	}
	key := ptr[string]
	alter("one", topicResource, "legacy-a", key("retention.ms"), key("5000"))
	alter("null", topicResource, "legacy-a", key("retention.ms"), nil)
	alter("bad", topicResource, "legacy-a", key("retention.ms"), key("x"))
	alter("unknown key", topicResource, "legacy-a", key("nothing"), key("x"))
	alter("twice", topicResource, "legacy-a", key("retention.ms"), key("1"), key("retention.ms"), key("2"))
	alter("nothing", topicResource, "legacy-a")
	alter("unknown topic", topicResource, "legacy-none", key("retention.ms"), key("1"))
	alter("broker", brokerResource, "1", key("log.retention.ms"), key("86400000"))
	alter("broker nothing", brokerResource, "1")
	alter("broker 2", brokerResource, "2", key("log.retention.ms"), key("86400000"))
	alter("default broker", brokerResource, "", key("num.io.threads"), key("9"))
	alter("default broker nothing", brokerResource, "")
	alter("read-only", brokerResource, "1", key("num.partitions"), key("9"))
	alter("logger", loggerResource, "1", key("root"), key("INFO"))
	alter("group", groupResource, "legacy-group", key("consumer.session.timeout.ms"), key("46000"))
	alter("group nothing", groupResource, "legacy-group")
	alter("type 0", 0, "x")
}

func listConfigResources(s *side) {
	s.mustCreate("listed-topic", 1)
	s.alter("before", groupResource, "listed-group", op("consumer.session.timeout.ms", set, ptr("46000")))
	s.alter("before", metricsResource, "listed-metrics", op("interval.ms", set, ptr("1000")))
	ask := func(step string, types ...int8) {
		for _, v := range s.versions(74) {
			req := kmsg.NewPtrListConfigResourcesRequest()
			req.ResourceTypes = types
			resp := s.at(v, "", req).(*kmsg.ListConfigResourcesResponse)
			resp.ConfigResources = slices.DeleteFunc(resp.ConfigResources, func(r kmsg.ListConfigResourcesResponseConfigResource) bool {
				return r.Type == topicResource && r.Name != "listed-topic"
			})
			s.record(step, v, s.render(74, resp))
		}
	}
	ask("all")
	for _, t := range []int8{topicResource, brokerResource, loggerResource, metricsResource, groupResource, 0, 1, 5, -1} {
		ask("type "+itoa(int(t)), t)
	}
	ask("two types", topicResource, groupResource)
	ask("type twice", groupResource, groupResource)
	ask("good and bad", topicResource, 7)
	s.alter("after", groupResource, "listed-group", op("consumer.session.timeout.ms", del, nil))
	s.alter("after", metricsResource, "listed-metrics", op("interval.ms", del, nil))
	ask("emptied group", groupResource)
	ask("emptied metrics", metricsResource)
}
