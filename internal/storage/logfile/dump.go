package logfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/plog"
	"github.com/ottla/ottla/internal/storage/vfs"
)

// recordLimit bounds the memory for the records of one batch when they are compressed.
const recordLimit = 1 << 30

// DumpOptions say what Dump shows.
type DumpOptions struct {
	Records  bool // the records of each batch, not its header alone
	Raw      bool // records of the cluster's own topics undecoded
	Encoding Encoding
	From, To int64 // offsets of batches and records; To is exclusive
}

// AllOffsets are the options' From and To for everything.
const AllOffsets = math.MaxInt64

// ErrDamaged says that something shown was torn or damaged; the entries told where.
var ErrDamaged = errors.New("there is damage, or a torn end")

// Dump shows what a file has, or the files of a partition's directory, calling emit in the order of the files. It ends with ErrDamaged when it met a place that makes no
// sense; what is sound behind that in the same file is shown too.
func Dump(fsys vfs.FS, path string, o DumpOptions, emit func(Entry) error) error {
	d := dumper{fs: fsys, options: o, emit: emit}
	info, err := fsys.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir {
		err = d.file(path)
	} else {
		err = d.directory(path)
	}
	if err == nil && d.damaged {
		err = ErrDamaged
	}
	return err
}

type dumper struct {
	fs      vfs.FS
	options DumpOptions
	emit    func(Entry) error
	damaged bool
	reader  batch.Reader
}

func (d *dumper) directory(path string) error {
	entries, err := d.fs.ReadDir(path)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir {
			continue
		}
		name := filepath.Join(path, e.Name)
		if kind := kindOf(e.Name); kind == "" {
			continue
		}
		if err := d.file(name); err != nil {
			return err
		}
	}
	return nil
}

// kindOf says what a file is by its name; "" for what Dump does not read.
func kindOf(name string) string {
	switch name {
	case plog.EpochFile, plog.IdentityFile, dir.RecoveryFile, dir.StartFile, dir.ReplicationFile, dir.ManifestFile, dir.InventoryFile, dir.JournalFile, dir.MetaFile, dir.FormatFile, dir.CleanFile:
		return name
	}
	plain := strings.TrimSuffix(name, plog.DeletedSuffix)
	if _, suffix, ok := plog.ParseFileName(plain); ok {
		return suffix
	}
	switch filepath.Ext(plain) {
	case plog.CutSuffix, plog.LogSuffix, plog.IndexSuffix, plog.TimeIndexSuffix, plog.SnapshotSuffix, plog.TxnIndexSuffix, checkpointSuffix:
		return filepath.Ext(plain)
	}
	return ""
}

var typeNames = map[string]string{
	plog.LogSuffix: "segment", plog.CutSuffix: "what recovery cut off", checkpointSuffix: "metadata snapshot", plog.IndexSuffix: "offset index", plog.TimeIndexSuffix: "time index",
	plog.SnapshotSuffix: "producer snapshot", plog.TxnIndexSuffix: "transaction index", plog.EpochFile: "leader epochs", plog.IdentityFile: "partition's identity",
	dir.RecoveryFile: "recovery points", dir.StartFile: "start offsets", dir.ReplicationFile: "high watermarks", dir.ManifestFile: "manifest", dir.InventoryFile: "inventory", dir.JournalFile: "journal",
	dir.MetaFile: "directory's identity", dir.FormatFile: "directory's format", dir.CleanFile: "marker of a clean stop",
}

func (d *dumper) file(path string) error {
	name := filepath.Base(path)
	kind := kindOf(name)
	if kind == "" {
		return fmt.Errorf("%s: the name is none of a log directory's files; segments, indexes, snapshots, checkpoints, journals and manifests can be shown", path)
	}
	info, err := d.fs.Stat(path)
	if err != nil {
		return err
	}
	if err := d.emit(FileEntry{"file", path, typeNames[kind], info.Size}); err != nil {
		return err
	}
	base, _, _ := plog.ParseFileName(strings.TrimSuffix(name, plog.DeletedSuffix))
	switch kind {
	case plog.LogSuffix, plog.CutSuffix, checkpointSuffix:
		return d.batches(path)
	case plog.IndexSuffix:
		return d.table(path, plog.IndexEntrySize, func(p []byte) Entry {
			e := plog.ParseIndexEntry(p, base)
			return IndexLine{"index", e.Offset, e.Position}
		})
	case plog.TimeIndexSuffix:
		return d.table(path, plog.TimeEntrySize, func(p []byte) Entry {
			e := plog.ParseTimeEntry(p, base)
			return TimeLine{"timeindex", e.Timestamp, e.Offset}
		})
	case plog.TxnIndexSuffix:
		return d.table(path, txnEntrySize, parseTxn)
	case dir.JournalFile:
		return d.journal(path)
	}
	return d.small(path, kind)
}

