package plog

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/storage/dir"
	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/cost"
)

func FuzzState(f *testing.F) {
	state := []byte{stateVersion}
	state = append(state, testID[:]...)
	state = binary.BigEndian.AppendUint64(state, 3)
	state = binary.BigEndian.AppendUint32(state, 1)
	x := segmentState{base: 0, size: 100, summary: emptySummary, entries: 1, times: -1, lastTime: -1}
	state = x.append(state)
	state = binary.BigEndian.AppendUint32(state, 1)
	state = binary.BigEndian.AppendUint32(state, 7)
	state = binary.BigEndian.AppendUint64(state, 0)
	p := newProducer()
	p.add(appended{lastSequence: 3, offsetDelta: 2, lastOffset: 9, timestamp: 5})
	f.Add(appendProducers(state, producers{5: p}, math.MaxInt64))
	f.Add(appendProducers(state, nil, math.MaxInt64))
	f.Fuzz(func(t *testing.T, data []byte) {
		var st *logState
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { st, err = parseState(data) })
		if err != nil {
			return
		}
		again, err := parseState(encodeState(st))
		if err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
		if again.id != st.id || again.snapshot != st.snapshot || !slices.Equal(again.segments, st.segments) || !slices.Equal(again.epochs, st.epochs) || !sameProducers(again.producers, st.producers) {
			t.Fatalf("%+v became %+v", st, again)
		}
	})
}

// encodeState is what encodeStateLocked makes of an open log.
func encodeState(st *logState) []byte {
	out := append([]byte{stateVersion}, st.id[:]...)
	out = binary.BigEndian.AppendUint64(out, uint64(st.snapshot))
	out = binary.BigEndian.AppendUint32(out, uint32(len(st.segments)))
	for i := range st.segments {
		out = st.segments[i].append(out)
	}
	out = binary.BigEndian.AppendUint32(out, uint32(len(st.epochs)))
	for _, e := range st.epochs {
		out = binary.BigEndian.AppendUint32(out, uint32(e.epoch))
		out = binary.BigEndian.AppendUint64(out, uint64(e.start))
	}
	return appendProducers(out, st.producers, math.MaxInt64)
}

// sameProducers compares what the formats keep.
func sameProducers(a, b producers) bool {
	if len(a) != len(b) {
		return false
	}
	for id, p := range a {
		q := b[id]
		if q == nil || p.epoch != q.epoch || p.coordinatorEpoch != q.coordinatorEpoch || p.timestamp != q.timestamp || p.txnFirst != q.txnFirst || !slices.Equal(p.batches[:p.count], q.batches[:q.count]) {
			return false
		}
	}
	return true
}

func FuzzSnapshot(f *testing.F) {
	p := newProducer()
	p.add(appended{lastSequence: 3, offsetDelta: 2, lastOffset: 9, timestamp: 5})
	f.Add(encodeSnapshot(producers{5: p, -1: newProducer()}))
	f.Add(encodeSnapshot(nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data)
		if len(data) >= snapshotHeaderSize { // the checksum must not keep the fuzzer out
			binary.BigEndian.PutUint32(data[2:], crc32.Checksum(data[6:], castagnoli))
		}
		var ps producers
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { ps, err = parseSnapshot(data) })
		if err != nil {
			return
		}
		again, err := parseSnapshot(encodeSnapshot(ps))
		if err != nil || !sameProducers(ps, again) {
			t.Fatalf("%v became %v: %v", ps, again, err)
		}
	})
}

func FuzzEpochs(f *testing.F) {
	f.Add([]byte("0\n2\n3 0\n5 17\n"))
	f.Add([]byte("0\n0\n"))
	f.Add([]byte("0\n1\n-1 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var e epochs
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { e, err = parseEpochs(data) })
		if err != nil {
			return
		}
		if again, err := parseEpochs(e.encode()); err != nil || !slices.Equal(e, again) {
			t.Fatalf("%v became %v: %v", e, again, err)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add(encodeIdentity(testID))
	f.Add([]byte("version: 0\ntopic_id: x"))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, data []byte) {
		var id model.TopicID
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { id, err = parseIdentity(data) })
		if err != nil {
			return
		}
		if again, err := parseIdentity(encodeIdentity(id)); err != nil || again != id {
			t.Fatalf("%v became %v: %v", id, again, err)
		}
	})
}

