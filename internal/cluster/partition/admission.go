package partition

import (
	"bytes"
	"errors"
	"runtime"
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
	modestBatches = make(chan struct{}, max(4, 2*runtime.GOMAXPROCS(0)))
	largeBatches  = make(chan struct{}, 1)
	// largeValidator, which largeBatches guards, keeps the buffer of the last large batch until the garbage collector runs: a row of them would leave one such
	// buffer each.
	largeValidator weak.Pointer[batch.Validator]
)

// admit judges a batch and makes of it what the log keeps (batch.Validator.Admit). It may wait for others that decompress, which is computing and nothing else.
func admit(v *batch.Validator, b batch.Batch, rules *batch.Rules) (batch.Batch, error) {
	if b.Codec() == batch.None && !rules.Recompress {
		out, _, err := v.Admit(b, rules)
		return out, err
	}
	modest := *rules
	modest.MaxPlainBytes = min(modestPlainBytes, rules.MaxPlainBytes)
	modestBatches <- struct{}{}
	out, _, err := v.Admit(b, &modest)
	<-modestBatches
	if !errors.Is(err, model.MessageTooLarge) || rules.MaxBytes > 0 && len(b) > rules.MaxBytes || modest.MaxPlainBytes == rules.MaxPlainBytes {
		return out, err
	}
	v.Release() // many may wait here
	largeBatches <- struct{}{}
	defer func() { <-largeBatches }()
	large := largeValidator.Value()
	if large == nil {
		large = new(batch.Validator)
		largeValidator = weak.Make(large)
	}
	if out, _, err = large.Admit(b, rules); err != nil || !rules.Recompress {
		return out, err
	}
	return bytes.Clone(out), nil // it lies in the validator, which the next large batch takes
}
