package batch

import (
	"fmt"
	"strconv"
)

// Codec is a compression type, numbered as in the attributes of a batch.
type Codec int8

// The compression types of Kafka.
const (
	None Codec = iota
	Gzip
	Snappy
	LZ4
	Zstd
)

var codecNames = [...]string{"none", "gzip", "snappy", "lz4", "zstd"}

// String returns Kafka's name of the codec.
func (c Codec) String() string {
	if c.Known() {
		return codecNames[c]
	}
	return "unknown compression type " + strconv.Itoa(int(c))
}

// Known tells whether the number stands for a compression type.
func (c Codec) Known() bool { return c >= None && c <= Zstd }

// ParseCodec reads what String prints; "uncompressed", the name in compression.type, is None.
func ParseCodec(name string) (Codec, error) {
	if name == "uncompressed" {
		return None, nil
	}
	for i, n := range codecNames {
		if n == name {
			return Codec(i), nil
		}
	}
	return None, fmt.Errorf("%q is no compression type: use none, gzip, snappy, lz4 or zstd", name)
}

// TimestampType tells whose clock gave the timestamps.
type TimestampType int8

// The timestamp types of Kafka.
const (
	CreateTime    TimestampType = 0 // the producer's
	LogAppendTime TimestampType = 1 // the broker's
)

// String returns Kafka's name, as in message.timestamp.type.
func (t TimestampType) String() string {
	if t == LogAppendTime {
		return "LogAppendTime"
	}
	return "CreateTime"
}
