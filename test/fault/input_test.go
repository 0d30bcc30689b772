//go:build linux

package fault

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
	"github.com/ottla/ottla/internal/kafka/wire"
	"github.com/ottla/ottla/test/fault/raw"
)

// closed tells whether the node ends a connection, after whatever it answers, and what it answered.
func closed(c net.Conn, within time.Duration) (answer []byte, ok bool) {
	if err := c.SetReadDeadline(time.Now().Add(within)); err != nil {
		return nil, false
	}
	answer, err := io.ReadAll(c)
	return answer, !errors.Is(err, os.ErrDeadlineExceeded)
}

// sized puts a length before a frame.
func sized(n int, body ...byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(n)), body...)
}

// TestHostileFrames: each of these costs its sender the connection and nobody else anything.
func TestHostileFrames(t *testing.T) {
	p := start(t, launch{dir: t.TempDir(), overrides: []string{"socket.request.max.bytes=1000000"}})
	w := newWitness(t, p)
	noise := make([]byte, 4096)
	rng := rand.NewChaCha8([32]byte{1})
	if _, err := rng.Read(noise); err != nil {
		t.Fatal(err)
	}
	versions := func(body ...byte) []byte { return raw.Frame(18, 3, true, 1, nil, body) }
	lie := func(key, version int16, body ...byte) []byte { return raw.Frame(key, version, false, 1, nil, body) }
	for name, frame := range map[string][]byte{
		"negative size":               sized(-1),
		"smallest size":               sized(-1 << 31),
		"size zero":                   sized(0),
		"size without a header":       sized(4, 0, 18, 0, 3),
		"one byte over the limit":     sized(1_000_001),
		"two gigabytes":               sized(1<<31 - 1),
		"unknown key":                 lie(200, 0),
		"negative key":                lie(-1, 0),
		"key of brokers only":         lie(4, 0),
		"key not served":              lie(24, 0),
		"version too high":            lie(3, 99),
		"version negative":            lie(3, -1),
		"version too low":             lie(1, 3),
		"Produce 2, only advertised":  lie(0, 2),
		"client id longer than frame": sized(12, 0, 3, 0, 0, 0, 0, 0, 1, 0x7f, 0xff, 'a', 'b'),
		"client id of length -2":      sized(12, 0, 3, 0, 0, 0, 0, 0, 1, 0xff, 0xfe, 'a', 'b'),
		"array of 2^31-1 topics":      lie(3, 1, 0x7f, 0xff, 0xff, 0xff),
		"array of -2 groups":          lie(15, 0, 0xff, 0xff, 0xff, 0xfe),
		"null array of groups":        lie(15, 0, 0xff, 0xff, 0xff, 0xff),
		"compact array of 2^32 tags":  versions(1, 'a', 1, 'b', 0xff, 0xff, 0xff, 0xff, 0x0f),
		"tag count of 2^29":           versions(2, 'a', 2, 'b', 0x80, 0x80, 0x80, 0x80, 0x02),
		"varint without end":          versions(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff),
		"truncated body":              lie(11, 5, 0, 1),
		"truncated produce":           lie(0, 8, 0xff, 0xff, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1),
		"produce that lies of bytes":  lie(0, 8, 0xff, 0xff, 0, 1, 0, 0, 0, 10, 0, 0, 0, 1, 0, 1, 't', 0, 0, 0, 1, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff),
		"truncated fetch":             lie(1, 11, 0xff, 0xff, 0xff, 0xff),
		"fetch with 2^30 partitions":  lie(1, 4, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 1, 't', 0x40, 0, 0, 0),
		"noise in a frame":            sized(len(noise), noise...),
	} {
		c := p.dial()
		if err := c.SendBytes(frame); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if answer, ok := closed(c, 20*time.Second); !ok {
			t.Errorf("%s: the connection stays open, %x was answered", name, answer[:min(len(answer), 100)])
		}
		w.fine()
	}
	w.lap(50)
	// Frames that are cut off by their sender cost nothing either.
	good := p.dial().Frame(apiVersions(), 1)
	for cut := range good {
		c := p.dial()
		if err := errors.Join(c.SendBytes(good[:cut]), c.Close()); err != nil {
			t.Errorf("cut after %d bytes: %v", cut, err)
		}
	}
	w.end()
	p.healthy()
	t.Logf("resident memory afterwards %s; the good client made %d turns", mib(p.resident()), w.turns.Load())
	log := p.stderr.String()
	if lines := strings.Count(log, "level=WARN"); lines == 0 || lines > 100 {
		t.Errorf("%d warnings in the log: one for each kind and source is wanted\n%s", lines, p.tail())
	}
	if !strings.Contains(log, "suppressed=") && !strings.Contains(log, "source=127.0.0.1") {
		t.Errorf("the warnings name no source\n%s", p.tail())
	}
	p.stop()
}

