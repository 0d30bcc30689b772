package partition

import (
	"bytes"
	"errors"
	"runtime"
	"sync"

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
	// largeValidators keeps the buffers of large batches until the garbage collector has run: a row of them would leave one such buffer each.
	largeValidators = sync.Pool{New: func() any { return new(batch.Validator) }}
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
	largeBatches <- struct{}{}
	defer func() { <-largeBatches }()
	large := largeValidators.Get().(*batch.Validator)
	defer largeValidators.Put(large)
	if out, _, err = large.Admit(b, rules); err != nil || !rules.Recompress {
		return out, err
	}
	return bytes.Clone(out), nil // it lies in the validator that is given back here
}
