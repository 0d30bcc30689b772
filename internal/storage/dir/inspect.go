package dir

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path/filepath"

	"github.com/ottla/ottla/internal/storage/vfs"
)

// What follows reads a directory's files for whoever looks at them without opening the directory: no lock is taken and nothing is changed. On the directory of a running
// node every file is one that was whole at some moment, but not all of them of the same one.

// The files of a directory.
const (
	LockFile        = lockFile
	MetaFile        = metaFile
	FormatFile      = formatFile
	CleanFile       = cleanFile
	TurnFile        = turnFile
	ManifestFile    = manifestFile
	InventoryFile   = inventoryFile
	JournalFile     = journalFile
	RecoveryFile    = recoveryFile
	StartFile       = startFile
	ReplicationFile = replicationFile
	TemporarySuffix = temporarySuffix
	DeletedSuffix   = deletedSuffix
)

// SplitName splits the name of a log's directory into topic and partition; ok is false for every other name.
func SplitName(name string) (topic string, partition int32, ok bool) { return splitName(name) }

// ParseMeta reads a meta.properties.
func ParseMeta(name string, data []byte) (Meta, error) { return parseMeta(name, data) }

// ParseProperties reads key=value lines.
func ParseProperties(data []byte) map[string]string { return parseProperties(data) }

// ParseOffsets reads a checkpoint of offsets by log.
func ParseOffsets(data []byte) (map[string]int64, error) { return parseOffsets(data) }

// ParseCleanMarker reads the broker epoch of a clean stop, NoBrokerEpoch when it has none.
func ParseCleanMarker(data []byte) (brokerEpoch int64, err error) {
	marker := cleanMarker{BrokerEpoch: NoBrokerEpoch}
	err = json.Unmarshal(data, &marker)
	return marker.BrokerEpoch, err
}

// Manifest is the whole of ottla.manifest.
type Manifest struct {
	// RecoverySum and BeforeSum are the checksums of the recovery-point file that follows the manifest, and of the one that a crash in between leaves.
	RecoverySum, BeforeSum uint32
	Entries                map[string]*Entry
}

// ParseManifest reads a manifest, whether or not it fits the recovery-point file beside it.
func ParseManifest(data []byte) (*Manifest, error) {
	m := &Manifest{}
	if len(data) >= manifestHeaderSize {
		p := data[len(manifestMagic):]
		m.RecoverySum, m.BeforeSum = binary.BigEndian.Uint32(p[8:]), binary.BigEndian.Uint32(p[12:])
	}
	var err error
	m.Entries, err = parseManifest(data, m.RecoverySum)
	return m, err
}

// Fits tells whether the manifest may be believed beside a recovery-point file with these bytes.
func (m *Manifest) Fits(recovery []byte) bool {
	sum := crc32.Checksum(recovery, castagnoli)
	return sum == m.RecoverySum || sum == m.BeforeSum
}

// Inventory is the whole of ottla.inventory: the files of every log's directory, by the log's name.
type Inventory struct {
	// ManifestSum is the checksum of the manifest that it belongs to.
	ManifestSum uint32
	Logs        map[string][]vfs.DirEntry
}

// ParseInventory reads an inventory, whatever manifest is beside it.
func ParseInventory(data []byte) (*Inventory, error) {
	out := &Inventory{Logs: map[string][]vfs.DirEntry{}}
	if len(data) >= inventoryHeaderSize {
		out.ManifestSum = binary.BigEndian.Uint32(data[len(inventoryMagic)+8:])
	}
	x, err := parseInventory(data, out.ManifestSum)
	for name, c := range x {
		out.Logs[name] = c.files
	}
	return out, err
}

// JournalFrame is one frame of a journal.
type JournalFrame struct {
	Half             int
	Position, Length int64
	Sequence, Oldest uint64
	Writes           []JournalWrite
}

// JournalWrite is one write in a frame.
type JournalWrite struct {
	Log            string
	Base, Position int64
	Size           int
}

// JournalInfo is the first page of a journal.
type JournalInfo struct {
	Salt uint64
	Half int64 // bytes of each half
}