// TestNoiseOnTheWire sends random bytes, random bodies behind good headers of every API, and good requests with flipped bits. No outcome is prescribed, but that the
// node lives, stays small, and the good client notices nothing. OTTLA_LONG does more.
func TestNoiseOnTheWire(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitness(t, p)
	before := p.resident()
	each := 3
	if long {
		each = 200
	}
	rng := rand.New(rand.NewPCG(7, 7))
	c := p.dial()
	resp, err := raw.Ask[*kmsg.ApiVersionsResponse](c, apiVersions())
	if err != nil {
		t.Fatal(err)
	}
	sent := 0
	for _, k := range resp.ApiKeys {
		info, _ := wire.Info(k.ApiKey)
		for version := k.MinVersion; version <= k.MaxVersion; version++ {
			for range each {
				body := make([]byte, rng.IntN(200))
				for i := range body {
					body[i] = byte(rng.Uint32())
					if rng.IntN(3) > 0 {
						body[i] &= 3 // small numbers get further
					}
				}
				if rng.IntN(2) == 0 { // a good request with a few bits flipped
					req := kmsg.RequestForKey(k.ApiKey)
					req.SetVersion(version)
					if body = req.AppendTo(nil); len(body) > 0 {
						body[rng.IntN(len(body))] ^= 1 << rng.IntN(8)
					}
				}
				c := p.dial()
				if err := c.SendBytes(raw.Frame(k.ApiKey, version, info.Flexible(version), 1, new("noise"), body)); err != nil {
					t.Fatalf("%s version %d: %v", info.Name, version, err)
				}
				if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Read(make([]byte, 64)); err != nil && sent%50 == 0 {
					w.fine()
				}
				if err := c.Close(); err != nil {
					t.Fatal(err)
				}
				sent++
			}
		}
	}
	w.end()
	p.healthy()
	t.Logf("%d noisy requests; resident memory %s before, %s after", sent, mib(before), mib(p.resident()))
	if grown := p.resident() - before; grown > 256<<20 {
		t.Errorf("resident memory grew by %s", mib(grown))
	}
	p.stop()
}

// TestForeignProtocolsAreNamed: who speaks TLS or HTTP to the Kafka port finds that in the log.
func TestForeignProtocolsAreNamed(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	for _, x := range []struct{ first, word string }{
		{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "TLS"},
		{"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP"},
	} {
		c := p.dial()
		if err := c.SendBytes([]byte(x.first)); err != nil {
			t.Fatal(err)
		}
		if answer, ok := closed(c, 20*time.Second); !ok || len(answer) > 0 {
			t.Errorf("%s: closed %v, answered %x", x.word, ok, answer)
		}
		eventually(t, x.word+" stands in the log\n"+p.tail(), 10*time.Second, func() bool { return strings.Contains(p.stderr.String(), x.word) })
	}
	p.stop()
}

// TestTagFloodIsCheap: the body that keeps a decoder of the client library busy for a minute and a half costs this node under a millisecond.
func TestTagFloodIsCheap(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	body := []byte{2, 'a', 2, 'b', 0x80, 0x80, 0x80, 0x80, 0x02}
	if len(body) != 9 {
		t.Fatal("the body has not nine bytes")
	}
	frame := raw.Frame(18, 3, true, 1, nil, body)
	var times []time.Duration
	for range 50 {
		c := p.dial()
		began := time.Now()
		if err := c.SendBytes(frame); err != nil {
			t.Fatal(err)
		}
		if answer, ok := closed(c, 20*time.Second); !ok {
			t.Fatalf("not closed, answered %x", answer)
		}
		times = append(times, time.Since(began))
	}
	within(t, "refusing a tag count of 2^29, with the way there and back", median(times), time.Millisecond)
	p.stop()
}

