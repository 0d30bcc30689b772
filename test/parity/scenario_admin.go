package main

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func electLeaders(s *side) {
	s.mustCreate("elect-a", 2)
	ask := func(step string, kind int8, topic string, partitions ...int32) {
		s.each(step+" type "+itoa(int(kind)), 43, func(v int16) kmsg.Request {
			if v == 0 && kind != 0 {
				return nil
			}
			req := kmsg.NewPtrElectLeadersRequest()
			req.ElectionType, req.TimeoutMillis = kind, 5000
			req.Topics = []kmsg.ElectLeadersRequestTopic{}
			if topic != "none" {
				t := kmsg.NewElectLeadersRequestTopic()
				t.Topic, t.Partitions = topic, partitions
				req.Topics = append(req.Topics, t)
			}
			return req
		})
	}
	for _, kind := range []int8{0, 1, 2, -1} {
		s.electAll(kind)
		ask("known", kind, "elect-a", 0, 1)
		ask("unknown partition", kind, "elect-a", 0, 7)
		ask("negative partition", kind, "elect-a", -1)
		ask("unknown topic", kind, "elect-none", 0)
		ask("invalid topic", kind, "a/b", 0)
		ask("twice", kind, "elect-a", 0, 0)
		ask("no partitions", kind, "elect-a")
		ask("none", kind, "none")
	}
}

// electAll asks for every partition; of the answer one topic counts.
func (s *side) electAll(kind int8) {
	for _, v := range s.versions(43) {
		if v == 0 && kind != 0 {
			continue
		}
		req := kmsg.NewPtrElectLeadersRequest()
		req.ElectionType, req.TimeoutMillis = kind, 5000
		resp := s.at(v, "", req).(*kmsg.ElectLeadersResponse)
		resp.Topics = slices.DeleteFunc(resp.Topics, func(t kmsg.ElectLeadersResponseTopic) bool { return t.Topic != "elect-a" })
		s.record("all type "+itoa(int(kind)), v, s.render(43, resp))
	}
}

func reassignments(s *side) {
	s.mustCreate("moved-a", 2)
	ask := func(step, topic string, partitions ...int32) {
		req := kmsg.NewPtrListPartitionReassignmentsRequest()
		t := kmsg.NewListPartitionReassignmentsRequestTopic()
		t.Topic, t.Partitions = topic, partitions
		req.Topics = append(req.Topics, t)
		s.at(0, step, req)
	}
	ask("known", "moved-a", 0, 1)
	ask("unknown topic", "moved-none", 0)
	ask("unknown partition", "moved-a", 9)
	ask("invalid topic", "a/b", 9)
	s.at(0, "all", kmsg.NewPtrListPartitionReassignmentsRequest())
	none := kmsg.NewPtrListPartitionReassignmentsRequest()
	none.Topics = []kmsg.ListPartitionReassignmentsRequestTopic{}
	s.at(0, "none", none)
}

func acls(s *side) {
	for _, kind := range []kmsg.ACLResourceType{1, 2, 0} {
		s.each("describe type "+itoa(int(kind)), 29, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeACLsRequest()
			req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = kind, 1, 1, 1
			return req
		})
		s.each("create type "+itoa(int(kind)), 30, func(int16) kmsg.Request {
			req := kmsg.NewPtrCreateACLsRequest()
			c := kmsg.NewCreateACLsRequestCreation()
			c.ResourceType, c.ResourceName, c.ResourcePatternType, c.Principal, c.Host, c.Operation, c.PermissionType = kind, "x", 3, "User:x", "*", 3, 3
			req.Creations = append(req.Creations, c, c)
			return req
		})
		s.each("delete type "+itoa(int(kind)), 31, func(int16) kmsg.Request {
			req := kmsg.NewPtrDeleteACLsRequest()
			f := kmsg.NewDeleteACLsRequestFilter()
			f.ResourceType, f.ResourcePatternType, f.Operation, f.PermissionType = kind, 1, 1, 1
			req.Filters = append(req.Filters, f, f)
			return req
		})
	}
	s.each("create nothing", 30, func(int16) kmsg.Request { return kmsg.NewPtrCreateACLsRequest() })
	s.each("delete nothing", 31, func(int16) kmsg.Request { return kmsg.NewPtrDeleteACLsRequest() })
	s.each("unknown operation", 29, func(int16) kmsg.Request {
		req := kmsg.NewPtrDescribeACLsRequest()
		req.ResourceType, req.ResourcePatternType, req.Operation, req.PermissionType = 2, 1, 99, 1
		return req
	})
}

func quotasAndSCRAM(s *side) {
	type component struct {
		entity string
		kind   kmsg.QuotasMatchType
		match  *string
	}
	ask := func(step string, strict bool, components ...component) {
		s.each("quotas "+step+onOff(" strictly", strict), 48, func(int16) kmsg.Request {
			req := kmsg.NewPtrDescribeClientQuotasRequest()
			req.Strict = strict
			for _, c := range components {
				x := kmsg.NewDescribeClientQuotasRequestComponent()
				x.EntityType, x.MatchType, x.Match = c.entity, c.kind, c.match
				req.Components = append(req.Components, x)
			}
			return req
		})
	}
	for _, strict := range []bool{false, true} {
		ask("all", strict)
		ask("user", strict, component{"user", 0, ptr("a")})
		ask("default user", strict, component{"user", 1, nil})
		ask("any user", strict, component{"user", 2, nil})
		ask("user and client", strict, component{"user", 2, nil}, component{"client-id", 2, nil})
		ask("ip", strict, component{"ip", 0, ptr("127.0.0.1")})
		ask("ip and user", strict, component{"ip", 0, ptr("127.0.0.1")}, component{"user", 0, ptr("a")})
		ask("unknown entity", strict, component{"planet", 0, ptr("earth")})
		ask("empty entity", strict, component{"", 0, ptr("earth")})
		ask("user twice", strict, component{"user", 0, ptr("a")}, component{"user", 0, ptr("b")})
		ask("match type 3", strict, component{"user", 3, nil})
		ask("match type -1", strict, component{"user", -1, nil})
		ask("exact without a name", strict, component{"user", 0, nil})
		ask("default with a name", strict, component{"user", 1, ptr("a")})
		ask("any with a name", strict, component{"user", 2, ptr("a")})
	}
	scram := func(step string, users ...string) {
		req := kmsg.NewPtrDescribeUserSCRAMCredentialsRequest()
		for _, u := range users {
			req.Users = append(req.Users, kmsg.DescribeUserSCRAMCredentialsRequestUser{Name: u})
		}
		if users != nil && len(users) == 0 {
			req.Users = []kmsg.DescribeUserSCRAMCredentialsRequestUser{}
		}
		s.at(0, "scram "+step, req)
	}
	scram("all")
	scram("none", []string{}...)
	scram("one", "alice")
	scram("two", "alice", "bob")
	scram("twice", "alice", "alice")
	scram("twice and another", "alice", "alice", "bob")
	scram("empty", "")
}