// ReadJournal reads the frames of a journal in the order of their places, those of each half as far as they follow one another. It fails on a bad first page.
func ReadJournal(file vfs.File, f func(JournalFrame) error) (JournalInfo, error) {
	size, err := file.Size()
	if err != nil {
		return JournalInfo{}, err
	}
	page := make([]byte, journalPage)
	if n, err := file.ReadAt(page, 0); n < journalPage {
		if err == nil || errors.Is(err, io.EOF) {
			err = fmt.Errorf("it has %d bytes, less than its first page", size)
		}
		return JournalInfo{}, err
	}
	header, ok := parseJournalHeader(page, size)
	if !ok {
		return JournalInfo{}, errors.New("its first page is damaged")
	}
	p := replayer{file: file, header: header}
	for half := range 2 {
		c, err := p.read(half)
		if err != nil {
			return JournalInfo{}, err
		}
		at := journalPage + int64(half)*header.half
		for _, x := range c.frames {
			out := JournalFrame{Half: half, Position: at, Length: x.length, Sequence: x.sequence, Oldest: x.oldest}
			whole := make([]byte, x.length)
			if _, err := file.ReadAt(whole, at); err != nil {
				return JournalInfo{}, err
			}
			err := parseFrame(whole, x.count, func(w journaled) error {
				out.Writes = append(out.Writes, JournalWrite{w.log, w.base, w.at, len(w.data)})
				return nil
			})
			if err == nil {
				err = f(out)
			}
			if err != nil {
				return JournalInfo{}, err
			}
			at += x.padded()
		}
	}
	return JournalInfo{header.salt, header.half}, nil
}

// View is what a directory says of its logs, as the next start would read it.
type View struct {
	Meta      Meta
	Ours      bool // it has ottla.format; else it is Apache Kafka's
	Clean     bool // it has the marker of a clean stop
	Running   bool // Ottla uses it, or died; with Clean, Apache Kafka stopped cleanly after that
	Journal   bool // it has a journal
	Recovery  map[string]int64
	Starts    map[string]int64
	Watermark map[string]int64
	Manifest  *Manifest // nil when there is none that may be believed
	// Problems are the files that cannot be used, by name.
	Problems map[string]error
}

// Look reads a directory's own files. An error is one of the disk, or a directory that is none of a node; damaged files are among View.Problems.
func Look(fsys vfs.FS, path string) (*View, error) {
	v := &View{Problems: map[string]error{}}
	meta, err := ReadMeta(fsys, path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s is no log directory: it has no %s", path, metaFile)
	}
	if err != nil {
		v.Problems[metaFile] = err
	}
	v.Meta = meta
	read := func(name string) ([]byte, bool, error) {
		data, err := vfs.ReadSmall(fsys, filepath.Join(path, name))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, false, nil
		}
		return data, err == nil, err
	}
	if _, v.Ours, err = read(formatFile); err != nil {
		return nil, err
	}
	if _, v.Clean, err = read(cleanFile); err != nil {
		return nil, err
	}
	if _, v.Running, err = read(turnFile); err != nil {
		return nil, err
	}
	if _, err := fsys.Stat(filepath.Join(path, journalFile)); err == nil {
		v.Journal = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	_, manifest, err := read(manifestFile)
	if err != nil {
		return nil, err
	}
	var recovery []byte
	for _, c := range []struct {
		name string
		into *map[string]int64
	}{{recoveryFile, &v.Recovery}, {startFile, &v.Starts}, {replicationFile, &v.Watermark}} {
		data, there, err := read(c.name)
		if err != nil {
			return nil, err
		}
		if c.name == recoveryFile {
			recovery = data
		}
		*c.into = map[string]int64{}
		if !there || len(data) == 0 && !manifest { // Kafka makes its checkpoints empty
			continue
		}
		o, err := parseOffsets(data)
		if err != nil {
			v.Problems[c.name] = err
			continue
		}
		*c.into = o
	}
	return v, v.lookAtManifest(read, recovery)
}

func (v *View) lookAtManifest(read func(string) ([]byte, bool, error), recovery []byte) error {
	data, there, err := read(manifestFile)
	if err != nil || !there {
		return err
	}
	m, err := ParseManifest(data)
	switch {
	case err != nil:
		v.Problems[manifestFile] = err
	case m.Fits(recovery), v.Problems[recoveryFile] != nil: // what cannot be read is nobody else's
		v.Manifest = m
	}
	return nil
}

// RecoveryPoint is the offset below which a log is synced, -1 when nothing says so.
func (v *View) RecoveryPoint(name string) int64 {
	if v.Manifest != nil {
		if e := v.Manifest.Entries[name]; e != nil {
			return e.RecoveryPoint
		}
	}
	if offset, ok := v.Recovery[name]; ok {
		return offset
	}
	return -1
}

// StartOffset is the offset below which a log's records are deleted, -1 when nothing says so.
func (v *View) StartOffset(name string) int64 {
	out := int64(-1)
	if offset, ok := v.Starts[name]; ok {
		out = offset
	}
	if v.Manifest != nil {
		if e := v.Manifest.Entries[name]; e != nil {
			out = max(out, e.StartOffset)
		}
	}
	return out
}
