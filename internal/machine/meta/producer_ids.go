package meta

import (
	"math"

	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/machine/meta/record"
)

// ProducerIDBlock is how many producer ids a broker gets at once, as in Kafka.
const ProducerIDBlock = 1000

// AllocateProducerIDs gives a broker a block of producer ids that nobody else got or will get. The reply is a ProducerIDsReply.
type AllocateProducerIDs struct {
	Broker int32
	Epoch  int64
}

// ProducerIDsReply has the block First … First+Count-1.
type ProducerIDsReply struct {
	Result
	First int64
	Count int32
}

func (m *Machine) allocateProducerIDs(recs *records, in AllocateProducerIDs) ProducerIDsReply {
	b, r := m.checkEpoch(in.Broker, in.Epoch)
	if b == nil {
		return ProducerIDsReply{Result: r}
	}
	first := m.ahead.image.nextProducerID
	if first > math.MaxInt64-ProducerIDBlock {
		return ProducerIDsReply{Result: failure(model.UnknownServerError, "all producer ids have been given out")}
	}
	recs.add(&record.ProducerIdsRecord{BrokerID: in.Broker, BrokerEpoch: in.Epoch, NextProducerID: first + ProducerIDBlock}, firstVersion)
	return ProducerIDsReply{First: first, Count: ProducerIDBlock}
}
