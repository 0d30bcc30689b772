package plog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// txnEntrySize is the size of an entry of Kafka's transaction index, txnVersion the one version it has.
const (
	txnEntrySize = 2 + 4*8
	txnVersion   = 0
)

// abortedTxn is one aborted transaction, as Kafka's transaction index of the segment with its marker has it.
type abortedTxn struct {
	producerID int64
	first      int64 // offset of its first record
	marker     int64 // of the marker that ends it
	stable     int64 // last stable offset once it had ended
}

func appendTxn(out []byte, a abortedTxn) []byte {
	out = binary.BigEndian.AppendUint16(out, txnVersion)
	for _, v := range [...]int64{a.producerID, a.first, a.marker, a.stable} {
		out = binary.BigEndian.AppendUint64(out, uint64(v))
	}
	return out
}

// parseTxns reads a whole transaction index. What is left at its end is an entry that a crash cut short.
func parseTxns(data []byte) ([]abortedTxn, error) {
	var out []abortedTxn
	for at := 0; at+txnEntrySize <= len(data); at += txnEntrySize {
		p := data[at : at+txnEntrySize]
		if v := binary.BigEndian.Uint16(p); v != txnVersion {
			return out, fmt.Errorf("entry %d has version %d; only %d is known", at/txnEntrySize, v, txnVersion)
		}
		field := func(i int) int64 { return int64(binary.BigEndian.Uint64(p[2+8*i:])) }
		a := abortedTxn{field(0), field(1), field(2), field(3)}
		if a.producerID < 0 || a.first < 0 || a.marker < a.first {
			return out, fmt.Errorf("entry %d is of producer %d and offsets %d to %d", at/txnEntrySize, a.producerID, a.first, a.marker)
		}
		out = append(out, a)
	}
	return out, nil
}

// readTxns reads the transaction index of a segment; none is an empty one. A damaged one is passed over from the damage on: it is a hint as long as the batches are there.
func (l *Log) readTxns(s *segment) ([]abortedTxn, error) {
	name := l.fileName(s.base, txnIndexSuffix)
	data, err := vfs.ReadSmall(l.dir.FS(), name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	out, err := parseTxns(data)
	if err != nil {
		l.dir.Logger().Warn("a transaction index is damaged", "log", l.name, "file", name, "error", err)
	}
	return out, nil
}
