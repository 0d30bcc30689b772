package wire

import (
	"math/rand/v2"
	"reflect"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// filler fills kmsg structs with random values.
type filler struct {
	rng   *rand.Rand
	nulls bool // leave pointers and slices nil half of the time
	tags  bool // add unknown tags
	wide  int  // most elements of a slice
}

func newFiller(seed uint64) *filler {
	rng := rand.New(rand.NewPCG(seed, 1))
	return &filler{rng: rng, nulls: seed%2 == 1, tags: seed%3 == 1, wide: 1 + int(seed%4)}
}

// request is a random request of that key and version.
func (f *filler) request(key, version int16) kmsg.Request {
	req := kmsg.RequestForKey(key)
	req.SetVersion(version)
	f.fill(reflect.ValueOf(req).Elem())
	return req
}

var tagsType = reflect.TypeFor[kmsg.Tags]()

func (f *filler) fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == tagsType {
			f.fillTags(v)
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "Version" {
				continue
			}
			f.fill(v.Field(i))
		}
	case reflect.Pointer:
		if f.nulls && f.rng.IntN(2) == 0 {
			return
		}
		v.Set(reflect.New(v.Type().Elem()))
		f.fill(v.Elem())
	case reflect.Slice:
		if f.nulls && f.rng.IntN(2) == 0 {
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), f.rng.IntN(f.wide+1), 8))
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.Array:
		for i := range v.Len() {
			f.fill(v.Index(i))
		}
	case reflect.String:
		b := make([]byte, f.rng.IntN(20))
		for i := range b {
			b[i] = byte('a' + f.rng.IntN(26))
		}
		v.SetString(string(b))
	case reflect.Bool:
		v.SetBool(f.rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(f.rng.Uint64()) >> (64 - v.Type().Bits()))
	case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(f.rng.Uint64() >> (64 - v.Type().Bits()))
	case reflect.Float64:
		v.SetFloat(f.rng.Float64())
	default:
		panic("a kmsg struct with a field of kind " + v.Kind().String())
	}
}

func (f *filler) fillTags(v reflect.Value) {
	if !f.tags {
		return
	}
	t := v.Addr().Interface().(*kmsg.Tags)
	for range f.rng.IntN(4) {
		b := make([]byte, f.rng.IntN(10))
		t.Set(1000+f.rng.Uint32N(1000), b)
	}
}

// versions calls do for each key and version that has a definition.
func versions(do func(key, version int16)) {
	for _, a := range APIs() {
		for v := a.Min; v <= a.Max; v++ {
			do(a.Key, v)
		}
	}
}