func FuzzIndexEntries(f *testing.F) {
	f.Add(encodeEntries([]indexEntry{{1, 2}, {3, 4}}), encodeTimes([]timeEntry{{5, 6}, {7, 8}}), uint32(2))
	f.Fuzz(func(t *testing.T, data, times []byte, ask uint32) {
		var entries []indexEntry
		for p := data; len(p) >= indexEntrySize; p = p[indexEntrySize:] {
			entries = append(entries, parseEntry(p))
		}
		var stamps []timeEntry
		for p := times; len(p) >= timeEntrySize; p = p[timeEntrySize:] {
			stamps = append(stamps, parseTime(p))
		}
		if !bytes.Equal(encodeEntries(entries), data[:len(entries)*indexEntrySize]) || !bytes.Equal(encodeTimes(stamps), times[:len(stamps)*timeEntrySize]) {
			t.Fatal("entries came back as other bytes")
		}
		mem := vfs.NewMem()
		file, err := mem.Create("/index")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		keep := func(e indexEntry) bool { return e.offset <= ask }
		var found indexEntry
		var ok bool
		cost.Within(t, cost.Parsing(len(data)), func() { found, ok, err = searchFile(file, int32(len(entries)), indexEntrySize, parseEntry, keep) })
		if err != nil {
			t.Fatal(err)
		}
		sorted := slices.IsSortedFunc(entries, func(a, b indexEntry) int { return int(int64(a.offset) - int64(b.offset)) })
		n := 0
		for n < len(entries) && keep(entries[n]) {
			n++
		}
		if sorted && (ok != (n > 0) || ok && found != entries[n-1]) {
			t.Fatalf("looking for %d among %v: %v %v", ask, entries, found, ok)
		}
	})
}

// FuzzIndexFiles gives a sealed segment index files of any content: every batch is found all the same, and every time.
func FuzzIndexFiles(f *testing.F) {
	mem, want := filled(f, 40)
	index, err := vfs.ReadSmall(mem, filepath.Join(testDir, testName, fileName(0, indexSuffix)))
	if err != nil {
		f.Fatal(err)
	}
	times, err := vfs.ReadSmall(mem, filepath.Join(testDir, testName, fileName(0, timeIndexSuffix)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(index, times)
	f.Add(make([]byte, len(index)), make([]byte, len(times)))
	f.Fuzz(func(t *testing.T, index, times []byte) {
		limit := cost.Parsing(len(index) + len(times))
		limit.Bytes += 8 << 20 // of opening a directory and reading the log
		limit.Time += 200 * time.Millisecond
		cost.Within(t, limit, func() { readBesideIndexes(t, mem.Crash(vfs.KeepUnsynced), index, times, want) })
	})
}

// readBesideIndexes replaces the first segment's index files and reads the log.
func readBesideIndexes(t *testing.T, image *vfs.Mem, index, times []byte, want []batch.Batch) {
	t.Helper()
	for name, data := range map[string][]byte{fileName(0, indexSuffix): index, fileName(0, timeIndexSuffix): times} {
		file, err := image.Open(filepath.Join(testDir, testName, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Truncate(0); err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(data, 0); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	x := openOn(t, image, dir.Options{}, testConfig())
	got, err := x.all(0, x.EndOffset(), 900)
	if err == nil {
		err = sameBatches(want, got)
	}
	if err == nil {
		err = x.wellFormed()
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := x.d.Abandon(); err != nil {
		t.Fatal(err)
	}
}

// FuzzSurvey: whatever a segment's file holds, a survey ends, and what it tells are ranges of the file in order, between which the batches are sound.
func FuzzSurvey(f *testing.F) {
	mem, _ := filled(f, 12)
	data, err := vfs.ReadSmall(mem, logFile(0))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, int64(20))
	for _, at := range []int{3, 11, 16, 40, 100, len(data) / 2} {
		harmed := slices.Clone(data)
		harmed[at] ^= 0x10
		f.Add(harmed, int64(20))
	}
	f.Add(append(make([]byte, 100), data...), int64(1)<<60)
	f.Fuzz(func(t *testing.T, data []byte, end int64) {
		if end < 0 || end > 1<<62 {
			return
		}
		for _, o := range []SurveyOptions{{End: end}, {End: end, Gaps: true}, {End: end, Open: true}} {
			var found Surveyed
			var err error
			cost.Within(t, cost.Parsing(len(data)+surveyWindow), func() { found, err = Survey(bytes.NewReader(data), int64(len(data)), o) })
			if err != nil {
				t.Fatal(err)
			}
			at, offset, rotten := int64(0), int64(0), int64(0)
			for _, r := range found.Rot {
				if r.Position < at || r.Until < r.Position || r.Until > int64(len(data)) || r.From < offset || r.To < r.From || r.To > max(end, r.From) || r.Detail == "" {
					t.Fatalf("%+v in %d bytes up to offset %d", found.Rot, len(data), end)
				}
				at, offset, rotten = r.Until, r.To, rotten+r.Until-r.Position
			}
			if !o.Open && found.Bytes+rotten != int64(len(data)) {
				t.Fatalf("%d bytes are sound and %d are not, of %d: %+v", found.Bytes, rotten, len(data), found.Rot)
			}
		}
	})
}
