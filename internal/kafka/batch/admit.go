package batch

import "github.com/ottla/ottla/internal/kafka/model"

// knownAttributes are those that a producer may set; brokers set the others.
const knownAttributes = codecMask | timestampTypeBit | transactionalBit | controlBit

// One takes the batch out of a produced partition: exactly one, of format 2. An error is a *model.Error with Kafka's code.
func One(records []byte) (Batch, error) {
	b, rest, err := Next(records)
	switch {
	case err == ErrTruncated:
		return nil, refuse(model.InvalidRecord, "there is no complete record batch in %d bytes; exactly one is needed", len(records))
	case err == ErrMagic:
		return nil, refuse(model.InvalidRecord, "the record batch has format (magic) %d; only format 2 is taken", records[magicAt])
	case err != nil:
		return nil, refuse(model.CorruptMessage, "%v", err)
	}
	switch _, _, err := Next(rest); err {
	case ErrTruncated: // a piece of a batch, or nothing: not looked at
		return b, nil
	case ErrCorrupt:
		return nil, refuse(model.CorruptMessage, "the %d bytes behind the record batch are no batch", len(rest))
	}
	return nil, refuse(model.InvalidRecord, "there is more than one record batch for the partition; exactly one is needed")
}

// Admit validates b and makes of it what the log keeps: recompressed if the rules ask for that, with the topic's timestamp type and the true
// greatest timestamp. The result is b itself, changed in place, or lies in the Validator's buffer until its next use. After an error b is as
// it was. Errors are those of Validate.
func (v *Validator) Admit(b Batch, rules *Rules) (Batch, Info, error) {
	info, err := v.Validate(b, rules)
	if err != nil {
		return nil, Info{}, err
	}
	out := b
	if rules.Recompress && rules.Codec != b.Codec() {
		out = v.repack(b, rules.Codec, rules.Level)
		if rules.MaxBytes > 0 && len(out) > rules.MaxBytes {
			return nil, Info{}, tooLarge(len(out), rules.MaxBytes)
		}
	}
	attributes := out.Attributes() & (knownAttributes &^ timestampTypeBit)
	if rules.TimestampType == LogAppendTime {
		attributes |= timestampTypeBit
	}
	if attributes != b.Attributes() || info.MaxTimestamp != b.MaxTimestamp() {
		out.setAttributes(attributes)
		out.SetMaxTimestamp(info.MaxTimestamp)
		out.SealCRC()
	}
	return out, info, nil
}

// Rewrite returns the batch with its records compressed by another codec and nothing else changed. limit bounds the decompressed size in bytes.
// The result is b itself when there is nothing to do, else it lies in the Validator's buffer until its next use.
func (v *Validator) Rewrite(b Batch, codec Codec, level, limit int) (Batch, error) {
	if b.Codec() == codec {
		return b, nil
	}
	if err := v.reader.Reset(b, limit); err != nil {
		return nil, err
	}
	out := v.repack(b, codec, level)
	out.SealCRC()
	return out, nil
}

// repack compresses the records that the reader has open under a copy of b's header. The records themselves stay as they are, byte for byte.
func (v *Validator) repack(b Batch, codec Codec, level int) Batch {
	v.packed = append(v.packed[:0], b[:HeaderSize]...)
	v.packed = v.compress.append(v.packed, v.reader.records, codec, level)
	out := Batch(v.packed[:len(v.packed):len(v.packed)])
	out.setLength()
	out.setAttributes(b.Attributes()&^codecMask | int16(codec))
	return out
}
