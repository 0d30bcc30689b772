package batch

import (
	"bytes"
	"encoding/binary"
)

const testNowMs = 1_700_000_000_000

// craft makes a good batch of three records, lets the caller break it, and seals it again.
func craft(codec Codec, spoil func(b Batch)) Batch {
	var builder Builder
	builder.Reset(Options{Codec: codec, HasProducer: true, ProducerID: 7, ProducerEpoch: 1, BaseSequence: 5})
	for i := range 3 {
		builder.Append(testNowMs-10+int64(i)*3, []byte("key"), bytes.Repeat([]byte("value "), 20), Header{Key: []byte("h"), Value: []byte("v")})
	}
	b := bytes.Clone(builder.Build())
	if spoil != nil {
		spoil(Batch(b))
		Batch(b).SealCRC()
	}
	return b
}

// rawRecord is a record whose every field can lie.
type rawRecord struct {
	size       int64 // added to the true size
	ms, delta  int64
	key, value []byte
	keySize    int64 // unless zero, written instead of the key's
	valueSize  int64
	count      int64 // added to the true number of headers
	headers    []byte
	headerN    int64
	tail       []byte
}

func (r rawRecord) append(dst []byte) []byte {
	body := appendVarint([]byte{0}, r.ms)
	body = appendVarint(body, r.delta)
	for _, f := range []struct {
		p    []byte
		size int64
	}{{r.key, r.keySize}, {r.value, r.valueSize}} {
		if f.size == 0 {
			body = appendBytes(body, f.p)
		} else {
			body = append(appendVarint(body, f.size), f.p...)
		}
	}
	body = appendVarint(body, r.headerN+r.count)
	body = append(body, r.headers...)
	body = append(body, r.tail...)
	return append(appendVarint(dst, int64(len(body))+r.size), body...)
}

// craftRaw makes a sealed batch from records that may lie.
func craftRaw(codec Codec, records ...rawRecord) Batch {
	var plain []byte
	for _, r := range records {
		plain = r.append(plain)
	}
	return craftBody(codec, len(records), new(compressor).append(nil, plain, codec, 0))
}

// craftBody makes a sealed batch around bytes that claim to be count compressed records.
func craftBody(codec Codec, count int, body []byte) Batch {
	b := append(bytes.Clone(craft(None, nil)[:HeaderSize]), body...)
	Batch(b).setLength()
	Batch(b).setAttributes(int16(codec))
	binary.BigEndian.PutUint32(b[lastOffsetDeltaAt:], uint32(count-1))
	binary.BigEndian.PutUint32(b[recordCountAt:], uint32(count))
	binary.BigEndian.PutUint64(b[baseTimestampAt:], testNowMs)
	Batch(b).SetMaxTimestamp(testNowMs)
	Batch(b).SealCRC()
	return b
}
