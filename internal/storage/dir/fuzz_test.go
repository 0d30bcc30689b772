package dir

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ottla/ottla/internal/storage/vfs"
	"github.com/ottla/ottla/test/cost"
)

func FuzzOffsets(f *testing.F) {
	f.Add([]byte("0\n2\ntopic 0 17\ntopic-with-dash 12 9223372036854775807\n"))
	f.Add([]byte("0\n0\n"))
	f.Add([]byte("0\n1\ntopic 0 -1\n"))
	f.Add([]byte("0\n999999999999\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var o offsets
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { o, err = parseOffsets(data) })
		if err != nil {
			return
		}
		again, err := parseOffsets(encodeOffsets(o))
		if err != nil || !maps.Equal(o, again) {
			t.Fatalf("%v became %v: %v", o, again, err)
		}
	})
}

func FuzzManifest(f *testing.F) {
	entries := map[string]*Entry{"a-0": {RecoveryPoint: 5, StartOffset: -1, State: []byte("state")}, "b-1": {RecoveryPoint: 1 << 40, StartOffset: 9}}
	f.Add(encodeManifest([]string{"a-0", "b-1"}, entries, 7, 6))
	f.Add(encodeManifest(nil, nil, 7, 6))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data)
		if len(data) >= manifestHeaderSize { // the checksum must not keep the fuzzer out
			sum := len(manifestMagic) + 4
			data[sum+4], data[sum+5], data[sum+6], data[sum+7] = 0, 0, 0, 7
			c := crc32.Checksum(data[sum+4:], castagnoli)
			data[sum], data[sum+1], data[sum+2], data[sum+3] = byte(c>>24), byte(c>>16), byte(c>>8), byte(c)
		}
		var got map[string]*Entry
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { got, err = parseManifest(data, 7) })
		if err != nil {
			return
		}
		again, err := parseManifest(encodeManifest(slices.Sorted(maps.Keys(got)), got, 1, 2), 2)
		if err != nil || len(again) != len(got) {
			t.Fatalf("%d entries became %d: %v", len(got), len(again), err)
		}
		for name, e := range got {
			x := again[name]
			if x == nil || x.RecoveryPoint != e.RecoveryPoint || x.StartOffset != e.StartOffset || !bytes.Equal(x.State, e.State) {
				t.Fatalf("%q: %+v became %+v", name, e, x)
			}
		}
	})
}

func FuzzInventory(f *testing.F) {
	x := inventory{"a-0": {modified: 1, written: 2, files: []vfs.DirEntry{{Name: "00000000000000000000.log", Size: 5}, {Name: "d", IsDir: true}}}, "b-1": {modified: -1}}
	f.Add(encodeInventory([]string{"a-0", "b-1"}, x, 7))
	f.Add(encodeInventory(nil, nil, 7))
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data)
		if len(data) >= inventoryHeaderSize { // the checksum must not keep the fuzzer out
			sum := len(inventoryMagic) + 4
			binary.BigEndian.PutUint32(data[sum+4:], 7)
			binary.BigEndian.PutUint32(data[sum:], crc32.Checksum(data[sum+4:], castagnoli))
		}
		var got inventory
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { got, err = parseInventory(data, 7) })
		if err != nil {
			return
		}
		again, err := parseInventory(encodeInventory(slices.Sorted(maps.Keys(got)), got, 9), 9)
		if err != nil || len(again) != len(got) {
			t.Fatalf("%d logs became %d: %v", len(got), len(again), err)
		}
		for name, c := range got {
			x := again[name]
			if x.modified != c.modified || x.written != c.written || !slices.Equal(x.files, c.files) {
				t.Fatalf("%q: %+v became %+v", name, c, x)
			}
		}
	})
}

func FuzzJournalFrame(f *testing.F) {
	var seed frame
	seed.reset()
	seed.append("topic-0", 0, 4711, []byte("a batch"))
	seed.append("topic-1", 99, 0, nil)
	f.Add(slices.Clone(seed.seal(9, 5, 3, 0)), uint64(9))
	seed.reset()
	f.Add(seed.seal(9, 6, 6, maxAfter), uint64(9))
	f.Fuzz(func(t *testing.T, data []byte, salt uint64) {
		cost.Within(t, cost.Parsing(len(data)), func() {
			h, err := parseFrameHeader(data, salt, int64(len(data)))
			if err != nil {
				return
			}
			whole := data[:h.length]
			_ = frameHolds(whole)
			var again frame
			again.reset()
			n := uint32(0)
			err = parseFrame(whole, h.count, func(j journaled) error {
				n++
				again.append(j.log, j.base, j.at, j.data)
				return nil
			})
			if err != nil {
				return
			}
			p := again.seal(salt, h.sequence, h.oldest, int(h.after))
			if n != h.count || !bytes.Equal(p[12:h.length], whole[12:]) {
				t.Fatalf("%d writes of %d came back as other bytes", n, h.count)
			}
		})
	})
}

