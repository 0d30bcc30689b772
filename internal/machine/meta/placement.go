package meta

import (
	"encoding/binary"
	"slices"

	"github.com/ottla/ottla/internal/kafka/model"
)

// place spreads partitions first…first+count-1 of the topic over the brokers: leaders round robin from a start that depends on the topic's id, followers
// shifted once more after each round, so that neither leaders nor pairs of replicas gather on one broker. Fenced brokers only follow, and only when
// the active ones are too few.
func place(image *Image, id model.TopicID, first, count, replicationFactor int) ([][]int32, Result) {
	var active, fenced []int32
	for _, b := range image.brokers {
		if b.Active() {
			active = append(active, b.ID)
		} else {
			fenced = append(fenced, b.ID)
		}
	}
	known := len(active) + len(fenced)
	switch {
	case replicationFactor > known:
		return nil, failure(model.InvalidReplicationFactor, "a replication factor of %d needs as many brokers, but only %d %s registered: lower it or start more brokers",
			replicationFactor, known, plural(known, "is", "are"))
	case len(active) == 0:
		return nil, failure(model.InvalidReplicationFactor, "all brokers are fenced: no partition can be placed before one of them is back")
	}
	start := int(binary.BigEndian.Uint32(id[:4]) % uint32(len(active)))
	out := make([][]int32, 0, count)
	for n := first; n < first+count; n++ {
		out = append(out, replicasOf(active, fenced, start, n, replicationFactor))
	}
	return out, Result{}
}

func replicasOf(active, fenced []int32, start, number, replicationFactor int) []int32 {
	leader := (start + number) % len(active)
	followers := append(slices.Clone(active[leader+1:]), active[:leader]...)
	if n := len(followers); n > 0 {
		shift := number / len(active) % n
		followers = append(followers[shift:n:n], followers[:shift]...)
	}
	if n := len(fenced); n > 0 {
		shift := (start + number) % n
		followers = append(append(followers, fenced[shift:]...), fenced[:shift]...)
	}
	return append([]int32{active[leader]}, followers[:replicationFactor-1]...)
}

func plural(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

// checkAssignment judges replicas that a user chose for a partition; want is the replication factor of the partitions before it, 0 for the first.
func checkAssignment(image *Image, number int32, replicas []int32, want int) Result {
	invalid := func(format string, args ...any) Result {
		return failure(model.InvalidReplicaAssignment, "the replicas chosen for partition %d are not possible: "+format, append([]any{number}, args...)...)
	}
	if len(replicas) == 0 {
		return invalid("there are none")
	}
	if want != 0 && len(replicas) != want {
		return invalid("they are %d, where other partitions of the topic have %d", len(replicas), want)
	}
	active := 0
	for i, id := range replicas {
		b := image.Broker(id)
		switch {
		case b == nil:
			return invalid("broker %d is not registered", id)
		case slices.Contains(replicas[:i], id):
			return invalid("broker %d is named twice", id)
		case b.Active():
			active++
		}
	}
	if active == 0 {
		return invalid("all of their brokers are fenced or shutting down")
	}
	return Result{}
}
