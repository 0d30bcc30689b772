package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// A producer snapshot in Kafka's format, see docs/format/snapshot.md: version, CRC-32C of what follows, count, entries.
const (
	snapshotVersion    = 1
	snapshotHeaderSize = 2 + 4 + 4
	snapshotEntrySize  = 8 + 2 + 4 + 8 + 4 + 8 + 4 + 8
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

var errSnapshot = errors.New("producer snapshot is not usable")

// encodeSnapshot writes the last batch of every producer: Kafka's format has room for no more.
func encodeSnapshot(ps producers) []byte {
	out := make([]byte, snapshotHeaderSize, snapshotHeaderSize+len(ps)*snapshotEntrySize)
	binary.BigEndian.PutUint16(out, snapshotVersion)
	binary.BigEndian.PutUint32(out[6:], uint32(len(ps)))
	for _, id := range ps.ids() {
		p := ps[id]
		last := appended{lastSequence: -1, lastOffset: -1}
		if a, ok := p.last(); ok {
			last = a
		}
		out = binary.BigEndian.AppendUint64(out, uint64(id))
		out = binary.BigEndian.AppendUint16(out, uint16(p.epoch))
		out = binary.BigEndian.AppendUint32(out, uint32(last.lastSequence))
		out = binary.BigEndian.AppendUint64(out, uint64(last.lastOffset))
		out = binary.BigEndian.AppendUint32(out, uint32(last.offsetDelta))
		out = binary.BigEndian.AppendUint64(out, uint64(p.timestamp))
		out = binary.BigEndian.AppendUint32(out, uint32(p.coordinatorEpoch))
		out = binary.BigEndian.AppendUint64(out, uint64(p.txnFirst))
	}
	binary.BigEndian.PutUint32(out[2:], crc32.Checksum(out[6:], castagnoli))
	return out
}

// parseSnapshot reads a snapshot of ours or of Kafka.
func parseSnapshot(data []byte) (producers, error) {
	if len(data) < snapshotHeaderSize {
		return nil, fmt.Errorf("%w: it has %d bytes", errSnapshot, len(data))
	}
	if v := binary.BigEndian.Uint16(data); v != snapshotVersion {
		return nil, fmt.Errorf("%w: version %d, want %d", errSnapshot, v, snapshotVersion)
	}
	if binary.BigEndian.Uint32(data[2:]) != crc32.Checksum(data[6:], castagnoli) {
		return nil, fmt.Errorf("%w: its checksum differs", errSnapshot)
	}
	count, p := int64(int32(binary.BigEndian.Uint32(data[6:]))), data[snapshotHeaderSize:]
	if count < 0 || count*snapshotEntrySize != int64(len(p)) {
		return nil, fmt.Errorf("%w: %d entries announced in %d bytes", errSnapshot, count, len(p))
	}
	if count == 0 {
		return nil, nil
	}
	out := make(producers, count)
	for ; len(p) > 0; p = p[snapshotEntrySize:] {
		x := newProducer()
		x.epoch = int16(binary.BigEndian.Uint16(p[8:]))
		last := appended{
			lastSequence: int32(binary.BigEndian.Uint32(p[10:])),
			lastOffset:   int64(binary.BigEndian.Uint64(p[14:])),
			offsetDelta:  int32(binary.BigEndian.Uint32(p[22:])),
			timestamp:    int64(binary.BigEndian.Uint64(p[26:])),
		}
		if last.lastOffset >= 0 {
			x.add(last)
		}
		x.timestamp = last.timestamp
		x.coordinatorEpoch = int32(binary.BigEndian.Uint32(p[34:]))
		x.txnFirst = max(NoOffset, int64(binary.BigEndian.Uint64(p[38:])))
		out[int64(binary.BigEndian.Uint64(p))] = x
	}
	return out, nil
}
