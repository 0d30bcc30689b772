//go:build !race

package node

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
)

// asker sends one pre-built frame over and over and reads the answers into one buffer: it allocates nothing itself.
type asker struct {
	t      *testing.T
	socket net.Conn
	buf    []byte
}

func newAsker(t *testing.T, n *Node) *asker {
	socket, err := net.Dial("tcp", n.Addresses().Listeners["PLAINTEXT"])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { socket.Close() })
	if err := socket.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	return &asker{t: t, socket: socket, buf: make([]byte, 1<<20)}
}

// ask sends the frame and returns the answer without its size, valid until the next call.
func (a *asker) ask(frame []byte) []byte {
	if _, err := a.socket.Write(frame); err != nil {
		a.t.Fatal(err)
	}
	if _, err := io.ReadFull(a.socket, a.buf[:4]); err != nil {
		a.t.Fatal(err)
	}
	size := int(binary.BigEndian.Uint32(a.buf))
	if _, err := io.ReadFull(a.socket, a.buf[:size]); err != nil {
		a.t.Fatal(err)
	}
	return a.buf[:size]
}

// perRequest is how many allocations the whole process makes for one request, once its pools are filled.
func (a *asker) perRequest(frame []byte, good func(answer []byte) bool) float64 {
	a.t.Helper()
	one := func() {
		if !good(a.ask(frame)) {
			a.t.Fatal("the request was refused")
		}
	}
	for range 200 {
		one()
	}
	return testing.AllocsPerRun(300, one)
}

func batchOfRecords(codec batch.Codec, records int) batch.Batch {
	var b batch.Builder
	b.Reset(batch.Options{Codec: codec})
	for i := range records {
		b.Append(1_700_000_000_000, binary.BigEndian.AppendUint32(nil, uint32(i)), []byte("twenty bytes of value"), batch.Header{Key: []byte("h"), Value: []byte("v")})
	}
	return b.Build()
}

func frameOf(req kmsg.Request, version int16) []byte {
	req.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("alloc")).AppendRequest(nil, req, 1)
}

// Bounds on the allocations of one request, whatever it carries, and on how much 999 more records may add: less than one in a hundred records.
const (
	produceAllocs = 12 // the round that syncs it included
	fetchAllocs   = 6
	growthAllocs  = 9
)

// TestProduceAllocatesNothingPerRecord proves one batch of one record against one of a thousand, through sockets, checks, log, sync and answer.
func TestProduceAllocatesNothingPerRecord(t *testing.T) {
	n := opened(t)
	c := dial(t, n)
	for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			topic := "produce-" + codec.String()
			id := createTopic(t, c, topic, 1)
			var allocs [2]float64
			for i, records := range []int{1, 1000} {
				frame := frameOf(produceRequest(topic, id, 0, -1, batchOfRecords(codec, records)), 12)
				allocs[i] = newAsker(t, n).perRequest(frame, func(answer []byte) bool {
					at := 4 + 1 + 1 + 1 + len(topic) + 1 + 4 // correlation id, tags, topics, name, partitions, index
					return binary.BigEndian.Uint16(answer[at:]) == 0
				})
			}
			t.Logf("%v allocations with 1 record, %v with 1,000", allocs[0], allocs[1])
			if allocs[1]-allocs[0] > growthAllocs {
				t.Errorf("999 more records cost %v more allocations", allocs[1]-allocs[0])
			}
			if allocs[0] > produceAllocs {
				t.Errorf("a Produce costs %v allocations, over %d", allocs[0], produceAllocs)
			}
		})
	}
}

// TestFetchAllocatesNothingPerRecord does the same for reading them, from memory and, in a log that was opened anew, from the file.
func TestFetchAllocatesNothingPerRecord(t *testing.T) {
	path := t.TempDir()
	n := open(t, path)
	counts := map[string]int{"one": 1, "many": 1000}
	for topic, records := range counts {
		c := dial(t, n)
		createTopic(t, c, topic, 1)
		if got := produce(t, c, topic, -1, batchOfRecords(batch.None, records)); got.ErrorCode != 0 {
			t.Fatalf("produce: error code %d", got.ErrorCode)
		}
	}
	for _, from := range []string{"memory", "file"} {
		t.Run(from, func(t *testing.T) {
			if from == "file" {
				stop(t, n)
				n = open(t, path)
			}
			allocs := map[string]float64{}
			for topic := range counts {
				want := len(batchOfRecords(batch.None, counts[topic]))
				frame := frameOf(fetchRequest(topic, [16]byte{}, 0, 0), 12)
				allocs[topic] = newAsker(t, n).perRequest(frame, func(answer []byte) bool { return len(answer) > want })
			}
			t.Logf("%v allocations with 1 record, %v with 1,000", allocs["one"], allocs["many"])
			if allocs["many"]-allocs["one"] > growthAllocs {
				t.Errorf("999 more records cost %v more allocations", allocs["many"]-allocs["one"])
			}
			if allocs["one"] > fetchAllocs {
				t.Errorf("a Fetch costs %v allocations, over %d", allocs["one"], fetchAllocs)
			}
		})
	}
	stop(t, n)
}
