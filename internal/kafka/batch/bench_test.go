package batch

import (
	"bytes"
	"fmt"
	"testing"
)

// jsonBatch makes a batch of about size bytes of plain records that compress as logs do.
func jsonBatch(codec Codec, record, size int) Batch {
	var builder Builder
	builder.Reset(Options{Codec: codec})
	for i := 0; builder.Len() < size; i++ {
		value := fmt.Appendf(nil, `{"id":%d,"user":"user-%d","path":"/api/v1/orders/%x","ms":%d}`, i*7919, i%97, i*104729, i%1013)
		for len(value) < record {
			value = fmt.Appendf(value, `,"f%d":"%x"`, len(value), i*31337+len(value))
		}
		builder.Append(testNowMs+int64(i), fmt.Appendf(nil, "key-%d", i), value[:record])
	}
	return bytes.Clone(builder.Build())
}

func BenchmarkCheck(b *testing.B) {
	batch := jsonBatch(None, 100, 64<<10)
	b.SetBytes(int64(len(batch)))
	for b.Loop() {
		if err := batch.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAdmit(b *testing.B) {
	for _, codec := range allCodecs {
		for _, record := range []int{100, 1000} {
			batch := jsonBatch(codec, record, 64<<10)
			rules := goodRules()
			b.Run(fmt.Sprintf("%v/%d", codec, record), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(64 << 10)
				var v Validator
				for b.Loop() {
					if _, _, err := v.Admit(batch, &rules); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkAdmitOfClients has a Validator that goes back to a pool between batches, and frames that others make.
func BenchmarkAdmitOfClients(b *testing.B) {
	rules := goodRules()
	for _, size := range []int{64 << 10, 1 << 20} {
		for name, batch := range foreignBatches(b, size) {
			b.Run(fmt.Sprintf("%s/%d", name, size), func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(size))
				var v Validator
				for b.Loop() {
					if _, _, err := v.Admit(batch, &rules); err != nil {
						b.Fatal(err)
					}
					v.Release()
				}
			})
		}
	}
}

func BenchmarkBuild(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(64 << 10)
			var builder Builder
			key, value := []byte("key"), bytes.Repeat([]byte("0123456789"), 10)
			for b.Loop() {
				builder.Reset(Options{Codec: codec})
				for i := 0; builder.Len() < 64<<10; i++ {
					builder.Append(testNowMs+int64(i), key, value)
				}
				builder.Build()
			}
		})
	}
}
