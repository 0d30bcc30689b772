package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// answerLimit bounds the wait for one answer; the initial rebalance delay is 0, so nothing takes long.
const answerLimit = 8 * time.Second

// result is what came of one request.
type result struct {
	step    string
	version int16
	facts   facts
}

// side is one of the two nodes while a scenario asks it.
type side struct {
	name    string
	address string
	ranges  map[int16][2]int16
	renderer

	scenario string
	settled  int

	conns   map[string]*conn
	results []result
	errs    []error
}

// fork returns a side with fresh connections and results, for one scenario.
func (s *side) fork(scenario string) *side {
	names := map[string]string{}
	for k, v := range s.names {
		names[k] = v
	}
	return &side{scenario: scenario, name: s.name, address: s.address, ranges: s.ranges, renderer: renderer{names: names, text: s.text}, conns: map[string]*conn{}}
}

func (s *side) close() {
	for _, c := range s.conns {
		c.net.Close()
	}
}

func (s *side) conn(client string) (*conn, error) {
	if c := s.conns[client]; c != nil {
		return c, nil
	}
	c, err := dial(s.address, client)
	if err != nil {
		return nil, err
	}
	s.conns[client] = c
	return c, nil
}

func (s *side) drop(client string) {
	if c := s.conns[client]; c != nil {
		c.net.Close()
		delete(s.conns, client)
	}
}

// learn gives something that this side has made up a name that both sides share.
func (s *side) learn(made, name string) {
	if made != "" {
		s.names[made] = name
	}
}

// versions are those that both sides serve.
func (s *side) versions(key int16) []int16 {
	r, ok := s.ranges[key]
	if !ok {
		s.errs = append(s.errs, fmt.Errorf("API %d is not advertised", key))
		return nil
	}
	var all []int16
	for v := r[0]; v <= r[1]; v++ {
		all = append(all, v)
	}
	return all
}

func (s *side) record(step string, version int16, f facts) {
	step = strings.NewReplacer("\n", "\\n", "\x00", "\\0").Replace(step)
	s.results = append(s.results, result{step, version, f})
}

// do sends a request through a client's connection; the answer is recorded when step is not empty.
func (s *side) do(client, step string, req kmsg.Request) kmsg.Response {
	if err := s.send(client, req); err != nil {
		s.fail(client, step, req.GetVersion(), err)
		return req.ResponseKind()
	}
	return s.receive(client, step, req)
}

func (s *side) send(client string, req kmsg.Request) error {
	c, err := s.conn(client)
	if err != nil {
		return err
	}
	return c.write(c.frame(req.Key(), req.GetVersion(), req.IsFlexible(), req.AppendTo(nil)))
}

// receive waits for the answer to what was sent last.
func (s *side) receive(client, step string, req kmsg.Request) kmsg.Response {
	return s.within(client, step, req, answerLimit)
}

func (s *side) within(client, step string, req kmsg.Request, limit time.Duration) kmsg.Response {
	c, err := s.conn(client)
	if err != nil {
		s.fail(client, step, req.GetVersion(), err)
		return req.ResponseKind()
	}
	body, err := c.read(limit)
	var resp kmsg.Response
	if err == nil {
		resp, err = decode(req, body)
	}
	if err != nil {
		s.fail(client, step, req.GetVersion(), err)
		return req.ResponseKind()
	}
	if step != "" {
		s.record(step, req.GetVersion(), s.render(req.Key(), resp))
	}
	return resp
}

// fail records an end without an answer. Outside of a step it is an error of the scenario.
func (s *side) fail(client, step string, version int16, err error) {
	s.drop(client)
	if step == "" {
		s.errs = append(s.errs, err)
		return
	}
	s.record(step, version, facts{"": err.Error()})
}

// ask is do on the usual connection.
func (s *side) ask(step string, req kmsg.Request) kmsg.Response { return s.do("parity", step, req) }

// at asks at one version.
func (s *side) at(version int16, step string, req kmsg.Request) kmsg.Response {
	req.SetVersion(version)
	return s.ask(step, req)
}