// bomb is a batch of one codec that says it has one record and expands to so many zeros.
func bomb(t *testing.T, codec batch.Codec, expands int) []byte {
	t.Helper()
	var packed bytes.Buffer
	zeros := make([]byte, 1<<20)
	fill := func(w io.WriteCloser) {
		for range expands >> 20 {
			if _, err := w.Write(zeros); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	switch codec {
	case batch.Gzip:
		fill(gzip.NewWriter(&packed))
	case batch.LZ4:
		fill(lz4.NewWriter(&packed))
	case batch.Zstd:
		z, err := zstd.NewWriter(&packed)
		if err != nil {
			t.Fatal(err)
		}
		fill(z)
	case batch.Snappy: // a block cannot expand far, but it can say that it does
		packed.Write(binary.AppendUvarint(nil, uint64(expands)))
		packed.Write(zeros[:1000])
	}
	b := batch.Batch(slices.Concat(batchOf("x")[:batch.HeaderSize], packed.Bytes()))
	binary.BigEndian.PutUint32(b[8:], uint32(len(b)-batch.Overhead))
	b[22] = byte(codec)
	b.SealCRC()
	return b
}

// TestDecompressionBombs: bombs of every codec, many at once, are refused; memory stays bounded and the good client goes on.
func TestDecompressionBombs(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitness(t, p)
	setup := p.dial()
	if resp, err := raw.Ask[*kmsg.CreateTopicsResponse](setup, createRequest("bombed", 1, map[string]string{"max.message.bytes": "50000000"})); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	before := p.resident()
	connections, allowed := 6, int64(640<<20)
	if long {
		connections, allowed = 64, 1280<<20 // the requests themselves take their share of the budget, too
	}
	most := before
	for _, codec := range []batch.Codec{batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		data := bomb(t, codec, 1<<30)
		var bombers sync.WaitGroup
		for range connections {
			c := p.dial()
			c.Timeout = 2 * time.Minute
			bombers.Go(func() {
				resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest("bombed", 0, -1, data))
				if err != nil {
					t.Errorf("%v: %v", codec, err)
					return
				}
				got := model.ErrorCode(resp.Topics[0].Partitions[0].ErrorCode)
				if got != model.MessageTooLarge && got != model.InvalidRecord && got != model.CorruptMessage {
					t.Errorf("%v: %v", codec, got)
				}
			})
		}
		done := make(chan struct{})
		go func() {
			bombers.Wait()
			close(done)
		}()
		for ended := false; !ended; {
			select {
			case <-done:
				ended = true
			case <-time.After(5 * time.Millisecond):
			}
			most = max(most, p.resident())
		}
		t.Logf("%v: %d bombs of %s that expand to 1 GiB; greatest resident memory so far %s", codec, connections, mib(int64(len(data))), mib(most))
	}
	if most-before > allowed {
		t.Errorf("resident memory grew by %s", mib(most-before))
	}
	w.end()
	p.healthy()
	p.stop()
}

// TestHalfSentFrames: a thousand connections that each announce 50 MB and send ten bytes cost little memory and slow the good client little.
func TestHalfSentFrames(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitness(t, p)
	w.lap(50)
	calm := median(w.lap(300))
	before := p.resident()
	for range 1000 {
		c := p.dial()
		if err := c.SendBytes(sized(50_000_000, 0, 0, 0, 9, 0, 0, 0, 1, 0, 1)); err != nil {
			t.Fatal(err)
		}
	}
	w.lap(50)
	attacked := median(w.lap(300))
	grown := p.resident() - before
	t.Logf("1,000 half-sent frames: %s more resident memory (promised: at most 256 MiB); the good client's turn took %v before and %v then (promised: at most twice)", mib(grown), calm, attacked)
	if grown > 256<<20 {
		t.Errorf("resident memory grew by %s", mib(grown))
	}
	factor := time.Duration(2)
	if !long {
		factor = 6
	}
	if attacked > factor*calm {
		t.Errorf("the good client's turn took %v before and %v with the connections there", calm, attacked)
	}
	w.end()
	p.healthy()
	p.stop()
}

// TestStalledFrames: a thousand connections that each announce 50 MB, send a good part of it and then dribble or stall, in step, so that the memory for such frames is
// always short. A good client whose requests need memory is slowed as little as the machine allows, and so is a new one.
func TestStalledFrames(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitnessOf(t, p, strings.Repeat("x", 30_000))
	w.lap(50)
	calm := percentile99(w.lap(600))
	before := p.resident()
	piece := sized(50_000_000, make([]byte, 100_000)...)
	piece[5], piece[7] = 0, 9 // Produce 9
	over := make(chan struct{})
	var senders sync.WaitGroup
	for range 1000 {
		senders.Go(func() {
			for { // whoever is closed comes again
				c, err := raw.Dial(p.address)
				if err != nil {
					return // as many connections as the system allows
				}
				for n := len(piece); err == nil; n = 16 << 10 {
					if err = c.SendBytes(piece[:n]); err != nil {
						break
					}
					select {
					case <-over:
						err = net.ErrClosed
					case <-time.After(400 * time.Millisecond):
					}
				}
				if e := c.Close(); e != nil && !errors.Is(err, net.ErrClosed) {
					t.Log(e)
				}
				select {
				case <-over:
					return
				default:
				}
			}
		})
	}
	eventually(t, "memory is short", time.Minute, func() bool { return strings.Contains(p.stderr.String(), "held request memory without making progress") })
	w.lap(50)
	attacked := percentile99(w.lap(600))
	fresh := time.Duration(0)
	for i := range 10 {
		began := time.Now()
		c := p.dial()
		resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest(witnessTopic, 0, -1, make([]byte, 1_000_000)))
		if err != nil || resp.Topics[0].Partitions[0].ErrorCode == 0 {
			t.Fatalf("new client %d: %v", i, err)
		}
		fresh = max(fresh, time.Since(began))
	}
	grown := p.resident() - before
	close(over)
	senders.Wait()
	t.Logf("1,000 stalled frames: %s more resident memory; 99 of 100 turns of the good client took at most %v before and %v then (promised: at most twice); a new client's megabyte took at most %v",
		mib(grown), calm, attacked, fresh)
	if grown > 512<<20 { // the budget, and what the collector has not had yet
		t.Errorf("resident memory grew by %s", mib(grown))
	}
	within(t, "a new client's megabyte", fresh, 2*time.Second)
	factor := time.Duration(2)
	if !long {
		factor = 6
	}
	if attacked > factor*max(calm, 2*time.Millisecond) {
		t.Errorf("the good client's turn took up to %v before and %v with the connections there", calm, attacked)
	}
	w.end()
	p.healthy()
	p.stop()
}