func FuzzJournalHeader(f *testing.F) {
	f.Add(journalHeader{7, 16384}.encode(), int64(40960))
	f.Add(journalHeader{7, 1 << 40}.encode(), int64(1)<<62)
	f.Fuzz(func(t *testing.T, data []byte, size int64) {
		var h journalHeader
		var ok bool
		cost.Within(t, cost.Parsing(len(data)), func() { h, ok = parseJournalHeader(data, size) })
		if !ok {
			return
		}
		if h.half < journalPage || h.half > 1<<40 || size < journalPage+2*h.half {
			t.Fatalf("halves of %d bytes in a file of %d", h.half, size)
		}
		if again, ok := parseJournalHeader(h.encode(), size); !ok || again != h {
			t.Fatalf("%+v became %+v", h, again)
		}
	})
}

// Whatever a journal holds, the start after it ends, and never makes a file that was not there.
func FuzzReplay(f *testing.F) {
	var seed frame
	seed.reset()
	seed.append("topic-0", 0, 10, []byte("a batch"))
	page := slices.Clone(seed.seal(7, 1, 1, 0))
	seed.reset()
	seed.append("../topic-0", 0, 10, []byte("a batch"))
	f.Add(slices.Concat(page, seed.seal(7, 2, 1, 0)))
	f.Add(page)
	f.Fuzz(func(t *testing.T, data []byte) {
		data = slices.Clone(data[:min(len(data), 4*journalPage)])
		for at := 0; at+frameHeaderSize <= len(data); at += journalPage { // checksums must not keep the fuzzer out
			if h, err := parseFrameHeader(data[at:], 7, int64(len(data)-at)); err == nil {
				c := crc32.Checksum(data[at+12:at+int(h.length)], castagnoli)
				data[at+8], data[at+9], data[at+10], data[at+11] = byte(c>>24), byte(c>>16), byte(c>>8), byte(c)
			}
		}
		mem := vfs.NewMem()
		d := openDir(t, mem, Options{})
		if err := d.Abandon(); err != nil {
			t.Fatal(err)
		}
		if err := mem.MkdirAll(filepath.Join(testPath, "topic-0")); err != nil {
			t.Fatal(err)
		}
		image := make([]byte, journalPage+4*journalPage)
		copy(image, journalHeader{7, 2 * journalPage}.encode())
		copy(image[journalPage:], data)
		file, err := mem.Create(journalName)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteAt(image, 0); err != nil {
			t.Fatal(err)
		}
		limit := cost.Limit{Bytes: 4 << 20, Time: 100 * time.Millisecond} // of opening a directory
		cost.Within(t, limit, func() {
			mem := mem.Crash(vfs.KeepUnsynced)
			x, err := tryOpenDir(mem, Options{})
			if err == nil {
				if err := x.Abandon(); err != nil {
					t.Fatal(err)
				}
			}
			if entries, err := mem.ReadDir(filepath.Join(testPath, "topic-0")); err != nil || len(entries) != 0 {
				t.Fatalf("the journal made %v, %v", entries, err)
			}
		})
	})
}

func FuzzMeta(f *testing.F) {
	f.Add([]byte("#\ncluster.id=MkU3OEVBNTcwNTJENDM2Qg\ndirectory.id=AAAAAAAAQACAAAAAAAAAAQ\nnode.id=3\nversion=1\n"))
	f.Add([]byte("version=1\ncluster.id=x\nnode.id=-1\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m Meta
		var err error
		cost.Within(t, cost.Parsing(len(data)), func() { m, err = parseMeta("meta.properties", data) })
		_ = checkFormat(formatFile, data)
		if err != nil || m.NodeID == NoNodeID || strings.ContainsAny(m.ClusterID, "\r\n\u0085\u2028\u2029") {
			return
		}
		if again, err := parseMeta("meta.properties", m.encode()); err != nil || again != m {
			t.Fatalf("%+v became %+v: %v", m, again, err)
		}
	})
}

func FuzzMarker(f *testing.F) {
	f.Add([]byte(`{"version":0,"brokerEpoch":17}`))
	f.Add([]byte(``))
	f.Add([]byte(`{"brokerEpoch":1e99}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		mem := vfs.NewMem()
		if err := mem.MkdirAll(testPath); err != nil {
			t.Fatal(err)
		}
		limit := cost.Parsing(len(data))
		limit.Bytes += 3 * len(data) // of the file system in memory
		cost.Within(t, limit, func() {
			if err := replace(mem, testPath, file{cleanFile, data}); err != nil {
				t.Fatal(err)
			}
			if clean, _, err := takeMarker(mem, testPath, false); !clean || err != nil {
				t.Fatalf("clean %v, %v", clean, err)
			}
		})
		if clean, epoch, err := takeMarker(mem.Crash(vfs.LoseUnsynced), testPath, false); clean || epoch != NoBrokerEpoch || err != nil {
			t.Fatalf("the marker is still there: %v %d %v", clean, epoch, err)
		}
	})
}