// batches shows the batches of a segment. Behind damage it goes on where sound batches begin again.
func (d *dumper) batches(path string) (err error) {
	f, err := d.fs.OpenRead(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	size, err := f.Size()
	if err != nil {
		return err
	}
	topic, _, _ := dir.SplitName(filepath.Base(filepath.Dir(path)))
	if kindOf(filepath.Base(path)) == checkpointSuffix {
		topic = model.MetadataTopic // wherever it lies
	}
	decode := decoderFor(topic)
	if d.options.Raw {
		decode = func(batch.Batch, *batch.Record) *Decoded { return nil }
	}
	s, expect := newScanner(f, 0, size), int64(-1)
	if base, suffix, ok := plog.ParseFileName(filepath.Base(path)); ok && suffix == plog.LogSuffix {
		expect = base
	} else if kindOf(filepath.Base(path)) == checkpointSuffix {
		expect = 0
	}
	for {
		ok, err := s.step()
		if err != nil {
			return err
		}
		if ok {
			expect = s.head.NextOffset()
			if err := d.batch(s, decode); err != nil {
				return err
			}
			continue
		}
		if s.damage == nil {
			return nil
		}
		if ok, err := d.stopped(path, s, expect); err != nil || !ok {
			return err
		}
	}
}

// stopped reports damage and goes behind it, if anything there is sound.
func (d *dumper) stopped(path string, s *scanner, expect int64) (again bool, err error) {
	d.damaged = true
	e := StopEntry{Kind: "stop", Path: path, Position: s.damage.Position, Bytes: s.size - s.damage.Position, Offset: expect, Torn: s.damage.Torn, Reason: s.damage.Reason}
	again, err = s.resume(max(0, expect), max(0, expect)+math.MaxInt32)
	if err != nil {
		return false, err
	}
	if again {
		e.ResumeAt, e.Torn = new(s.next), false
	}
	return again, d.emit(e)
}

func (d *dumper) batch(s *scanner, decode decoder) error {
	if s.head.NextOffset() <= d.options.From || s.head.BaseOffset() >= d.options.To {
		return nil
	}
	if err := d.emit(batchEntry(s.head, s.at)); err != nil || !d.options.Records {
		return err
	}
	b, err := s.batch()
	if err == nil {
		err = d.reader.Reset(b, recordLimit)
	}
	for err == nil && d.reader.Next() {
		r := d.reader.Record()
		if r.Offset < d.options.From || r.Offset >= d.options.To {
			continue
		}
		if err := d.emit(recordEntry(b, &r, d.options.Encoding, decode)); err != nil {
			return err
		}
	}
	if err == nil {
		err = d.reader.Err()
	}
	if err != nil { // the checksum is right and the contents are not: the producer made it so
		d.damaged = true
		return d.emit(StopEntry{Kind: "stop", Path: s.file.Name(), Position: s.at, Bytes: int64(s.head.Size()), Offset: s.head.BaseOffset(), Reason: "its records cannot be read: " + err.Error(), ResumeAt: new(s.next)})
	}
	return nil
}

func recordEntry(b batch.Batch, r *batch.Record, e Encoding, decode decoder) RecordEntry {
	out := RecordEntry{Kind: "record", Offset: r.Offset, Timestamp: r.Timestamp, Key: show(r.Key, e), Value: show(r.Value, e), Decoded: decode(b, r)}
	for key, value := range r.Headers() {
		out.Headers = append(out.Headers, Header{string(key), show(value, e)})
	}
	return out
}

// txnEntrySize is the size of an entry of Kafka's transaction index.
const txnEntrySize = 2 + 4*8

func parseTxn(p []byte) Entry {
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64(p[2+8*i:])) }
	return TxnLine{"txnindex", int16(binary.BigEndian.Uint16(p)), at(0), at(1), at(2), at(3)}
}