// each asks at every version.
func (s *side) each(step string, key int16, make func(v int16) kmsg.Request) {
	for _, v := range s.versions(key) {
		req := make(v)
		if req == nil {
			continue
		}
		req.SetVersion(v)
		s.ask(step, req)
	}
}

// raw sends a body as it is and records how that ends; an answer is shown by its size.
func (s *side) raw(step string, key, version int16, flexible bool, body []byte) {
	client := "raw"
	c, err := s.conn(client)
	if err == nil {
		err = c.write(c.frame(key, version, flexible, body))
	}
	var answer []byte
	if err == nil {
		answer, err = c.read(2 * time.Second)
	}
	s.drop(client)
	if err != nil {
		s.record(step, version, facts{"": err.Error()})
		return
	}
	s.record(step, version, facts{"": fmt.Sprintf("answered %x", answer[:min(len(answer), 16)])})
}

// mustCreate makes a topic and waits until its leader serves it.
func (s *side) mustCreate(name string, partitions int32, configs ...string) [16]byte {
	req := kmsg.NewPtrCreateTopicsRequest()
	t := newTopic(name, partitions, 1, configs...)
	req.Topics = append(req.Topics, t)
	resp := s.at(7, "", req).(*kmsg.CreateTopicsResponse)
	if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 && resp.Topics[0].ErrorCode != 36 {
		s.errs = append(s.errs, fmt.Errorf("cannot create %s: %+v", name, resp.Topics))
		return [16]byte{}
	}
	return s.awaitTopic(name, int(partitions))
}

// awaitTopic waits until every partition of a topic can be read.
func (s *side) awaitTopic(name string, partitions int) [16]byte {
	deadline := time.Now().Add(10 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for ; time.Now().Before(deadline); <-tick.C {
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		resp := s.at(13, "", req).(*kmsg.MetadataResponse)
		if len(resp.Topics) != 1 || resp.Topics[0].ErrorCode != 0 || len(resp.Topics[0].Partitions) != partitions {
			continue
		}
		s.learn(idText(resp.Topics[0].TopicID), "<id of "+name+">")
		if s.leads(name, partitions) {
			return resp.Topics[0].TopicID
		}
	}
	s.errs = append(s.errs, fmt.Errorf("topic %s with %d partitions does not appear", name, partitions))
	return [16]byte{}
}

func (s *side) leads(name string, partitions int) bool {
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = []kmsg.ListOffsetsRequestTopic{listTopic(name, -1)}
	req.Topics[0].Partitions = nil
	for i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp = int32(i), -1
		req.Topics[0].Partitions = append(req.Topics[0].Partitions, p)
	}
	resp := s.at(5, "", req).(*kmsg.ListOffsetsResponse)
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if p.ErrorCode != 0 {
				return false
			}
		}
	}
	return len(resp.Topics) == 1
}

// compare puts the results of both sides next to each other.
func compare(scenario string, a, b *side) (lines []finding, err error) {
	if e := errors.Join(append(a.errs, b.errs...)...); e != nil {
		return nil, fmt.Errorf("%s: %w", scenario, e)
	}
	if len(a.results) != len(b.results) {
		return nil, fmt.Errorf("%s: %d steps on %s, %d on %s", scenario, len(a.results), a.name, len(b.results), b.name)
	}
	grouped := map[string]int{}
	for i, ra := range a.results {
		rb := b.results[i]
		if ra.step != rb.step || ra.version != rb.version {
			return nil, fmt.Errorf("%s: step %s v%d on %s is %s v%d on %s", scenario, ra.step, ra.version, a.name, rb.step, rb.version, b.name)
		}
		for _, d := range ra.facts.differences(rb.facts) {
			text := scenario + "/" + ra.step + " " + d
			at, ok := grouped[text]
			if !ok {
				at = len(lines)
				grouped[text] = at
				lines = append(lines, finding{text: text})
			}
			lines[at].versions = append(lines[at].versions, ra.version)
		}
	}
	return lines, nil
}

// finding is one difference and the versions that have it.
type finding struct {
	text     string
	versions []int16
}

func (f finding) String() string {
	var b bytes.Buffer
	b.WriteString(f.text)
	b.WriteString("  (v")
	for i, v := range f.versions {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprint(&b, v)
	}
	b.WriteByte(')')
	return b.String()
}
