package partition

import (
	"bytes"
	"errors"
	"runtime"
	"sync"
	"weak"

	"github.com/ottla/ottla/internal/kafka/batch"
	"github.com/ottla/ottla/internal/kafka/model"
)

// What batches are decompressed to is in nobody's budget before they are, and a few kilobytes can stand for all that is allowed. So only a few may be open at a
// time, and only one of those that are larger than honest batches are.
const (
	maxPlainBytes    = 64 << 20 // of one batch, whatever the topic allows for one record
	modestPlainBytes = 8 << 20
)

var (
	// validators are reused between batches. Those of compressed batches keep codecs and buffers of megabytes, so there are no more of them than may be open at a time,
	// whoever waits for room or for a disk.
	validators       = sync.Pool{New: func() any { return new(batch.Validator) }}
	modestValidators = sync.Pool{New: func() any { return new(batch.Validator) }}
	modestBatches    = make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0)))
	largeBatches     = make(chan struct{}, 1)
	// largeValidator, which largeBatches guards, keeps the buffer of the last large batch until the garbage collector runs: a row of them would leave one such
	// buffer each.
	largeValidator weak.Pointer[batch.Validator]
)

// admit judges a batch and makes of it what the log keeps (batch.Validator.Admit): b itself, or a copy of its own. It may wait for others that decompress, which is
// computing and nothing else.
func admit(b batch.Batch, rules *batch.Rules) (batch.Batch, error) {
	if b.Codec() == batch.None && !rules.Recompress {
		v := validators.Get().(*batch.Validator)
		defer validators.Put(v)
		defer v.Release()
		return admitWith(v, b, rules)
	}
	modest := *rules
	modest.MaxPlainBytes = min(modestPlainBytes, rules.MaxPlainBytes)
	out, err := admitModest(b, &modest)
	if !errors.Is(err, model.MessageTooLarge) || rules.MaxBytes > 0 && len(b) > rules.MaxBytes || modest.MaxPlainBytes == rules.MaxPlainBytes {
		return out, err
	}
	largeBatches <- struct{}{}
	defer func() { <-largeBatches }()
	large := largeValidator.Value()
	if large == nil {
		large = new(batch.Validator)
		largeValidator = weak.Make(large)
	}
	return admitWith(large, b, rules)
}

func admitModest(b batch.Batch, rules *batch.Rules) (batch.Batch, error) {
	modestBatches <- struct{}{}
	defer func() { <-modestBatches }()
	v := modestValidators.Get().(*batch.Validator)
	defer modestValidators.Put(v)
	defer v.Release()
	return admitWith(v, b, rules)
}

// admitWith takes what was compressed anew out of the validator, which the next batch takes.
func admitWith(v *batch.Validator, b batch.Batch, rules *batch.Rules) (batch.Batch, error) {
	out, _, err := v.Admit(b, rules)
	if err == nil && &out[0] != &b[0] {
		out = bytes.Clone(out)
	}
	return out, err
}
