package dir

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// manifestFile holds, beside each recovery point, what a log needs to open without opening a file; see docs/format/manifest.md.
const manifestFile = "ottla.manifest"

const (
	manifestMagic      = "OTTLAMAN"
	manifestVersion    = 1
	manifestHeaderSize = len(manifestMagic) + 5*4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Entry is what one log has in the checkpoint.
type Entry struct {
	// RecoveryPoint is an offset at or below what is synced; a scan after a crash begins here.
	RecoveryPoint int64
	// StartOffset is the first offset that is not deleted, when it lies above the first segment's base offset; else -1.
	StartOffset int64
	// HighWatermark as of the checkpoint: a hint.
	HighWatermark int64
	// Cleaned is the offset up to which the log is compacted, -1 when it never was. It stands in its own checkpoint, not in the manifest.
	Cleaned int64
	// State is the log's own: everything it needs at RecoveryPoint.
	State []byte
}

// encodeManifest binds the entries to the recovery-point file that is written after it, and to the one that a crash in between leaves.
func encodeManifest(names []string, entries map[string]*Entry, recovery, before uint32) []byte {
	size := manifestHeaderSize
	for _, name := range names {
		size += 2 + len(name) + 8 + 8 + 4 + len(entries[name].State)
	}
	out := make([]byte, 0, size)
	out = append(out, manifestMagic...)
	out = binary.BigEndian.AppendUint32(out, manifestVersion)
	out = binary.BigEndian.AppendUint32(out, 0) // the checksum of all that follows
	out = binary.BigEndian.AppendUint32(out, recovery)
	out = binary.BigEndian.AppendUint32(out, before)
	out = binary.BigEndian.AppendUint32(out, uint32(len(names)))
	for _, name := range names {
		e := entries[name]
		out = binary.BigEndian.AppendUint16(out, uint16(len(name)))
		out = append(out, name...)
		out = binary.BigEndian.AppendUint64(out, uint64(e.RecoveryPoint))
		out = binary.BigEndian.AppendUint64(out, uint64(e.StartOffset))
		out = binary.BigEndian.AppendUint32(out, uint32(len(e.State)))
		out = append(out, e.State...)
	}
	sum := len(manifestMagic) + 4
	binary.BigEndian.PutUint32(out[sum:], crc32.Checksum(out[sum+4:], castagnoli))
	return out
}

var errManifest = errors.New("manifest is not usable")

// parseManifest returns the entries, or an error when the file is damaged or the recovery-point file, whose checksum is given, is of neither kind it knows: then somebody
// else wrote that. Entries alias data.
func parseManifest(data []byte, recovery uint32) (map[string]*Entry, error) {
	if len(data) < manifestHeaderSize || string(data[:len(manifestMagic)]) != manifestMagic {
		return nil, fmt.Errorf("%w: no manifest header", errManifest)
	}
	p := data[len(manifestMagic):]
	version, sum, count := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:]), binary.BigEndian.Uint32(p[16:])
	switch {
	case version != manifestVersion:
		return nil, fmt.Errorf("%w: version %d, want %d", errManifest, version, manifestVersion)
	case sum != crc32.Checksum(p[8:], castagnoli):
		return nil, fmt.Errorf("%w: its checksum differs", errManifest)
	case recovery != binary.BigEndian.Uint32(p[8:]) && recovery != binary.BigEndian.Uint32(p[12:]):
		return nil, fmt.Errorf("%w: %s was written without it", errManifest, recoveryFile)
	}
	p = p[20:]
	out := make(map[string]*Entry, min(int(count), len(p)/22))
	for range count {
		if len(p) < 2 {
			return nil, fmt.Errorf("%w: it ends early", errManifest)
		}
		n := int(binary.BigEndian.Uint16(p))
		if p = p[2:]; len(p) < n+20 {
			return nil, fmt.Errorf("%w: it ends early", errManifest)
		}
		name := string(p[:n])
		e := &Entry{RecoveryPoint: int64(binary.BigEndian.Uint64(p[n:])), StartOffset: int64(binary.BigEndian.Uint64(p[n+8:]))}
		size := int64(binary.BigEndian.Uint32(p[n+16:]))
		if p = p[n+20:]; int64(len(p)) < size {
			return nil, fmt.Errorf("%w: it ends early", errManifest)
		}
		if size > 0 {
			e.State = p[:size:size]
		}
		p = p[size:]
		out[name] = e
	}
	if len(p) != 0 {
		return nil, fmt.Errorf("%w: %d bytes too many", errManifest, len(p))
	}
	return out, nil
}
