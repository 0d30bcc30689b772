package meta

import (
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// DeleteTopics deletes topics, each for itself. The reply is a DeleteTopicsReply with an item for each topic, in order.
type DeleteTopics struct{ Topics []DeleteTopic }

// DeleteTopic names a topic by its name or, when that is empty, by its id.
type DeleteTopic struct {
	Name string
	ID   model.TopicID
}

// DeleteTopicsReply answers DeleteTopics.
type DeleteTopicsReply struct{ Topics []DeletedTopic }

// DeletedTopic answers one DeleteTopic, with both name and id when the topic is known.
type DeletedTopic struct {
	Name string
	ID   model.TopicID
	Result
}

func (m *Machine) deleteTopics(recs *records, in DeleteTopics) DeleteTopicsReply {
	reply := DeleteTopicsReply{Topics: make([]DeletedTopic, len(in.Topics))}
	gone := map[model.TopicID]bool{}
	for i, t := range in.Topics {
		out := &reply.Topics[i]
		out.Name, out.ID = t.Name, t.ID
		topic, r := m.topicToDelete(t)
		if topic == nil {
			out.Result = r
			continue
		}
		out.Name, out.ID = topic.Name, topic.ID
		if gone[topic.ID] {
			out.Result = failure(model.InvalidRequest, "topic '%s' is named more than once", topic.Name)
			continue
		}
		gone[topic.ID] = true
		recs.add(&record.RemoveTopicRecord{TopicID: topic.ID}, firstVersion)
	}
	return reply
}

func (m *Machine) topicToDelete(t DeleteTopic) (*Topic, Result) {
	image := &m.ahead.image
	switch {
	case t.Name != "" && !t.ID.IsZero():
		return nil, failure(model.InvalidRequest, "topic '%s' must be named by its name or its id, not both", t.Name)
	case t.Name == "" && t.ID.IsZero():
		return nil, failure(model.InvalidRequest, "neither the name nor the id of the topic to delete is given")
	case t.Name == "":
		if topic := image.TopicByID(t.ID); topic != nil {
			return topic, Result{}
		}
		return nil, failure(model.UnknownTopicID, "there is no topic with the id %s", t.ID)
	}
	if topic := image.TopicByName(t.Name); topic != nil {
		return topic, Result{}
	}
	return nil, failure(model.UnknownTopicOrPartition, "there is no topic '%s'", t.Name)
}