// TestManyRealFrames: the same, but every frame arrives in full, so that memory runs short: good clients wait and go on, nobody is refused for good.
func TestManyRealFrames(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitness(t, p)
	before := p.resident()
	body := make([]byte, 40_000_000)
	var senders sync.WaitGroup
	for range 12 {
		c := p.dial()
		c.Timeout = time.Minute
		senders.Go(func() { // a record set that is no batch: it is refused after it was received
			resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest(witnessTopic, 0, -1, body))
			if err != nil {
				t.Logf("a large request: %v", err) // under pressure connections may be closed
				return
			}
			if code := resp.Topics[0].Partitions[0].ErrorCode; code == 0 {
				t.Error("zeros were taken for records")
			}
		})
	}
	senders.Wait()
	w.lap(20)
	grown := p.resident() - before
	t.Logf("12 frames of 40 MB: %s more resident memory", mib(grown))
	if grown > 1<<30 { // the budget of 192 MiB, buffers that were grown through, and what the collector has not had yet
		t.Errorf("resident memory grew by %s", mib(grown))
	}
	w.end()
	p.healthy()
	p.stop()
}

// TestConsumerThatStopsReading: who asked for records and does not take them for a while stays connected when there is no pressure.
func TestConsumerThatStopsReading(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	c := p.dial()
	if resp, err := raw.Ask[*kmsg.CreateTopicsResponse](c, createRequest("large", 1, map[string]string{"max.message.bytes": "20000000"})); err != nil || resp.Topics[0].ErrorCode != 0 {
		t.Fatalf("%v %+v", err, resp)
	}
	value := strings.Repeat("x", 6<<20)
	for range 3 {
		if resp, err := raw.Ask[*kmsg.ProduceResponse](c, produceRequest("large", 0, -1, batchOf(value))); err != nil || resp.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("%v %+v", err, resp)
		}
	}
	silent := 6 * time.Second
	if long {
		silent = 5 * time.Minute
	}
	lazy := p.dial()
	var ids []int32
	var asked []*kmsg.FetchRequest
	for i := range 3 {
		req := fetchRequest("large", 0, int64(i))
		id, err := lazy.Send(req)
		if err != nil {
			t.Fatal(err)
		}
		ids, asked = append(ids, id), append(asked, req)
	}
	pause(silent)
	for i, id := range ids {
		resp, err := lazy.Receive(asked[i], id)
		if err != nil {
			t.Fatalf("answer %d after %v of not reading: %v\n%s", i, silent, err, p.tail())
		}
		if f := resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]; f.ErrorCode != 0 || len(f.RecordBatches) < 6<<20 {
			t.Errorf("answer %d: %v, %d bytes", i, model.ErrorCode(f.ErrorCode), len(f.RecordBatches))
		}
	}
	p.stop()
}

// TestSlowFrame: a frame that comes byte by byte is given up in time, and costs nobody else anything. The deadline is half a minute, so the short form only looks
// whether the good client goes on meanwhile.
func TestSlowFrame(t *testing.T) {
	p := start(t, launch{dir: t.TempDir()})
	w := newWitness(t, p)
	frame := raw.Frame(3, 1, false, 1, nil, make([]byte, 4000))
	c := p.dial()
	began := time.Now()
	over := 2 * time.Second
	if long {
		over = 2 * time.Minute
	}
	sent := 0
	for i := 0; i < len(frame) && time.Since(began) < over; i++ {
		if err := c.SendBytes(frame[i : i+1]); err != nil {
			break // the node has closed it
		}
		sent++
		pause(20 * time.Millisecond)
	}
	took := time.Since(began)
	w.lap(10)
	w.end()
	t.Logf("%d bytes were taken one by one in %v", sent, took)
	if long && took > 60*time.Second {
		t.Errorf("a frame that never ends was borne for %v", took)
	}
	p.healthy()
	p.stop()
}
