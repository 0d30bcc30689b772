package batch

import (
	"bytes"
	"math"
	"testing"
)

// goodRules are those of a topic without special settings.
func goodRules() Rules {
	return Rules{NowMs: testNowMs, TimestampBeforeMs: math.MaxInt64, TimestampAfterMs: 3_600_000, AllowZstd: true, MaxBytes: 1 << 20, MaxPlainBytes: testLimit}
}

// What is on the hot paths allocates nothing once its buffers have grown; kafka/batch.I4.
func TestNoAllocations(t *testing.T) {
	var (
		reader    Reader
		validator Validator
		builder   Builder
		rules     = goodRules()
	)
	for _, codec := range allCodecs {
		one := jsonBatch(codec, 100, 16<<10)
		buf := bytes.Repeat(one, 4)
		headers := []Header{{Key: []byte("k"), Value: []byte("v")}, {Key: []byte("l")}}
		value := bytes.Repeat([]byte("value"), 20)
		lat := bytes.Clone(one)
		appended := rules
		appended.TimestampType = LogAppendTime
		for name, f := range map[string]func(){
			"Next and Check": func() {
				for rest := buf; len(rest) > 0; {
					b, next, err := Next(rest)
					if err != nil || b.Check() != nil {
						t.Fatal(err)
					}
					rest = next
				}
			},
			"Reader": func() {
				if err := reader.Reset(one, testLimit); err != nil {
					t.Fatal(err)
				}
				n := 0
				for reader.Next() {
					r := reader.Record()
					for key, value := range r.Headers() {
						n += len(key) + len(value)
					}
					n += len(r.Key) + len(r.Value)
				}
				if reader.Err() != nil || n == 0 {
					t.Fatal(reader.Err())
				}
			},
			"Admit": func() {
				if _, _, err := validator.Admit(one, &rules); err != nil {
					t.Fatal(err)
				}
			},
			"Admit with append time": func() {
				copy(lat, one)
				if _, _, err := validator.Admit(lat, &appended); err != nil {
					t.Fatal(err)
				}
			},
			"Builder": func() {
				builder.Reset(Options{Codec: codec})
				for range 100 {
					builder.Append(testNowMs, value[:5], value, headers...)
				}
				if builder.Build() == nil {
					t.Fatal("nothing was built")
				}
			},
		} {
			if got := testing.AllocsPerRun(20, f); got != 0 {
				t.Errorf("%v: %s allocates %v times", codec, name, got)
			}
		}
	}
}

// Recompression does not allocate either, whatever it converts between.
func TestRewriteDoesNotAllocate(t *testing.T) {
	var v Validator
	for _, from := range allCodecs {
		b := jsonBatch(from, 100, 16<<10)
		for _, to := range allCodecs {
			got := testing.AllocsPerRun(20, func() {
				if _, err := v.Rewrite(b, to, 0, testLimit); err != nil {
					t.Fatal(err)
				}
			})
			if got != 0 {
				t.Errorf("%v to %v allocates %v times", from, to, got)
			}
		}
	}
}
