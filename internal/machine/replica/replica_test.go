package replica

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/ottla/ottla/internal/kafka/model"
)

func role(leader, epoch, partitionEpoch int32, isr ...int32) Role {
	return Role{Leader: leader, LeaderEpoch: epoch, PartitionEpoch: partitionEpoch, ISR: isr, Replicas: []int32{1, 2, 3}}
}

func TestOneReplicaFollowsItsOwnDisk(t *testing.T) {
	r := New(1, 7)
	if got := r.Admit(-1); got != model.NotLeaderForPartition {
		t.Fatalf("before any role: %v", got)
	}
	r.Assume(Role{Leader: 1, LeaderEpoch: 0, ISR: []int32{1}, Replicas: []int32{1}})
	if moved := r.Durable(1, 7); moved || r.HighWatermark() != 7 {
		t.Fatalf("moved %v to %d without new records", moved, r.HighWatermark())
	}
	if moved := r.Durable(1, 9); !moved || r.HighWatermark() != 9 {
		t.Fatalf("moved %v, high watermark %d, want 9", moved, r.HighWatermark())
	}
}

func TestAdmission(t *testing.T) {
	r := New(1, 0)
	r.Limit(2)
	r.Assume(role(1, 3, 0, 1))
	if got := r.Admit(-1); got != model.NotEnoughReplicas {
		t.Errorf("acks=all with one in-sync replica of two: %v", got)
	}
	if got := r.Admit(1); got != model.None {
		t.Errorf("acks=1 asks for the leader only: %v", got)
	}
	if r.Durable(1, 5) {
		t.Error("the high watermark moved with fewer in-sync replicas than min.insync.replicas")
	}
	r.Assume(role(1, 3, 1, 1, 2))
	if !r.Durable(2, 4) || r.HighWatermark() != 4 {
		t.Errorf("high watermark %d, want 4", r.HighWatermark())
	}
	r.Assume(role(2, 4, 2, 1, 2))
	if got := r.Admit(1); got != model.NotLeaderForPartition {
		t.Errorf("after losing the leadership: %v", got)
	}
}

func TestOldRolesAreIgnored(t *testing.T) {
	r := New(1, 0)
	r.Assume(role(1, 5, 2, 1))
	if r.Assume(role(2, 4, 9, 2)) || r.Assume(role(1, 5, 1, 1, 2)) {
		t.Error("an older role was assumed")
	}
	if !r.Leads() {
		t.Error("the leadership was lost to an older role")
	}
}

// The high watermark never passes the durable end of an in-sync replica and never moves back (I1, I2).
func TestHighWatermarkProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := New(1, 0)
		minISR := rapid.Int32Range(1, 3).Draw(t, "min.insync.replicas")
		r.Limit(minISR)
		durable := map[int32]int64{}
		epoch := int32(0)
		before := int64(0)
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			if rapid.IntRange(0, 9).Draw(t, "what") == 0 {
				epoch++
				durable = map[int32]int64{} // reports of an older epoch do not count
				isr := []int32{1}
				for _, id := range []int32{2, 3} {
					if rapid.Bool().Draw(t, "in sync") {
						isr = append(isr, id)
					}
				}
				r.Assume(role(1, epoch, epoch, isr...))
			} else {
				id, end := rapid.Int32Range(1, 4).Draw(t, "replica"), rapid.Int64Range(0, 100).Draw(t, "end")
				r.Durable(id, end)
				durable[id] = max(durable[id], end)
			}
			hw := r.HighWatermark()
			if hw < before {
				t.Fatalf("the high watermark went from %d to %d", before, hw)
			}
			if hw > before {
				if int32(len(r.Role().ISR)) < minISR {
					t.Fatalf("it moved with %d in-sync replicas of %d", len(r.Role().ISR), minISR)
				}
				for _, id := range r.Role().ISR {
					if durable[id] < hw {
						t.Fatalf("high watermark %d is past replica %d's %d", hw, id, durable[id])
					}
				}
			}
			before = hw
		}
	})
}
