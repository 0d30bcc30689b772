package partition

import (
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/plog"
)

// ReadRequest asks for records from an offset on.
type ReadRequest struct {
	Offset   int64
	MaxBytes int
	// MinOne asks for the first batch whole even when it is larger than MaxBytes.
	MinOne bool
	// LeaderEpoch is what the reader believes the leader's epoch to be, -1 for none (KIP-320).
	LeaderEpoch int32
	// LastFetchedEpoch is the epoch of the last record that the reader has, -1 for none; a log that diverged from it is reported (KIP-595).
	LastFetchedEpoch int32
}

// ReadResult is what a read found. Records is empty at the end of the log and must be closed.
type ReadResult struct {
	HighWatermark    int64
	LastStableOffset int64
	LogStartOffset   int64
	Records          plog.Slice
	// More tells that there are further records, which did not fit or lie in another segment.
	More bool
	// Diverged tells where the reader's log left this one: the end of the largest epoch that both can have. DivergingEpoch is -1 when it did not.
	DivergingEpoch int32
	DivergingEnd   int64
}

// CheckEpoch compares a client's leader epoch with the one in force: None, FencedLeaderEpoch, UnknownLeaderEpoch, or NotLeaderForPartition. It is KafkaStorageError whenever
// the partition's directory is offline.
func (p *Partition) CheckEpoch(epoch int32) model.ErrorCode {
	own := p.leaderEpoch.Load()
	switch {
	case p.log.Lost() != nil:
		return model.KafkaStorageError
	case own < 0:
		return model.NotLeaderForPartition
	case epoch == plog.NoEpoch || epoch == own:
		return model.None
	case epoch < own:
		return model.FencedLeaderEpoch
	}
	return model.UnknownLeaderEpoch
}

// EpochEnd answers OffsetForLeaderEpoch: the greatest epoch up to the asked one, and the offset at which it ends. The epoch in force begins at the log's end
// even before its first record. Both are -1 for an epoch that is not known.
func (p *Partition) EpochEnd(epoch int32) (int32, int64) {
	own, last, end := p.leaderEpoch.Load(), p.log.LeaderEpoch(), p.log.EndOffset()
	switch {
	case epoch == plog.NoEpoch || epoch > own:
		return plog.NoEpoch, plog.NoOffset
	case epoch == own:
		return epoch, end
	case last == plog.NoEpoch: // nothing is left of what came before
		return epoch, end
	case epoch > last:
		return last, end
	}
	return p.log.EpochEnd(epoch)
}

// Read returns records below the high watermark. It takes no lock. The offsets in the result are valid with every error but those of CheckEpoch.
func (p *Partition) Read(r ReadRequest) (ReadResult, error) {
	if code := p.CheckEpoch(max(r.LeaderEpoch, plog.NoEpoch)); code != model.None {
		return ReadResult{HighWatermark: -1, LastStableOffset: -1, LogStartOffset: -1, DivergingEpoch: -1}, code
	}
	hw := p.highWatermark.Load()
	out := ReadResult{HighWatermark: hw, LastStableOffset: hw, LogStartOffset: p.log.StartOffset(), DivergingEpoch: -1}
	if r.LastFetchedEpoch >= 0 {
		epoch, end := p.EpochEnd(r.LastFetchedEpoch)
		if epoch == plog.NoEpoch {
			return out, model.OffsetOutOfRange // the reader has records of an epoch that never was
		}
		if epoch < r.LastFetchedEpoch || end < r.Offset {
			out.DivergingEpoch, out.DivergingEnd = epoch, end
			return out, nil
		}
	}
	if r.Offset < out.LogStartOffset || r.Offset > p.log.EndOffset() {
		return out, model.OffsetOutOfRange
	}
	if r.Offset >= hw {
		return out, nil
	}
	records, err := p.log.Read(r.Offset, hw, r.MaxBytes, r.MinOne)
	if err != nil {
		return out, err
	}
	out.Records, out.More = records, records.Len() > 0 && records.End() < hw
	return out, nil
}
