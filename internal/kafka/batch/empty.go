package batch

import (
	"encoding/binary"
	"hash/crc32"
)

// Empty returns a batch without records that takes the offsets from base to last, as compaction leaves one where it may not leave a gap. Readers go on behind it.
func Empty(base, last int64, leaderEpoch int32) Batch {
	b := Batch(make([]byte, HeaderSize))
	binary.BigEndian.PutUint64(b[baseOffsetAt:], uint64(base))
	binary.BigEndian.PutUint32(b[lengthAt:], HeaderSize-Overhead)
	binary.BigEndian.PutUint32(b[leaderEpochAt:], uint32(leaderEpoch))
	b[magicAt] = Magic
	binary.BigEndian.PutUint32(b[lastOffsetDeltaAt:], uint32(last-base))
	for _, at := range [...]int{baseTimestampAt, maxTimestampAt, producerIDAt} {
		binary.BigEndian.PutUint64(b[at:], ^uint64(0)) // none
	}
	binary.BigEndian.PutUint16(b[producerEpochAt:], ^uint16(0))
	binary.BigEndian.PutUint32(b[baseSequenceAt:], ^uint32(0))
	binary.BigEndian.PutUint32(b[crcAt:], crc32.Checksum(b[attributesAt:], castagnoli))
	return b
}
