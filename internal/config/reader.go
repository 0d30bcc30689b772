package config

import (
	"time"

	"github.com/ottla/ottla/internal/invariant"
)

// reader reads the effective values of broker keys through the layers: this broker's overrides, the cluster's, the start's, the default.
// Everything it reads has been checked, so reading cannot fail.
type reader struct {
	layers [3]map[string]string // broker overrides, cluster defaults, static
}

func (s *Static) reader() *reader {
	static := make(map[string]string, len(s.set))
	for name, setting := range s.set {
		static[name] = setting.Value
	}
	return &reader{layers: [3]map[string]string{2: static}}
}

// text is the value of a key as somebody wrote it, and false when it is null.
func (r *reader) text(k *Key) (string, bool) {
	for _, layer := range r.layers {
		if text, found := layer[k.Name]; found {
			return text, true
		}
	}
	return k.Default()
}

// has reports whether any layer sets the key.
func (r *reader) has(name string) bool {
	for _, layer := range r.layers {
		if _, found := layer[name]; found {
			return true
		}
	}
	return false
}

func (r *reader) value(name string, types ...Type) (v value, ok bool) {
	k := Lookup(BrokerResource, name)
	invariant.Check(k != nil, "config key %s is not defined", name)
	for i, t := range types {
		if k.Type == t {
			break
		}
		invariant.Check(i+1 < len(types), "config key %s is a %s, read as %s", name, k.Type, types[0])
	}
	text, ok := r.text(k)
	if !ok {
		return value{}, false
	}
	v, err := k.parse(text)
	invariant.Check(err == nil, "an unchecked value reached the configuration: %v", err)
	return v, true
}

func (r *reader) number(name string) int64 { v, _ := r.value(name, Int, Short, Long); return v.num }
func (r *reader) int(name string) int      { return int(r.number(name)) }
func (r *reader) flag(name string) bool    { v, _ := r.value(name, Boolean); return v.flag }
func (r *reader) list(name string) []string {
	v, _ := r.value(name, List)
	return v.list
}
func (r *reader) string(name string) string { v, _ := r.value(name, String, Class); return v.text }

// logDirs are the directories that hold partitions.
func (r *reader) logDirs() []string {
	if dirs := r.list("log.dirs"); len(dirs) > 0 {
		return dirs
	}
	return r.list("log.dir")
}

// millis is a key in milliseconds as a duration; what is longer than a Duration holds becomes the longest.
func (r *reader) millis(name string) time.Duration {
	return saturate(r.number(name), time.Millisecond)
}

func saturate(n int64, unit time.Duration) time.Duration {
	const longest = 1<<63 - 1
	if n > longest/int64(unit) {
		return longest
	}
	return time.Duration(n) * unit
}