// table shows a file of entries of one size. Kafka preallocates its indexes: entries of zeros behind the first are room, not entries.
func (d *dumper) table(path string, size int, entry func([]byte) Entry) (err error) {
	f, err := d.fs.OpenRead(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	length, err := f.Size()
	if err != nil {
		return err
	}
	buf := make([]byte, size*4096)
	zero := string(make([]byte, size))
	for at := int64(0); at+int64(size) <= length; {
		p := buf[:min(int64(len(buf)), (length-at)/int64(size)*int64(size))]
		if err := vfs.ReadFull(f, p, at); err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		for ; len(p) > 0; p = p[size:] {
			if at > 0 && string(p[:size]) == zero {
				return nil
			}
			if err := d.emit(entry(p[:size])); err != nil {
				return err
			}
			at += int64(size)
		}
	}
	if rest := length % int64(size); rest != 0 {
		d.damaged = true
		return d.emit(StopEntry{Kind: "stop", Path: path, Position: length - rest, Bytes: rest, Offset: -1, Torn: true, Reason: fmt.Sprintf("its length is no multiple of %d", size)})
	}
	return nil
}

func (d *dumper) journal(path string) (err error) {
	f, err := d.fs.OpenRead(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	_, err = dir.ReadJournal(f, func(x dir.JournalFrame) error {
		e := FrameLine{Kind: "frame", Half: x.Half, Position: x.Position, Bytes: x.Length, Sequence: x.Sequence, Oldest: x.Oldest, Writes: []WriteLine{}}
		for _, w := range x.Writes {
			e.Writes = append(e.Writes, WriteLine{w.Log, w.Base, w.Position, w.Size})
		}
		return d.emit(e)
	})
	return err
}

// small shows a file that is read as a whole.
func (d *dumper) small(path, kind string) error {
	data, err := vfs.ReadSmall(d.fs, path)
	if err != nil {
		return err
	}
	entries, err := smallEntries(path, kind, data)
	for _, e := range entries {
		if err := d.emit(e); err != nil {
			return err
		}
	}
	if err != nil {
		d.damaged = true
		return d.emit(StopEntry{Kind: "stop", Path: path, Bytes: int64(len(data)), Offset: -1, Reason: err.Error()})
	}
	return nil
}

func smallEntries(path, kind string, data []byte) (out []Entry, err error) {
	switch kind {
	case plog.SnapshotSuffix:
		ps, err := plog.ParseSnapshot(data)
		for _, p := range ps {
			out = append(out, producerLine(p))
		}
		return out, err
	case plog.EpochFile:
		es, err := plog.ParseEpochs(data)
		for _, e := range es {
			out = append(out, EpochLine{"epoch", e.Epoch, e.Start})
		}
		return out, err
	case plog.IdentityFile:
		id, err := plog.ParseIdentity(data)
		return []Entry{PropertyLine{"property", "topic_id", id.String()}}, err
	case dir.RecoveryFile, dir.StartFile, dir.ReplicationFile:
		offsets, err := dir.ParseOffsets(data)
		for _, name := range slices.Sorted(maps.Keys(offsets)) {
			topic, partition, _ := dir.SplitName(name)
			out = append(out, OffsetLine{"offset", topic, partition, offsets[name]})
		}
		return out, err
	case dir.ManifestFile:
		return manifestEntries(data)
	case dir.InventoryFile:
		x, err := dir.ParseInventory(data)
		for _, name := range slices.Sorted(maps.Keys(x.Logs)) {
			for _, f := range x.Logs[name] {
				out = append(out, FileLine{"file", name, f.Name, f.Size})
			}
		}
		return out, err
	case dir.CleanFile:
		epoch, err := dir.ParseCleanMarker(data)
		return []Entry{PropertyLine{"property", "broker_epoch", epoch}}, err
	case dir.MetaFile:
		_, err = dir.ParseMeta(path, data)
	}
	properties := dir.ParseProperties(data)
	for _, key := range slices.Sorted(maps.Keys(properties)) {
		out = append(out, PropertyLine{"property", key, properties[key]})
	}
	return out, err
}

func manifestEntries(data []byte) (out []Entry, err error) {
	m, err := dir.ParseManifest(data)
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(m.Entries)) {
		e := m.Entries[name]
		line := LogLine{Kind: "log", Log: name, RecoveryPoint: e.RecoveryPoint, StartOffset: e.StartOffset, Snapshot: -1, Segments: []ManifestPart{}, Epochs: []EpochLine{}, Producers: []ProducerLine{}}
		if e.State != nil {
			st, err := plog.ParseState(e.State)
			if err != nil {
				line.Problem = err.Error()
				out = append(out, line)
				continue
			}
			line.TopicID, line.Snapshot = st.ID.String(), st.Snapshot
			for _, s := range st.Segments {
				line.Segments = append(line.Segments, ManifestPart{s.Base, s.Size, s.CreatedMs, s.FirstTimestamp, s.MaxTimestamp, s.MaxOffset, s.IndexEntries, s.TimeEntries})
			}
			for _, x := range st.Epochs {
				line.Epochs = append(line.Epochs, EpochLine{"epoch", x.Epoch, x.Start})
			}
			for _, p := range st.Producers {
				line.Producers = append(line.Producers, producerLine(p))
			}
		}
		out = append(out, line)
	}
	return out, nil
}
