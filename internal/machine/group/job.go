package group

import (
	"time"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine"
)

type jobKind int8

const (
	expiryJob jobKind = iota // remove what has outlived its retention, and groups of which nothing is left
	topicJob                 // remove the offsets of a deleted topic
	deleteJob                // remove a group
)

const (
	// jobRetry is how long the removal of a deleted topic's offsets waits after its records were refused.
	jobRetry = 30 * time.Second
	// maxRetries bounds the deleted topics that wait so; beyond it their offsets are left to their retention.
	maxRetries = 10_000
	// maxLooks bounds the offsets that one piece of a job looks at, so that other inputs get their turn.
	maxLooks = 50_000
)

// job removes offsets in pieces, one in each Step: all tombstones of a large group, or of a topic that many groups read, would not fit into one batch. A
// piece starts over at the group where the last one stopped; what that removed is gone by then.
type job struct {
	kind    jobKind
	due     timer // the next piece
	caller  machine.Caller
	group   string        // of a deleteJob
	topic   string        // of a topicJob
	id      model.TopicID // of the topic; an offset that was committed for another one stays
	named   bool          // there is a topic of that name again: an offset without an id is taken for its
	begun   bool
	retry   bool     // it waits after a refusal
	left    []string // groups to look at; made when the job begins
	looks   int      // in this piece
	removed int
}

// startJob runs the first piece at once.
func (m *Machine) startJob(j *job) {
	j.due = timer{kind: jobTimer, job: j}
	m.runJob(j)
}

func (m *Machine) runJob(j *job) {
	if j.retry {
		j.retry = false
		m.retries--
	}
	j.looks = 0
	before, first := j.removed, !j.begun
	done := false
	if j.kind == deleteJob {
		done = m.deletePiece(j)
	} else {
		if !j.begun {
			for _, g := range m.sorted() {
				j.left = append(j.left, g.id)
			}
		}
		done = m.sweepPiece(j)
	}
	j.begun = true
	switch {
	case !done:
		m.timers.set(&j.due, m.now)
	case j.kind == topicJob:
		m.replyTo(j.caller, TopicDeletedReply{Removed: j.removed})
	}
	m.undo = func(err error) {
		j.removed = before
		if first || done {
			j.caller = 0 // failed with this piece
		}
		m.jobRefused(j, err)
	}
}

// topicsKnown begins a job for every deleted topic of which offsets are left, in the next steps.
func (m *Machine) topicsKnown(in TopicsKnown) {
	type topic struct {
		name string
		id   model.TopicID
	}
	seen := map[topic]bool{}
	reply := TopicsKnownReply{}
	for _, g := range m.sorted() {
		for _, name := range g.topics() {
			id, exists := in.ID(name)
			for _, p := range g.partitions(name) {
				had := topic{name, g.offset(name, p).topicID}
				if seen[had] || exists && (had.id.IsZero() || had.id == id) {
					continue
				}
				seen[had] = true
				reply.Gone++
				j := &job{kind: topicJob, topic: name, id: had.id, named: exists}
				j.due = timer{kind: jobTimer, job: j}
				m.timers.set(&j.due, m.now)
			}
		}
	}
	m.reply(reply)
}

// jobRefused decides what becomes of a job whose piece was refused: expiry comes around again by itself, a deleted topic has to be tried again.
func (m *Machine) jobRefused(j *job, err error) {
	m.timers.stop(&j.due)
	switch j.kind {
	case topicJob:
		j.begun, j.left = false, nil
		if m.retries < maxRetries {
			m.retries++
			j.retry = true
			m.timers.set(&j.due, m.now.Add(jobRetry))
		}
	case deleteJob:
		code, _ := model.CodeOf(err)
		m.replyTo(j.caller, DeleteGroupReply{Code: code})
	}
}

// sweepPiece goes on through the groups; it is true when there are none left.
func (m *Machine) sweepPiece(j *job) bool {
	for len(j.left) > 0 {
		if j.looks >= maxLooks || m.bytes >= m.opts.MaxStepBytes {
			return false
		}
		j.looks++
		if g := m.groups[j.left[0]]; g != nil {
			whole := false
			if j.kind == expiryJob {
				whole = m.expire(g, j)
			} else {
				whole = m.forgetTopic(g, j)
			}
			if !whole {
				return false
			}
		}
		j.left = j.left[1:]
	}
	return true
}

// deletePiece removes a group's offsets and then the group; it is true when the caller was answered.
func (m *Machine) deletePiece(j *job) bool {
	g := m.groups[j.group]
	if code := m.deletable(j.group); code != model.None && (g != nil || !j.begun) {
		m.replyTo(j.caller, DeleteGroupReply{Code: code})
		return true
	}
	if g != nil && !m.removeOffsets(g, j, func(string, *offset) bool { return true }) {
		return false
	}
	m.write(metadataTombstone(j.group, m.nowMs()))
	m.replyTo(j.caller, DeleteGroupReply{})
	return true
}

// expire removes the group's offsets that have outlived their retention, and the group when it is Empty and none is left. It is false when the piece is full.
//
// While a group is Empty its offsets age from when it became so; those of a group that never had members, and those of topics that the consumers of a Stable
// group do not read any more, age from their commit. No other offset ages.
func (m *Machine) expire(g *group, j *job) bool {
	state, kind := g.state(), g.protocolType()
	kept := 0
	switch {
	case len(g.offsets) == 0:
	case kind == "", state == Empty, state == Stable && kind == consumerProtocol && g.live.topics != nil:
		now, retention := m.nowMs(), m.opts.OffsetsRetention.Milliseconds()
		whole := m.removeOffsets(g, j, func(topic string, o *offset) bool {
			base := o.commitMs
			if kind != "" && state == Empty && g.sinceMs() >= 0 {
				base = g.sinceMs()
			}
			dead := now-base >= retention
			if o.expireMs >= 0 {
				dead = now >= o.expireMs
			}
			if !dead || g.subscribed(topic) {
				kept++
				return false
			}
			return true
		})
		if !whole {
			return false
		}
	default:
		return true
	}
	if kept == 0 && state == Empty && (g.live == nil || g.live.idle()) {
		m.write(metadataTombstone(g.id, m.nowMs()))
	}
	return true
}

// forgetTopic removes the group's offsets of a deleted topic. It is false when the piece is full.
func (m *Machine) forgetTopic(g *group, j *job) bool {
	if len(g.offsets[j.topic]) == 0 {
		return true
	}
	return m.removeOffsets(g, j, func(topic string, o *offset) bool {
		return topic == j.topic && (o.topicID == j.id || !j.named && (o.topicID.IsZero() || j.id.IsZero()))
	})
}

// removeOffsets writes tombstones for the offsets that match. It is false when the piece became full before the last one.
func (m *Machine) removeOffsets(g *group, j *job, match func(topic string, o *offset) bool) bool {
	for _, topic := range g.topics() {
		if j.kind == topicJob && topic != j.topic {
			continue
		}
		for _, p := range g.partitions(topic) {
			j.looks++
			if !match(topic, g.offset(topic, p)) {
				continue
			}
			if m.bytes > 0 && m.bytes+recordSize(machine.Record{})+len(g.id)+len(topic)+10 > m.opts.MaxStepBytes {
				return false
			}
			m.write(offsetTombstone(g.id, topic, p, m.nowMs()))
			j.removed++
		}
	}
	return true
}
